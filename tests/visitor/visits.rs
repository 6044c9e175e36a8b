//! Consecutive clients: each connects as soon as the one before has left, gets an answer and leaves.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::clients::{connect, ping, reset, rest};
use super::waiting::DEADLINE;

/// How a client leaves after it has read its answer.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    Close,
    ShutdownAndClose,
    /// With unread data, so the kernel sends a RST.
    Reset,
}

pub const CLOSINGS: [Closing; 3] = [Closing::Close, Closing::ShutdownAndClose, Closing::Reset];

/// One visit: connects once, gets its answer, and leaves.
pub fn visit(addr: SocketAddr, closing: Closing) -> io::Result<()> {
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(DEADLINE))?;
    match closing {
        Closing::Close => ping(&mut client),
        Closing::ShutdownAndClose => ping(&mut client).and_then(|()| client.shutdown(Shutdown::Write)),
        Closing::Reset => {
            client.write_all(b"ping and more")?;
            client.read_exact(&mut [0; 4])?;
            reset(client);
            Ok(())
        }
    }
}

/// A thousand visits in turn, each as soon as the one before has left, and then a client that is really concurrent.
pub fn visit_a_thousand_times(addr: SocketAddr, closing: Closing, expected: &[u8]) {
    for number in 0..1000 {
        if let Err(e) = visit(addr, closing) {
            panic!("visit {number}, after {closing:?}, was refused: {e}");
        }
    }
    be_second(addr, expected);
}

/// Connects a client that is served, and checks what a second client gets.
pub fn be_second(addr: SocketAddr, expected: &[u8]) {
    let mut first = connect(addr);
    ping(&mut first).unwrap();
    assert_eq!(rest(&mut connect(addr)), expected, "the second client");
    ping(&mut first).unwrap();
}
