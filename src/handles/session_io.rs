//! A session as a stream: `Read`, `BufRead` and `Write`, a read timeout, and `peek`.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use super::session::Session;
use crate::net::timeout::TIMEOUT;
use crate::values::signal::{Reason, Report};

/// Reading with a time limit.
impl Session<'_> {
    /// Limits how long a read waits; `None`, the default, for no limit.
    ///
    /// A read that takes longer fails with kind [`WouldBlock`](io::ErrorKind::WouldBlock) on Unix and
    /// [`TimedOut`](io::ErrorKind::TimedOut) on Windows, as for a [`TcpStream`](std::net::TcpStream). No byte is lost, and
    /// the next read continues.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::Read;
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// session.set_read_timeout(Some(Duration::from_millis(10)))?;
    /// assert!(session.read(&mut [0; 100]).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            let what = "a read timeout of zero; give `None` for no limit, or use `peek`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.read_timeout.set(timeout);
        Ok(())
    }

    /// Returns the next byte if there is one now, without consuming it.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) at the end of the stream, when the client has closed its side and
    /// everything has been read. For a session that was cut short, the same errors as for reading.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// assert_eq!(session.peek()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peek(&self) -> io::Result<Option<u8>> {
        match self.fill(Some(Duration::ZERO)) {
            Ok(true) => Ok(self.rest.borrow().as_ref().map(|rest| rest[0])),
            Ok(false) => self.check_whole().and(Err(io::ErrorKind::UnexpectedEof.into())),
            Err(_) => Ok(None),
        }
    }

    /// Returns an error unless the stream ended with the client's FIN.
    fn check_whole(&self) -> io::Result<()> {
        let reason = match self.client().report() {
            Some(Report { reason, complete: false, .. }) => reason,
            // While the session is live, only the client's FIN is an end of the stream.
            Some(_) | None => return Ok(()),
        };
        let kind = match reason {
            Reason::Reset => io::ErrorKind::ConnectionReset,
            Reason::Idle | Reason::Stalled | Reason::Gone | Reason::TimeUp => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionAborted,
        };
        let peer = self.client().peer_addr();
        Err(io::Error::new(kind, format!("the session with {peer} was cut short: {reason}")))
    }

    /// `fill` with the read timeout, and an error if the session was cut short.
    pub(super) fn fill_to_read(&self) -> io::Result<bool> {
        let filled = self.fill(self.read_timeout.get()).map_err(|_| io::Error::from(TIMEOUT))?;
        if !filled {
            self.check_whole()?;
        }
        Ok(filled)
    }

    pub(super) fn advance(&self, count: usize) {
        let mut rest = self.rest.borrow_mut();
        if let Some(chunk) = rest.as_mut() {
            chunk.advance(count);
            if chunk.is_empty() {
                *rest = None;
            }
        }
    }
}

/// Returns 0 bytes once the client has closed its side, and only then. So at the end of the stream everything that the
/// client sent has been read.
///
/// # Errors
///
/// For a session that was cut short: [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the connection broke;
/// [`TimedOut`](io::ErrorKind::TimedOut) if it was idle or stalled, or its time was up;
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) if the application, the server's stop or another client ended it.
///
/// After a [read timeout](Session::set_read_timeout), [`WouldBlock`](io::ErrorKind::WouldBlock) (on Windows
/// [`TimedOut`](io::ErrorKind::TimedOut)).
impl Read for &Session<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || !self.fill_to_read()? {
            return Ok(0);
        }
        let count = self.rest.borrow().as_ref().map_or(0, |rest| {
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            count
        });
        self.advance(count);
        Ok(count)
    }
}

/// As for `&Session`.
impl Read for Session<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self).read(into)
    }
}

/// Lends the bytes of the received chunk, without another buffer.
impl BufRead for Session<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill_to_read()?;
        Ok(self.rest.get_mut().as_deref().unwrap_or(&[]))
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

/// As for [`Inbox`](crate::Inbox).
impl Write for &Session<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.inbox).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As for [`Inbox`](crate::Inbox).
impl Write for Session<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.inbox).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
