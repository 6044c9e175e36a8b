//! Plain values that describe what happened to connections: signals, reports, and reasons.

use std::fmt::{self, Write};
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
    /// A client was refused.
    Refused {
        /// The address of the client.
        peer: SocketAddr,
        /// Why it was not served.
        why: Refusal,
    },
    /// A session has ended, and the slot is free again.
    ProducerFinished(Report),
    /// The application could not serve a client: the closure of [`serve`](crate::SingleServer::serve) returned an error. The
    /// session is then aborted, unless it has ended before.
    Failed {
        /// The address of the client.
        peer: SocketAddr,
        /// The error as text, of which at most 1,024 bytes are kept.
        text: String,
    },
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

/// The maximum length of the text in a signal. A subscription holds many signals, and memory is bounded (promise 5).
const LONGEST_TEXT: usize = 1024;

impl Signal {
    /// The application could not serve a client.
    pub(crate) fn failed(peer: SocketAddr, error: impl fmt::Display) -> Signal {
        let mut text = error.to_string();
        if text.len() > LONGEST_TEXT {
            let end = (0..=LONGEST_TEXT).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.shrink_to_fit();
        }
        Signal::Failed { peer, text }
    }
}

/// Why a client was refused.
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
    /// The client closed its side, and then the application finished the session.
    ClientClosed,
    /// The client or the network reset the connection.
    Reset,
    /// No byte moved in either direction for the [idle timeout](crate::Options::idle_timeout).
    Idle,
    /// A write was blocked for the [idle timeout](crate::Options::idle_timeout), because the client did not read.
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

/// A summary of a session that has ended: its client, why it ended, and how many bytes moved.
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
/// let session = server.accept().expect("the server is not stopped");
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
    /// Why the session ended.
    pub reason: Reason,
    /// The client closed its side before the session ended: everything that it sent was received.
    pub complete: bool,
    /// Bytes received from the client.
    pub received: u64,
    /// Bytes sent to the client.
    pub sent: u64,
    /// Bytes accepted by the inbox and not sent.
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
            Reason::Gone => "client vanished",
            Reason::TimeUp => "time up",
            Reason::Replaced => "replaced",
            Reason::Finished => "server closed",
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
            Signal::Failed { peer, text } => {
                write!(f, "failed {peer}: ")?;
                // The text may quote the client's bytes, and must not look like another line of the log.
                text.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
            }
            Signal::Fault { doing, text, retry_in, .. } => {
                write!(f, "cannot {doing}: {text}; retrying in {} ms", retry_in.as_millis() as u64)
            }
            Signal::Missed(count) => write!(f, "missed {count} events"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(error: &str) -> (String, String) {
        let signal = Signal::failed(([127, 0, 0, 1], 7).into(), error);
        let line = signal.to_string();
        match signal {
            Signal::Failed { text, .. } => (text, line),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_text_of_an_error_is_cut_between_two_characters() {
        let (text, _) = failed(&"\u{20ac}".repeat(500)); // three bytes each
        assert_eq!((text.len(), text.capacity()), (1023, 1023));
    }

    #[test]
    fn the_text_of_an_error_stays_one_line_of_a_log() {
        let (text, line) = failed("not a number: 1\nclosed 127.0.0.1:8\u{1b}[2J");
        assert_eq!(text, "not a number: 1\nclosed 127.0.0.1:8\u{1b}[2J");
        assert_eq!(line, "failed 127.0.0.1:7: not a number: 1 closed 127.0.0.1:8 [2J");
    }

    #[test]
    fn a_report_mentions_discarded_bytes_only_if_there_are_some() {
        let mut report = Report {
            peer: ([127, 0, 0, 1], 7).into(),
            reason: Reason::ClientClosed,
            complete: true,
            received: 1,
            sent: 2,
            discarded: 0,
            lent: false,
            lasted: Duration::from_millis(1250),
        };
        assert_eq!(report.to_string(), "127.0.0.1:7: client closed, 1 bytes in, 2 bytes out, 1.25 s");
        report.discarded = 3;
        assert_eq!(
            report.to_string(),
            "127.0.0.1:7: client closed, 1 bytes in, 2 bytes out, 3 discarded, 1.25 s"
        );
    }
}
