//! How long a process may go on once its session or its own work is over.
//!
//! If its client has left, it may finish its work for the exit timeout, and is then asked to end; if the server has ended the
//! session, it is asked at once. Two seconds after that it is killed. The main thread waits for all this before it serves the
//! next client, who keeps the slot meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use single_server::{Control, Reason, Report};

use super::process::Process;
use super::stream::PATIENCE;
use super::watch::Watch;

/// How long others that hold the output of a process that has ended may let no byte move before the session is finished.
const SILENCE: Duration = Duration::from_secs(2);
/// What *at once* means: most processes end by themselves when they find the end of their input.
const AT_ONCE: Duration = Duration::from_millis(100);
/// The time from SIGTERM to SIGKILL.
const ASKED: Duration = Duration::from_secs(2);
/// How long the end of a killed process is waited for. Later, the reaper sees to it.
pub const KILLED: Duration = Duration::from_secs(1);

pub struct Exit<'a> {
    process: &'a Process,
    /// `None` for no limit.
    timeout: Option<Duration>,
    control: &'a Control,
    /// How long no byte has moved since the process has ended. The relay's second thread counts it.
    silent: Mutex<Duration>,
    state: Mutex<State>,
}

/// What has been done about the end of the process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Asked,
    Killed,
}

struct State {
    step: Step,
    /// For how long that has been so.
    waited: Duration,
    /// When that was looked at.
    looked: Option<Instant>,
}

impl State {
    /// Counts the time since the last look, but no more than a look takes: if this process was stopped, it has not fed the
    /// other one.
    fn look(&mut self) {
        let now = Instant::now();
        let since = self.looked.replace(now).map_or(Duration::ZERO, |looked| now - looked);
        self.waited += since.min(2 * PATIENCE);
    }

    fn go_to(&mut self, step: Step) {
        self.step = step;
        self.waited = Duration::ZERO;
    }
}

impl<'a> Exit<'a> {
    pub fn new(process: &'a Process, timeout: Option<Duration>, control: &'a Control) -> Exit<'a> {
        let state = State { step: Step::Nothing, waited: Duration::ZERO, looked: None };
        Exit { process, timeout, control, silent: Mutex::default(), state: Mutex::new(state) }
    }

    /// Whether the process was asked to end, or made to.
    pub fn was_forced(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).step != Step::Nothing
    }

    /// How long the process may go on by itself, and the option that says so.
    fn limit(&self, report: &Report) -> (Option<Duration>, String) {
        let option = match report.reason {
            _ if has_left(report) => return (self.timeout, "--exit-timeout".to_string()),
            Reason::Idle | Reason::Stalled => "--idle-timeout".to_string(),
            Reason::TimeUp => "--session-timeout".to_string(),
            Reason::Replaced => "--busy replace".to_string(),
            other => other.to_string(),
        };
        (Some(AT_ONCE), option)
    }
}

/// Whether the client or the process has ended the session, and not the server. A client that had closed before the server
/// found the session idle had left.
fn has_left(report: &Report) -> bool {
    match report.reason {
        Reason::ClientClosed | Reason::Reset | Reason::Gone | Reason::Finished => true,
        Reason::Idle | Reason::Stalled => report.complete,
        _ => false,
    }
}

impl Watch for Exit<'_> {
    fn gives_up(&self, moved: bool) -> bool {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        *silent = if moved || !self.process.has_ended() { Duration::ZERO } else { *silent + PATIENCE };
        *silent >= SILENCE
    }

    fn takes_the_rest(&self, report: &Report) -> bool {
        has_left(report) && self.goes_on(report)
    }

    fn goes_on(&self, report: &Report) -> bool {
        if self.process.has_ended() {
            return false;
        }
        // The next client waits for us, so that it is silent is no reason to end its session.
        if let Some(next) = self.control.client() {
            next.extend();
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.look();
        let (limit, option) = self.limit(report);
        match state.step {
            Step::Nothing => {
                let limit = match limit {
                    Some(limit) if state.waited >= limit => limit,
                    _ => return true,
                };
                let still = format!("still runs {limit:?} after the end of its session ({option})");
                match self.process.ask() {
                    Ok(()) => self.process.say(&format!("{still}: sent SIGTERM")),
                    Err(e) => self.process.say(&format!("{still}, and SIGTERM cannot be sent: {e}")),
                }
                state.go_to(Step::Asked);
            }
            Step::Asked if state.waited >= ASKED => {
                self.process.kill();
                self.process.say(&format!("still runs {ASKED:?} after that ({option}): killed"));
                state.go_to(Step::Killed);
            }
            Step::Killed if state.waited >= KILLED => return false,
            _ => {}
        }
        true
    }
}
