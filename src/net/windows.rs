//! The stream of a served client on Windows: a wrapper that works around two differences. Compiled only there.
//!
//! On Windows `shutdown` does not wake a thread that is blocked in a read or write, and a write that times out does not say how
//! many bytes it wrote. So no call blocks for long there. A read first peeks with a short timeout, because a peek that
//! times out has consumed nothing. A write is non-blocking and is repeated. The price is a delay of up to one such timeout
//! when a session is cut, and pauses of some milliseconds while the client does not read.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::monitor::lock;

/// How often a blocked read checks whether the stream has been shut down.
const SLICE: Duration = Duration::from_millis(100);

/// The pauses between attempts to write into a full send buffer: the first one, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

pub(crate) struct Stream {
    inner: TcpStream,
    /// Set by `shutdown`: reads and writes return. On other systems the kernel does this for blocked calls.
    is_shut_down: AtomicBool,
    write_timeout: Mutex<Option<Duration>>,
}

impl From<TcpStream> for Stream {
    fn from(inner: TcpStream) -> Stream {
        // An error means that the connection is already broken, which the reader will find out.
        let _ = inner.set_read_timeout(Some(SLICE));
        Stream { inner, is_shut_down: AtomicBool::new(false), write_timeout: Mutex::new(None) }
    }
}

impl Stream {
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.is_shut_down.store(true, Ordering::SeqCst);
        }
        self.inner.shutdown(how)
    }

    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *lock(&self.write_timeout) = timeout;
        Ok(())
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_shut_down.load(Ordering::SeqCst) {
            match self.inner.peek(&mut [0]).and_then(|_| (&self.inner).read(buffer)) {
                Err(e) if e.kind() == ErrorKind::TimedOut => {}
                // The writer has made the stream non-blocking for its write.
                Err(e) if e.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                result => return result,
            }
        }
        Ok(0)
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let timeout = *lock(&self.write_timeout);
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        while !self.is_shut_down.load(Ordering::SeqCst) {
            self.inner.set_nonblocking(true)?;
            let written = (&self.inner).write_vectored(slices);
            self.inner.set_nonblocking(false)?;
            match written {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            if timeout.map_or(false, |timeout| start.elapsed() >= timeout) {
                return Err(ErrorKind::TimedOut.into()); // nothing has been written
            }
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
