//! The control handle: lets any thread end the session or the server, or wake the application. Nothing here waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::inbox::Inbox;
use super::message::Client;
use crate::state::slot::Slot;
use crate::values::options::FOREVER;

/// Ends the current session or the server, or wakes the application, from any thread; a cheap handle that can be cloned.
///
/// None of its methods waits.
///
/// # Examples
///
/// ```
/// use single_server::{echo, SingleServer};
/// use std::thread;
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// let control = server.control();
/// let serving = thread::spawn(move || echo(&server));
/// control.stop();
/// serving.join().expect("echo does not panic");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Control {
    slot: Arc<Slot>,
}

impl Control {
    pub(crate) fn new(slot: &Arc<Slot>) -> Control {
        Control { slot: slot.clone() }
    }

    /// Finishes the current session once everything sent to its inbox is written; does nothing if nobody is connected.
    ///
    /// The same as [`Inbox::finish`] on an unaddressed inbox. The session's report then says
    /// [`Reason::Finished`](crate::Reason::Finished).
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::Read;
    /// use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// let _connected = server.outbox().recv();
    ///
    /// server.inbox().send("time is up")?;
    /// server.control().finish();
    /// let mut last_words = String::new();
    /// client.read_to_string(&mut last_words)?;
    /// assert_eq!(last_words, "time is up");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn finish(&self) {
        Inbox::unaddressed(&self.slot).finish();
    }

    /// Aborts the current session: cuts its connection now; does nothing if nobody is connected.
    ///
    /// The same as [`Inbox::abort`] on an unaddressed inbox.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Reason, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let control = server.control();
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// control.abort();
    /// assert_eq!(session.report().reason, Reason::Aborted);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn abort(&self) {
        Inbox::unaddressed(&self.slot).abort();
    }

    /// Makes the outbox return a [`Message::Woken`](crate::Message::Woken), at most one for all calls since the last one.
    ///
    /// This lets an application wait for clients and for its own events in one place: the thread that produces an event
    /// stores it and then calls this. A [`Session`](crate::Session) skips it; the outbox returns it after the session.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Message, SingleServer};
    /// use std::sync::mpsc;
    /// use std::thread;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// let (event, events) = mpsc::channel();
    /// let control = server.control();
    /// thread::spawn(move || {
    ///     event.send("the target has hit a breakpoint").expect("the application listens");
    ///     control.wake();
    /// });
    /// for message in server.outbox() {
    ///     match message {
    ///         Message::Woken => break,
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// assert_eq!(events.try_recv(), Ok("the target has hit a breakpoint"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wake(&self) {
        self.slot.wake();
    }

    /// Stops the server: the listener is closed, the current client gets what the inbox has accepted for it, for at most
    /// the [`linger`](crate::Options::linger) time, and the outbox and the signals end once they are read.
    ///
    /// Does not wait for that; [`SingleServer::stop`](crate::SingleServer::stop) does. See [`Control`] for an example.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = single_server::SingleServer::bind("127.0.0.1:0")?;
    /// server.control().stop(); // from any thread
    /// assert!(server.outbox().recv().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop(&self) {
        self.slot.stop();
    }

    /// Drains the server: closes the port, lets the current client go on for at most `time`, then [stops](Control::stop).
    ///
    /// Newcomers find the port closed, as after a stop. For the current client nothing changes until its time is up, and then
    /// it has the [`linger`](crate::Options::linger) time besides. The server stops as soon as that client's session ends, and
    /// at once if nobody is connected. An application that waits for the next client or message then learns that there is
    /// none.
    ///
    /// Does not wait. A stop cuts a drain short; of two drains, the earlier end counts.
    ///
    /// # Examples
    ///
    /// A graceful shutdown:
    ///
    /// ```
    /// use single_server::{echo, SingleServer};
    /// # use std::io::{Read, Write};
    /// # use std::net::{Shutdown, TcpStream};
    /// use std::{thread, time::Duration};
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// # let addr = server.local_addr();
    /// let control = server.control();
    /// let serving = thread::spawn(move || echo(&server));
    /// # let mut client = TcpStream::connect(addr)?;
    /// # client.write_all(b"x")?;
    /// # client.read_exact(&mut [0])?; // it is connected
    /// control.drain(Duration::from_secs(30)); // when somebody has pressed Ctrl-C, say
    /// # client.write_all(b"y")?;
    /// # client.shutdown(Shutdown::Write)?;
    /// # let mut answer = String::new();
    /// # client.read_to_string(&mut answer)?;
    /// # assert_eq!(answer, "y");
    /// serving.join().expect("echo does not panic"); // the client has left, or its time was up
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn drain(&self, time: Duration) {
        self.slot.drain(time.min(FOREVER));
    }

    /// Returns the client that is connected now.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// assert!(server.control().client().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.slot.current().map(|record| Client::new(&self.slot, record))
    }

    /// Returns the address that the server listens on.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = single_server::SingleServer::bind("127.0.0.1:0")?;
    /// assert_eq!(server.control().local_addr(), server.local_addr());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.slot.local_addr
    }

    /// Returns whether a client is connected now.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = single_server::SingleServer::bind("127.0.0.1:0")?;
    /// assert!(!server.control().is_busy());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.slot.is_busy()
    }

    #[doc(hidden)]
    #[deprecated(since = "0.2.0", note = "renamed to `stop`")]
    pub fn shutdown(&self) {
        self.stop();
    }
}
