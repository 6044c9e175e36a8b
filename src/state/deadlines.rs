//! The timeouts of a session: when the writer, which keeps the time, must end it or check again.
//!
//! Pure, a part of the machine.

use std::time::{Duration, Instant};

use super::machine::{Machine, Session};
use super::phase::{Event, Phase};
use crate::values::seen::Seen;

/// How long a lingering connection is kept in all, and how long without a byte from the client.
const LINGER_TOTAL: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// The same silence while the server stops. Longer than one round trip around the world.
const LINGER_SILENCE_AT_STOP: Duration = Duration::from_millis(250);

/// The time after which a doubtful verdict is looked at again. Longer than a write is blocked, after which the writer looks at
/// the clock.
const SOON: Duration = Duration::from_millis(100);

/// What the clock says about the live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// Ask again then, or when something happens.
    Wait(Option<Instant>),
    /// It has a case. Look at the connection, and ask again.
    Look,
}

/// An event and when it happens, or when to check again (no event).
type Due = (Instant, Option<Event>);

fn after(since: Instant, time: Option<Duration>, event: Option<Event>) -> Option<Due> {
    Some((since + time?, event))
}

impl Machine {
    /// What is due first for the latest session.
    ///
    /// `blocked` tells since when a write has made no progress. While the application leaves the outbox full, no time is counted
    /// against the client, unless it does not read either or its connection is known to be broken.
    pub(super) fn due(&self, blocked: Option<Instant>, now: Instant) -> Option<Due> {
        let (idle, close) = (self.idle_timeout, self.close_timeout);
        let Session { moved, spared, began, phase, .. } = self.latest;
        let shorter = [idle, close].into_iter().flatten().min();
        let look = after(now, shorter.map(|time| time / 8), None);
        let in_idle_time = match blocked {
            Some(since) => after(since.max(spared), idle, Some(Event::Stalled)),
            None => after(moved.max(spared), idle, Some(Event::Idle)),
        };
        let gone = after(moved.max(spared), close, Some(Event::Gone));
        let due = match phase {
            Phase::Open if self.is_unasked() => [look, gone, in_idle_time.filter(|_| blocked.is_some())],
            Phase::Open if !self.is_reading() => [look, None, in_idle_time.filter(|_| blocked.is_some())],
            // The client's FIN does not wake the writer, so it looks for one as often as the close timeout needs.
            Phase::Open => [after(now, close, None), None, in_idle_time],
            Phase::ClientDone => [None, gone, in_idle_time],
            Phase::WriteFailed => [None, None, after(moved, shorter, Some(Event::Idle))],
            Phase::Lingering(_) | Phase::Over(_) => return None,
        };
        let up = after(began, self.session_timeout, Some(Event::TimeUp));
        let stop = self.stop_by.map(|at| (at, Some(Event::Stop)));
        due.into_iter().chain([up, stop]).flatten().min_by_key(|(at, _)| *at)
    }

    /// Ends a live session if one of its timeouts has passed. The clock alone does not decide: `seen` is what a look at the
    /// connection has shown, and `None` if nobody has looked.
    pub(super) fn judge(&mut self, blocked: Option<Instant>, seen: Option<Seen>, now: Instant) -> Verdict {
        let (at, event) = match self.due(blocked, now) {
            Some((at, Some(event))) if at <= now => (at, event),
            due => return Verdict::Wait(due.map(|(at, _)| at)),
        };
        let soon = now + SOON;
        match (event, seen) {
            (Event::Idle | Event::Gone, None) => return Verdict::Look,
            // The reader has yet to come to what has arrived.
            (Event::Idle, Some(Seen::Data | Seen::Fin)) => return Verdict::Wait(Some(soon)),
            // Nobody has asked for the client's bytes, but there are none: it may well be there.
            (Event::Gone, Some(Seen::Nothing)) if self.is_unasked() => return Verdict::Wait(Some(soon)),
            // If the writer is that late, the process has not run, and neither have the reader and the application.
            (Event::Idle | Event::Stalled | Event::Gone, _) if now > at + SOON => {
                self.latest.spared = soon;
                return Verdict::Wait(Some(soon));
            }
            _ => {}
        }
        self.apply(self.latest.number, event, now);
        Verdict::Wait(None)
    }

    /// The application is still at work for a session: no time counts from before now.
    pub(crate) fn extend(&mut self, session: u64, now: Instant) {
        if self.is_live(session) {
            self.latest.moved = now;
        }
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
