//! Carries bytes between a session and another stream, in both directions, until both have ended.
//!
//! The caller's thread carries what the client sends; a second thread, which lives as long as the session, carries
//! the answers. Neither can get stuck: a write returns at least ten times a second to look at the session, and when
//! the session is over, shutting down our end of the stream ends every read and write on it, no matter who holds the
//! other end.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Client, Session};

use super::stream::{Stream, PATIENCE};
use super::timeout::is_timeout;

/// The most that is read at once.
const PIECE: usize = 64 * 1024;
/// Less than this is copied out of the buffer, because the inbox accounts for the whole buffer.
const SMALL: usize = PIECE / 4;

/// What the end of the stream means for the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// The session ends after the last byte.
    Finish,
    /// The client may go on sending: a half-close is passed on, and a reset becomes a reset.
    HalfClose,
}

/// How the stream came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ended, and the client is told.
    Stream,
    /// It was reset, and the session is aborted. `std` cannot send a reset by itself, so the client sees one only if bytes
    /// of it are unread or it sends more.
    Reset,
    /// It took no byte for the idle timeout, and sent none.
    Stalled,
    /// The session was over before it.
    Session,
}

pub struct Relay<'a> {
    pub stream: &'a dyn Stream,
    pub at_end: AtEnd,
    /// How long the stream may take no byte.
    pub idle_timeout: Option<Duration>,
    /// Is told what the stream has done wrong, before the session ends.
    pub complain: &'a (dyn Fn(&str) + Sync),
}

impl Relay<'_> {
    /// Runs until the session is over. `given_up` is asked whenever a read times out; `true` ends the stream.
    ///
    /// # Errors
    ///
    /// The thread cannot be started; nothing has been carried, and the session goes on.
    pub fn run(&self, session: &Session, given_up: &mut (dyn FnMut() -> bool + Send)) -> io::Result<End> {
        let first = AtomicBool::new(true);
        thread::scope(|scope| {
            let client = session.client();
            let back = thread::Builder::new().name("relay".into());
            let back = back.spawn_scoped(scope, || self.carry_back(client, &first, given_up))?;
            let sent = self.carry_out(session, &first);
            session.wait_until_over();
            self.stream.shutdown(Shutdown::Both);
            let back = back.join().unwrap_or(End::Session);
            Ok(sent.unwrap_or(back))
        })
    }

    /// From the client to the stream. Returns an end that is found here.
    fn carry_out(&self, session: &Session, first: &AtomicBool) -> Option<End> {
        let mut end = None;
        while let Some(chunk) = session.next_chunk() {
            if let Err(found) = self.write(&chunk, session) {
                end = found;
                break;
            }
        }
        // Before the stream is told: the other thread must find this when the stream ends in answer.
        if !first.swap(false, Ordering::SeqCst) {
            session.client().finish();
        }
        self.stream.shutdown(Shutdown::Write);
        // A stream that takes no more can still have an answer, and the client's end is still to be seen.
        session.chunks().for_each(drop);
        end
    }

    /// Writes all of it. Otherwise returns how the stream has failed; `None` if it takes no more, or the session is over.
    fn write(&self, mut bytes: &[u8], session: &Session) -> Result<(), Option<End>> {
        let mut moved = Instant::now();
        let mut sent: Option<u64> = None;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(None),
                Ok(count) => {
                    bytes = &bytes[count..];
                    moved = Instant::now();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => {
                    if session.client().is_closed() {
                        return Err(None);
                    }
                    // A byte in the other direction counts, too, as for the server's idle timeout.
                    let now = Some(session.client().traffic().sent);
                    if std::mem::replace(&mut sent, now) != now {
                        moved = Instant::now();
                    }
                    match self.idle_timeout {
                        Some(time) if moved.elapsed() >= time => {
                            let what = format!("has taken no data for {time:?}");
                            return Err(Some(self.abort(session.client(), End::Stalled, &what)));
                        }
                        _ => {}
                    }
                }
                // If the stream had ended before it broke, its end counts, which the other thread reads.
                Err(e) if self.at_end == AtEnd::Finish || e.kind() == ErrorKind::BrokenPipe => {
                    return Err(None)
                }
                Err(e) => return Err(Some(self.broken(session.client(), &e))),
            }
        }
        Ok(())
    }

    /// From the stream to the client.
    fn carry_back(&self, client: &Client, first: &AtomicBool, given_up: &mut dyn FnMut() -> bool) -> End {
        let inbox = client.inbox();
        let mut buffer = vec![0; PIECE];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if is_timeout(&e) && !given_up() => continue,
                Err(e) if self.at_end == AtEnd::HalfClose => return self.broken(client, &e),
                // A process that exits leaving input unread resets its socket pair.
                Err(_) => 0,
            };
            if count == 0 {
                break;
            }
            let bytes = if count < SMALL {
                buffer[..count].to_vec()
            } else {
                let mut full = std::mem::replace(&mut buffer, vec![0; PIECE]);
                full.truncate(count);
                full
            };
            if inbox.send(bytes).is_err() {
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
}

impl Relay<'_> {
    fn broken(&self, client: &Client, error: &io::Error) -> End {
        // An answer that came before, such as "421 Too many connections", may still be queued, and an abort discards it.
        thread::sleep(PATIENCE);
        self.abort(client, End::Reset, &format!("has broken the connection: {error}"))
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
