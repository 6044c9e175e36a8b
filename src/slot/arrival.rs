//! What the acceptor waits for when it is not in `accept`, the reader and the writer when they have no session, and the
//! reader when it must not read yet.
//!
//! The end of the server wakes each of them.

use std::time::{Duration, Instant};

use super::Slot;
use crate::connection::WeakConnection;
use crate::record::{Phase, Record};

/// For the acceptor.
impl Slot {
    /// Waits until no client is served, or the server stops.
    pub(crate) fn wait_until_free(&self) {
        let mut state = self.state.lock();
        while state.live.is_some() && state.stop_by.is_none() {
            state = state.wait();
        }
    }

    /// A newcomer has met a live session. Waits for the slot: up to `handover` if the session's client is leaving, and up to
    /// `grace` for news that it is. Returns whether the slot is free.
    pub(crate) fn wait_for_handover(&self, handover: Duration, grace: Duration) -> bool {
        let start = Instant::now();
        let mut state = self.state.lock();
        loop {
            let live = match &state.live {
                Some(live) if state.stop_by.is_none() => live.clone(),
                live => return live.is_none(),
            };
            // The reader may be late, so this looks at the connection itself; not in a storm, where that would disturb it.
            let look = !grace.is_zero() && live.record.phase() == Phase::Open;
            let end = if look { live.upcoming_end() } else { None };
            if end == Some(true) || live.record.is_unread() && live.is_reset() {
                self.write_failed_locked(state, &live.record);
                state = self.state.lock();
                continue;
            }
            let leaving = end.is_some()
                || live.record.phase() != Phase::Open
                || self.queue.is_finishing(live.record.number);
            // Hold no connection while waiting: only the slot keeps it open.
            drop(live);
            let until = start + if leaving { handover } else { grace };
            if until <= Instant::now() {
                return false;
            }
            state.awaited = leaving;
            state = state.wait_until(Some(until));
            state.awaited = false;
        }
    }

    /// Waits for `time`, or until the server stops.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while state.stop_by.is_none() && Instant::now() < until {
            state = state.wait_until(Some(until));
        }
    }
}

/// For the reader and the writer.
impl Slot {
    /// For the reader: waits for a session after the given one. `None` when the server stops.
    pub(crate) fn next_to_read(&self, last: u64) -> Option<WeakConnection> {
        let mut state = self.state.lock();
        loop {
            match &state.latest {
                Some(latest) if latest.record.number > last => return Some(latest.clone()),
                _ if state.stop_by.is_some() => return None,
                _ => state = state.wait(),
            }
        }
    }

    /// For the reader, which has announced a client: waits until the application asks for the client's bytes, if the options
    /// say so, or until the session ends, its connection breaks, or the server stops.
    pub(crate) fn wait_until_asked(&self, record: &Record) {
        if self.options.read_on_demand {
            let mut state = self.state.lock();
            while record.is_unasked() && state.stop_by.is_none() {
                state = state.wait();
            }
        }
    }

    /// For the application: ends that wait.
    pub(crate) fn ask(&self, record: &Record) {
        if self.options.read_on_demand && record.ask() {
            self.state.lock().notify();
        }
    }

    /// For the writer: waits for a session after the given one, and meanwhile closes a lingering connection when its time is
    /// up. `None` when the server stops and the last connection is closed.
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
