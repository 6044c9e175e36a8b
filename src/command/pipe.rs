//! `pipe`: connects each client to the standard input and output of this process.
//!
//! The main thread writes standard output. Standard input belongs to no client, so one thread reads it for all of them;
//! input that arrives while nobody is connected is kept for the next client or, with `--live`, discarded.

use std::io;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Client, Control, Inbox, SendError, Session};

use super::log::Complaints;
use super::patience;
use super::request::Direction;
use super::Outcome;

/// A client that has closed its side may wait for an answer, as in `echo AT | ncat ...`, or may have left; TCP does
/// not tell which. So its session goes on until standard input has been silent for this long, or until a newcomer waits
/// for the slot.
const SILENCE: Duration = Duration::from_millis(500);
/// How often to check for that.
const CHECK: Duration = Duration::from_millis(10);
/// The maximum length of one read of standard input.
const PIECE: usize = 64 * 1024;

pub struct Pipe {
    direction: Direction,
    shared: Arc<Mutex<Shared>>,
}

/// The state shared by the main thread and the thread of standard input.
struct Shared {
    input: Input,
    /// How many bytes of standard input the inbox has accepted.
    accepted: u64,
    /// How many of them belonged to sessions that have ended. With `--send-only`, the rest is still to be sent.
    settled: u64,
    /// Whether the main thread is serving a client.
    serving: bool,
}

/// The state of the thread of standard input, which alone changes this.
enum Input {
    /// It has been waiting for input since then. The inbox has accepted everything read before.
    Reading(Instant),
    /// It has read bytes, and the inbox has yet to accept them.
    Sending,
    /// Standard input has ended: clients that connect now get the end of the stream immediately.
    Ended,
    /// Reading standard input has failed with this error.
    Failed(String),
}

impl Pipe {
    /// Starts to read standard input, except with `--recv-only`. With `live`, sends only input that arrives while a client is
    /// connected.
    ///
    /// If reading fails, stops the server; the last client then has `stop_timeout` to receive the input read before.
    pub fn start(
        direction: Direction,
        live: bool,
        server: (Inbox, Control),
        complaints: Complaints,
        stop_timeout: Duration,
    ) -> io::Result<Pipe> {
        let input = Input::Reading(Instant::now());
        let shared = Arc::new(Mutex::new(Shared { input, accepted: 0, settled: 0, serving: false }));
        let pipe = Pipe { direction, shared: shared.clone() };
        if direction == Direction::RecvOnly {
            return Ok(pipe);
        }
        let (inbox, control) = server;
        let reader = Reader { direction, live, shared, inbox, control, complaints };
        let run = move || match reader.read() {
            Ok(()) => reader.end(),
            Err(e) => {
                lock(&reader.shared).input = Input::Failed(format!("cannot read standard input: {e}"));
                reader.control.stop();
                // The main thread prints the error and exits, unless it is blocked in a write to standard output.
                thread::sleep(stop_timeout + Duration::from_secs(1));
                process::exit(1);
            }
        };
        let cannot =
            |e: io::Error| io::Error::new(e.kind(), format!("cannot start a thread for standard input: {e}"));
        thread::Builder::new().name("stdin".into()).spawn(run).map_err(cannot)?;
        Ok(pipe)
    }

    /// The error of standard input, if it has failed.
    pub fn error(&self) -> Option<String> {
        match &lock(&self.shared).input {
            Input::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// Whether `--send-only` has reached the end of standard input.
    pub fn is_drained(&self) -> bool {
        self.direction == Direction::SendOnly && matches!(lock(&self.shared).input, Input::Ended)
    }

    pub fn serve(&self, session: &mut Session) -> Outcome {
        let had_ended = {
            let mut shared = lock(&self.shared);
            shared.serving = true;
            matches!(shared.input, Input::Ended)
        };
        if had_ended {
            pass_on_end(self.direction, session.client());
        }
        let mut last_read = Instant::now();
        let mut stdout = io::stdout().lock();
        while let Some(chunk) = session.next_chunk() {
            last_read = Instant::now();
            if self.direction == Direction::SendOnly {
                continue;
            }
            if let Err(e) = patience::write_all(&mut stdout, &chunk) {
                return Outcome::Fatal(format!("cannot write to standard output: {e}"));
            }
        }
        if self.direction != Direction::RecvOnly {
            self.wait_for_answer(session, last_read);
        }
        if self.direction == Direction::SendOnly && self.settle(session, had_ended) {
            return Outcome::Last;
        }
        Outcome::Served
    }

    /// Waits until the client has received its answer.
    fn wait_for_answer(&self, session: &Session, last_read: Instant) {
        let client = session.client();
        while !client.is_closed() {
            let silent = match lock(&self.shared).input {
                Input::Ended => break,
                Input::Reading(since) => last_read.max(since).elapsed() >= SILENCE || client.is_awaited(),
                Input::Sending | Input::Failed(_) => false,
            };
            // Checked second: the bytes that the thread had read are in the inbox by now.
            if silent && client.traffic().queued == 0 {
                break;
            }
            thread::sleep(CHECK);
        }
    }

    /// Ends the session, and returns whether nothing is left for another client.
    fn settle(&self, session: &Session, had_ended: bool) -> bool {
        session.client().finish();
        let report = session.wait_until_over();
        let mut shared = lock(&self.shared);
        shared.settled += report.sent + report.discarded;
        shared.serving = false;
        // A client that connected after the end of standard input has received everything. `settled` misses clients that left
        // before the main thread saw them.
        matches!(shared.input, Input::Ended) && (had_ended || shared.accepted == shared.settled)
    }
}

/// Passes the end of standard input on to the client.
fn pass_on_end(direction: Direction, client: &Client) {
    match direction {
        Direction::SendOnly => client.finish(),
        Direction::Both | Direction::RecvOnly => client.half_close(),
    }
}

/// The thread of standard input.
struct Reader {
    direction: Direction,
    live: bool,
    shared: Arc<Mutex<Shared>>,
    inbox: Inbox,
    control: Control,
    complaints: Complaints,
}

impl Reader {
    /// Sends standard input to the client that is connected, or else to the next one.
    fn read(&self) -> io::Result<()> {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; PIECE];
        loop {
            let count = match patience::read(&mut stdin, &mut buffer)? {
                0 => return Ok(()),
                count => count,
            };
            let inbox = match self.control.client() {
                Some(client) if self.live => client.inbox(),
                None if self.live => continue,
                _ => self.inbox.clone(),
            };
            lock(&self.shared).input = Input::Sending;
            buffer.truncate(count);
            buffer.shrink_to_fit();
            let sent = inbox.send(std::mem::replace(&mut buffer, vec![0; PIECE]));
            let mut shared = lock(&self.shared);
            match sent {
                Ok(()) => shared.accepted += count as u64,
                Err(SendError::Stopped(_)) => return Ok(()),
                // The client has left while this waited for room. The next bytes are for the next client.
                Err(_) => {}
            }
            shared.input = Input::Reading(Instant::now());
        }
    }

    /// Called at the end of standard input.
    fn end(&self) {
        let is_last = {
            let mut shared = lock(&self.shared);
            shared.input = Input::Ended;
            !shared.serving && shared.accepted == shared.settled
        };
        self.complaints.note(match self.direction {
            Direction::SendOnly => "standard input has ended; the server exits after its last byte",
            _ => "standard input has ended; clients can still send",
        });
        if is_last && self.direction == Direction::SendOnly {
            self.control.stop();
        } else if let Some(client) = self.control.client() {
            // For a client that has connected since `input` was set, this is done twice, which does no harm.
            pass_on_end(self.direction, &client);
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
