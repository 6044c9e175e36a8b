//! Ending a session: `close` waits for the end, and the drop does not.

use super::session::Session;
use crate::values::signal::Report;

/// Ending. To abort or half-close the session, use its [`client`](Session::client).
impl Session<'_> {
    /// Finishes the session, waits until everything written has been sent or the session has ended otherwise, and returns the
    /// report.
    ///
    /// A client that does not read makes this wait; an [`idle_timeout`](crate::Options::idle_timeout) limits that.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::Write;
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let mut session = server.accept().expect("the server is not stopped");
    /// session.write_all(b"good-bye")?;
    /// assert_eq!(session.close().sent, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(self) -> Report {
        self.client.finish();
        self.wait_until_over()
    }

    /// Waits until the session has ended for any reason, and returns the report. The client, the server, or a
    /// [`Client`](crate::Client) handle on another thread can end it.
    ///
    /// The client's FIN alone is not the end: the application may still answer.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Reason, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// let session = server.accept().expect("the server is not stopped");
    /// let client = session.client().clone();
    /// std::thread::spawn(move || client.finish());
    /// assert_eq!(session.wait_until_over().reason, Reason::Finished);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_until_over(&self) -> Report {
        self.client.wait_until_over()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.end.get_mut().is_none() {
            self.outbox.forget();
        }
        self.client.finish();
    }
}
