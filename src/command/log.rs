//! The log: one line per event on standard error.
//!
//! One thread writes the lines, and no thread waits for it: if standard error blocks, signals are counted as missed and
//! complaints are dropped. The thread owns a subscription to the server's signals and shares a short queue with the
//! commands. It cannot wait for both, so it waits for signals and checks the queue after each: a command
//! complains before it ends a session, and the signal of that end wakes the thread. For complaints that no signal
//! follows, it also checks the queue twice a second. In a burst of clients, each kind of line is summarised once a second, so
//! clients cannot fill a disk or a terminal.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use single_server::{Signal, SingleServer};

use super::burst::Burst;
use super::patience;

/// How many refusals are printed in a second.
const REFUSALS: u32 = 1;
/// How many lines of any other kind are printed in a second.
const LINES: u32 = 20;
/// How long signals gather in a burst. Waking the thread for each signal would take longer than refusing a client. A
/// subscription has room for the signals of this time.
const BATCH: Duration = Duration::from_millis(20);
/// How often the thread checks for a complaint that no signal follows.
const LOOK: Duration = Duration::from_millis(500);
/// How long the program waits for a blocked standard error before it exits.
const PATIENCE: Duration = Duration::from_millis(500);

pub struct Log {
    /// Set when there will be no more complaints.
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Lets a command report problems that do not end it. Never waits.
#[derive(Clone)]
pub struct Complaints {
    queue: Arc<Mutex<Queue>>,
    quiet: bool,
}

struct Queue {
    /// At most `LINES`, until the log thread removes some.
    lines: VecDeque<String>,
    burst: Burst<String>,
}

impl Complaints {
    /// If `quiet`, only errors are printed.
    pub fn new(quiet: bool) -> Complaints {
        let queue = Queue { lines: VecDeque::new(), burst: Burst::new(LINES) };
        Complaints { queue: Arc::new(Mutex::new(queue)), quiet }
    }

    /// Adds a line that is not an error.
    pub fn note(&self, line: impl Into<String>) {
        if !self.quiet {
            self.add(line);
        }
    }

    /// Adds a line; in a burst, only counts it.
    pub fn add(&self, line: impl Into<String>) {
        let mut queue = self.lock();
        let admitted = queue.burst.admit(line.into());
        queue.lines.extend(admitted);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Starts the thread.
    pub fn start(server: &SingleServer, complaints: Complaints) -> io::Result<Log> {
        let ended = Arc::new(AtomicBool::new(false));
        let quiet = complaints.quiet;
        let mut writer = Writer {
            ended: ended.clone(),
            signals: server.signal(),
            complaints,
            refused: Burst::new(REFUSALS),
            connected: Burst::new(LINES),
            closed: Burst::new(LINES),
            missed: Burst::new(0),
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

    /// Called after the server has stopped: waits for the last line, unless standard error blocks.
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
    refused: Burst<Signal>,
    connected: Burst<Signal>,
    closed: Burst<Signal>,
    missed: Burst<Signal>,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let signal = self.next();
            // Complaints concern the connected client, so they are printed between its `connected` and `closed`.
            let begins = matches!(signal, Ok(Signal::Connected(_)));
            if !begins {
                self.complain();
            }
            match signal {
                Ok(signal) => self.log(signal),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if begins {
                self.complain();
            }
            // Not only after a timeout: in a burst there may never be one.
            let now = Instant::now();
            self.summarise(now);
        }
        // The server may stop before the main thread has added the reason.
        while !self.ended.load(Ordering::SeqCst) {
            thread::park_timeout(LOOK);
        }
        self.complain();
        self.summarise_rest();
    }

    /// Waits for a signal. While lines are only counted, signals are taken in batches.
    fn next(&self) -> Result<Signal, RecvTimeoutError> {
        if !self.refused.is_full() && !self.connected.is_full() && !self.closed.is_full() {
            return self.signals.recv_timeout(LOOK);
        }
        match self.signals.recv_timeout(Duration::ZERO) {
            Err(RecvTimeoutError::Timeout) => thread::sleep(BATCH),
            received => return received,
        }
        self.signals.recv_timeout(Duration::ZERO)
    }

    fn log(&mut self, signal: Signal) {
        let is_error = matches!(signal, Signal::Fault { .. });
        if self.complaints.quiet && !is_error {
            return;
        }
        let admitted = match signal {
            Signal::Refused { .. } => self.refused.admit(signal),
            Signal::Connected(_) => self.connected.admit(signal),
            Signal::ProducerFinished(_) => self.closed.admit(signal),
            // The log could not keep up with a burst.
            Signal::Missed(number) => {
                self.missed.count(number, signal);
                None
            }
            other => Some(other),
        };
        if let Some(signal) = admitted {
            print(&signal.to_string());
        }
    }

    fn complain(&self) {
        loop {
            // In a statement of its own, so nobody waits for the lock while the line is printed.
            let line = self.complaints.lock().lines.pop_front();
            match line {
                Some(line) => print(&line),
                None => return,
            }
        }
    }

    /// Prints how many lines were counted.
    fn summarise(&mut self, now: Instant) {
        let complaints = self.complaints.lock().burst.summary(now);
        print_summaries(complaints, self.signals_counted().map(|burst| burst.summary(now)));
    }

    /// Prints the last summaries before the exit.
    fn summarise_rest(&mut self) {
        let complaints = self.complaints.lock().burst.rest();
        print_summaries(complaints, self.signals_counted().map(Burst::rest));
    }

    fn signals_counted(&mut self) -> [&mut Burst<Signal>; 4] {
        [&mut self.refused, &mut self.connected, &mut self.closed, &mut self.missed]
    }
}

/// `refused 192.0.2.1:40000: busy` becomes `refused 7 more, the last 192.0.2.1:40000: busy`.
fn print_summaries(complaints: Option<(u64, String)>, signals: [Option<(u64, Signal)>; 4]) {
    if let Some((count, line)) = complaints {
        print(&format!("{count} more such lines, the last: {line}"));
    }
    for (count, signal) in signals.into_iter().flatten() {
        if let Signal::Missed(_) = signal {
            print(&Signal::Missed(count).to_string());
            continue;
        }
        let line = signal.to_string();
        let (what, rest) = line.split_once(' ').unwrap_or((&line, ""));
        print(&format!("{what} {count} more, the last {rest}"));
    }
}

/// Writes a line with one call, because processes of `exec` may write to standard error, too. There is nowhere to report errors.
fn print(line: &str) {
    let _ = patience::write_all(&mut io::stderr(), format!("{line}\n").as_bytes());
}
