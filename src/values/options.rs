//! The settings of a server. A plain value; the slot keeps the copy that all threads read.
//!
//! `Options::bind` and `Options::listen_on`, which start a server, are in `server.rs`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::prefix::Prefix;
use crate::sync::monitor::lock;

/// What happens to a second client while one is being served; for [`Options::busy`].
///
/// *Second* means that both clients are connected. A client that has closed its side is leaving, and a newcomer waits for
/// its slot up to the [`handover`](Options::handover) time before the policy applies.
///
/// # Examples
///
/// ```
/// use single_server::{Busy, Options};
///
/// let newest_wins = Options::new().busy(Busy::Replace);
/// let with_a_message = Options::new().busy(Busy::tell("one moment, please\n"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Busy {
    /// Its connection is closed at once. The default.
    #[default]
    Drop,
    /// It gets this message, whole, and then its connection is closed. At most 4,096 bytes; see [`Busy::tell`].
    Tell(Vec<u8>),
    /// The kernel refuses its connection: the listener is closed while a client is connected.
    ///
    /// This cannot work if another process also holds the listener, as it may with [`Options::listen_on`].
    Refuse,
    /// It waits until the slot is free, and is then served.
    ///
    /// Clients that are not on the [allow-list](Options::allow) are refused until the first allowed one has connected. The
    /// server keeps that one waiting, and all later clients wait in the listener's backlog.
    Wait,
    /// It is served, and the old client's connection is cut.
    Replace,
}

impl Busy {
    /// Returns [`Busy::Tell`] with a text or bytes.
    #[must_use]
    pub fn tell(message: impl Into<Vec<u8>>) -> Busy {
        Busy::Tell(message.into())
    }
}

/// Effectively infinite, but small enough to be added to an `Instant`.
pub(crate) const FOREVER: Duration = Duration::from_secs(1_000_000_000);

/// The writer wakes up eight times in each timeout, so at most a thousand times a second.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(8);

/// Polling for longer than this only costs processor time, and would delay a stop.
const LONGEST_YIELD: Duration = Duration::from_millis(10);

/// The settings of a [`SingleServer`](crate::SingleServer), and the ways to start one.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | [`busy`](Options::busy) | [`Busy::Drop`] | what happens to a second client |
/// | [`idle_timeout`](Options::idle_timeout) | none | ends a session in which no byte moves |
/// | [`allow`](Options::allow) | everybody | which addresses may connect |
/// | [`admit`](Options::admit) | everybody | asks your program about each client |
/// | [`session_timeout`](Options::session_timeout) | none | ends a session, even if bytes move |
/// | [`close_timeout`](Options::close_timeout) | 60 s | ends a session after its client has closed its side, if no byte moves |
/// | [`handover`](Options::handover) | 1 s | how long a newcomer waits for a client that is leaving |
/// | [`stop_timeout`](Options::stop_timeout) | 1 s | how long a stop waits for the last client |
/// | [`read_on_demand`](Options::read_on_demand) | `false` | reads nothing before the application asks |
/// | [`buffer_size`](Options::buffer_size), [`depth`](Options::depth) | 256 KiB, 4 | how much memory the channels take |
/// | [`yield_time`](Options::yield_time) | 50 µs | how long a thread polls before it blocks |
///
/// A setting out of range is an error of [`bind`](Options::bind) or [`listen_on`](Options::listen_on), which names it.
///
/// # Examples
///
/// A console that one person at a time can use, on the local network:
///
/// ```no_run
/// use single_server::{Busy, Options};
/// use std::time::Duration;
///
/// let server = Options::new()
///     .busy(Busy::tell("somebody is at the console\n"))
///     .idle_timeout(Duration::from_secs(600))
///     .allow("127.0.0.1".parse()?)
///     .allow("192.168.1.0/24".parse()?)
///     .bind("0.0.0.0:1601")?;
/// println!("listening on {}", server.local_addr());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `bind` or `listen_on` is called"]
pub struct Options {
    pub(crate) buffer_size: usize,
    pub(crate) depth: usize,
    pub(crate) yield_time: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) handover: Duration,
    pub(crate) busy: Busy,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) close_timeout: Option<Duration>,
    pub(crate) session_timeout: Option<Duration>,
    pub(crate) read_on_demand: bool,
    allow: Vec<Prefix>,
    admit: Option<Admit>,
}

/// The hook of [`Options::admit`], shared by all clones of the options.
#[derive(Clone)]
struct Admit(Arc<Mutex<dyn FnMut(SocketAddr) -> bool + Send>>);

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FnMut")
    }
}

