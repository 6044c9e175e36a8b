//! The log: one line per event on standard error.
//!
//! One thread writes the lines, and nobody waits for it: if standard error blocks, signals are counted as missed and
//! complaints are dropped. The thread owns a subscription to the server's signals and shares a short queue with the
//! commands. It cannot wait for both, so it waits for signals and looks into the queue after each: a command
//! complains before it ends a session, and the signal of that end wakes the thread. For a complaint that no signal
//! follows it also looks twice a second.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use single_server::{Refusal, Signal, SingleServer};

/// After a refusal has been reported, further ones are only counted for this long.
const STORM: Duration = Duration::from_secs(1);
/// How long signals gather meanwhile. Being woken for each would take longer than refusing a client does. A
/// subscription has room for those of this time.
const BATCH: Duration = Duration::from_millis(20);
/// How often the thread looks for a complaint that no signal follows.
const LOOK: Duration = Duration::from_millis(500);
/// How many complaints wait for standard error.
const COMPLAINTS: usize = 64;
/// How long the end of the program waits for a blocked standard error.
const PATIENCE: Duration = Duration::from_millis(500);

pub struct Log {
    /// There will be no more complaints.
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Where a command reports problems that do not end it. Never waits.
#[derive(Clone, Default)]
pub struct Complaints(Arc<Mutex<VecDeque<String>>>);

impl Complaints {
    /// Adds a line, unless too many are waiting.
    pub fn add(&self, line: impl Into<String>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < COMPLAINTS {
            lines.push_back(line.into());
        }
    }

    fn next(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Log {
    /// Starts the thread.
    pub fn start(server: &SingleServer, complaints: Complaints, quiet: bool) -> io::Result<Log> {
        let ended = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            ended: ended.clone(),
            signals: server.signal(),
            complaints,
            quiet,
            quiet_until: None,
            refused: 0,
            last: String::new(),
        };
        let listening = format!("listening on {}", server.local_addr());
        let thread = thread::Builder::new().name("log".into()).spawn(move || {
            if !quiet {
                print(&listening);
            }
            writer.run();
        });
        let cannot = |e: io::Error| io::Error::new(e.kind(), format!("cannot start the log thread: {e}"));
        Ok(Log { ended, thread: thread.map_err(cannot)? })
    }

    /// After the server has stopped: waits for the last line, unless standard error blocks.
    pub fn finish(self) {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        let give_up = Instant::now() + PATIENCE;
        while !self.thread.is_finished() && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The log thread.
struct Writer {
    ended: Arc<AtomicBool>,
    signals: Receiver<Signal>,
    complaints: Complaints,
    /// Only errors are printed.
    quiet: bool,
    /// Refusals before this are counted and not printed.
    quiet_until: Option<Instant>,
    /// How many have been counted, and the last one.
    refused: u64,
    last: String,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let signal = self.next();
            // Complaints are about the client that is connected, so they stand between its two lines.
            let begins = matches!(signal, Ok(Signal::Connected(_)));
            if !begins {
                self.complain();
            }
            match signal {
                Ok(Signal::Refused { peer, why }) if !self.quiet => self.refused(&peer.to_string(), why),
                Ok(signal) if !self.quiet || matches!(signal, Signal::Fault { .. }) => {
                    print(&signal.to_string())
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if begins {
                self.complain();
            }
            // Looked at for each signal, too: in a storm there may never be a pause.
            if self.quiet_until.map_or(false, |until| until <= Instant::now()) {
                self.summarise();
            }
        }
        self.summarise();
        // The server can stop before the main thread has said why.
        while !self.ended.load(Ordering::SeqCst) {
            thread::park_timeout(LOOK);
        }
        self.complain();
    }

    /// Waits for a signal. While refusals are counted, signals are taken in batches.
    fn next(&self) -> Result<Signal, RecvTimeoutError> {
        if self.quiet_until.is_none() {
            return self.signals.recv_timeout(LOOK);
        }
        match self.signals.recv_timeout(Duration::ZERO) {
            Err(RecvTimeoutError::Timeout) => thread::sleep(BATCH),
            received => return received,
        }
        self.signals.recv_timeout(Duration::ZERO)
    }

    fn complain(&self) {
        while let Some(line) = self.complaints.next() {
            print(&line);
        }
    }

    fn refused(&mut self, peer: &str, why: Refusal) {
        if self.quiet_until.is_none() {
            print(&format!("refused {peer}: {why}"));
            self.quiet_until = Some(Instant::now() + STORM);
        } else {
            self.refused += 1;
            self.last = format!("{peer}: {why}");
        }
    }

    /// Prints how many refusals were counted, and goes on counting if there were any.
    fn summarise(&mut self) {
        if self.refused > 0 {
            print(&format!("refused {} more, the last {}", self.refused, self.last));
        }
        self.quiet_until = Some(Instant::now() + STORM).filter(|_| self.refused > 0);
        self.refused = 0;
    }
}

/// Writes a line with one call: the processes of `exec` may write to standard error, too. Errors cannot be reported anywhere.
fn print(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
