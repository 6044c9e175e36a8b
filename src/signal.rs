//! What happens to connections, told to whoever subscribed, and how a connection can end.
//!
//! Signals are sent by whichever thread makes the thing happen, most of them under the slot's lock, so that their
//! order is the order of events. Sending never waits: a subscriber that does not read loses signals, and is told
//! how many, but holds nothing up and grows nothing (promises 5 and 7).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Mutex;
use std::time::Duration;

use crate::slot::enter;

/// How many signals a subscription holds for its reader.
const HELD: usize = 1024;

/// Something that happened to a connection or to the listener; its `Display` is a line for a log.
///
/// # Examples
///
/// A log in a program that has other things to do:
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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// A client has taken the slot.
    Connected(SocketAddr),
    /// Somebody was turned away.
    Refused {
        /// Who it was.
        peer: SocketAddr,
        /// Why it was not served.
        why: Refusal,
    },
    /// A client's connection has ended and the slot is free again.
    ProducerFinished(Report),
    /// The listener failed; the server goes on and tries again.
    Fault {
        /// What could not be done.
        doing: &'static str,
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The error as the system puts it.
        text: String,
        /// How long the acceptor waits before it tries again.
        retry_in: Duration,
    },
    /// This many signals were dropped here because the subscription was full.
    Missed(u64),
}

/// Why a connection was turned away.
///
/// ```
/// assert_eq!(single_server::Refusal::NotAllowed.to_string(), "not allowed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Another client is being served.
    Busy,
    /// Its address is not on the list of those who are allowed.
    NotAllowed,
}

/// Why a session ended.
///
/// ```
/// assert_eq!(single_server::Reason::ClientClosed.to_string(), "client closed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The client closed its side, and the application has taken the end off the outbox.
    ClientClosed,
    /// The connection broke: the client, or the network, reset it.
    Reset,
    /// No byte moved in either direction for the idle timeout.
    Idle,
    /// The client took no byte of what was being written to it for the idle timeout.
    Stalled,
    /// A newer client took its place.
    Replaced,
    /// The application closed it.
    Finished,
    /// The server was stopped.
    Stopped,
}

/// The account of one session.
///
/// `sent` counts what the kernel took; whether the client read it, TCP does not tell. What the inbox took for the
/// session and the kernel did not, is `discarded`. A write that is under way at the moment when a connection is cut or
/// breaks is counted with the discarded, even if some of it still gets out.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The client's address.
    pub peer: SocketAddr,
    /// Why the session ended.
    pub reason: Reason,
    /// Bytes that came from the client.
    pub received: u64,
    /// Bytes that went to the client.
    pub sent: u64,
    /// Bytes put in the inbox for the client that could no longer go to it or, as long as the session lasts, have yet
    /// to.
    pub discarded: u64,
    /// From the accept to the end.
    pub lasted: Duration,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::ClientClosed => "client closed",
            Reason::Reset => "connection reset",
            Reason::Idle => "idle",
            Reason::Stalled => "stalled",
            Reason::Replaced => "replaced",
            Reason::Finished => "finished by the application",
            Reason::Stopped => "server stopped",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Busy => "busy",
            Refusal::NotAllowed => "not allowed",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {} bytes in, {} bytes out, ", self.peer, self.reason, self.received, self.sent)?;
        if self.discarded > 0 {
            write!(f, "{} discarded, ", self.discarded)?;
        }
        // By hand, since to print floating-point numbers takes tens of kilobytes of code.
        write!(f, "{}.{:02} s", self.lasted.as_secs(), self.lasted.subsec_millis() / 10)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signal::Connected(peer) => write!(f, "connected {peer}"),
            Signal::Refused { peer, why } => write!(f, "refused {peer}: {why}"),
            Signal::ProducerFinished(report) => write!(f, "finished {report}"),
            Signal::Fault { doing, text, retry_in, .. } => {
                write!(f, "cannot {doing}: {text}; trying again in {} ms", retry_in.as_millis() as u64)
            }
            Signal::Missed(count) => write!(f, "missed {count} events"),
        }
    }
}

/// Everybody who subscribed.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Audience>);

#[derive(Default)]
struct Audience {
    list: Vec<Subscriber>,
    closed: bool,
}

struct Subscriber {
    signals: SyncSender<Signal>,
    missed: u64,
}

impl Subscribers {
    pub(crate) fn subscribe(&self) -> Receiver<Signal> {
        let (signals, receiver) = sync_channel(HELD);
        let mut audience = enter(&self.0);
        if !audience.closed {
            audience.list.push(Subscriber { signals, missed: 0 });
        }
        receiver
    }

    /// Sends a copy to everybody who has room for it, and forgets those who have gone.
    pub(crate) fn send(&self, signal: Signal) {
        let mut audience = enter(&self.0);
        audience.list.retain_mut(|subscriber| loop {
            // What was missed comes first, in its place in the order.
            let missed = subscriber.missed > 0;
            let next = if missed { Signal::Missed(subscriber.missed) } else { signal.clone() };
            match subscriber.signals.try_send(next) {
                Ok(()) if missed => subscriber.missed = 0,
                Ok(()) => return true,
                Err(TrySendError::Full(_)) => {
                    subscriber.missed += 1;
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        });
    }

    /// Nothing more will happen: every subscription ends once it has been read.
    pub(crate) fn close(&self) {
        let mut audience = enter(&self.0);
        audience.closed = true;
        audience.list.clear();
    }
}
