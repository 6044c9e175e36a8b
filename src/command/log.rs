//! The lines on standard error: one an event, and never a reason to wait.
//!
//! Two threads write them, one what the server signals and one what the commands complain of. If nobody reads standard
//! error they block there, and their channels fill up; what does not fit is dropped, and the server's part counted.

use std::io::{self, Write};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Refusal, Signal, SingleServer};

/// Refusals within this time of one that was told are told together.
const STORM: Duration = Duration::from_secs(1);
/// How long signals are left to gather then; a subscription holds as many as come in this time on a fast machine.
const BATCH: Duration = Duration::from_millis(20);

pub struct Log {
    pub complaints: Complaints,
    /// Disconnected when the last line about the server is out.
    done: Receiver<()>,
}

/// Where a command says that something could not be done, although it goes on.
#[derive(Clone)]
pub struct Complaints(SyncSender<Complaint>);

struct Complaint {
    line: String,
    /// Dropped when the line is out.
    _told: SyncSender<()>,
}

impl Complaints {
    /// Does not wait, at least not long, for the line to be out.
    pub fn say(&self, line: String) {
        let (_told, told) = sync_channel(0);
        if self.0.try_send(Complaint { line, _told }).is_ok() {
            let _ = told.recv_timeout(Duration::from_millis(100));
        }
    }
}

impl Log {
    pub fn start(server: &SingleServer, quiet: bool) -> io::Result<Log> {
        let (running, done) = sync_channel(0);
        let signals = server.signal();
        let listening = format!("listening on {}", server.local_addr());
        thread::Builder::new().name("log".into()).spawn(move || {
            if !quiet {
                say(&listening);
            }
            tell(&signals, quiet, running);
        })?;
        let (complaints, lines) = sync_channel::<Complaint>(16);
        thread::Builder::new().name("complaints".into()).spawn(move || {
            for complaint in lines {
                say(&complaint.line);
            }
        })?;
        Ok(Log { complaints: Complaints(complaints), done })
    }

    /// After the server has stopped: waits for the last line, but not for somebody to read it.
    pub fn finish(self) {
        let _ = self.done.recv_timeout(Duration::from_millis(500));
    }
}

/// The log thread.
fn tell(signals: &Receiver<Signal>, quiet: bool, _running: SyncSender<()>) {
    let mut storm = Storm::default();
    loop {
        match storm.next(signals) {
            Ok(Signal::Fault { doing, text, .. }) if quiet => say(&format!("cannot {doing}: {text}")),
            Ok(_) if quiet => {}
            Ok(Signal::Refused { peer, why }) => storm.refused(&peer.to_string(), why),
            Ok(signal) => say(&signal.to_string()),
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
            say(&format!("refused {peer}: {why}"));
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
            say(&format!("refused {} more, the last {}", self.count, self.last));
        }
        self.until = Some(Instant::now() + STORM).filter(|_| self.count > 0);
        self.count = 0;
    }
}

/// One line in one write, so that lines of several writers do not mix. An error has nowhere to go.
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
