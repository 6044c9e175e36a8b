//! Clients that come, get an answer and leave, each as soon as the one before has left.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::clients::{connect, ping, reset, rest};
use super::waiting::DEADLINE;

/// How a client leaves that has read its answer.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    Close,
    ShutdownAndClose,
    /// With something unread, which makes it a RST.
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

/// A thousand visits in turn, each as soon as the one before has left, and then somebody who is really the second.
pub fn visit_a_thousand_times(addr: SocketAddr, closing: Closing, told: &[u8]) {
    for number in 0..1000 {
        if let Err(e) = visit(addr, closing) {
            panic!("visit {number}, after {closing:?}, was turned away: {e}");
        }
    }
    be_second(addr, told);
}

/// Is served, by which it knows that it is the first, and sees what happens to a second client.
pub fn be_second(addr: SocketAddr, told: &[u8]) {
    let mut first = connect(addr);
    ping(&mut first).unwrap();
    assert_eq!(rest(&mut connect(addr)), told, "the second client");
    ping(&mut first).unwrap();
}
