//! The server: starts the three threads, holds the application's end of the outbox, and stops everything.
//!
//! Owned by the application. The only file that uses all three threads. See the folder `threads` for each of them, and
//! `state/slot.rs` for the state they share.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::handles::client::Client;
use crate::handles::control::Control;
use crate::handles::inbox::Inbox;
use crate::handles::outbox::Outbox;
use crate::handles::session::Session;
use crate::state::channels::PARCELS;
use crate::state::slot::Slot;
use crate::threads::acceptor::Acceptor;
use crate::threads::reader;
use crate::threads::writer::Writer;
use crate::values::options::Options;
use crate::values::signal::Signal;

/// The stack size of each thread. They need some tens of KiB; the rest is for the `admit` hook, which the acceptor calls.
const STACK: usize = 256 * 1024;

/// A TCP server that serves one client at a time.
///
/// It runs from [`bind`](SingleServer::bind) until [`stop`](SingleServer::stop) or drop, on three threads of its own. There
/// are two ways to use it, and [the guide](crate::guide::embedding) helps to choose:
///
/// - As connections: accept one [`Session`] after the other with [`accept`](SingleServer::accept) or
///   [`serve`](SingleServer::serve); read from it and write to it.
/// - As messages: receive the client's bytes from the [`outbox`](SingleServer::outbox), and send replies through an inbox.
///
/// # Examples
///
/// ```
/// use single_server::{Message, SingleServer};
/// use std::io::{Read, Write};
/// use std::net::{Shutdown, TcpStream};
///
/// let mut server = SingleServer::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(server.local_addr())?;
/// client.write_all(b"hello")?;
/// client.shutdown(Shutdown::Write)?;
///
/// let mut inbox = server.inbox();
/// for message in server.outbox() {
///     match message {
///         Message::Connected(client) => inbox = client.inbox(), // to this client, or to nobody
///         Message::Data(chunk) => inbox.send(chunk.to_ascii_uppercase())?,
///         Message::End(_) => break, // dropping it closes the connection
///         _ => {}
///     }
/// }
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "HELLO");
/// server.stop()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SingleServer {
    slot: Arc<Slot>,
    outbox: Outbox,
    /// `stop` must wake the acceptor, which may be blocked in `accept`. All three are `None` once stopped.
    acceptor: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

impl SingleServer {
    /// Starts a server with the default [`Options`] on an address. Port 0 means any free port.
    ///
    /// # Errors
    ///
    /// As for [`Options::bind`].
    ///
    /// # Examples
    ///
    /// ```
    /// let server = single_server::SingleServer::bind("127.0.0.1:0")?;
    /// println!("listening on {}", server.local_addr());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<SingleServer> {
        Options::new().bind(addr)
    }

    fn start(options: Options, listener: TcpListener, owns_listener: bool) -> io::Result<SingleServer> {
        // A listener that was handed in may be non-blocking.
        listener.set_nonblocking(false)?;
        let local_addr = listener.local_addr()?;
        let (inbox, parcels) = sync_channel(PARCELS);
        let (outbox, items) = sync_channel(options.depth);
        let slot = Arc::new(Slot::new(&listener, owns_listener, local_addr, options, (inbox, outbox)));

        let outbox = Outbox::new(slot.clone(), items);
        let mut server =
            SingleServer { slot: slot.clone(), outbox, acceptor: None, reader: None, writer: None };
        let reading = slot.clone();
        let writer = Writer::new(slot.clone(), parcels);
        let acceptor = Acceptor::new(slot, listener);
        // If one cannot be started, dropping the server stops those that already run.
        server.reader = Some(spawn("single-reader", move || reader::run(&reading))?);
        server.writer = Some(spawn("single-writer", move || writer.run())?);
        server.acceptor = Some(spawn("single-acceptor", move || acceptor.run())?);
        Ok(server)
    }

    /// Returns the address that the server listens on, with the actual port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.slot.local_addr
    }

    /// Returns whether a client is connected now.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.slot.is_busy()
    }

    /// Returns the client that is connected now, to send to it and to nobody else, or to end its session.
    ///
    /// # Examples
    ///
    /// Log lines that must not pile up in the inbox while nobody is connected:
    ///
    /// ```
    /// use single_server::SingleServer;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// if let Some(client) = server.client() {
    ///     let _ = client.inbox().try_send("something happened\n");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        Client::current(&self.slot)
    }

    /// Returns an inbox that leads to the current client, or to the next one if nobody is connected.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = single_server::SingleServer::bind("127.0.0.1:0")?;
    /// server.inbox().send("for the first client")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox::unaddressed(&self.slot)
    }

    /// Returns the receiving end: everything that clients send, and when they come and go.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Subscribes to signals: who connected, who was refused, and how each session ended.
    ///
    /// The first subscription begins with the first client, even if it connected before this call; up to 128 signals are
    /// kept for that. Further subscriptions begin now.
    ///
    /// Each subscription holds up to 1,024 unread signals, so read it continuously. A full subscription loses new signals, and
    /// [`Signal::Missed`] precedes the next one that fits. The subscription ends when the server has stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Signal, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// let signals = server.signal();
    /// let client = TcpStream::connect(server.local_addr())?;
    /// assert_eq!(signals.recv(), Ok(Signal::Connected(client.local_addr()?)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn signal(&self) -> Receiver<Signal> {
        self.slot.signals.subscribe()
    }

    /// Returns a handle that lets any thread stop the server, wake the application, or find out who is connected.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let control = server.control();
    /// std::thread::spawn(move || control.stop()); // when somebody has pressed Ctrl-C, say
    /// assert!(server.accept().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(&self.slot)
    }
}

