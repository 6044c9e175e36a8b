//! The inbox: what is put in here goes to the client.
//!
//! Cloned freely and used by any thread of the application; the writer is at the other end. Putting is where
//! backpressure is felt and where bytes get their address: those that answer a session can reach that session
//! only, and the others belong to the client who is connected at that moment or, if there is none, to the next
//! one (promise 3).

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::chunk::Chunk;
use crate::record::Record;
use crate::slot::Slot;

/// What travels from an inbox to the writer. `None` is the first client to come.
pub(crate) enum Parcel {
    Bytes(Option<Arc<Record>>, Chunk),
    /// No more will come: send a FIN, go on reading.
    HalfClose(Option<Arc<Record>>),
    /// All that was put in before has been written when the writer sees this: close.
    Finish(Arc<Record>),
    /// Nothing: makes a writer that waits for a parcel look at the state of the server.
    Wake,
}

/// Where bytes for the client are put; a cheap handle that can be cloned and sent to other threads.
///
/// An inbox is *unaddressed* ([`SingleServer::inbox`](crate::SingleServer::inbox)) or *addressed* to one session
/// ([`Session::inbox`](crate::Session::inbox), [`Client::inbox`](crate::Client::inbox),
/// [`End::inbox`](crate::End::inbox)):
///
/// - What is put in an unaddressed inbox goes to the client that is connected or, if there is none, waits for the
///   first one who connects.
/// - What is put in an addressed inbox goes to that client or to nobody.
/// - A [`Chunk`] that came from a client of the same server goes to that client or to nobody, whatever inbox it
///   is put in.
///
/// So an answer that is made of something else than the chunk itself belongs in an addressed one: its client may have
/// left, and another come, while it was being made.
///
/// The inbox holds 1,024 messages that together keep [`buffer_size`](crate::Options::buffer_size) times
/// [`depth`](crate::Options::depth) bytes of memory occupied, or one message that is larger than that.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(crate) slot: Arc<Slot>,
    pub(crate) to: Option<Arc<Record>>,
}

impl Inbox {
    /// Puts bytes in the inbox, and waits as long as there is no room.
    ///
    /// Returns as soon as the bytes are in the inbox, before they are written. Nothing is copied. What was taken
    /// for a client who then leaves is discarded, and counted in its [`Report`](crate::Report).
    ///
    /// # Errors
    ///
    /// [`SendError::Over`] if the session that the bytes are for has ended or was half-closed,
    /// [`SendError::Stopped`] if the server was stopped; either also while this waited. The bytes come back in the
    /// error.
    ///
    /// # Examples
    ///
    /// What is sent before anybody is connected waits for the first client:
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
        self.slot.put(self.to.as_ref(), bytes.into(), true)
    }

    /// Puts bytes in the inbox if there is room for them now.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is no room, and else those of [`send`](Inbox::send). The bytes come back in
    /// the error.
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
        self.slot.put(self.to.as_ref(), bytes.into(), false)
    }

    /// Ends the direction to the client: once all that was put in before is written, the client sees a FIN, while
    /// what it sends still arrives.
    ///
    /// In an unaddressed inbox this means the client that is connected or, if there is none, the first one who
    /// connects. Bytes put in later for the same client are refused as [`SendError::Over`]. The session itself
    /// goes on until the client closes too or the application ends it.
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
    ///
    /// session.inbox().send("all I have")?;
    /// session.inbox().half_close();
    /// let mut all = String::new();
    /// client.read_to_string(&mut all)?; // sees the end ...
    /// assert_eq!(all, "all I have");
    /// client.write_all(b"and you?")?; // ... and can still talk
    /// drop(client);
    /// all.clear();
    /// session.read_to_string(&mut all)?;
    /// assert_eq!(all, "and you?");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn half_close(&self) {
        self.slot.half_close(self.to.as_ref());
    }
}

/// Ending, and asking about it.
impl Inbox {
    /// Ends the session that this leads to, or the current one, once everything put in before is written.
    ///
    /// Does not wait for that to happen. A client that does not read delays it, until it is found to be stalled if
    /// there is an [`idle_timeout`](crate::Options::idle_timeout). See [`Client`](crate::Client) for an example.
    ///
    /// A client that is still sending is listened to for five seconds, or until the next one comes, and what it says is
    /// dropped: a socket that is closed on unread bytes is reset by the kernel, with the loss of what had yet to go out.
    pub fn finish(&self) {
        if let Some(record) = self.to.clone().or_else(|| self.slot.current()) {
            self.slot.finish(&record);
        }
    }

    /// Whether the session that this leads to is over or, if it leads to any, the server is stopped.
    ///
    /// For whoever has something to do for the session beside sending, such as a process to end.
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
    /// assert!(!inbox.is_over());
    ///
    /// inbox.finish(); // on another thread, say
    /// session.wait_until_over();
    /// assert!(inbox.is_over());
    /// assert!(matches!(inbox.send("too late"), Err(SendError::Over(_))));
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_over(&self) -> bool {
        match &self.to {
            Some(record) => record.is_over(),
            None => self.slot.is_stopping(),
        }
    }
}

/// Each write is one message, copied once, of at most [`buffer_size`](crate::Options::buffer_size) bytes.
///
/// `flush` has nothing to do: what is in the inbox is already on its way. Errors are those of
/// [`send`](Inbox::send), as [`io::ErrorKind::BrokenPipe`].
impl Write for Inbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.slot.buffer_size());
        self.send(&bytes[..length])?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why bytes were not taken by an [`Inbox`]; they are handed back.
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
pub enum SendError {
    /// There is no room now; only from [`Inbox::try_send`].
    Full(Chunk),
    /// The session that they are addressed to has ended, or this direction of it was half-closed.
    Over(Chunk),
    /// The server was stopped.
    Stopped(Chunk),
}

impl SendError {
    /// The bytes that were not taken.
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
            SendError::Over(_) => "the session that this was addressed to is over",
            SendError::Stopped(_) => "the server was stopped",
        })
    }
}

impl Error for SendError {}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> io::Error {
        let kind = match error {
            SendError::Full(_) => io::ErrorKind::WouldBlock,
            SendError::Over(_) | SendError::Stopped(_) => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, error.to_string())
    }
}
