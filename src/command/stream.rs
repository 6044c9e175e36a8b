//! The other side of a session: a byte stream in both directions. Its writes can time out, and another thread can end its
//! reads.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A write that makes no progress returns after this time.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// The other side of a session. Its `write` times out after [`PATIENCE`]; its `read` may time out, too.
pub trait Stream: Sync {
    fn read(&self, into: &mut [u8]) -> io::Result<usize>;
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// After `Both`, a read that is blocked on another thread returns.
    fn shutdown(&self, how: Shutdown);
}

impl Stream for TcpStream {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, into)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn shutdown(&self, how: Shutdown) {
        let _ = TcpStream::shutdown(self, how);
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, into)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn shutdown(&self, how: Shutdown) {
        let _ = UnixStream::shutdown(self, how);
    }
}
