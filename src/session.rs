//! A session as one thing, for people who think in connections: a view over the same boxes.
//!
//! Lives on the application's thread and borrows the server, so that there is one at a time. It adds no thread and
//! no copy of its own: chunks come straight from the outbox, and what is written goes straight to the inbox.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use crate::chunk::Chunk;
use crate::inbox::Inbox;
use crate::outbox::{Client, End, Message, Outbox};
use crate::signal::{Reason, Report};

/// One client's connection, from [`SingleServer::accept`](crate::SingleServer::accept).
///
/// Reading gives what the client sends, and then 0 bytes when it has closed its side. Writing goes through the
/// inbox: it waits for room there, not for the client to have it. Dropping the session closes the connection after
/// what was written.
///
/// # Examples
///
/// A line protocol:
///
/// ```
/// use single_server::SingleServer;
/// use std::io::{BufRead, BufReader, Read, Write};
/// use std::net::{Shutdown, TcpStream};
///
/// let mut server = SingleServer::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(server.local_addr())?;
/// client.write_all(b"hello\nquit\nnever read\n")?;
///
/// let session = server.accept().expect("the server is not stopped");
/// let mut out = session.inbox();
/// for line in BufReader::new(session).lines() {
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
pub struct Session<'a> {
    outbox: &'a Outbox,
    client: Client,
    inbox: Inbox,
    /// What `read` has left of a chunk.
    rest: Option<Chunk>,
    /// Once there, nothing more comes from this client. Dropped with the session, it ends it.
    end: Option<End>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(outbox: &'a Outbox, client: Client) -> Session<'a> {
        Session { outbox, inbox: client.inbox(), client, rest: None, end: None }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.client.peer()
    }

    /// An inbox that leads to this client or to nobody, for another thread or for one that outlives the session.
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Ends the direction to the client, which sees a FIN after what was written; reading goes on.
    pub fn half_close(&self) {
        self.inbox.half_close();
    }

    /// Waits for the next bytes from the client, without copying them; `None` when no more will come.
    ///
    /// # Examples
    ///
    /// To send back what comes, as it comes:
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
        if let Some(rest) = self.rest.take() {
            return Some(rest);
        }
        if self.end.is_some() {
            return None;
        }
        match self.outbox.recv() {
            Ok(Message::Data(chunk)) => Some(chunk),
            Ok(Message::ProducerFinished(end)) => {
                self.end = Some(end);
                None
            }
            Ok(Message::Connected(_)) => unreachable!("a session ends before the next one begins"),
            Err(_) => None,
        }
    }

    /// Iterates over what the client sends, waiting for it, until no more will come.
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

    /// Closes the session and waits until everything that was written has gone to the client, or can no longer;
    /// returns the final account.
    ///
    /// A client that does not read makes this wait, until it is found to be stalled if there is an
    /// [`idle_timeout`](crate::Options::idle_timeout).
    pub fn close(self) -> Report {
        self.inbox.finish();
        self.wait_until_over()
    }

    /// Waits until somebody else ends the session (the client, the server, or an [`Inbox`] of it on another thread),
    /// and returns the final account.
    ///
    /// The client's FIN alone is not the end: the application may still answer. [`Inbox::is_over`] has an example.
    pub fn wait_until_over(&self) -> Report {
        let record = &self.client.record;
        record.slot.wait_until_over(record);
        record.report()
    }

    /// The session's account so far or, once it is over, the final one. Until then its reason means nothing.
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
    pub fn report(&self) -> Report {
        self.client.record.report()
    }
}

/// Returns 0 bytes once the client has closed its side, or the application or the server has ended the session.
///
/// # Errors
///
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the connection broke,
/// [`TimedOut`](io::ErrorKind::TimedOut) if it was idle or stalled,
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) if another client replaced this one.
impl Read for Session<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        match self.next_chunk() {
            Some(mut chunk) => {
                let count = chunk.len().min(into.len());
                into[..count].copy_from_slice(&chunk[..count]);
                chunk.advance(count);
                self.rest = Some(chunk).filter(|rest| !rest.is_empty());
                Ok(count)
            }
            None => {
                let reason = self.report().reason;
                let kind = match reason {
                    Reason::Reset => io::ErrorKind::ConnectionReset,
                    Reason::Idle | Reason::Stalled => io::ErrorKind::TimedOut,
                    Reason::Replaced => io::ErrorKind::ConnectionAborted,
                    Reason::ClientClosed | Reason::Finished | Reason::Stopped => return Ok(0),
                };
                Err(io::Error::new(kind, reason.to_string()))
            }
        }
    }
}

/// As for [`Inbox`].
impl Write for Session<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inbox.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inbox.flush()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // If the end has been read, dropping that does it.
        if self.end.is_none() {
            self.client.record.slot.finish(&self.client.record);
        }
    }
}

/// The iterator over what a [`Session`]'s client sends.
#[derive(Debug)]
pub struct Chunks<'s, 'a> {
    session: &'s mut Session<'a>,
}

impl Iterator for Chunks<'_, '_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        self.session.next_chunk()
    }
}
