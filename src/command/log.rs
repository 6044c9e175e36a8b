//! The lines on standard error: one an event, and never a reason to wait.
//!
//! Two threads write them, one what the server signals and one what the commands complain of. If nobody reads standard
//! error they block there, and their channels fill up; what does not fit is dropped, and the server's part counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use single_server::{Refusal, Signal, SingleServer};

/// Refusals within this time of one that was told are told together.
const STORM: Duration = Duration::from_secs(1);
/// How long signals are left to gather then; a subscription holds as many as come in this time on a fast machine.
const BATCH: Duration = Duration::from_millis(20);

/// How long is waited for a line to be out; who does not read has nothing held up for longer.
const PATIENCE: Duration = Duration::from_millis(500);

pub struct Log {
    pub complaints: Complaints,
    /// The two threads, which end when there is nothing more to tell.
    threads: [JoinHandle<()>; 2],
}

/// Where a command says that something could not be done, although it goes on.
#[derive(Clone)]
pub struct Complaints {
    lines: SyncSender<Vec<u8>>,
    /// How many have been written, by the thread that does.
    told: Arc<AtomicUsize>,
}

impl Complaints {
    /// Waits a little for the line to be out, so that it stands before those about what happens next.
    pub fn say(&self, line: String) {
        let told = self.told.load(Ordering::Acquire);
        if self.lines.try_send(line.into_bytes()).is_ok() {
            wait_until(|| self.told.load(Ordering::Acquire) > told);
        }
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() && Instant::now() < give_up {
        thread::sleep(Duration::from_millis(1));
    }
}

impl Log {
    pub fn start(server: &SingleServer, quiet: bool) -> io::Result<Log> {
        let signals = server.signal();
        let listening = format!("listening on {}", server.local_addr());
        let log = thread::Builder::new().name("log".into()).spawn(move || {
            if !quiet {
                say(listening.as_bytes());
            }
            tell(&signals, quiet);
        })?;
        let (lines, complaints) = sync_channel::<Vec<u8>>(16);
        let told = Arc::new(AtomicUsize::new(0));
        let telling = told.clone();
        let complaining = thread::Builder::new().name("complaints".into()).spawn(move || {
            for line in complaints {
                say(&line);
                telling.fetch_add(1, Ordering::Release);
            }
        })?;
        Ok(Log { complaints: Complaints { lines, told }, threads: [log, complaining] })
    }

    /// After the server has stopped: waits for the last line, but not for somebody to read it.
    pub fn finish(&self) {
        wait_until(|| self.threads[0].is_finished());
    }
}

/// The log thread.
fn tell(signals: &Receiver<Signal>, quiet: bool) {
    let mut storm = Storm::default();
    loop {
        match storm.next(signals) {
            Ok(Signal::Fault { doing, text, .. }) if quiet => {
                say(format!("cannot {doing}: {text}").as_bytes())
            }
            Ok(_) if quiet => {}
            Ok(Signal::Refused { peer, why }) => storm.refused(&peer.to_string(), why),
            Ok(signal) => say(signal.to_string().as_bytes()),
            Err(RecvTimeoutError::Timeout) => storm.pass(),
            Err(RecvTimeoutError::Disconnected) => return storm.pass(),
        }
    }
}

/// Refusals that have not been told one by one.
#[derive(Default)]
struct Storm {
    /// When the next line may be printed; `None` in fair weather.
    until: Option<Instant>,
    count: u64,
    last: String,
}

impl Storm {
    /// In a storm signals are taken in batches: to be woken for each of them takes more time than to refuse it does.
    fn next(&self, signals: &Receiver<Signal>) -> Result<Signal, RecvTimeoutError> {
        let until = match self.until {
            Some(until) => until,
            None => return signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        loop {
            match signals.try_recv() {
                Err(TryRecvError::Empty) if Instant::now() < until => thread::sleep(BATCH),
                Err(TryRecvError::Empty) => return Err(RecvTimeoutError::Timeout),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Ok(signal) => return Ok(signal),
            }
        }
    }

    fn refused(&mut self, peer: &str, why: Refusal) {
        if self.until.is_none() {
            say(format!("refused {peer}: {why}").as_bytes());
            self.until = Some(Instant::now() + STORM);
        } else {
            self.count += 1;
            self.last = format!("{peer}: {why}");
        }
        // Signals may come faster than the time-out is ever asked for.
        if self.until.map_or(false, |until| until <= Instant::now()) {
            self.pass();
        }
    }

    /// The second is over: one line for what came in it, and another second if anything did.
    fn pass(&mut self) {
        if self.count > 0 {
            say(format!("refused {} more, the last {}", self.count, self.last).as_bytes());
        }
        self.until = Some(Instant::now() + STORM).filter(|_| self.count > 0);
        self.count = 0;
    }
}

/// One line in one write, so that lines of several writers do not mix. An error has nowhere to go.
fn say(line: &[u8]) {
    let _ = io::stderr().write_all(&[line, b"\n"].concat());
}
