//! A process's standard input and output as one stream, for systems without socket pairs.
//!
//! A read or write on a pipe cannot be interrupted, so each pipe has its own thread and is accessed through a
//! channel. The threads exit when the pipe closes: at the latest with the last process that holds its other end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::buffer::{self, PIECE};
use super::stream::{Stream, PATIENCE};

struct Pipes {
    /// To the thread that writes standard input; `None` after a shutdown.
    input: Mutex<Option<SyncSender<Vec<u8>>>>,
    /// From the thread that reads standard output; `None` after a shutdown.
    output: Mutex<Option<Output>>,
}

struct Output {
    pieces: Receiver<Vec<u8>>,
    /// The unread part of the last piece.
    rest: Vec<u8>,
}

/// Starts the process with pipes.
pub fn spawn(mut command: Command, stderr: bool) -> io::Result<(Child, impl Stream)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    if stderr {
        command.stderr(Stdio::piped());
    }
    let mut child = command.spawn()?;
    let (sender, pieces) = sync_channel(1);
    let (input, received) = sync_channel::<Vec<u8>>(1);
    let threads = (|| {
        if let Some(mut stdin) = child.stdin.take() {
            let write = move || received.iter().all(|piece| stdin.write_all(&piece).is_ok());
            thread::Builder::new().name("stdin".into()).spawn(write)?;
        }
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            thread::Builder::new().name("stdout".into()).spawn(move || carry(stdout, &sender))?;
        }
        if let Some(stderr) = child.stderr.take() {
            thread::Builder::new().name("stderr".into()).spawn(move || carry(stderr, &sender))?;
        }
        Ok(())
    })();
    if let Err(e) = threads {
        let _ = child.kill();
        let _ = child.wait();
        return Err(e);
    }
    let output = Output { pieces, rest: Vec::new() };
    Ok((child, Pipes { input: Mutex::new(Some(input)), output: Mutex::new(Some(output)) }))
}

/// Carries bytes from a pipe to the channel. An error counts as the end of the pipe.
fn carry(mut from: impl Read, to: &SyncSender<Vec<u8>>) -> io::Result<()> {
    let mut buffer = buffer::piece()?;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 || to.send(buffer::copy(&buffer[..count])?).is_err() {
            return Ok(());
        }
    }
}

impl Stream for Pipes {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let output = match output.as_mut() {
            Some(output) => output,
            None => return Ok(0),
        };
        if output.rest.is_empty() {
            output.rest = match output.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => piece,
                Err(RecvTimeoutError::Timeout) => return Err(ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            };
        }
        let count = output.rest.len().min(into.len());
        into[..count].copy_from_slice(&output.rest[..count]);
        output.rest.drain(..count);
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let input = input.as_ref().ok_or(ErrorKind::BrokenPipe)?;
        let mut piece = buffer::copy(&bytes[..bytes.len().min(PIECE)])?;
        let count = piece.len();
        let give_up = Instant::now() + PATIENCE;
        loop {
            // The channel has no send with a timeout.
            piece = match input.try_send(piece) {
                Ok(()) => return Ok(count),
                Err(TrySendError::Disconnected(_)) => return Err(ErrorKind::BrokenPipe.into()),
                Err(TrySendError::Full(_)) if Instant::now() > give_up => {
                    return Err(ErrorKind::TimedOut.into())
                }
                Err(TrySendError::Full(piece)) => piece,
            };
            thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn shutdown(&self, how: Shutdown) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if how == Shutdown::Both {
            // A read in progress has the lock for at most its timeout.
            *self.output.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}
