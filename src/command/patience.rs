//! Reading and writing standard streams that another process may have made non-blocking.
//!
//! O_NONBLOCK belongs to the open file, which this process shares with others: the shell, an editor, a container's shim. So
//! any of them can set it at any time, and clearing it would disturb them. `std` has no `poll`, hence the pauses.

use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

/// The first pause. Each one is twice as long as the one before.
const SHORTEST: Duration = Duration::from_micros(200);
/// Adds at most this much delay, and costs 50 calls a second.
const LONGEST: Duration = Duration::from_millis(20);

/// Reads once, waiting until there is something to read.
pub fn read(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    wait(|| from.read(into))
}

/// Writes everything, and flushes.
pub fn write_all(to: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    // Not `Write::write_all`: after an error it does not say how much has been written.
    while !bytes.is_empty() {
        match wait(|| to.write(bytes))? {
            0 => return Err(ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    // After a failed flush, the buffer still holds the unwritten bytes.
    wait(|| to.flush())
}

/// Repeats the attempt while it would block or is interrupted.
fn wait<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pause = SHORTEST;
    loop {
        match attempt() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                thread::sleep(pause);
                pause = LONGEST.min(pause * 2);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
