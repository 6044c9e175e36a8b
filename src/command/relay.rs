//! Carries bytes between a session and another stream, in both directions, until both have ended.
//!
//! The caller's thread carries the client's bytes; a second thread, which lives as long as the session, carries
//! the answers. Neither can get stuck: a blocked write returns ten times a second to check the session, and
//! shutting down our end of the stream ends every read and write on it, even if another process holds the other end.
//!
//! The stream may outlast the session, to receive the bytes that the client sent before it left. Its own output is then read
//! and discarded, so the other side neither blocks nor gets an error.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Client, Session};

use super::buffer::{self, PIECE};
use super::stream::{Stream, PATIENCE};
use super::taken::Taken;
use super::timeout::is_timeout;
use super::watch::Watch;

/// Fewer bytes than this are copied out of the buffer, because the inbox accounts for the whole buffer.
const SMALL: usize = PIECE / 4;

/// What the end of the stream means for the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// The session ends after the last byte.
    Finish,
    /// The client may go on sending: a half-close is passed on, and a reset becomes a reset.
    HalfClose,
}

/// How the stream ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ended, and the end was passed on to the client.
    Stream,
    /// It was reset, and the session is aborted. `std` cannot force a reset, so the client sees one only if some of its
    /// bytes are unread or it sends more.
    Reset,
    /// It neither accepted nor sent a byte for the idle timeout; or there was no memory for its output.
    Failed,
    /// The session ended first.
    Session,
}

pub struct Relay<'a> {
    pub stream: &'a dyn Stream,
    pub at_end: AtEnd,
    /// How long the stream may accept no byte.
    pub idle_timeout: Option<Duration>,
    /// Called with a failure of the stream, before the session ends.
    pub complain: &'a (dyn Fn(&str) + Sync),
    pub taken: Taken,
}