/// Serving one session at a time.
impl SingleServer {
    /// Waits for the next client; `None` when the server has been stopped.
    ///
    /// Messages of earlier sessions that are still in the outbox are dropped. If the application has received a client's
    /// [`Message::Connected`](crate::Message::Connected), but not its end, this returns that client's session.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// # let addr = server.local_addr();
    /// # let control = server.control();
    /// # std::thread::spawn(move || {
    /// #     let mut answer = String::new();
    /// #     TcpStream::connect(addr).unwrap().read_to_string(&mut answer).unwrap();
    /// #     assert_eq!(answer, "see you\n");
    /// #     control.stop();
    /// # });
    /// while let Some(mut session) = server.accept() {
    ///     session.write_all(b"see you\n")?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn accept(&mut self) -> Option<Session<'_>> {
        self.next_session(None).ok()
    }

    /// Waits for the next client, but not longer than `timeout`; with zero, returns at once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] after that time, [`RecvTimeoutError::Disconnected`] when the server has been stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::sync::mpsc::RecvTimeoutError;
    /// use std::time::Duration;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let nobody = server.accept_timeout(Duration::from_millis(10));
    /// assert_eq!(nobody.unwrap_err(), RecvTimeoutError::Timeout);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept_timeout(&mut self, timeout: Duration) -> Result<Session<'_>, RecvTimeoutError> {
        // If the clock cannot represent the deadline, there is none.
        self.next_session(Instant::now().checked_add(timeout))
    }

    fn next_session(&mut self, deadline: Option<Instant>) -> Result<Session<'_>, RecvTimeoutError> {
        loop {
            if let Some(client) = self.outbox.open() {
                return Ok(Session::new(&self.outbox, client));
            }
            drop(self.outbox.receive(deadline, false)?);
        }
    }

    /// Calls `serve` with one session after the other, until the server is stopped.
    ///
    /// What the closure returns decides how the session ends:
    ///
    /// - `Ok(())` [finishes](Client::finish) it: everything written is sent, and then the connection is closed.
    /// - An error [aborts](Client::abort) it, and is signalled as [`Signal::Failed`]. Unsent bytes are discarded, and the client
    ///   sees a reset if some of its bytes are unread or it sends more, so the answer does not look complete. Then the next
    ///   client is served. The error may be of any type that implements `Display`; a closure that uses `?` has to name the type.
    ///   To report an error to the client, write it to the session and return `Ok(())`.
    ///
    /// To stop the server from within the closure, get a [`Control`] beforehand, call its [`stop`](Control::stop), and return:
    /// everything written is still sent, within the [stop timeout](Options::stop_timeout).
    ///
    /// The closure borrows the session, so it cannot [`close`](Session::close) it. For a report of each session, use
    /// [`accept`](SingleServer::accept) in a loop, or subscribe to the [signals](SingleServer::signal).
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::error::Error;
    /// use std::io::Write;
    /// # use std::io::Read;
    /// # use std::net::{Shutdown, TcpStream};
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let control = server.control();
    /// # let (addr, signals) = (server.local_addr(), server.signal());
    /// # let clients = std::thread::spawn(move || -> std::io::Result<Vec<String>> {
    /// #     let mut answers = Vec::new();
    /// #     for question in ["20\n1\n", "20\nx\n", "quit\n"] {
    /// #         let mut client = TcpStream::connect(addr)?;
    /// #         client.write_all(question.as_bytes())?;
    /// #         client.shutdown(Shutdown::Write)?;
    /// #         let mut answer = String::new();
    /// #         let _ = client.read_to_string(&mut answer);
    /// #         answers.push(answer);
    /// #     }
    /// #     Ok(answers)
    /// # });
    /// server.serve(|session| -> Result<(), Box<dyn Error>> {
    ///     let mut out = session.inbox();
    ///     for line in session.bounded_lines(100) {
    ///         let line = line?; // too long, or the connection has broken
    ///         if line == "quit" {
    ///             control.stop();
    ///             break;
    ///         }
    ///         // The session is aborted, and the signal says "invalid digit found in string".
    ///         let number: u32 = line.parse()?;
    ///         writeln!(out, "{}", u64::from(number) + 1)?;
    ///     }
    ///     Ok(())
    /// });
    /// # assert_eq!(clients.join().unwrap()?[0], "21\n2\n");
    /// # let failed = signals.iter().find(|signal| matches!(signal, single_server::Signal::Failed { .. }));
    /// # assert!(failed.unwrap().to_string().ends_with(": invalid digit found in string"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn serve<E: fmt::Display>(&mut self, mut serve: impl FnMut(&mut Session<'_>) -> Result<(), E>) {
        let slot = self.slot.clone();
        while let Some(mut session) = self.accept() {
            if let Err(error) = serve(&mut session) {
                // In this order: a subscriber learns of the error before the end that it causes.
                slot.signals.send(Signal::failed(session.client().peer_addr(), error));
                session.client().abort();
            }
        }
    }

    /// Stops the server: closes the listener, sends the current client what the inbox has accepted for it, for at most the
    /// [stop timeout](Options::stop_timeout), and waits until the threads have exited.
    ///
    /// Afterwards the port can be bound again, all handles are closed, and the outbox is empty. Stopping twice is not an
    /// error. Dropping the server stops it, too.
    ///
    /// # Errors
    ///
    /// A thread has panicked, which would be a bug in this crate; or the acceptor could not be woken within a second. On Linux
    /// the latter cannot happen to a server that has bound its listener itself. Otherwise `stop` wakes the acceptor by
    /// connecting to the listener, and waits up to 20 ms for each attempt. If that fails, the error says why, and the acceptor
    /// exits at the next connection. A listener that was passed in from another network namespace, as by systemd with
    /// `PrivateNetwork=yes`, cannot be reached, and `stop` fails at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// server.stop()?;
    /// let again = SingleServer::bind(server.local_addr())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop(&mut self) -> io::Result<()> {
        let acceptor = self.acceptor.take();
        let others = [self.reader.take(), self.writer.take()];
        if acceptor.is_none() && others.iter().all(Option::is_none) {
            return Ok(());
        }
        self.outbox.close(); // wakes the reader if it waits for room
        self.slot.stop();
        let others = others.into_iter().flatten().map(join).collect::<Vec<_>>();
        let acceptor = acceptor.map_or(Ok(()), |acceptor| match self.slot.wait_for_acceptor() {
            Err(e) if !acceptor.is_finished() => {
                let addr = self.slot.local_addr;
                let what = format!("the acceptor on {addr} has not ended within a second: {e}");
                Err(io::Error::new(e.kind(), what))
            }
            _ => join(acceptor),
        });
        others.into_iter().fold(acceptor, Result::and)
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(run);
    thread.map_err(|e| io::Error::new(e.kind(), format!("cannot start the thread {name}: {e}")))
}

