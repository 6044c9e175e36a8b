//! The outbox: what comes from clients, as one ordered stream of messages, and the end of a session as a guard.
//!
//! Owned by the application, inside its `SingleServer`; the reader is at the other end.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, TryRecvError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::chunk::Chunk;
use crate::inbox::Inbox;
use crate::record::Record;
use crate::signal::Report;
use crate::slot::Slot;

/// What comes out of the [`Outbox`]: for each session one `Connected`, any number of `Data`, one
/// `ProducerFinished`, and only then the next session's `Connected`.
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
///     }
/// }
/// assert_eq!(seen, ["hello", "data"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub enum Message {
    /// A client has connected.
    Connected(Client),
    /// Bytes from the client.
    Data(Chunk),
    /// No more will come from the client. Dropping the [`End`] closes the connection.
    ProducerFinished(End),
}

/// A client that has connected.
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
///     assert_eq!(client.peer(), stream.local_addr()?);
///     client.inbox().send("hello, you in particular")?;
///     client.inbox().finish();
/// }
/// let mut told = String::new();
/// stream.read_to_string(&mut told)?;
/// assert_eq!(told, "hello, you in particular");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Client {
    pub(crate) record: Arc<Record>,
}

impl Client {
    pub(crate) fn new(record: Arc<Record>) -> Client {
        Client { record }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.record.peer
    }

    /// An inbox that leads to this client or to nobody.
    pub fn inbox(&self) -> Inbox {
        inbox_of(&self.record)
    }
}

/// The end of what a client sends, and a guard: as long as the application holds it, it may still answer.
///
/// When it is dropped, what was put in the inbox before is written, the slot is freed and the connection is closed,
/// in this order, while the application goes on. If the connection is broken or was ended by the server, that has
/// already happened, and dropping it does nothing.
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
///     }
/// }
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "3 words");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct End {
    record: Arc<Record>,
}

impl End {
    pub(crate) fn new(record: Arc<Record>) -> End {
        End { record }
    }

    /// The session's account: how it stands now or, once it is over, the final one.
    pub fn report(&self) -> Report {
        self.record.report()
    }

    /// An inbox that leads to this client or to nobody.
    pub fn inbox(&self) -> Inbox {
        inbox_of(&self.record)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.record.slot.finish(&self.record);
    }
}

fn inbox_of(record: &Arc<Record>) -> Inbox {
    Inbox { slot: record.slot.clone(), to: Some(record.clone()) }
}

/// What clients send and when they come and go, in order.
///
/// It holds [`depth`](crate::Options::depth) messages; when they are not taken out, the client is held back. Somebody
/// has to take them out: a server whose outbox is never read never learns that a client has left.
///
/// # Examples
///
/// ```
/// use single_server::SingleServer;
/// use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
/// use std::time::Duration;
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// let outbox = server.outbox();
/// // Nobody has connected yet.
/// assert_eq!(outbox.try_recv().unwrap_err(), TryRecvError::Empty);
/// assert_eq!(outbox.recv_timeout(Duration::from_millis(1)).unwrap_err(), RecvTimeoutError::Timeout);
/// // And nobody will any more.
/// server.control().shutdown();
/// assert!(outbox.recv().is_err());
/// assert_eq!(outbox.iter().count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Outbox {
    pub(crate) slot: Arc<Slot>,
    pub(crate) messages: Receiver<Message>,
}

impl Outbox {
    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// When the server has been stopped and everything before that has been received.
    pub fn recv(&self) -> Result<Message, RecvError> {
        let received = receive_patiently(&self.messages, self.slot.options.yield_time);
        received.or_else(|e| self.instead_of(e)).or_else(|_| self.messages.recv())
    }

    /// The next message if there is one now.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if there is none, [`TryRecvError::Disconnected`] as for [`recv`](Outbox::recv).
    pub fn try_recv(&self) -> Result<Message, TryRecvError> {
        self.messages.try_recv().or_else(|e| self.instead_of(e))
    }

    /// Waits for the next message, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] after that time, [`RecvTimeoutError::Disconnected`] as for
    /// [`recv`](Outbox::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message, RecvTimeoutError> {
        self.try_recv().or_else(|_| self.messages.recv_timeout(timeout))
    }

    /// The end for which there was no room when it came. It is not missed by looking only before waiting: the box was
    /// full at that time. That may have been since it was found empty, and what is in it comes first.
    fn instead_of(&self, nothing: TryRecvError) -> Result<Message, TryRecvError> {
        if !self.slot.has_untold_end() {
            return Err(nothing);
        }
        let end = |nothing| self.slot.untold_end().map(Message::ProducerFinished).ok_or(nothing);
        self.messages.try_recv().or_else(end)
    }

    /// Iterates over the messages, waiting for each, until the server is stopped.
    pub fn iter(&self) -> Messages<'_> {
        Messages { outbox: self }
    }

    /// Disconnects the reader and drops what it has put in.
    pub(crate) fn close(&mut self) {
        self.messages = mpsc::sync_channel(0).1;
    }
}

impl<'a> IntoIterator for &'a Outbox {
    type Item = Message;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.iter()
    }
}

/// The iterator over an [`Outbox`].
#[derive(Debug)]
pub struct Messages<'a> {
    outbox: &'a Outbox,
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.outbox.recv().ok()
    }
}

/// Looks for a message for some time, yielding the processor in between. For a receiver that has just been busy and
/// will block if this finds nothing: to be woken from that takes longer than what it expects is likely to take.
pub(crate) fn receive_patiently<T>(receiver: &Receiver<T>, patience: Duration) -> Result<T, TryRecvError> {
    let received = receiver.try_recv();
    if patience.is_zero() || !matches!(received, Err(TryRecvError::Empty)) {
        return received;
    }
    let until = Instant::now() + patience;
    loop {
        thread::yield_now();
        let received = receiver.try_recv();
        if !matches!(received, Err(TryRecvError::Empty)) || Instant::now() >= until {
            return received;
        }
    }
}
