//! The control handle: lets any thread stop the server, or wake the application. Nothing here waits.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use crate::state::slot::Slot;
use crate::values::options::FOREVER;

/// Stops the server or wakes the application, from any thread; a cheap handle that can be cloned.
///
/// None of its methods waits. A session is ended through its [`Client`].
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

    /// Stops the server: closes the listener, sends the current client what the inbox has accepted for it, for at most
    /// the [stop timeout](crate::Options::stop_timeout), and ends the outbox and the signals after their last message.
    ///
    /// Does not wait for that; [`SingleServer::stop`](crate::SingleServer::stop) does. See [`Control`] for an example.
    pub fn stop(&self) {
        self.slot.stop();
    }

    /// Drains the server: closes the port, lets the current client go on for at most `time`, then [stops](Control::stop).
    ///
    /// Newcomers find the port closed, as after a stop. Nothing changes for the current client until its time is up; then a
    /// stop begins, with the [`stop_timeout`](crate::Options::stop_timeout). The server stops as soon as that client's session
    /// ends, and at once if nobody is connected. If the application waits for the next client or message, it is then woken:
    /// no more will come.
    ///
    /// Does not wait. A stop cuts a drain short; of two drains, the one that ends first counts.
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

    /// Makes the outbox return a [`Message::Woken`](crate::Message::Woken), at most one for all calls since the last one.
    ///
    /// This lets an application wait for clients and for its own events in one place: the thread that produces an event
    /// stores it and then calls this. A [`Session`](crate::Session) skips it; the outbox returns it after the session.
    ///
    /// If an event concerns a client, store that [`Client`] with it: another one may be connected when the event is handled.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Message, SingleServer};
    /// use std::sync::mpsc;
    /// use std::thread;
    /// # use std::io::Read;
    /// # use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// # let mut debugger = TcpStream::connect(server.local_addr())?;
    /// let (event, events) = mpsc::channel();
    /// for message in server.outbox() {
    ///     match message {
    ///         Message::Connected(client) => {
    ///             let (event, control) = (event.clone(), server.control());
    ///             thread::spawn(move || {
    ///                 // First the event, then the wake-up.
    ///                 let _ = event.send((client, "breakpoint"));
    ///                 control.wake();
    ///             });
    ///         }
    ///         Message::Woken => {
    ///             for (client, what) in events.try_iter() {
    ///                 // To the client that the event is about, or to nobody.
    ///                 let _ = client.inbox().send(what);
    ///             }
    /// #           break;
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// # let mut heard = [0; 10];
    /// # debugger.read_exact(&mut heard)?;
    /// # assert_eq!(&heard, b"breakpoint");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wake(&self) {
        self.slot.wake();
    }

    /// Returns the client that is connected now, to send to it or to end its session.
    ///
    /// See [`Client::finish`] for an example.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        Client::current(&self.slot)
    }
}
