//! A session: one client's connection for blocking code, a view over the outbox and an inbox.
//!
//! Used on the application's thread. It borrows the server, so there is one at a time. It adds no thread and no buffer: a
//! read returns bytes of the chunk received from the outbox, and a write goes to the inbox. Reading and writing are in
//! `session_io.rs`.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::inbox::Inbox;
use super::message::{Client, End, Message};
use super::outbox::Outbox;
use crate::values::chunk::Chunk;
use crate::values::signal::Report;

/// One client's connection, from [`SingleServer::accept`](crate::SingleServer::accept).
///
/// Reading returns the client's bytes, and 0 bytes once the client has closed its side. Writing goes through the inbox: it
/// waits for room there, not until the client has received the bytes. Dropping the session finishes it: the connection is
/// closed after everything written has been sent. The drop does not wait for that.
///
/// # Examples
///
/// A line protocol:
///
/// ```
/// use single_server::SingleServer;
/// use std::io::{BufRead, Read, Write};
/// use std::net::TcpStream;
///
/// let mut server = SingleServer::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(server.local_addr())?;
/// client.write_all(b"hello\nquit\nnever read\n")?;
///
/// let session = server.accept().expect("the server is not stopped");
/// let mut out = session.inbox();
/// for line in session.lines() {
///     match line?.as_str() {
///         "quit" => break,
///         other => writeln!(out, "you said {other}")?,
///     }
/// }
/// let mut answers = String::new();
/// client.read_to_string(&mut answers)?;
/// assert_eq!(answers, "you said hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the session finishes it"]
pub struct Session<'a> {
    outbox: &'a Outbox,
    pub(super) client: Client,
    pub(super) inbox: Inbox,
    /// The unread part of the chunk received last; never empty.
    pub(super) rest: RefCell<Option<Chunk>>,
    /// The end, once it was received: nothing more comes from this client.
    end: RefCell<Option<End>>,
    pub(super) read_timeout: Cell<Option<Duration>>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(outbox: &'a Outbox, client: Client) -> Session<'a> {
        let (rest, end, read_timeout) = (RefCell::new(None), RefCell::new(None), Cell::new(None));
        Session { outbox, inbox: client.inbox(), client, rest, end, read_timeout }
    }

    /// Returns the client's address.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// assert_eq!(session.peer_addr(), client.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.client.peer_addr()
    }

    /// Returns the address that the client connected to.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// assert_eq!(session.local_addr(), client.peer_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.client.local_addr()
    }

    /// Returns an inbox that leads to this client or to nobody, for another thread or one that outlives the session.
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
    /// let inbox = session.inbox();
    /// drop(session);
    /// // The session is over or about to be, and nobody else gets this.
    /// assert!(inbox.send("to you alone").is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Half-closes the session: the client sees the end of the stream after what was written; reading goes on.
    ///
    /// See [`Inbox::half_close`].
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// session.write_all(b"all I have")?;
    /// session.half_close();
    /// let mut all = String::new();
    /// client.read_to_string(&mut all)?;
    /// assert_eq!(all, "all I have");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn half_close(&self) {
        self.inbox.half_close();
    }

    /// Aborts the session: cuts the connection now, and discards what has not been sent.
    ///
    /// See [`Inbox::abort`].
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
    /// session.abort();
    /// assert_eq!(session.report().reason, single_server::Reason::Aborted);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn abort(&self) {
        self.inbox.abort();
    }

    /// Waits for the next bytes from the client, without copying them; `None` when no more will come.
    ///
    /// The read timeout does not apply.
    ///
    /// # Examples
    ///
    /// Sends everything back as it arrives:
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::{Read, Write};
    /// use std::net::{Shutdown, TcpStream};
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"there and back")?;
    /// client.shutdown(Shutdown::Write)?;
    ///
    /// let mut session = server.accept().expect("the server is not stopped");
    /// while let Some(chunk) = session.next_chunk() {
    ///     session.inbox().send(chunk)?;
    /// }
    /// assert_eq!(session.close().sent, 14);
    /// let mut back = String::new();
    /// client.read_to_string(&mut back)?;
    /// assert_eq!(back, "there and back");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        let _ = self.fill(None); // without a timeout there is no error
        self.rest.take()
    }

    /// Returns the next bytes if there are any now; `None` when no more will come.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there are none now.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::ErrorKind;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// assert_eq!(session.try_next_chunk().unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        self.next_chunk_timeout(Duration::ZERO).map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    /// Waits for the next bytes, but not longer than `timeout`; `None` when no more will come.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) after that time.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::{ErrorKind, Write};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// let late = session.next_chunk_timeout(Duration::from_millis(10));
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// client.write_all(b"now")?;
    /// assert!(session.next_chunk_timeout(Duration::from_secs(60))?.is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn next_chunk_timeout(&mut self, timeout: Duration) -> io::Result<Option<Chunk>> {
        self.fill(Some(timeout))?;
        Ok(self.rest.take())
    }

    /// Waits until there are bytes in `rest`; `false` when no more will come. The only error is `TimedOut`.
    pub(super) fn fill(&self, timeout: Option<Duration>) -> io::Result<bool> {
        if self.rest.borrow().is_some() || self.end.borrow().is_some() {
            return Ok(self.rest.borrow().is_some());
        }
        // If the clock cannot represent the deadline, there is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.outbox.receive(deadline, false) {
                Ok(Message::Data(chunk)) => {
                    *self.rest.borrow_mut() = Some(chunk);
                    return Ok(true);
                }
                Ok(Message::ProducerFinished(end)) => {
                    *self.end.borrow_mut() = Some(end);
                    return Ok(false);
                }
                // `Connected` comes only after the end of this session.
                Ok(Message::Connected(_) | Message::Woken) => {}
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
    }

    /// Iterates over the client's bytes, and waits for them, until no more will come.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::Write;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"some bytes")?;
    /// drop(client);
    ///
    /// let mut session = server.accept().expect("the server is not stopped");
    /// let count: usize = session.chunks().map(|chunk| chunk.len()).sum();
    /// assert_eq!(count, 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn chunks(&mut self) -> Chunks<'_, 'a> {
        Chunks { session: self }
    }
}