fn join(thread: JoinHandle<()>) -> io::Result<()> {
    let name = thread.thread().name().unwrap_or_default().to_string();
    thread.join().map_err(|_| io::Error::new(io::ErrorKind::Other, format!("the thread {name} panicked")))
}

impl Drop for SingleServer {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Starting a server.
impl Options {
    /// Starts a server on an address; with several, on the first that is available. Port 0 means any free port.
    ///
    /// On Unix the address can be used again at once after a server on it has ended (`std` sets `SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// The address cannot be resolved or listened on; a thread cannot be started; or a setting is out of range
    /// ([`InvalidInput`](io::ErrorKind::InvalidInput)). The error names the address or the setting.
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
        self.check()?;
        let addrs = addr.to_socket_addrs();
        let addrs =
            addrs.map_err(|e| io::Error::new(e.kind(), format!("cannot resolve the address: {e}")))?;
        let nothing = "there is no address to listen on; give at least one";
        let mut refused = io::Error::new(io::ErrorKind::InvalidInput, nothing);
        for addr in addrs {
            match TcpListener::bind(addr) {
                Ok(listener) => return SingleServer::start(self, listener, true),
                Err(e) => refused = io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}")),
            }
        }
        Err(refused)
    }

    /// Starts a server on an existing listener, such as one with TCP keepalive or one passed on by a supervisor.
    ///
    /// With [`Busy::Refuse`](crate::Busy::Refuse) the listener is closed when a client connects, and a new one is bound to
    /// the same address later. That cannot work if another process also holds the listener.
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
        self.check()?;
        SingleServer::start(self, listener, false)
    }
}
