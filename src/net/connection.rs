//! A connection: the stream of a session, and how it is read, written, looked at and closed.
//!
//! The slot owns the connection of its session. The reader and the writer borrow it for one call at a time.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::values::chunk::Chunk;
use crate::values::seen::Seen;

#[cfg(windows)]
use super::windows::Stream;
#[cfg(not(windows))]
type Stream = TcpStream;

/// The maximum number of messages in one write.
pub(crate) const GATHER: usize = 128;

/// A read or write that has failed although the connection stands is repeated so often, with these pauses.
pub(crate) const REPEATS: u32 = 100;
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// A blocked write returns this often, so the writer can check its deadlines.
const WRITE_TIMEOUT: Duration = Duration::from_millis(50);

pub(crate) struct Connection {
    stream: Stream,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        let stream = Stream::from(stream);
        // An error means that the connection is already broken, which the reader will find out.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
        Connection { stream }
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(buffer)
    }

    /// Writes as much of the chunks as the kernel takes, in one call.
    pub(crate) fn write(&self, chunks: &[Chunk]) -> io::Result<usize> {
        if let [chunk] = chunks {
            return (&self.stream).write(chunk);
        }
        let mut slices = [IoSlice::new(&[]); GATHER];
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
        }
        (&self.stream).write_vectored(&slices[..chunks.len().min(GATHER)])
    }

    /// Whether the connection is dead. The kernel reports the error once, so the caller must act on it.
    ///
    /// A pending error alone does not tell: on Linux it may also be one that the connection survives, such as an ICMP
    /// "unreachable" (RFC 1122, section 4.2.3.9). Only a dead connection has lost its peer.
    pub(crate) fn is_dead(&self) -> bool {
        match self.stream.take_error() {
            Ok(None) => false,
            Ok(Some(e)) | Err(e) => !self.survives(&e),
        }
    }

    /// Whether the connection still stands after an error, so the call can be repeated. Not known on Windows.
    pub(crate) fn survives(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
        let by_tcp = matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut);
        !by_tcp && !cfg!(windows) && self.stream.peer_addr().is_ok()
    }

    /// On Windows a real peek would interfere with a write.
    #[cfg(windows)]
    pub(crate) fn look(&self) -> Seen {
        Seen::Unknown
    }

    /// Peeks at the connection without waiting.
    ///
    /// The stream is non-blocking during the call. A read or write that another thread begins in these microseconds can
    /// fail with `WouldBlock` and must be tried again.
    #[cfg(not(windows))]
    pub(crate) fn look(&self) -> Seen {
        if self.stream.set_nonblocking(true).is_err() {
            return Seen::Nothing;
        }
        let next = self.stream.peek(&mut [0]);
        // If this failed, reader and writer would only spin until the session ends.
        let _ = self.stream.set_nonblocking(false);
        match next {
            Ok(0) => Seen::Fin,
            Ok(_) => Seen::Data,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Seen::Nothing
            }
            Err(e) if self.survives(&e) => Seen::Nothing,
            Err(_) => Seen::Broken,
        }
    }

    /// Another handle of the connection, without our write timeout.
    #[cfg(not(windows))]
    pub(crate) fn lend(&self) -> io::Result<TcpStream> {
        let stream = self.stream.try_clone()?;
        stream.set_write_timeout(None)?;
        Ok(stream)
    }

    /// On Windows a shutdown does not end a read that the other holder is in, so the session could not be ended.
    #[cfg(windows)]
    pub(crate) fn lend(&self) -> io::Result<TcpStream> {
        let text = "a connection cannot be lent on Windows, where it could not be taken back from its holder";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    /// Sends a FIN after everything written so far; the client can still send.
    pub(crate) fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Shuts both directions down: sends a FIN, and makes blocked reads and writes return.
    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Makes a blocked read return, but sends no FIN. When the connection is dropped, the kernel sends a RST if data of the
    /// client is unread, and a FIN otherwise; `std` cannot ask for a RST.
    pub(crate) fn abort(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

/// Sends a message, which may be empty, to a refused client and closes the connection. Does not wait.
pub(crate) fn turn_away(mut stream: TcpStream, message: &[u8]) {
    let mut scrap = [0; 4096];
    // The message fits into the empty send buffer of a new connection, so one write takes all of it.
    if stream.set_nonblocking(true).is_err() || stream.write(message).is_err() {
        return;
    }
    let _ = stream.shutdown(Shutdown::Write);
    // Unread data would turn the close into a RST, which can overtake the message (RFC 2525, section 2.17).
    for _ in 0..64 {
        match stream.read(&mut scrap) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return,
            Ok(0) => return,
            _ => {}
        }
    }
}