impl Default for Options {
    /// The same as [`Options::new`].
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// Returns the default settings, which the [table](Options) lists.
    pub fn new() -> Options {
        let one_core = thread::available_parallelism().map_or(true, |cores| cores.get() == 1);
        Options {
            buffer_size: 256 * 1024,
            depth: 4,
            yield_time: Duration::from_micros(if one_core { 0 } else { 50 }),
            stop_timeout: Duration::from_secs(1),
            handover: Duration::from_secs(1),
            busy: Busy::Drop,
            idle_timeout: None,
            close_timeout: Some(Duration::from_secs(60)),
            session_timeout: None,
            read_on_demand: false,
            allow: Vec::new(),
            admit: None,
        }
    }

    /// What happens to a second client; default [`Busy::Drop`].
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Busy, Options};
    /// use std::io::Read;
    /// use std::net::TcpStream;
    ///
    /// let server = Options::new()
    ///     .busy(Busy::tell("in use\n"))
    ///     .bind("127.0.0.1:0")?;
    /// let first = TcpStream::connect(server.local_addr())?;
    /// let mut second = TcpStream::connect(server.local_addr())?;
    /// let mut message = String::new();
    /// second.read_to_string(&mut message)?;
    /// assert_eq!(message, "in use\n");
    /// # drop(first);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn busy(mut self, policy: Busy) -> Options {
        self.busy = policy;
        self
    }

    /// Ends a session in which no byte has moved, in either direction, for this long; at least 8 ms, default `None`: never.
    ///
    /// The reason is then [`Idle`](crate::Reason::Idle), or [`Stalled`](crate::Reason::Stalled) if a write was blocked because
    /// the client did not read. While the application leaves the outbox full, no time is counted against the client.
    ///
    /// Bytes that the kernel accepts count as activity. So if the application goes on sending, a client whose cable was
    /// pulled is noticed only when the send buffer is full, which can take minutes. [`Busy::Replace`] lets such a client
    /// connect again at once. TCP keepalive also detects it; `std` cannot set that, but a supervisor can
    /// ([`listen_on`](Options::listen_on)).
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Options, Reason};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// let mut server = Options::new()
    ///     .idle_timeout(Duration::from_millis(50))
    ///     .bind("127.0.0.1:0")?;
    /// let silent = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// assert_eq!(session.wait_until_over().reason, Reason::Idle);
    /// # drop(silent);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Options {
        self.idle_timeout = time.into().map(|time| time.min(FOREVER));
        self
    }

    /// Adds an address or prefix to the allow-list; default: an empty list, which allows every client.
    ///
    /// The list is checked before the busy flag. The connections of other clients are closed at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    ///
    /// let options = Options::new()
    ///     .allow("127.0.0.1".parse()?)
    ///     .allow("fd00::/8".parse()?);
    /// # Ok::<(), single_server::ParsePrefixError>(())
    /// ```
    pub fn allow(mut self, prefix: Prefix) -> Options {
        self.allow.push(prefix);
        self
    }

    /// Asks `hook` about each client that would get the slot; if it returns `false`, the connection is dropped.
    ///
    /// It is called with the client's address, after the allow-list and the busy policy have let the client pass and before
    /// anything is read from it. It runs on the acceptor thread: until it returns, other clients wait in the backlog,
    /// and [`stop`](crate::SingleServer::stop) waits for it. A later call replaces the hook; `admit(|_| true)` admits
    /// everybody again.
    ///
    /// # Examples
    ///
    /// A device that may be switched off:
    ///
    /// ```
    /// use single_server::{Options, Refusal, Signal};
    /// use std::net::TcpStream;
    ///
    /// let is_on = || false;
    /// let server = Options::new().admit(move |_peer| is_on()).bind("127.0.0.1:0")?;
    /// let signals = server.signal();
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// assert!(matches!(signals.recv(), Ok(Signal::Refused { why: Refusal::NotAdmitted, .. })));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn admit(mut self, hook: impl FnMut(SocketAddr) -> bool + Send + 'static) -> Options {
        self.admit = Some(Admit(Arc::new(Mutex::new(hook))));
        self
    }

    /// Ends a session after this time, even if bytes move; at least 8 ms, default `None`: never.
    ///
    /// The reason is then [`TimeUp`](crate::Reason::TimeUp). The other timeouts do not limit a client that sends a byte now and
    /// then.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Options, Reason};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// let mut server = Options::new()
    ///     .session_timeout(Duration::from_millis(50))
    ///     .bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// assert_eq!(session.wait_until_over().reason, Reason::TimeUp);
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn session_timeout(mut self, time: impl Into<Option<Duration>>) -> Options {
        self.session_timeout = time.into().map(|time| time.min(FOREVER));
        self
    }

    /// Ends a session in which no byte has moved for this long since its client has closed its side; at least 8 ms, default
    /// one minute, `None`: never.
    ///
    /// The reason is then [`Gone`](crate::Reason::Gone). TCP does not tell whether a client that has closed its side still
    /// waits for an answer or has vanished. Without this timeout, a vanished client would keep the slot for as long as the
    /// application sends nothing. An application that works for longer than this calls
    /// [`Client::extend`](crate::Client::extend) now and then: the server sees only the bytes on the connection, not the work
    /// that is still being done for the client. If a connection is reset while the application leaves the outbox full, the
    /// client loses the slot after the same time.
    ///
    /// This and the idle timeout last an eighth longer (at most 100 ms). If the process was paused, that gives the reader and the
    /// application time to catch up. Then the server checks the connection once more.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Message, Options, Reason, Signal};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// let server = Options::new()
    ///     .close_timeout(Duration::from_millis(50))
    ///     .bind("127.0.0.1:0")?;
    /// let signals = server.signal();
    /// drop(TcpStream::connect(server.local_addr())?);
    /// // Holding the end keeps the session open, so that the application may still answer.
    /// let mut messages = server.outbox().iter();
    /// let _end = messages.find(|message| matches!(message, Message::End(_)));
    /// assert!(matches!(signals.recv(), Ok(Signal::Connected(_))));
    /// match signals.recv() {
    ///     Ok(Signal::ProducerFinished(report)) => assert_eq!(report.reason, Reason::Gone),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close_timeout(mut self, time: impl Into<Option<Duration>>) -> Options {
        self.close_timeout = time.into().map(|time| time.min(FOREVER));
        self
    }

    /// How long a newcomer waits for the slot of a client that is leaving, before the [busy policy](Options::busy) applies;
    /// default 1 s.
    ///
    /// A client is leaving when it has closed its side or was reset, or when the application is finishing its session.
    /// So a client that closes its connection and connects again at once is served, even while others are being refused. The
    /// wait never cuts off bytes that are queued for the leaving client; meanwhile further newcomers wait in the backlog.
    ///
    /// The server peeks at the live connection for each newcomer; within 100 ms of a refusal, only for newcomers from the served
    /// client's IP address. If there is neither a FIN nor unread data, it refuses the newcomer within a millisecond. If there is
    /// unread data, a FIN may be behind it, and the reader gets up to 5 ms to reach it. With a handover time of zero there is no
    /// wait at all.
    ///
    /// Under [`Busy::Refuse`] the kernel refuses a client until the FIN of its previous connection has been read.
    ///
    /// Ignored under [`Busy::Wait`] and [`Busy::Replace`].
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{echo, Options};
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let server = Options::new().bind("127.0.0.1:0")?;
    /// let (addr, control) = (server.local_addr(), server.control());
    /// let serving = std::thread::spawn(move || echo(&server));
    /// for _ in 0..10 {
    ///     let mut client = TcpStream::connect(addr)?;
    ///     client.write_all(b"ping")?;
    ///     client.read_exact(&mut [0; 4])?;
    ///     // Dropped here, and connects again at once.
    /// }
    /// control.stop();
    /// serving.join().expect("echo does not panic");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn handover(mut self, time: Duration) -> Options {
        self.handover = time.min(FOREVER);
        self
    }

    /// How long a stopped server may take to send the last client what the inbox has accepted for it; default 1 s.
    ///
    /// If the client itself goes on sending, the server reads and discards those bytes, because closing a connection with
    /// unread data could destroy the end of the answer. It does not wait for a client that sends nothing for a quarter of a
    /// second after the last byte sent to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    /// use std::time::Duration;
    ///
    /// let patient = Options::new().stop_timeout(Duration::from_secs(10));
    /// ```
    pub fn stop_timeout(mut self, time: Duration) -> Options {
        self.stop_timeout = time.min(FOREVER);
        self
    }

    /// Reads nothing from a client until the application asks for its bytes; default `false`.
    ///
    /// The client gets the slot, and [`Connected`](crate::Message::Connected) is delivered, as always. The first read is made
    /// when the application asks for the next message after that: with one of the [`Outbox`](crate::Outbox)'s receiving
    /// methods, or by reading from the [`Session`](crate::Session) that [`accept`](crate::SingleServer::accept) has returned.
    ///
    /// This is for an application that must prepare something first, such as a connection to another server. If that fails
    /// it can [`abort`](crate::Client::abort) the session with the client's bytes unread, and the client sees a reset
    /// instead of an orderly end. Meanwhile the busy policy applies to other clients. A client that has sent nothing is not reset.
    ///
    /// Before the application asks, no idle time is counted, and the server only peeks at the connection: for a newcomer, when
    /// something is sent to the client, after a quarter of a second, and every eighth of the idle or close timeout. If the
    /// connection was reset, or the client has closed its side without sending anything, the session ends by itself. Before
    /// that, the application has a quarter of a second to ask, or an eighth of a timeout that is shorter. A FIN behind unread
    /// bytes cannot be seen, so a session whose client has sent something ends after the
    /// [close timeout](Options::close_timeout), unless the application calls [`Client::extend`](crate::Client::extend).
    ///
    /// Instead of asking, the application can also take the connection itself: [`Session::stream`](crate::Session::stream).
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    /// use std::io::{ErrorKind, Read, Write};
    /// use std::net::{Shutdown, TcpStream};
    ///
    /// let mut server = Options::new().read_on_demand(true).bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"a job to print")?;
    /// client.shutdown(Shutdown::Write)?;
    ///
    /// let session = server.accept().expect("the server is not stopped");
    /// let printer_is_on = false;
    /// if !printer_is_on {
    ///     session.client().abort();
    /// }
    /// let error = client.read(&mut [0]).unwrap_err();
    /// // Not the end of the stream, which would mean success.
    /// assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_on_demand(mut self, on_demand: bool) -> Options {
        self.read_on_demand = on_demand;
        self
    }

    /// The size of a read buffer, and thus the maximum length of one read; 1 byte to 1 GiB, default 262,144 bytes.
    ///
    /// Large buffers are faster: with 64 KiB a stream takes about a fifth longer. Only the part of a buffer that has been
    /// used occupies memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    ///
    /// let error = Options::new().buffer_size(0).bind("127.0.0.1:0").unwrap_err();
    /// let expected = "the buffer size is 0; it must be from 1 to 1,073,741,824 bytes";
    /// assert_eq!(error.to_string(), expected);
    /// ```
    pub fn buffer_size(mut self, bytes: usize) -> Options {
        self.buffer_size = bytes;
        self
    }

    /// How many messages the outbox holds, and how many times `buffer_size` bytes the inbox; 1 to 65,536, default 4.
    ///
    /// # Examples
    ///
    /// A server that runs on little memory:
    ///
    /// ```
    /// let small = single_server::Options::new().buffer_size(4096).depth(1);
    /// ```
    pub fn depth(mut self, messages: usize) -> Options {
        self.depth = messages;
        self
    }

    /// How long a thread that has just received something polls for more, yielding the processor each time, before it
    /// blocks; at most 10 ms, default 50 µs, and 0 on a machine with one core.
    ///
    /// This keeps round trips short: waking a thread takes longer than that. It costs nothing while the server is idle.
    ///
    /// # Examples
    ///
    /// For a machine whose other programs need the processor more:
    ///
    /// ```
    /// use single_server::Options;
    /// use std::time::Duration;
    ///
    /// let frugal = Options::default().yield_time(Duration::ZERO);
    /// ```
    pub fn yield_time(mut self, time: Duration) -> Options {
        self.yield_time = time;
        self
    }
}

