//! Plain values that describe what happened to connections: signals, reports, and reasons.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Something that happened to a connection or to the listener; its `Display` is a line for a log.
///
/// # Examples
///
/// A log on a thread of its own:
///
/// ```
/// use single_server::{Signal, SingleServer};
/// use std::thread;
///
/// let mut server = SingleServer::bind("127.0.0.1:0")?;
/// let signals = server.signal();
/// let log = thread::spawn(move || {
///     for signal in signals {
///         match signal {
///             Signal::Fault { .. } => eprintln!("trouble: {signal}"),
///             other => println!("{other}"),
///         }
///     }
/// });
/// server.stop()?; // ends the subscription
/// log.join().expect("it does not panic");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A client was given the slot.
    Connected(SocketAddr),
    /// A client was turned away.
    Refused {
        /// The address of the client.
        peer: SocketAddr,
        /// Why it was not served.
        why: Refusal,
    },
    /// A session has ended, and the slot is free again.
    ProducerFinished(Report),
    /// Accepting or listening failed. The server continues and tries again.
    Fault {
        /// What could not be done, such as "accept a connection".
        doing: &'static str,
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The system's message.
        text: String,
        /// How long the acceptor waits before it tries again.
        retry_in: Duration,
    },
    /// This many signals were dropped because the subscription was full.
    ///
    /// With more than eight subscriptions the number may be 0: the server uses such a signal to find out which receivers
    /// were dropped.
    Missed(u64),
}

/// Why a connection was turned away.
///
/// ```
/// assert_eq!(single_server::Refusal::NotAllowed.to_string(), "not allowed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Another client is being served.
    Busy,
    /// Its address is not on the allow-list.
    NotAllowed,
    /// The [`admit`](crate::Options::admit) hook refused it.
    NotAdmitted,
}

/// Why a session ended.
///
/// ```
/// assert_eq!(single_server::Reason::ClientClosed.to_string(), "client closed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The client closed its side, and the application agreed by dropping the [`End`](crate::End).
    ClientClosed,
    /// The client or the network reset the connection.
    Reset,
    /// No byte moved in either direction for the [idle timeout](crate::Options::idle_timeout).
    Idle,
    /// The client took no byte of what was being written to it for the [idle timeout](crate::Options::idle_timeout).
    Stalled,
    /// No byte moved for the [close timeout](crate::Options::close_timeout) after the client had closed its side.
    Gone,
    /// It has lasted for the [session timeout](crate::Options::session_timeout).
    TimeUp,
    /// A newer client took its place, under [`Busy::Replace`](crate::Busy::Replace).
    Replaced,
    /// The application finished it.
    Finished,
    /// The application aborted it.
    Aborted,
    /// The server was stopped.
    Stopped,
}

/// A summary of a session: its client, why it ended, and how many bytes moved.
///
/// `sent` counts bytes that the kernel accepted; TCP does not tell whether the client has read them. `discarded` counts
/// bytes that the inbox accepted and the kernel did not. A write in progress when a connection is cut or breaks counts as
/// discarded, even if the client gets some of it.
///
/// # Examples
///
/// ```
/// use single_server::{Reason, SingleServer};
/// use std::io::Write;
/// use std::net::TcpStream;
///
/// let mut server = SingleServer::bind("127.0.0.1:0")?;
/// TcpStream::connect(server.local_addr())?.write_all(b"hi")?;
/// let mut session = server.accept().expect("the server is not stopped");
/// session.chunks().for_each(drop);
/// let report = session.close();
/// assert_eq!((report.received, report.sent, report.reason), (2, 0, Reason::ClientClosed));
/// println!("{report}"); // 127.0.0.1:40000: client closed, 2 bytes in, 0 bytes out, 0.01 s
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Report {
    /// The client's address.
    pub peer: SocketAddr,
    /// Why the session ended. Until then this is [`Reason::ClientClosed`] and has no meaning.
    pub reason: Reason,
    /// The client closed its side before the session ended: everything that it sent was received.
    pub complete: bool,
    /// Bytes received from the client.
    pub received: u64,
    /// Bytes sent to the client.
    pub sent: u64,
    /// Bytes accepted by the inbox and not sent. Until the session has ended, they are still waiting to be sent.
    pub discarded: u64,
    /// The connection was lent ([`Session::stream`](crate::Session::stream)). What moved on it is not known: `received` and
    /// `sent` are 0, and `complete` is `false`.
    pub lent: bool,
    /// The time from the accept to the end.
    pub lasted: Duration,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::ClientClosed => "client closed",
            Reason::Reset => "connection reset",
            Reason::Idle => "idle",
            Reason::Stalled => "stalled",
            Reason::Gone => "client gone",
            Reason::TimeUp => "time up",
            Reason::Replaced => "replaced",
            Reason::Finished => "by the application",
            Reason::Aborted => "aborted",
            Reason::Stopped => "server stopped",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Busy => "busy",
            Refusal::NotAllowed => "not allowed",
            Refusal::NotAdmitted => "not admitted",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, ", self.peer, self.reason)?;
        if self.lent {
            write!(f, "bytes not counted, ")?;
        } else {
            write!(f, "{} bytes in, {} bytes out, ", self.received, self.sent)?;
        }
        if self.discarded > 0 {
            write!(f, "{} discarded, ", self.discarded)?;
        }
        // By hand: the code that prints floating-point numbers takes tens of kilobytes.
        write!(f, "{}.{:02} s", self.lasted.as_secs(), self.lasted.subsec_millis() / 10)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signal::Connected(peer) => write!(f, "connected {peer}"),
            Signal::Refused { peer, why } => write!(f, "refused {peer}: {why}"),
            Signal::ProducerFinished(report) => write!(f, "closed {report}"),
            Signal::Fault { doing, text, retry_in, .. } => {
                write!(f, "cannot {doing}: {text}; trying again in {} ms", retry_in.as_millis() as u64)
            }
            Signal::Missed(count) => write!(f, "missed {count} events"),
        }
    }
}
