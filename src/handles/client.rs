//! The client: a handle of one session, for sending to it, ending it and reading its byte counts.
//!
//! Used by any thread of the application, even after the session. It holds the session's record rather than its connection,
//! so it keeps no descriptor open.

use std::net::SocketAddr;
use std::sync::Arc;

use super::inbox::Inbox;
use crate::state::record::Record;
use crate::state::slot::Slot;
use crate::values::signal::Report;
use crate::values::traffic::Traffic;

/// A client that is or was connected: a cheap handle of one session. It can be cloned and sent to other threads.
///
/// It sends to this client and ends its session, and never affects another one. Keeping it does not keep the connection open.
///
/// | method | what the client sees |
/// |---|---|
/// | [`finish`](Client::finish) | everything sent before, and then the end |
/// | [`abort`](Client::abort) | the end now, as a reset if possible |
/// | [`half_close`](Client::half_close) | everything sent before, and then the end, but it can still send |
///
/// None of these waits. Dropping a [`Session`](crate::Session) or an [`End`](crate::End) finishes, too.
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
///     client.finish();
/// }
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello, you in particular");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    slot: Arc<Slot>,
    pub(super) record: Arc<Record>,
}

/// Two clients are equal if they are handles of the same session.
impl PartialEq for Client {
    fn eq(&self, other: &Client) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }
}

impl Eq for Client {}

impl Client {
    pub(crate) fn new(slot: &Arc<Slot>, record: Arc<Record>) -> Client {
        Client { slot: slot.clone(), record }
    }

    /// The client that is connected now.
    pub(crate) fn current(slot: &Arc<Slot>) -> Option<Client> {
        slot.current().map(|record| Client::new(slot, record))
    }

    /// Returns the client's address. For an IPv4 client of a listener on `[::]` this is the IPv4 address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.record.peer
    }

    /// Returns the address that the client connected to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.record.local
    }

    /// Returns an inbox that leads to this client or to nobody.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox::to(&self.slot, &self.record)
    }
}

/// Ending the session. None of these methods waits, and only the first end counts.
impl Client {
    /// Half-closes the session: the client sees the end of the stream after everything sent before, and can still send.
    ///
    /// Bytes sent later for this client are refused with [`SendError::Over`](crate::SendError::Over). The session continues
    /// until the client closes its side, too, or the application ends it.
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
    /// session.write_all(b"all I have")?;
    /// session.client().half_close();
    /// let mut all = String::new();
    /// client.read_to_string(&mut all)?; // sees the end ...
    /// assert_eq!(all, "all I have");
    /// client.write_all(b"and you?")?; // ... and can still send
    /// let mut answer = [0; 8];
    /// session.read_exact(&mut answer)?;
    /// assert_eq!(&answer, b"and you?");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn half_close(&self) {
        self.slot.half_close(self.record.number);
    }

    /// Finishes the session: it ends once everything sent before is written.
    ///
    /// A client that does not read delays it; an [`idle_timeout`](crate::Options::idle_timeout) limits that.
    ///
    /// If the client has not closed its side, its connection then lingers, while the slot is already free: the server reads
    /// and discards what the client still sends. This ends when the client closes, when it sends nothing for 5 seconds, after
    /// 30 seconds, or when the next client connects. Without it, the kernel would reset the connection, and the client could
    /// lose the last bytes sent to it.
    ///
    /// # Examples
    ///
    /// Sends a notice to the current client, and to nobody else, and disconnects it:
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::Read;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let control = server.control();
    /// let mut stream = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept();
    ///
    /// // On another thread, say.
    /// if let Some(client) = control.client() {
    ///     client.inbox().send("time is up")?;
    ///     client.finish();
    /// }
    /// let mut last_words = String::new();
    /// stream.read_to_string(&mut last_words)?;
    /// assert_eq!(last_words, "time is up");
    /// # drop(session);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn finish(&self) {
        self.slot.finish(self.record.number);
    }

    /// Aborts the session: cuts the connection now, and discards what has not been sent.
    ///
    /// The client sees a reset if some of its bytes are unread or it sends more, and otherwise the end of the stream:
    /// `std` cannot force a reset. The report counts the discarded bytes. If the session has been finished and its connection
    /// lingers, this cuts the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Reason, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// session.client().abort();
    /// assert_eq!(session.wait_until_over().reason, Reason::Aborted);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn abort(&self) {
        self.slot.abort(self.record.number);
    }

    /// Restarts the idle and the close timeout, because the application is still working for this client.
    ///
    /// An application that works for longer than the [close timeout](crate::Options::close_timeout) without sending anything
    /// calls this now and then. It does not change the [session timeout](crate::Options::session_timeout).
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
    /// let session = server.accept().expect("the server is not stopped");
    /// assert!(session.next_chunk().is_none()); // the client has closed its side
    /// for _step in 0..3 {
    ///     thread::sleep(Duration::from_millis(1)); // a step of a long computation
    ///     session.client().extend();
    /// }
    /// assert_eq!(session.close().reason, Reason::ClientClosed);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn extend(&self) {
        self.slot.extend(self.record.number);
    }
}

/// The state of the session.
impl Client {
    /// Returns whether the session has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.record.is_ended()
    }

    /// Returns whether this client is leaving and a newcomer waits for its slot.
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
    /// let stream = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// assert!(!session.client().is_awaited());
    /// stream.shutdown(Shutdown::Write)?; // it is leaving ...
    /// assert!(session.next_chunk().is_none());
    /// let _newcomer = TcpStream::connect(stream.peer_addr()?)?; // ... and here is the next one
    /// while !session.client().is_awaited() {
    ///     std::thread::yield_now();
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.slot.is_awaited(self.record.number)
    }

    /// Returns how many bytes have moved so far; after the session, the final counts.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.slot.traffic(&self.record)
    }

    /// Returns the report of the session once it has ended; `None` until then.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Reason, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _stream = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// let client = session.client();
    /// assert_eq!(client.report(), None);
    /// client.abort();
    /// assert_eq!(client.report().map(|report| report.reason), Some(Reason::Aborted));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.record.report()
    }

    /// Waits until the session has ended.
    pub(super) fn wait_until_over(&self) -> Report {
        self.slot.wait_until_ended(&self.record)
    }
}
