//! A session: one client's connection for blocking code, a view over the outbox and an inbox.
//!
//! Used on the application's thread. It borrows the server, so there is only one at a time. It adds no thread and no buffer:
//! a read returns bytes of the chunk received from the outbox, and a write goes to the inbox. Lines are in
//! `bounded_lines.rs`, reading and writing in `session_io.rs`, and the end in `session_end.rs`.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::client::Client;
use super::inbox::Inbox;
use super::message::{End, Message};
use super::outbox::Outbox;
use crate::values::chunk::Chunk;

/// One client's connection, from [`SingleServer::accept`](crate::SingleServer::accept) or
/// [`serve`](crate::SingleServer::serve).
///
/// Reading returns the client's bytes, and 0 bytes once the client has closed its side. Writing goes through the inbox: it
/// waits for room there, not until the client has received the bytes. Dropping the session finishes it: the connection is
/// closed after everything written has been sent. The drop does not wait for that.
///
/// # Answering while reading
///
/// The iterator over a client's lines borrows the session. Take an inbox of the session first, and answer through that:
///
/// ```
/// # use single_server::SingleServer;
/// # use std::io::{Read, Write};
/// # use std::net::TcpStream;
/// #
/// # let mut server = SingleServer::bind("127.0.0.1:0")?;
/// # let mut client = TcpStream::connect(server.local_addr())?;
/// # client.write_all(b"hello\nquit\nnever read\n")?;
/// let session = server.accept().expect("the server is not stopped");
/// let mut out = session.inbox();
/// for line in session.bounded_lines(1024) {
///     match line?.as_str() {
///         "quit" => break,
///         other => writeln!(out, "you said {other}")?,
///     }
/// }
/// drop(session); // everything written is sent, and then the connection is closed
/// # let mut answers = String::new();
/// # client.read_to_string(&mut answers)?;
/// # assert_eq!(answers, "you said hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// `lines` of [`BufRead`](io::BufRead) has no limit: a client that sends no newline would fill the memory.
///
/// # Session or messages
///
/// A session suits a protocol of questions and answers, where the program waits only for the client. For periodic work, use a
/// [read timeout](Session::set_read_timeout). If the program also has events of its own to handle in the same loop, receive
/// [messages](crate::Outbox) instead. A session stays on its thread; its [inbox](Session::inbox) and
/// [client](Session::client) can be moved to others, which then send while this one reads.
///
/// # When it does not compile
///
/// | code | message | remedy |
/// |---|---|---|
/// | `writeln!(session, …)` in a loop over its lines | E0499, E0502 or E0382: `session` is borrowed or moved | `let mut out = session.inbox();` before the loop, then `writeln!(out, …)` |
/// | `app(session, session.inbox())` | E0382 or E0502 | `let out = session.inbox();`, then `app(session, out)` |
/// | `session.close()` in the closure of [`serve`](crate::SingleServer::serve) | E0507: cannot move out of `*session` | return `Ok(())`; for the report, use [`accept`](crate::SingleServer::accept) in a loop, or the [signals](crate::SingleServer::signal) |
/// | `Ok(())` at the end of that closure | E0282 or E0283: type annotations needed | name the type: `\|session\| -> io::Result<()> { … }` |
/// | `session.by_ref()` | E0034: multiple `by_ref` found | `Read::by_ref(session)` |
/// | the session in another thread | E0277: cannot be shared between threads | move `session.inbox()` or `session.client().clone()` there |
///
/// `&Session` reads and writes, too, for code that needs a reader and a writer at the same time.
#[derive(Debug)]
#[must_use = "dropping the session finishes it"]
pub struct Session<'a> {
    pub(super) outbox: &'a Outbox,
    pub(super) client: Client,
    pub(super) inbox: Inbox,
    /// The unread part of the chunk received last; never empty.
    pub(super) rest: RefCell<Option<Chunk>>,
    /// The end, once it has been received: nothing more will come from this client.
    pub(super) end: RefCell<Option<End>>,
    pub(super) read_timeout: Cell<Option<Duration>>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(outbox: &'a Outbox, client: Client) -> Session<'a> {
        let (rest, end, read_timeout) = (RefCell::new(None), RefCell::new(None), Cell::new(None));
        Session { outbox, inbox: client.inbox(), client, rest, end, read_timeout }
    }

    /// Returns an inbox that leads to this client or to nobody. It can be moved to another thread, and outlive the session.
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

    /// Returns the client: for its address and byte counts, and to abort or half-close the session.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
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
    /// let session = server.accept().expect("the server is not stopped");
    /// while let Some(chunk) = session.next_chunk() {
    ///     session.inbox().send(chunk)?;
    /// }
    /// assert_eq!(session.close().sent, 14);
    /// let mut back = String::new();
    /// client.read_to_string(&mut back)?;
    /// assert_eq!(back, "there and back");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn next_chunk(&self) -> Option<Chunk> {
        let _ = self.fill(None); // without a timeout there is no error
        self.rest.take()
    }

    /// Waits for the next bytes as [`next_chunk`](Session::next_chunk) does, but not longer than `timeout`; with zero, returns
    /// at once.
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
    /// let session = server.accept().expect("the server is not stopped");
    /// let none = session.next_chunk_timeout(Duration::ZERO);
    /// assert_eq!(none.unwrap_err().kind(), ErrorKind::TimedOut);
    /// client.write_all(b"now")?;
    /// assert!(session.next_chunk_timeout(Duration::from_secs(60))?.is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn next_chunk_timeout(&self, timeout: Duration) -> io::Result<Option<Chunk>> {
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
                Ok(Message::End(end)) => {
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

    /// Whether the end has been received.
    pub(super) fn is_at_end(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Iterates over the client's bytes, waiting for each chunk, until no more will come.
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
    /// let session = server.accept().expect("the server is not stopped");
    /// let count: usize = session.chunks().map(|chunk| chunk.len()).sum();
    /// assert_eq!(count, 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn chunks(&self) -> Chunks<'_, 'a> {
        Chunks { session: self }
    }
}

/// An iterator over the bytes of a [`Session`]'s client, made by [`Session::chunks`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Chunks<'s, 'a> {
    session: &'s Session<'a>,
}

impl Iterator for Chunks<'_, '_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        self.session.next_chunk()
    }
}
