//! Lends the connection of a session to the application, which passes it to a process or another library.

use std::io;
use std::net::TcpStream;

use super::session::Session;

impl Session<'_> {
    /// Lends the connection itself: a second handle, for a process or a library that wants the socket.
    ///
    /// It works only with [`Options::read_on_demand`](crate::Options::read_on_demand), and only before the session has been
    /// read from or anything has been sent to its client. From then on the server does not touch the connection: the session
    /// has nothing to read, its inbox accepts nothing ([`SendError::Over`](crate::SendError::Over)), a
    /// [half-close](crate::Client::half_close) does nothing, and the idle and close timeouts do not apply. The holder may
    /// make the socket non-blocking and set timeouts; at first it has none, and `TCP_NODELAY` is set.
    ///
    /// The session keeps the slot, and ends when the application ends it: by dropping it, [`close`](Session::close) or
    /// [`abort`](crate::Client::abort). The [session timeout](crate::Options::session_timeout), a newcomer under
    /// [`Busy::Replace`](crate::Busy::Replace) and a stop end it, too, and `read` or
    /// [`wait_until_over`](Session::wait_until_over) wait for that. The connection is then shut down for all its holders. After
    /// `close` or a drop, the client gets a FIN, and bytes that it still sends may be discarded.
    ///
    /// The server cannot see that the client has left. The holder can, and must notify the application. So a newcomer first
    /// waits for the slot, up to the [handover](crate::Options::handover) time, and only then the busy policy applies. The
    /// server does not count the bytes either, see [`Report::lent`](crate::Report::lent).
    ///
    /// # Errors
    ///
    /// The session continues unchanged after an error:
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
