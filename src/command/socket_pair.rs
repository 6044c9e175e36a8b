//! A process's standard input and output as one stream, on Unix: the other end of a socket pair.

use std::io;
use std::os::unix::io::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::stream::{Stream, PATIENCE};

/// Starts the process with one end of a socket pair, and returns the other.
pub fn spawn(mut command: Command, stderr: bool) -> io::Result<(Child, impl Stream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(PATIENCE))?;
    ours.set_write_timeout(Some(PATIENCE))?;
    if stderr {
        command.stderr(Stdio::from(OwnedFd::from(theirs.try_clone()?)));
    }
    command.stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)));
    command.stdout(Stdio::from(OwnedFd::from(theirs)));
    // The command holds the process's end open until it is dropped on return.
    Ok((command.spawn()?, ours))
}
