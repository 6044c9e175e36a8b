//! The messages of the outbox, and the end of a client's bytes.
//!
//! Used by the application, on any thread. None of them keeps a descriptor open.

use super::client::Client;
use crate::values::chunk::Chunk;

/// A message of the [`Outbox`](crate::Outbox). Each session gives one `Connected`, any number of `Data`, and one `End`, and
/// only then comes the next session's `Connected`.
///
/// If a session begins, ends and is followed by the next one before the reader thread has run, it is not announced here;
/// only its [signals](crate::Signal) are sent. The outbox would otherwise need room for any number of such sessions.
///
/// # Examples
///
/// ```
/// use single_server::{Message, SingleServer};
/// use std::io::Write;
/// use std::net::TcpStream;
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// TcpStream::connect(server.local_addr())?.write_all(b"x")?;
/// let mut seen = Vec::new();
/// for message in server.outbox() {
///     match message {
///         Message::Connected(_) => seen.push("hello"),
///         Message::Data(_) => seen.push("data"),
///         Message::End(_) => break,
///         _ => {}
///     }
/// }
/// assert_eq!(seen, ["hello", "data"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// A client has connected.
    Connected(Client),
    /// Bytes from the client.
    Data(Chunk),
    /// The client will send nothing more. Dropping the [`End`] finishes the session.
    End(End),
    /// [`Control::wake`](crate::Control::wake) was called.
    Woken,
}

/// The end of a client's bytes. While the application holds it, it can still answer.
///
/// Dropping it [finishes](Client::finish) the session: everything put into the inbox before is sent, the slot becomes free, and
/// the connection is closed, in this order. The drop does not wait for that. If the session has already ended, dropping this
/// does nothing.
///
/// If the session is still open, the client has closed its side. If the session has ended, its [report](Client::report) gives
/// the reason, and [`complete`](crate::Report::complete) tells whether the client had closed its side before.
///
/// # Examples
///
/// An answer that depends on all of the client's bytes:
///
/// ```
/// use single_server::{Message, SingleServer};
/// use std::io::{Read, Write};
/// use std::net::{Shutdown, TcpStream};
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(server.local_addr())?;
/// client.write_all(b"one two three")?;
/// client.shutdown(Shutdown::Write)?;
///
/// let mut words = 1;
/// for message in server.outbox() {
///     match message {
///         Message::Connected(_) => {}
///         Message::Data(chunk) => words += chunk.iter().filter(|byte| **byte == b' ').count(),
///         Message::End(end) => {
///             end.client().inbox().send(format!("{words} words"))?;
///             break; // drops the end
///         }
///         _ => {}
///     }
/// }
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "3 words");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the end finishes the session"]
pub struct End {
    client: Client,
}

impl End {
    pub(crate) fn new(client: Client) -> End {
        End { client }
    }

    /// Returns the client: for answering it, aborting its session or reading its byte counts.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.client.finish();
    }
}