/// How a session ends.
impl Session<'_> {
    /// Finishes the session and waits until everything written has been sent, or can no longer be; returns the final report.
    ///
    /// A client that does not read makes this wait; an [`idle_timeout`](crate::Options::idle_timeout) limits that.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::Write;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// session.write_all(b"good-bye")?;
    /// assert_eq!(session.close().sent, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(self) -> Report {
        self.inbox.finish();
        self.wait_until_over()
    }

    /// Waits until something else ends the session (the client, the server, or an [`Inbox`] of it on another thread), and
    /// returns the final report.
    ///
    /// The client's FIN alone is not the end: the application may still answer.
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
    /// let inbox = session.inbox();
    /// std::thread::spawn(move || inbox.finish());
    /// assert_eq!(session.wait_until_over().reason, single_server::Reason::Finished);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_until_over(&self) -> Report {
        self.inbox.slot.wait_until_ended(self.client.record().number);
        self.report()
    }

    /// Returns the session's report: the current figures or, once it has ended, the final ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// TcpStream::connect(server.local_addr())?.write_all(b"four")?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// session.read_to_end(&mut Vec::new())?;
    /// assert_eq!(session.report().received, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> Report {
        self.inbox.slot.report(self.client.record())
    }

    /// Restarts the idle and the close timeout: the application is still at work for this client.
    ///
    /// An application that works for longer than the [close timeout](crate::Options::close_timeout) without sending anything
    /// calls this now and then. It does nothing if the session has ended, and does not change the
    /// [session timeout](crate::Options::session_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Options, Reason};
    /// use std::net::TcpStream;
    /// use std::thread;
    /// use std::time::Duration;
    ///
    /// let mut server = Options::new().close_timeout(Duration::from_secs(2)).bind("127.0.0.1:0")?;
    /// drop(TcpStream::connect(server.local_addr())?);
    /// let mut session = server.accept().expect("the server is not stopped");
    /// assert!(session.next_chunk().is_none()); // the client has closed its side
    /// for _step in 0..3 {
    ///     thread::sleep(Duration::from_millis(1)); // a step of a long computation
    ///     session.extend();
    /// }
    /// assert_eq!(session.close().reason, Reason::ClientClosed);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn extend(&self) {
        self.inbox.slot.extend(self.client.record().number);
    }

    /// Returns whether a newcomer waits for the slot of this session, whose client is leaving.
    ///
    /// An application that keeps a session open only in case it has more to send can end it then. See
    /// [`Options::handover`](crate::Options::handover).
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::net::{Shutdown, TcpStream};
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(server.local_addr())?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// assert!(!session.is_awaited());
    /// client.shutdown(Shutdown::Write)?; // it is leaving ...
    /// assert!(session.next_chunk().is_none());
    /// let _newcomer = TcpStream::connect(client.peer_addr()?)?; // ... and here is the next one
    /// while !session.is_awaited() {
    ///     std::thread::yield_now();
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.inbox.slot.is_awaited(self.client.record().number)
    }

    #[doc(hidden)]
    #[deprecated(since = "0.2.0", note = "renamed to `peer_addr`")]
    pub fn peer(&self) -> SocketAddr {
        self.peer_addr()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.end.get_mut().is_none() {
            self.outbox.forget();
        }
        self.inbox.finish();
    }
}

/// An iterator over the bytes of a [`Session`]'s client, made by [`Session::chunks`].
///
/// # Examples
///
/// ```
/// use single_server::SingleServer;
/// use std::net::TcpStream;
///
/// let mut server = SingleServer::bind("127.0.0.1:0")?;
/// drop(TcpStream::connect(server.local_addr())?);
/// let mut session = server.accept().expect("the server is not stopped");
/// assert_eq!(session.chunks().count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Chunks<'s, 'a> {
    session: &'s mut Session<'a>,
}

impl Iterator for Chunks<'_, '_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        self.session.next_chunk()
    }
}
