//! The timeouts of a session. The writer checks them between parcels and while a write is blocked.

use std::time::Instant;

use super::Slot;
use crate::connection::WeakConnection;
use crate::signal::Reason;

impl Slot {
    /// Ends a live session if one of its timeouts has passed. Returns when to check again; `None` if that is not needed.
    ///
    /// `blocked` is the time since which a write has made no progress.
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
}
