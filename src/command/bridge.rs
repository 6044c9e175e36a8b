//! The two directions between a client and something else, whatever it is that is read from and written to.

use std::io::{self, Read, Write};

use single_server::{Inbox, SendError, Session};

/// Carries everything from `from` to the client, until there is no more or, if the inbox is of one session, that is
/// over. What cannot go to a client who has left is dropped.
pub fn to_client(mut from: impl Read, inbox: &Inbox) -> io::Result<()> {
    loop {
        let mut buffer = vec![0; 64 * 1024];
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        buffer.truncate(count);
        match inbox.send(buffer) {
            Err(SendError::Stopped(_)) => return Ok(()),
            Err(SendError::Over(_)) if inbox.is_closed() => return Ok(()),
            _ => {}
        }
    }
}

/// Carries everything from the client to `to`, until there is no more, and then drops that.
pub fn from_client(session: &mut Session, mut to: impl Write) -> io::Result<()> {
    for chunk in session.chunks() {
        to.write_all(&chunk)?;
        to.flush()?;
    }
    Ok(())
}
