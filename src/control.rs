//! The control box: finishing the current client, or the whole server, from any thread.

use std::sync::Arc;

use crate::inbox::Inbox;
use crate::slot::Slot;

/// Ends the current session or the server from any thread; a cheap handle that can be cloned.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) slot: Arc<Slot>,
}

impl Control {
    /// Ends the current session once everything that the inbox has taken for it is written; does nothing when
    /// nobody is connected.
    ///
    /// Does not wait for that to happen. A client that does not read delays it, until it is found to be stalled if
    /// there is an [`idle_timeout`](crate::Options::idle_timeout). The session's report then says
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
        let inbox = Inbox { slot: self.slot.clone(), to: None };
        inbox.finish();
    }

    /// Stops the server: the listener is closed, the current client gets what the inbox has taken for it, at most
    /// for the [`linger`](crate::Options::linger) time, and the outbox and the signals end once they are read.
    ///
    /// Does not wait for that to happen; [`SingleServer::stop`](crate::SingleServer::stop) does.
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
    /// control.shutdown();
    /// serving.join().expect("echo does not panic");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self) {
        self.slot.shutdown();
    }
}
