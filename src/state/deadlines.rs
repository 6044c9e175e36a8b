//! The timeouts of a session: when the writer, which keeps the time, must end it or check again.
//!
//! Pure, a part of the machine.

use std::time::{Duration, Instant};

use super::machine::Machine;
use super::phase::{Event, Phase};

/// How long a lingering connection is kept in all, and how long without a byte from the client.
const LINGER_TOTAL: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// The same silence while the server stops. Longer than one round trip around the world.
const LINGER_SILENCE_AT_STOP: Duration = Duration::from_millis(250);

/// An event and when it happens, or when to check again (no event).
type Due = (Instant, Option<Event>);

fn after(since: Instant, time: Option<Duration>, event: Option<Event>) -> Option<Due> {
    Some((since + time?, event))
}

impl Machine {
    /// What is due first for the latest session.
    ///
    /// `blocked` tells since when a write has made no progress. While the application leaves the outbox full, or has not
    /// asked for the client's bytes, no time is counted against the client, unless it does not read either or its connection
    /// is known to be broken.
    pub(super) fn due(&self, blocked: Option<Instant>, now: Instant) -> Option<Due> {
        let (idle, close) = (self.idle_timeout, self.close_timeout);
        let moved = self.latest.moved;
        let shorter = [idle, close].into_iter().flatten().min();
        let in_idle_time = match blocked {
            Some(since) => after(since, idle, Some(Event::Stalled)),
            None => after(moved, idle, Some(Event::Idle)),
        };
        let due = match self.latest.phase {
            Phase::Open if !self.is_reading() => {
                let look = after(now, shorter.map(|time| time / 8), None);
                [look, in_idle_time.filter(|_| blocked.is_some())]
            }
            // The client's FIN does not wake the writer, so it looks for one as often as the close timeout needs.
            Phase::Open => [in_idle_time, after(now, close, None)],
            Phase::ClientDone => [in_idle_time, after(moved, close, Some(Event::Gone))],
            Phase::WriteFailed => [after(moved, shorter, Some(Event::Idle)), None],
            Phase::Lingering(_) | Phase::Over(_) => [None, None],
        };
        let stop = self.stop_by.map(|at| (at, Some(Event::Stop)));
        due.into_iter().chain([stop]).flatten().min_by_key(|(at, _)| *at)
    }

    /// Until when a lingering connection is kept, or when to look again; `None` if there is none.
    pub(super) fn lingers_until(&self, now: Instant) -> Option<Instant> {
        if !matches!(self.latest.phase, Phase::Lingering(_)) {
            return None;
        }
        let silence = if self.is_stopping() { LINGER_SILENCE_AT_STOP } else { LINGER_SILENCE };
        // A reader that waits for the outbox does not notice what the client sends.
        let heard = if self.is_reading() { self.latest.moved } else { now };
        let total = self.latest.ended + LINGER_TOTAL;
        Some(total.min(heard + silence).min(self.stop_by.unwrap_or(total)))
    }
}
