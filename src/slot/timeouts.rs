//! What the writer does beside writing: it keeps the time of the session it serves, and of one that lingers.

use std::time::Instant;

use super::Slot;
use crate::connection::WeakConnection;
use crate::signal::Reason;

impl Slot {
    /// Ends a live session if one of its timeouts has passed. Returns when to look again; `None` for no need to.
    ///
    /// `blocked` tells since when a write has made no progress.
    pub(crate) fn judge(&self, session: &WeakConnection, blocked: Option<Instant>) -> Option<Instant> {
        let record = &session.record;
        let state = self.state.lock();
        if record.is_unread() && session.get().map_or(false, |connection| connection.is_reset()) {
            self.write_failed_locked(state, record);
            return Some(Instant::now());
        }
        let now = Instant::now();
        let stop = state.stop_by.map(|at| (at, Some(Reason::Stopped)));
        let due = [record.due(&self.options, blocked), stop].into_iter().flatten().min_by_key(|(at, _)| *at);
        match due {
            Some((at, Some(reason))) if at <= now => {
                self.end_locked(state, record, reason);
                None
            }
            Some((at, _)) => Some(at),
            None => None,
        }
    }

    /// Waits for a session after the given one, and meanwhile closes a lingering connection when its time is up. `None`
    /// when the server stops and the last connection is closed.
    pub(crate) fn next_to_write(&self, last: u64) -> Option<WeakConnection> {
        let mut state = self.state.lock();
        loop {
            match &state.latest {
                Some(latest) if latest.record.number > last => return Some(latest.clone()),
                _ => {}
            }
            let until =
                state.lingering.as_ref().map(|lingering| lingering.record.lingers_until(state.stop_by));
            match until {
                Some(until) if until <= Instant::now() => {
                    self.let_go(state);
                    state = self.state.lock();
                }
                None if state.stop_by.is_some() => return None,
                until => state = state.wait_until(until),
            }
        }
    }
}