impl Relay<'_> {
    /// Runs until the session is over and `watch` no longer needs the stream.
    ///
    /// # Errors
    ///
    /// The thread cannot be started; nothing has been relayed, and the session continues.
    pub fn run(&self, session: &Session, watch: &dyn Watch) -> io::Result<End> {
        let first = AtomicBool::new(true);
        thread::scope(|scope| {
            let client = session.client();
            let back = thread::Builder::new().name("relay".into());
            let back = back.spawn_scoped(scope, || self.carry_back(client, &first, watch))?;
            let sent = self.carry_out(session, &first, watch);
            watch.wait(&session.wait_until_over());
            self.stream.shutdown(Shutdown::Both);
            let back = back.join().unwrap_or(End::Session);
            Ok(sent.unwrap_or(back))
        })
    }

    /// Carries bytes from the client to the stream. Returns the end of the stream if it is found here.
    fn carry_out(&self, session: &Session, first: &AtomicBool, watch: &dyn Watch) -> Option<End> {
        let mut end = None;
        while let Some(chunk) = session.next_chunk() {
            if let Err(found) = self.write(&chunk, session, watch) {
                end = found;
                break;
            }
        }
        // Before the shutdown: if the stream ends in response, the other thread must find the flag cleared.
        if !first.swap(false, Ordering::SeqCst) {
            session.client().finish();
        }
        self.stream.shutdown(Shutdown::Write);
        // A stream that accepts no more may still send an answer, and the client's end must still be received.
        session.chunks().for_each(drop);
        end
    }

    /// Writes all bytes. Otherwise returns how the stream has failed; `None` if it accepts no more or should get no more.
    fn write(&self, mut bytes: &[u8], session: &Session, watch: &dyn Watch) -> Result<(), Option<End>> {
        let client = session.client();
        let mut moved = Instant::now();
        let mut sent: Option<u64> = None;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(None),
                Ok(count) => {
                    bytes = &bytes[count..];
                    moved = Instant::now();
                    *self.taken.count() += count as u64;
                    // The server sees only the bytes on the client's side.
                    client.extend();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => {
                    // A byte in the other direction counts, too, as for the server's idle timeout.
                    let now = Some(client.traffic().sent);
                    if std::mem::replace(&mut sent, now) != now {
                        moved = Instant::now();
                    }
                    match self.idle_timeout {
                        Some(time) if moved.elapsed() >= time && !client.is_closed() => {
                            let what = format!("has taken no data for {time:?}");
                            return Err(Some(self.abort(client, End::Failed, &what)));
                        }
                        _ => {}
                    }
                }
                // If the stream ended before it broke, that end counts; the other thread reads it.
                Err(e) if self.at_end == AtEnd::Finish || e.kind() == ErrorKind::BrokenPipe => {
                    self.note(&e);
                    return Err(None);
                }
                Err(e) => return Err(Some(self.broken(client, &e))),
            }
            match client.report() {
                Some(report) if !bytes.is_empty() && !watch.takes_the_rest(&report) => return Err(None),
                _ => {}
            }
        }
        Ok(())
    }

    /// Carries bytes from the stream to the client.
    fn carry_back(&self, client: &Client, first: &AtomicBool, watch: &dyn Watch) -> End {
        let inbox = client.inbox();
        let mut buffer = Vec::new();
        let (mut sent, mut taken) = (false, 0);
        loop {
            if buffer.is_empty() {
                buffer = match buffer::piece() {
                    Ok(buffer) => buffer,
                    Err(e) => return self.unreadable(client, &e),
                };
            }
            let count = match self.stream.read(&mut buffer) {
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if is_timeout(&e) => {
                    let before = std::mem::replace(&mut taken, *self.taken.count());
                    if !watch.gives_up(std::mem::take(&mut sent) || taken != before) {
                        continue;
                    }
                    0
                }
                Err(e) if self.at_end == AtEnd::HalfClose => return self.broken(client, &e),
                // A process that exits leaving input unread resets its socket pair.
                Err(e) => {
                    self.note(&e);
                    0
                }
            };
            if count == 0 {
                break;
            }
            sent = true;
            let bytes = if count < SMALL {
                match buffer::copy(&buffer[..count]) {
                    Ok(bytes) => bytes,
                    Err(e) => return self.unreadable(client, &e),
                }
            } else {
                let mut full = std::mem::take(&mut buffer);
                full.truncate(count);
                full
            };
            if inbox.send(bytes).is_err() {
                if self.at_end == AtEnd::Finish {
                    self.discard();
                }
                return End::Session;
            }
        }
        if client.is_closed() {
            return End::Session;
        }
        let first = first.swap(false, Ordering::SeqCst);
        if self.at_end == AtEnd::HalfClose && first {
            client.half_close();
        } else {
            // Not a half-close: the slot must be free before the client sees its connection end.
            client.finish();
        }
        End::Stream
    }

    /// Reads to the end of a stream that may outlast the session.
    fn discard(&self) {
        let mut buffer = [0; SMALL];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Err(e) if e.kind() != ErrorKind::Interrupted && !is_timeout(&e) => return self.note(&e),
                _ => {}
            }
        }
    }
}

impl Relay<'_> {
    /// A reset means that the stream has ended with some of our bytes unread.
    fn note(&self, error: &io::Error) {
        if error.kind() == ErrorKind::ConnectionReset {
            self.taken.unread.store(true, Ordering::SeqCst);
        }
    }

    fn broken(&self, client: &Client, error: &io::Error) -> End {
        // An answer received before, such as "421 Too many connections", may still be queued, and an abort discards it.
        thread::sleep(PATIENCE);
        self.abort(client, End::Reset, &format!("has broken the connection: {error}"))
    }

    fn unreadable(&self, client: &Client, error: &io::Error) -> End {
        self.abort(client, End::Failed, &format!("cannot be read: {error}"))
    }

    fn abort(&self, client: &Client, end: End, why: &str) -> End {
        if client.is_closed() {
            return End::Session;
        }
        (self.complain)(why);
        client.abort();
        end
    }
}
