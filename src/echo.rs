//! The echo server: sends every byte back to the client it came from. Runs on the application's thread.

use crate::handles::message::Message;
use crate::server::SingleServer;

/// Sends every byte back to the client it came from, one client after the other, until the server is stopped.
///
/// Runs on the calling thread. A chunk goes from the outbox to the inbox without a copy, and its buffer returns to the
/// reader once it has been written. The [`End`](crate::End) is dropped at once, which closes the connection after the last byte.
///
/// # Examples
///
/// ```
/// use single_server::{echo, SingleServer};
/// use std::io::{Read, Write};
/// use std::net::{Shutdown, TcpStream};
/// use std::thread;
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// let (addr, control) = (server.local_addr(), server.control());
/// let serving = thread::spawn(move || echo(&server));
///
/// let mut client = TcpStream::connect(addr)?;
/// client.write_all(b"anybody there?")?;
/// client.shutdown(Shutdown::Write)?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "anybody there?");
///
/// control.stop();
/// serving.join().expect("echo does not panic");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn echo(server: &SingleServer) {
    let inbox = server.inbox();
    for message in server.outbox() {
        if let Message::Data(chunk) = message {
            // An error means that the client has left. Its end follows.
            let _ = inbox.send(chunk);
        }
    }
}
