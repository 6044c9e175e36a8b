//! The connection of a session itself, for an application that hands it to a process or to another library.

use std::io;
use std::net::TcpStream;

use super::session::Session;

impl Session<'_> {
    /// Lends the connection itself: a second handle, for a process or a library that wants the socket.
    ///
    /// It works only with [`Options::read_on_demand`](crate::Options::read_on_demand), and only before the session has been
    /// read from or anything has been sent to its client. From then on the server leaves the connection alone: it has
    /// nothing to read and takes nothing more for its inbox ([`SendError::Over`](crate::SendError::Over)), a
    /// [half-close](crate::Client::half_close) does nothing, and neither the idle nor the close timeout counts. The holder may
    /// make the socket non-blocking, and set other timeouts than none; `TCP_NODELAY` is set.
    ///
    /// The session keeps the slot, and ends when the application ends it: by dropping it, [`close`](Session::close) or
    /// [`abort`](crate::Client::abort). The [session timeout](crate::Options::session_timeout), a newcomer under
    /// [`Busy::Replace`](crate::Busy::Replace) and a stop end it, too, and `read` or
    /// [`wait_until_over`](Session::wait_until_over) wait for that. The connection is then shut down, whoever holds it. After
    /// `close`, or when it was dropped, the client is sent a FIN; what it still sends may be discarded.
    ///
    /// The server does not learn that the client has left. The holder does, and must tell the application. So a newcomer
    /// that meets such a session waits for the slot, up to the [handover](crate::Options::handover) time, and only then
    /// meets the busy policy. Likewise the bytes that move are not counted, see [`Report::lent`](crate::Report::lent).
    ///
    /// # Errors
    ///
    /// In each case the session goes on as it was:
    ///
    /// - [`NotConnected`](io::ErrorKind::NotConnected) if the session is over.
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput) without `read_on_demand`, after something was read or sent, or if the
    ///   connection is lent already.
    /// - [`Unsupported`](io::ErrorKind::Unsupported) on Windows, where a shutdown does not end the other holder's reads.
    /// - The system has no descriptor for a second handle.
    ///
    /// # Examples
    ///
    /// A process for each client, with the connection as its standard input and output:
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use single_server::Options;
    /// use std::os::unix::io::OwnedFd;
    /// use std::process::{Command, Stdio};
    /// # use std::io::{Read, Write};
    /// # use std::net::{Shutdown, TcpStream};
    /// # use std::thread;
    ///
    /// let mut server = Options::new().read_on_demand(true).bind("127.0.0.1:0")?;
    /// # let (addr, control) = (server.local_addr(), server.control());
    /// # let client = thread::spawn(move || -> std::io::Result<String> {
    /// #     let mut client = TcpStream::connect(addr)?;
    /// #     client.write_all(b"hello")?;
    /// #     client.shutdown(Shutdown::Write)?;
    /// #     let mut answer = String::new();
    /// #     client.read_to_string(&mut answer)?;
    /// #     control.stop();
    /// #     Ok(answer)
    /// # });
    /// server.serve(|session| -> std::io::Result<()> {
    ///     let stream = session.stream()?;
    ///     Command::new("tr")
    ///         .args(["a-z", "A-Z"])
    ///         .stdin(Stdio::from(OwnedFd::from(stream.try_clone()?)))
    ///         .stdout(Stdio::from(OwnedFd::from(stream)))
    ///         .status()?; // waits for its end
    ///     Ok::<(), std::io::Error>(())
    /// });
    /// # assert_eq!(client.join().unwrap()?, "HELLO");
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stream(&self) -> io::Result<TcpStream> {
        self.inbox.slot.lend(self.client.record.number)
    }
}
