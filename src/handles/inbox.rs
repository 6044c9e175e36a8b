//! The inbox: a handle for sending to the client. It only sends; a session is ended through its client.
//!
//! Used by any thread of the application; the writer is at the other end. Sending blocks for backpressure, and decides
//! which session the bytes are for: an answer reaches its own session or nobody; other bytes go to the client that is
//! connected at that moment or, if there is none, to the next one (promise 3).

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::state::account::Refused;
use crate::state::record::Record;
use crate::state::slot::Slot;
use crate::values::chunk::Chunk;

/// The sending end of the server: sends bytes to the client. A cheap handle that can be cloned and sent to other
/// threads.
///
/// Kamaelia names channels from the component's side: the component receives in its *inbox* what you send to it.
///
/// An inbox is *unaddressed* ([`SingleServer::inbox`](crate::SingleServer::inbox)) or *addressed* to one session
/// ([`Client::inbox`](crate::Client::inbox), [`Session::inbox`](crate::Session::inbox)):
///
/// - Bytes sent to an unaddressed inbox go to the client that is connected or, if there is none, wait for the next one.
/// - Bytes sent to an addressed inbox go to that client or to nobody.
/// - A [`Chunk`] that came from a client of the same server goes to that client or to nobody, through any inbox.
///
/// So send an answer through an addressed inbox, unless it is the client's chunk itself: by the time the answer is ready,
/// its client may have left and another may have connected.
///
/// The inbox holds 1,024 messages that together occupy at most [`buffer_size`](crate::Options::buffer_size) times
/// [`depth`](crate::Options::depth) bytes of memory, or one message that is larger than that. Threads that wait for room get
/// it in the order of their arrival.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(crate) slot: Arc<Slot>,
    to: Option<Arc<Record>>,
}

impl Inbox {
    pub(crate) fn unaddressed(slot: &Arc<Slot>) -> Inbox {
        Inbox { slot: slot.clone(), to: None }
    }

    pub(crate) fn to(slot: &Arc<Slot>, record: &Arc<Record>) -> Inbox {
        Inbox { slot: slot.clone(), to: Some(record.clone()) }
    }

    /// Sends bytes. Waits while there is no room in the inbox.
    ///
    /// Returns as soon as the bytes are in the inbox, before they are written to the client. Nothing is copied. Bytes
    /// accepted for a client that then leaves are discarded, and counted in its [`Report`](crate::Report).
    ///
    /// # Errors
    ///
    /// [`SendError::Over`] if the session that the bytes are for has ended, is being finished or was half-closed;
    /// [`SendError::Stopped`] if the server was stopped. Either can also happen while this waits. The error returns the
    /// bytes.
    ///
    /// # Examples
    ///
    /// Bytes sent before anybody is connected wait for the first client:
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::Read;
    /// use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// server.inbox().send("welcome")?;
    ///
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// let mut greeting = [0; 7];
    /// client.read_exact(&mut greeting)?;
    /// assert_eq!(&greeting, b"welcome");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send(&self, bytes: impl Into<Chunk>) -> Result<(), SendError> {
        self.put(bytes.into(), true)
    }

    /// Sends bytes if there is room for them now. Never waits.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is no room or another thread waits for it, and otherwise those of
    /// [`send`](Inbox::send). The error returns the bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{SendError, SingleServer};
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// let inbox = server.inbox();
    /// for line in 0..1024 {
    ///     inbox.try_send(format!("{line}\n"))?;
    /// }
    /// // Nobody is connected, so nothing has left the inbox, and it is full.
    /// match inbox.try_send("one more") {
    ///     Err(SendError::Full(bytes)) => assert_eq!(&bytes[..], b"one more"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_send(&self, bytes: impl Into<Chunk>) -> Result<(), SendError> {
        self.put(bytes.into(), false)
    }

    /// The number of the session that this inbox is addressed to.
    fn number(&self) -> Option<u64> {
        self.to.as_ref().map(|record| record.number)
    }

    fn put(&self, chunk: Chunk, may_wait: bool) -> Result<(), SendError> {
        let to = chunk.origin(&self.slot.pool).or_else(|| self.number());
        self.slot.put(to, chunk, may_wait).map_err(|(refused, chunk)| match refused {
            Refused::Full => SendError::Full(chunk),
            Refused::Over => SendError::Over(chunk),
            Refused::Stopped => SendError::Stopped(chunk),
        })
    }

    /// Returns whether the session that this inbox is addressed to has ended; if it is unaddressed, whether the server was
    /// stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{SendError, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// let inbox = session.inbox();
    /// assert!(!inbox.is_closed());
    ///
    /// session.client().finish();
    /// session.wait_until_over();
    /// assert!(inbox.is_closed());
    /// assert!(matches!(inbox.send("too late"), Err(SendError::Over(_))));
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.to {
            Some(record) => record.is_ended(),
            None => self.slot.is_stopping(),
        }
    }
}

/// Each write is one message, copied once, of at most [`buffer_size`](crate::Options::buffer_size) bytes.
///
/// `flush` does nothing: the writer needs no request to send. Errors are those of [`send`](Inbox::send), with kind
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
impl Write for &Inbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.slot.options.buffer_size);
        self.send(&bytes[..length])?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As for `&Inbox`.
impl Write for Inbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why an [`Inbox`] did not accept bytes. Each variant returns them.
///
/// # Examples
///
/// ```
/// use single_server::{SendError, SingleServer};
///
/// let mut server = SingleServer::bind("127.0.0.1:0")?;
/// let inbox = server.inbox();
/// server.stop()?;
/// let error = inbox.send("too late").unwrap_err();
/// assert_eq!(error.to_string(), "the server was stopped");
/// assert_eq!(&error.into_chunk()[..], b"too late");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room now. Only from [`Inbox::try_send`].
    Full(Chunk),
    /// The session that the bytes are for has ended, is being finished, was half-closed, or its connection was
    /// [lent](crate::Session::stream).
    Over(Chunk),
    /// The server was stopped.
    Stopped(Chunk),
}

impl SendError {
    /// Returns the bytes that were not accepted.
    #[must_use]
    pub fn into_chunk(self) -> Chunk {
        match self {
            SendError::Full(chunk) | SendError::Over(chunk) | SendError::Stopped(chunk) => chunk,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the inbox is full: the client does not read, or nobody is connected",
            SendError::Over(_) => "the session that the bytes are for is over",
            SendError::Stopped(_) => "the server was stopped",
        })
    }
}

impl Error for SendError {}

/// [`WouldBlock`](io::ErrorKind::WouldBlock) for `Full`, [`BrokenPipe`](io::ErrorKind::BrokenPipe) for the others.
impl From<SendError> for io::Error {
    fn from(error: SendError) -> io::Error {
        let kind = match error {
            SendError::Full(_) => io::ErrorKind::WouldBlock,
            SendError::Over(_) | SendError::Stopped(_) => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, error.to_string())
    }
}
