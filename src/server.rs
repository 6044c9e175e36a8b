//! The component: starts the three threads, holds the application's ends of the boxes, and ends it all.
//!
//! Owned by the application. Which thread does what is told in `acceptor.rs`, `reader.rs` and `writer.rs`; what they
//! share, in `slot.rs`.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc::{sync_channel, Receiver};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::acceptor::Acceptor;
use crate::control::Control;
use crate::inbox::Inbox;
use crate::options::Options;
use crate::outbox::{Message, Outbox};
use crate::reader::Reader;
use crate::session::Session;
use crate::signal::Signal;
use crate::slot::{Slot, PARCELS};
use crate::writer::Writer;

/// A TCP server that serves one client at a time.
///
/// It runs from [`bind`](SingleServer::bind) until [`stop`](SingleServer::stop) or drop, on three threads of its own.
/// The application talks to it through its boxes: bytes from the client come out of the
/// [`outbox`](SingleServer::outbox), bytes put in the [`inbox`](SingleServer::inbox) go to the client. Or it takes
/// sessions one at a time from [`accept`](SingleServer::accept), which are a view over the same boxes; it should do
/// one or the other.
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
///         Message::ProducerFinished(_) => break, // and dropping it closes the connection
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
    /// In the order in which they are joined; empty once stopped.
    threads: Vec<JoinHandle<()>>,
}

impl SingleServer {
    /// Starts a server with the default [`Options`] on an address; port 0 is any free port.
    ///
    /// # Errors
    ///
    /// As for [`Options::bind`].
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<SingleServer> {
        Options::new().bind(addr)
    }

    pub(crate) fn start(options: Options, listener: TcpListener) -> io::Result<SingleServer> {
        // A listener with a timeout or in non-blocking mode would be another kind of accept loop.
        listener.set_nonblocking(false)?;
        let (outbox, messages) = sync_channel(options.depth);
        let (inbox, parcels) = sync_channel(PARCELS);
        // As many used buffers as can be on their way at once: in both boxes, and in five pairs of hands.
        let (recycle, recycled) = sync_channel(2 * options.depth + 5);
        let slot = Arc::new(Slot::new(&listener, options, inbox, recycle)?);

        let mut server = SingleServer {
            slot: slot.clone(),
            outbox: Outbox { slot: slot.clone(), messages },
            threads: Vec::with_capacity(3),
        };
        let writer = Writer::new(slot.clone(), parcels, outbox.clone());
        let reader = Reader { slot: slot.clone(), outbox, recycled };
        let acceptor = Acceptor::new(slot, listener);
        // If one of them cannot be started, dropping the server stops those that were.
        server.spawn("single-reader", move || reader.run())?;
        server.spawn("single-writer", move || writer.run())?;
        server.spawn("single-acceptor", move || acceptor.run())?;
        Ok(server)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.into());
        let handle = thread
            .spawn(run)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot start the thread {name}: {e}")))?;
        self.threads.push(handle);
        Ok(())
    }

    /// The address it listens on, with the port it was given if it asked for any.
    pub fn local_addr(&self) -> SocketAddr {
        self.slot.local_addr
    }

    /// Whether a client is connected at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// assert!(!server.is_busy());
    /// let client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept();
    /// assert!(session.is_some());
    /// # drop(session);
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_busy(&self) -> bool {
        self.slot.is_busy()
    }

    /// The way to whichever client is connected or will be the next one to connect.
    pub fn inbox(&self) -> Inbox {
        Inbox { slot: self.slot.clone(), to: None }
    }

    /// What comes from clients.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Subscribes to what happens from now on: who came, who was refused, how each session ended.
    ///
    /// Each subscription holds 1,024 signals for its reader. What does not fit is dropped, and the next one that
    /// does is preceded by [`Signal::Missed`]. It ends when the server is stopped.
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
    /// match signals.recv() {
    ///     Ok(Signal::Connected(peer)) => assert_eq!(peer, client.local_addr()?),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(&self) -> Receiver<Signal> {
        self.slot.signals.subscribe()
    }

    /// A handle with which any thread can end the current session or the server.
    pub fn control(&self) -> Control {
        Control { slot: self.slot.clone() }
    }

    /// Waits for the next client; `None` when the server has been stopped.
    ///
    /// What is left in the outbox from earlier sessions is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::{copy, Read};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// # let addr = server.local_addr();
    /// # let control = server.control();
    /// # std::thread::spawn(move || {
    /// #     let mut told = String::new();
    /// #     TcpStream::connect(addr).unwrap().read_to_string(&mut told).unwrap();
    /// #     assert_eq!(told, "see you\n");
    /// #     control.shutdown();
    /// # });
    /// while let Some(mut session) = server.accept() {
    ///     copy(&mut "see you\n".as_bytes(), &mut session)?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept(&mut self) -> Option<Session<'_>> {
        loop {
            if let Message::Connected(client) = self.outbox.recv().ok()? {
                return Some(Session::new(&self.outbox, client));
            }
        }
    }

    /// Stops the server: closes the listener, gives the current client what the inbox has taken for it, at most for
    /// the [`linger`](Options::linger) time, and waits until the threads are gone.
    ///
    /// Afterwards the port can be bound again and all boxes are closed; what was left in the outbox is dropped.
    /// Stopping twice is no error. Dropping the server stops it too.
    ///
    /// # Errors
    ///
    /// That a thread panicked, which would be a defect of this crate, or that the acceptor could not be woken, which
    /// takes a process that has not had a free file descriptor for a second. The acceptor then ends at the next
    /// connection.
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
        if self.threads.is_empty() {
            return Ok(());
        }
        // The reader may be waiting for room in the outbox, the acceptor for the linger time.
        self.outbox.close();
        self.slot.shutdown();
        self.slot.linger();
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_string();
            let acceptor = name == "single-acceptor" && !thread.is_finished();
            if acceptor && !self.slot.wait_for_acceptor() {
                let what = "the acceptor cannot be woken for want of a file descriptor; close some";
                result = Err(io::Error::new(io::ErrorKind::TimedOut, what));
            } else if thread.join().is_err() {
                let what = format!("the thread {name} panicked");
                result = Err(io::Error::new(io::ErrorKind::Other, what));
            }
        }
        result
    }
}

impl Drop for SingleServer {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
