//! The messages of the outbox, and the handles in them: a session's client and its end.
//!
//! Used by the application, on any thread. None of them keeps a descriptor open.

use std::net::SocketAddr;
use std::sync::Arc;

use super::inbox::Inbox;
use crate::state::record::Record;
use crate::state::slot::Slot;
use crate::values::chunk::Chunk;
use crate::values::signal::Report;

/// A message of the [`Outbox`](crate::Outbox). Each session gives one `Connected`, any number of `Data`, and one
/// `ProducerFinished`, and only then comes the next session's `Connected`.
///
/// A session that ends, and is followed by the next one, before the reader thread has run is not announced here; its
/// [signals](crate::Signal) are sent. The outbox would otherwise need room for any number of such sessions.
///
/// # Examples
///
/// ```
/// use single_server::{Message, SingleServer};
/// use std::io::Write;
/// use std::net::TcpStream;
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// TcpStream::connect(server.local_addr())?.write_all(b"x")?;
/// let mut seen = Vec::new();
/// for message in server.outbox() {
///     match message {
///         Message::Connected(_) => seen.push("hello"),
///         Message::Data(_) => seen.push("data"),
///         Message::ProducerFinished(_) => break,
///         _ => {}
///     }
/// }
/// assert_eq!(seen, ["hello", "data"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// A client has connected.
    Connected(Client),
    /// Bytes from the client.
    Data(Chunk),
    /// No more bytes will come from the client. Dropping the [`End`] closes the connection.
    ProducerFinished(End),
    /// [`Control::wake`](crate::Control::wake) was called.
    Woken,
}

/// A client that has connected.
///
/// It names one session. Keeping it does not keep the connection open.
///
/// # Examples
///
/// ```
/// use single_server::{Message, SingleServer};
/// use std::io::Read;
/// use std::net::TcpStream;
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// let mut stream = TcpStream::connect(server.local_addr())?;
/// if let Ok(Message::Connected(client)) = server.outbox().recv() {
///     assert_eq!(client.peer_addr(), stream.local_addr()?);
///     client.inbox().send("hello, you in particular")?;
///     client.inbox().finish();
/// }
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello, you in particular");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inbox: Inbox,
    record: Arc<Record>,
}

impl Client {
    pub(crate) fn new(slot: &Arc<Slot>, record: Arc<Record>) -> Client {
        Client { inbox: Inbox::to(slot, &record), record }
    }

    /// Returns the client's address, which is an IPv4 address if it has reached a listener on `[::]` by IPv4.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let control = server.control();
    /// let stream = TcpStream::connect(server.local_addr())?;
    /// let _session = server.accept();
    /// let client = control.client().expect("it is connected");
    /// assert_eq!(client.peer_addr(), stream.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.record.peer
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
    /// let control = server.control();
    /// let stream = TcpStream::connect(server.local_addr())?;
    /// let _session = server.accept();
    /// let client = control.client().expect("it is connected");
    /// assert_eq!(client.local_addr(), stream.peer_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.record.local
    }

    /// Returns an inbox that leads to this client or to nobody.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let control = server.control();
    /// let _stream = TcpStream::connect(server.local_addr())?;
    /// let _session = server.accept();
    /// let client = control.client().expect("it is connected");
    /// client.inbox().send("hello, you in particular")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Restarts the idle and the close timeout of its session: the application is still at work for it, or before it can be.
    ///
    /// See [`Session::extend`](crate::Session::extend).
    ///
    /// # Examples
    ///
    /// An application that comes to its next client only when it is done with something else:
    ///
    /// ```
    /// use single_server::{Options, Reason};
    /// use std::net::TcpStream;
    /// use std::thread;
    /// use std::time::Duration;
    ///
    /// let mut server = Options::new().idle_timeout(Duration::from_secs(2)).bind("127.0.0.1:0")?;
    /// let control = server.control();
    /// let _stream = TcpStream::connect(server.local_addr())?;
    /// for _step in 0..3 {
    ///     thread::sleep(Duration::from_millis(1)); // a step of something else
    ///     if let Some(next) = control.client() {
    ///         next.extend();
    ///     }
    /// }
    /// let session = server.accept().expect("the server is not stopped");
    /// assert_eq!(session.close().reason, Reason::Finished);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn extend(&self) {
        self.inbox.slot.extend(self.record.number);
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    #[doc(hidden)]
    #[deprecated(since = "0.2.0", note = "renamed to `peer_addr`")]
    pub fn peer(&self) -> SocketAddr {
        self.peer_addr()
    }
}

/// Two are equal if they name the same session.
impl PartialEq for Client {
    fn eq(&self, other: &Client) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }
}

impl Eq for Client {}

/// The end of a client's bytes. As long as the application holds it, it may still answer.
///
/// Dropping it finishes the session: everything put into the inbox before is sent, the slot becomes free, and the connection
/// is closed, in this order. The drop does not wait for that. If the session has already ended, dropping this does nothing.
///
/// [`Report::complete`](crate::Report::complete) tells whether the client closed its side, or whether something else ended
/// the session.
///
/// # Examples
///
/// An answer that needs the whole question:
///
/// ```
/// use single_server::{Message, SingleServer};
/// use std::io::{Read, Write};
/// use std::net::{Shutdown, TcpStream};
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(server.local_addr())?;
/// client.write_all(b"one two three")?;
/// client.shutdown(Shutdown::Write)?;
///
/// let mut question = Vec::new();
/// for message in server.outbox() {
///     match message {
///         Message::Connected(_) => {}
///         Message::Data(chunk) => question.extend_from_slice(&chunk),
///         Message::ProducerFinished(end) => {
///             let words = question.split(|byte| *byte == b' ').count();
///             end.inbox().send(format!("{words} words"))?;
///             break; // drops the end
///         }
///         _ => {}
///     }
/// }
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "3 words");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the end finishes the session"]
pub struct End {
    inbox: Inbox,
    record: Arc<Record>,
}

impl End {
    pub(crate) fn new(slot: &Arc<Slot>, record: Arc<Record>) -> End {
        End { inbox: Inbox::to(slot, &record), record }
    }

    /// Returns the session's report: the current figures or, once it has ended, the final ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Message, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// drop(TcpStream::connect(server.local_addr())?);
    /// for message in server.outbox() {
    ///     if let Message::ProducerFinished(end) = message {
    ///         assert!(end.report().complete);
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> Report {
        self.inbox.slot.report(&self.record)
    }

    /// Returns an inbox that leads to this client or to nobody.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Message, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// drop(TcpStream::connect(server.local_addr())?);
    /// for message in server.outbox() {
    ///     if let Message::ProducerFinished(end) = message {
    ///         let _ = end.inbox().send("the last answer");
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.inbox.finish();
    }
}