impl Options {
    /// Checks that every setting is in its range, as [`bind`](Options::bind) and [`listen_on`](Options::listen_on) do.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), naming the first setting that is out of range, and the range.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    ///
    /// let error = Options::new().depth(0).check().unwrap_err();
    /// assert_eq!(error.to_string(), "the depth is 0; it must be from 1 to 65,536 messages");
    /// ```
    pub fn check(&self) -> io::Result<()> {
        let too_short = |time: Option<Duration>| time.filter(|time| *time < SHORTEST_TIMEOUT);
        let wrong = if self.buffer_size == 0 || self.buffer_size > 1 << 30 {
            format!("the buffer size is {}; it must be from 1 to 1,073,741,824 bytes", self.buffer_size)
        } else if self.depth == 0 || self.depth > 1 << 16 {
            format!("the depth is {}; it must be from 1 to 65,536 messages", self.depth)
        } else if self.yield_time > LONGEST_YIELD {
            format!("the yield time is {:?}; it must be at most {LONGEST_YIELD:?}", self.yield_time)
        } else if let Some(time) = too_short(self.idle_timeout) {
            format!("the idle timeout is {time:?}; it must be at least {SHORTEST_TIMEOUT:?}")
        } else if let Some(time) = too_short(self.close_timeout) {
            format!("the close timeout is {time:?}; it must be at least {SHORTEST_TIMEOUT:?}")
        } else if let Some(time) = too_short(self.session_timeout) {
            format!("the session timeout is {time:?}; it must be at least {SHORTEST_TIMEOUT:?}")
        } else {
            match &self.busy {
                Busy::Tell(message) if message.len() > 4096 => {
                    format!("the busy message has {} bytes; it must have at most 4,096", message.len())
                }
                _ => return Ok(()),
            }
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }

    /// How much memory the chunks in the inbox may occupy.
    pub(crate) fn inbox_room(&self) -> usize {
        self.buffer_size.saturating_mul(self.depth)
    }

    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|prefix| prefix.contains(ip))
    }

    /// Asks the hook, if there is one.
    pub(crate) fn admits(&self, peer: SocketAddr) -> bool {
        self.admit.as_ref().map_or(true, |admit| (lock(&admit.0))(peer))
    }
}
