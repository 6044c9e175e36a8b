//! The live connection: the stream together with its record, and the ways it is closed.
//!
//! Owned by the slot for as long as the session lives, borrowed by the reader and, for the time of a write, by the
//! writer. The slot alone closes it, after it is free (promise 4).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use crate::record::Record;

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) record: Arc<Record>,
}

impl Connection {
    /// Whether it is that session's.
    pub(crate) fn is_of(&self, record: &Arc<Record>) -> bool {
        Arc::ptr_eq(&self.record, record)
    }

    /// Tells the client that nothing more comes, behind what is still on its way.
    pub(crate) fn say_goodbye(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Cuts the connection: tells the client, and wakes the reader and the writer if they are inside a call on the
    /// stream. The descriptor goes with the last of the three who holds it. What the client has sent and nobody has
    /// read makes the kernel follow up with a RST, which also frees the client's end of what it would still send.
    pub(crate) fn cut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Cuts it when the server stops, with a client that may be sending while its last answer is on its way.
    pub(crate) fn hang_up(&self) {
        self.cut();
        take_what_is_there(&self.stream);
    }
}

/// Turns a stranger away, with a message if there is one, without waiting for anything.
pub(crate) fn turn_away(stream: TcpStream, message: &[u8]) {
    // The message fits into the empty send buffer of a new connection, so that one write takes all of it.
    let _ = stream.set_nonblocking(true);
    let _ = (&stream).write(message);
    let _ = stream.shutdown(Shutdown::Write);
    take_what_is_there(&stream);
}

/// Reads what has arrived, without waiting and not for ever: closing a socket with unread bytes makes the kernel
/// send a RST in place of what it still had to send (RFC 2525, 2.17).
fn take_what_is_there(mut stream: &TcpStream) {
    let mut scrap = [0; 4096];
    if stream.set_nonblocking(true).is_err() {
        return;
    }
    for _ in 0..64 {
        match stream.read(&mut scrap) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
