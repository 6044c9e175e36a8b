//! What can be set before a server starts. A plain value; the slot keeps the copy that all threads read.

use std::io;
use std::net::{IpAddr, TcpListener, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use crate::prefix::Prefix;
use crate::server::SingleServer;

/// What a second client meets while one is being served; for [`Options::busy`].
///
/// ```
/// use single_server::{Busy, Options};
///
/// let newest_wins = Options::new().busy(Busy::Replace);
/// let said_politely = Options::new().busy(Busy::Tell(b"one moment, please\n".to_vec()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Its connection is closed at once. The default.
    Drop,
    /// It is told this, whole, and then its connection is closed; at most 4,096 bytes.
    Tell(Vec<u8>),
    /// Its connection is refused by the kernel: the listener is closed while a client is served.
    Refuse,
    /// Nothing, until the slot is free; then it is served. It waits in the listener's backlog.
    Wait,
    /// It is served, and the connection of the client before it is cut.
    Replace,
}

/// As good as never, and still something that can be added to the time of day.
const FOREVER: Duration = Duration::from_secs(1_000_000_000);

/// Beyond this, looking for more is only a use of processor time, and would hold up a stop.
const LONGEST_YIELD: Duration = Duration::from_millis(10);

/// The settings of a [`SingleServer`], and the ways to start one.
///
/// # Examples
///
/// A server that runs on little memory:
///
/// ```
/// use single_server::Options;
///
/// let server = Options::new()
///     .buffer_size(4096)
///     .depth(1)
///     .bind("127.0.0.1:0")?;
/// assert_ne!(server.local_addr().port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) buffer_size: usize,
    pub(crate) depth: usize,
    pub(crate) yield_time: Duration,
    pub(crate) linger: Duration,
    pub(crate) busy: Busy,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) allow: Vec<Prefix>,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// The defaults: 256 KiB buffers, four in each box, [`Busy::Drop`], no idle timeout, everybody allowed.
    pub fn new() -> Options {
        let one_core = thread::available_parallelism().map_or(true, |cores| cores.get() == 1);
        Options {
            buffer_size: 256 * 1024,
            depth: 4,
            yield_time: Duration::from_micros(if one_core { 0 } else { 50 }),
            linger: Duration::from_secs(1),
            busy: Busy::Drop,
            idle_timeout: None,
            allow: Vec::new(),
        }
    }

    /// How many bytes are read at once, and thus the size of each buffer; 1 byte to 1 GiB, default 262,144.
    ///
    /// Large buffers are faster: at 64 KiB a stream takes about a fifth longer. Only what is used of a buffer
    /// takes up memory.
    pub fn buffer_size(mut self, bytes: usize) -> Options {
        self.buffer_size = bytes;
        self
    }

    /// How many chunks the outbox holds, and how many times `buffer_size` bytes the inbox does; 1 to 65,536, default 4.
    pub fn depth(mut self, chunks: usize) -> Options {
        self.depth = chunks;
        self
    }

    /// How long a thread that has just received something looks for more, yielding the processor each time, before
    /// it blocks; at most 10 ms, default 50 µs, or nothing on a machine with one core.
    ///
    /// This is what makes round trips short: waking a thread takes longer than that. It costs nothing while nothing
    /// happens.
    ///
    /// # Examples
    ///
    /// Where every microsecond of processor time belongs to somebody else:
    ///
    /// ```
    /// use single_server::Options;
    /// use std::time::Duration;
    ///
    /// let frugal = Options::default().yield_time(Duration::ZERO);
    /// ```
    pub fn yield_time(mut self, time: Duration) -> Options {
        self.yield_time = time.min(LONGEST_YIELD);
        self
    }

    /// How long a stopped server goes on writing to a client what the inbox has taken for it; default 1 s.
    ///
    /// If the client itself goes on sending then, that is read and dropped for as long, so that no RST takes the place
    /// of what it has yet to get. One that says nothing for a quarter of a second after the last byte to it is not
    /// waited for.
    pub fn linger(mut self, time: Duration) -> Options {
        self.linger = time.min(FOREVER);
        self
    }

    /// What a second client meets; default [`Busy::Drop`].
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Busy, Options};
    /// use std::io::Read;
    /// use std::net::TcpStream;
    ///
    /// let server = Options::new()
    ///     .busy(Busy::Tell(b"in use\n".to_vec()))
    ///     .bind("127.0.0.1:0")?;
    /// let first = TcpStream::connect(server.local_addr())?;
    /// let mut second = TcpStream::connect(server.local_addr())?;
    /// let mut told = String::new();
    /// second.read_to_string(&mut told)?;
    /// assert_eq!(told, "in use\n");
    /// # drop(first);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn busy(mut self, policy: Busy) -> Options {
        self.busy = policy;
        self
    }

    /// Ends a session in which no byte has moved, in either direction, for this long, and one whose client has
    /// taken no byte of a write for this long; default never.
    ///
    /// Precise to an eighth of the time. While the application leaves the outbox full, no time is counted against
    /// the client.
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
    pub fn idle_timeout(mut self, time: Duration) -> Options {
        self.idle_timeout = Some(time.min(FOREVER));
        self
    }

    /// Serves only clients from this address or prefix, and from those of further calls; default everybody.
    ///
    /// Others are turned away before the slot is looked at.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    ///
    /// let options = Options::new()
    ///     .allow("127.0.0.1".parse()?)
    ///     .allow("fd00::/8".parse()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn allow(mut self, prefix: Prefix) -> Options {
        self.allow.push(prefix);
        self
    }

    /// Starts a server on an address; with several, on the first that can be had. Port 0 is any free port.
    ///
    /// On Unix the address can be taken again at once after a server on it has ended (`SO_REUSEADDR`, which `std`
    /// sets).
    ///
    /// # Errors
    ///
    /// That the address cannot be listened on, naming it; that a thread cannot be started;
    /// [`io::ErrorKind::InvalidInput`] for a setting that makes no sense, naming it.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    ///
    /// let server = Options::new().bind("127.0.0.1:0")?;
    /// let error = Options::new().bind(server.local_addr()).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(self, addr: impl ToSocketAddrs) -> io::Result<SingleServer> {
        let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
        for addr in addr.to_socket_addrs()? {
            match TcpListener::bind(addr) {
                Ok(listener) => return self.listen_on(listener),
                Err(e) => refused = io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}")),
            }
        }
        Err(refused)
    }

    /// Starts a server on a listener that was made elsewhere.
    ///
    /// With [`Busy::Refuse`] it is closed when a client comes, and a new one made on the same address later.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Options::bind).
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Options;
    /// use std::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let server = Options::new().listen_on(listener)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn listen_on(self, listener: TcpListener) -> io::Result<SingleServer> {
        let senseless = if self.buffer_size == 0 || self.buffer_size > 1 << 30 {
            "buffer_size is not from 1 to 1,073,741,824 bytes"
        } else if self.depth == 0 || self.depth > 1 << 16 {
            "depth is not from 1 to 65,536 chunks"
        } else if self.idle_timeout.map_or(false, |time| time < Duration::from_millis(8)) {
            "idle_timeout is under 8 ms; leave it out for none"
        } else if matches!(&self.busy, Busy::Tell(message) if message.len() > 4096) {
            "the message for a second client is over 4,096 bytes"
        } else {
            return SingleServer::start(self, listener);
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, senseless))
    }

    pub(crate) fn inbox_weight(&self) -> usize {
        self.buffer_size.saturating_mul(self.depth)
    }

    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|prefix| prefix.contains(ip))
    }
}
