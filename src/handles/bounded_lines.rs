//! Lines of a session with a limit, so a client that sends no newline cannot fill the memory (promise 5).
//!
//! Used on the application's thread. A line is copied once, out of the received chunks.

use std::io;
use std::mem;

use super::session::Session;

/// An iterator over the lines of a [`Session`]'s client, made by [`Session::bounded_lines`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct BoundedLines<'s, 'a> {
    session: &'s Session<'a>,
    max: usize,
    /// The received part of the next line: at most `max` bytes, and one more that may belong to the line ending.
    line: Vec<u8>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The line was too long, and the application has got the error. The rest of the line is dropped.
    Skipping,
    /// No more lines will come.
    Done,
}

impl<'a> Session<'a> {
    /// Iterates over the client's lines of at most `max` bytes each, waiting for each line, until no more will come.
    ///
    /// A line ends with `\n` or `\r\n`, neither of which is returned or counted. As with
    /// [`BufRead::lines`](io::BufRead::lines), the last line needs no newline if the client has closed its side after it. At
    /// most `max` bytes and one received chunk are in memory at a time.
    ///
    /// The iterator consumes nothing behind the newline. So for a protocol whose header lines announce a body, read the lines,
    /// drop the iterator, and read the body from the session. Otherwise keep one iterator for the whole session: only the same
    /// iterator drops the rest of a line that was too long.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a line that is longer (the error names the limit) or not valid UTF-8. The
    /// iterator then drops the rest of this line and continues with the next one.
    ///
    /// If the session was cut short, the same errors as for reading; then no more lines follow. After a
    /// [read timeout](Session::set_read_timeout) call `next` again; no byte is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::SingleServer;
    /// use std::io::{ErrorKind, Write};
    /// use std::net::{Shutdown, TcpStream};
    ///
    /// let mut server = SingleServer::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"short\r\nmuch too long\nlast")?;
    /// client.shutdown(Shutdown::Write)?;
    ///
    /// let session = server.accept().expect("the server is not stopped");
    /// let mut lines = session.bounded_lines(8);
    /// assert_eq!(lines.next().expect("a line")?, "short");
    /// let error = lines.next().expect("a line").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidData);
    /// assert_eq!(error.to_string(), "the line is longer than 8 bytes");
    /// assert_eq!(lines.next().expect("a line")?, "last");
    /// assert!(lines.next().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bounded_lines(&self, max: usize) -> BoundedLines<'_, 'a> {
        BoundedLines { session: self, max, line: Vec::new(), state: State::Reading }
    }
}

impl Iterator for BoundedLines<'_, '_> {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        while self.state != State::Done {
            match self.session.fill_to_read() {
                Ok(true) => {}
                Ok(false) => return self.last(),
                Err(e) => {
                    if self.session.is_at_end() {
                        self.state = State::Done;
                    }
                    return Some(Err(e));
                }
            }
            if let Some(line) = self.take() {
                return Some(line);
            }
        }
        None
    }
}

impl BoundedLines<'_, '_> {
    /// Takes bytes out of the received chunk, at most those of one line. Returns the line if it is complete, or too long.
    fn take(&mut self) -> Option<io::Result<String>> {
        let (taken, ended, fits) = {
            let rest = self.session.rest.borrow();
            let bytes = rest.as_deref().unwrap_or(&[]);
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..newline.unwrap_or(bytes.len())];
            let fits = piece.len() <= self.max.saturating_add(1) - self.line.len();
            if fits && self.state == State::Reading {
                self.line.extend_from_slice(piece);
            }
            (piece.len() + usize::from(newline.is_some()), newline.is_some(), fits)
        };
        self.session.advance(taken);
        if self.state == State::Skipping {
            if ended {
                self.state = State::Reading;
            }
            return None;
        }
        let is_ending = self.line.last() == Some(&b'\r');
        if ended && is_ending {
            self.line.pop();
        }
        let is_too_long = !fits || (self.line.len() > self.max && (ended || !is_ending));
        if is_too_long && !ended {
            self.state = State::Skipping;
        }
        if is_too_long || ended {
            Some(self.complete(is_too_long))
        } else {
            None
        }
    }

    /// The client has closed its side. The bytes after the last newline, if any, are a line.
    fn last(&mut self) -> Option<io::Result<String>> {
        self.state = State::Done;
        if self.line.is_empty() {
            return None;
        }
        Some(self.complete(self.line.len() > self.max))
    }

    fn complete(&mut self, is_too_long: bool) -> io::Result<String> {
        let line = mem::take(&mut self.line);
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        if is_too_long {
            return Err(invalid(format!("the line is longer than {} bytes", self.max)));
        }
        String::from_utf8(line).map_err(|_| invalid("the line is not valid UTF-8".to_string()))
    }
}
