//! `pipe`: connects each client to the standard input and output of this process.
//!
//! The main thread writes standard output. Standard input belongs to no client, so one thread reads it for all of them;
//! what it reads while nobody is connected waits for the next client.

use std::io::{self, Read, Write};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Client, Control, Inbox, SendError, Session};

use super::request::Direction;
use super::Outcome;

/// A client that has sent its last byte may wait for an answer, as in `echo AT | ncat ...`, or it may have gone; TCP does
/// not tell which. So it is given answers until standard input has been silent for this long, or until a newcomer waits
/// for the slot.
const SILENCE: Duration = Duration::from_millis(500);
/// How often that is checked.
const CHECK: Duration = Duration::from_millis(10);

pub struct Pipe {
    direction: Direction,
    input: Arc<Mutex<Input>>,
}

/// Where the thread of standard input is. It alone changes this; the main thread looks.
enum Input {
    /// It waits for a byte, since then. The inbox has accepted all that was read before.
    Reading(Instant),
    /// It has read bytes, and the inbox has yet to accept them.
    Sending,
    /// Standard input has ended: clients that connect now are told at once.
    Ended,
    /// Standard input has failed, for this reason.
    Failed(String),
}

impl Pipe {
    /// Starts to read standard input, unless nothing is to be sent.
    ///
    /// If it fails, the server is stopped, and the last client has `stop_timeout` to take what was read before.
    pub fn start(
        direction: Direction,
        inbox: Inbox,
        control: Control,
        stop_timeout: Duration,
    ) -> io::Result<Pipe> {
        let input = Arc::new(Mutex::new(Input::Reading(Instant::now())));
        let pipe = Pipe { direction, input: input.clone() };
        if direction == Direction::RecvOnly {
            return Ok(pipe);
        }
        let run = move || match read(&input, &inbox) {
            Ok(()) => {
                // In this order: a client that connects in between is told twice, which does no harm.
                *lock(&input) = Input::Ended;
                if let Some(client) = control.client() {
                    tell_end(direction, &client);
                }
            }
            Err(e) => {
                *lock(&input) = Input::Failed(format!("cannot read standard input: {e}"));
                control.stop();
                // The main thread prints the error and exits, unless it is stuck in a write to standard output.
                thread::sleep(stop_timeout + Duration::from_secs(1));
                process::exit(1);
            }
        };
        let cannot =
            |e: io::Error| io::Error::new(e.kind(), format!("cannot start a thread for standard input: {e}"));
        thread::Builder::new().name("stdin".into()).spawn(run).map_err(cannot)?;
        Ok(pipe)
    }

    /// Why standard input failed, if it did.
    pub fn error(&self) -> Option<String> {
        match &*lock(&self.input) {
            Input::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    pub fn serve(&self, session: &mut Session) -> Outcome {
        if matches!(*lock(&self.input), Input::Ended) {
            tell_end(self.direction, session.client());
        }
        let mut asked = Instant::now();
        let mut stdout = io::stdout().lock();
        while let Some(chunk) = session.next_chunk() {
            asked = Instant::now();
            if self.direction == Direction::SendOnly {
                continue;
            }
            if let Err(e) = stdout.write_all(&chunk).and_then(|()| stdout.flush()) {
                return Outcome::Fatal(format!("cannot write to standard output: {e}"));
            }
        }
        if self.direction != Direction::RecvOnly {
            self.let_answer(session, asked);
        }
        Outcome::Served
    }

    /// Waits until the client has had its answer.
    fn let_answer(&self, session: &Session, asked: Instant) {
        let client = session.client();
        while !client.is_closed() {
            let silent = match *lock(&self.input) {
                Input::Ended => break,
                Input::Reading(since) => asked.max(since).elapsed() >= SILENCE || client.is_awaited(),
                Input::Sending | Input::Failed(_) => false,
            };
            // Checked second: what the thread had in hand is in the inbox by now.
            if silent && client.traffic().queued == 0 {
                break;
            }
            thread::sleep(CHECK);
        }
    }
}

/// Standard input has ended, and with it what the client gets.
fn tell_end(direction: Direction, client: &Client) {
    match direction {
        Direction::SendOnly => client.finish(),
        Direction::Both | Direction::RecvOnly => client.half_close(),
    }
}

/// The thread of standard input: sends it to the client that is connected, or else to the next one.
fn read(input: &Mutex<Input>, inbox: &Inbox) -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    loop {
        let mut buffer = vec![0; 64 * 1024];
        let count = match stdin.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        *lock(input) = Input::Sending;
        buffer.truncate(count);
        buffer.shrink_to_fit();
        // Any other error: the client has left while this waited for room. The next bytes are for the next client.
        if let Err(SendError::Stopped(_)) = inbox.send(buffer) {
            return Ok(());
        }
        *lock(input) = Input::Reading(Instant::now());
    }
}

fn lock(input: &Mutex<Input>) -> MutexGuard<'_, Input> {
    input.lock().unwrap_or_else(PoisonError::into_inner)
}
