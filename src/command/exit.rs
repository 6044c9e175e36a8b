//! Ends a process after its session.
//!
//! If its client has left, the process may run on for the exit timeout, and then gets SIGTERM. If the server has ended the
//! session, it gets SIGTERM almost at once. Two seconds after that it is killed. Meanwhile the next client can already have the
//! slot, but the main thread serves it only after the process has ended.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use single_server::{Control, Reason, Report};

use super::process::Process;
use super::stream::PATIENCE;
use super::watch::Watch;

/// A background process can hold the output open after the process has exited. The session is then finished once no byte has
/// moved for this long.
const SILENCE: Duration = Duration::from_secs(2);
/// The delay before SIGTERM if the server has ended the session: most processes exit by themselves at the end of their input.
const AT_ONCE: Duration = Duration::from_millis(100);
/// The time from SIGTERM to SIGKILL.
const ASKED: Duration = Duration::from_secs(2);
/// How long to wait for the exit of a killed process before leaving it to the reaper.
pub const KILLED: Duration = Duration::from_secs(1);

pub struct Exit<'a> {
    process: &'a Process,
    /// `None` for no limit.
    timeout: Option<Duration>,
    control: &'a Control,
    /// How long no byte has moved since the process exited. The relay's second thread counts it.
    silent: Mutex<Duration>,
    state: Mutex<State>,
}

/// The last step taken to end the process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Asked,
    Killed,
}

struct State {
    step: Step,
    /// The time since that step.
    waited: Duration,
    /// When `waited` was last updated.
    looked: Option<Instant>,
}

impl State {
    /// Counts the time since the last look, but no more than usually passes: while the server itself is stopped, it sends the
    /// process nothing, so that time must not count.
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

    /// Whether the process was sent a signal.
    pub fn was_forced(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).step != Step::Nothing
    }

    /// How long the process may run on, and the option that decides this.
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

/// Whether the client or the process has ended the session, rather than the server. If the client had closed before the
/// session was found idle, the client has ended it.
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
        // The next client waits for this process, so its own silence must not end its session.
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
