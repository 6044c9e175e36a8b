//! The timeouts of a session: when the writer, which keeps the time, must end the session or check again.
//!
//! Pure; a part of the machine.

use std::time::{Duration, Instant};

use super::machine::{Life, Machine};
use super::phase::{Event, Phase};
use crate::values::seen::Seen;

/// How long a connection lingers in total.
const LINGER_TOTAL: Duration = Duration::from_secs(30);
/// How long a connection lingers without a byte from the client.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// The same silence while the server stops. Longer than one round trip around the world.
const LINGER_SILENCE_AT_STOP: Duration = Duration::from_millis(250);

/// The grace period for the reader and the application after a timeout: an eighth of the timeout, but at most this.
const LONGEST_MOMENT: Duration = Duration::from_millis(100);

/// If a client closes its side without sending anything, it may still want an answer. So the application has this much time to
/// ask for its bytes, or an eighth of a shorter timeout.
const ASK_TIME: Duration = Duration::from_millis(250);

/// The result of checking the timeouts of the live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// Ask again at this time, or when something happens.
    Wait(Option<Instant>),
    /// A timeout has passed. Peek at the connection, and ask again.
    Look,
}

/// When an event is due, or when to check again (no event).
type Due = (Instant, Option<Event>);

fn after(since: Instant, time: Option<Duration>, event: Option<Event>) -> Option<Due> {
    Some((since + time?, event))
}

impl Machine {
    /// Ends a live session if one of its timeouts has passed.
    ///
    /// `blocked`: since when a write has made no progress. `seen`: what a peek at the connection has shown; `None` if there was
    /// none.
    pub(super) fn check_timeouts(
        &mut self,
        blocked: Option<Instant>,
        seen: Option<Seen>,
        now: Instant,
    ) -> Verdict {
        let limit = self.limit();
        if let Some((at, Some(event))) = limit {
            if at <= now {
                self.apply(self.latest.number, event, now);
                return Verdict::Wait(None);
            }
        }
        let limit = limit.map(|(at, _)| at);
        let again = match self.due(blocked, now) {
            Some((at, Some(event))) if at <= now => match self.confirm(at, event, seen, now) {
                Some(Verdict::Wait(again)) => again,
                Some(Verdict::Look) => return Verdict::Look,
                None => {
                    self.apply(self.latest.number, event, now);
                    return Verdict::Wait(None);
                }
            },
            due => due.map(|(at, _)| at),
        };
        Verdict::Wait([limit, again].into_iter().flatten().min())
    }

    /// When the session ends in any case, or the drain does.
    fn limit(&self) -> Option<Due> {
        let stop = match self.life {
            Life::Running => None,
            Life::Draining(until) => Some((until, None)),
            Life::Stopping(by) => Some((by, Some(Event::Stop))),
        };
        let up = after(self.latest.began, self.session_timeout, Some(Event::TimeUp));
        [stop, up].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The first timeout that is due because no byte moves.
    ///
    /// While the application leaves the outbox full, no time is counted against the client, unless the client does not read
    /// either or its connection is known to be broken.
    fn due(&self, blocked: Option<Instant>, now: Instant) -> Option<Due> {
        let (idle, close) = (self.idle_timeout, self.close_timeout);
        let moved = self.latest.moved;
        let shorter = self.shorter_timeout();
        let ask_deadline = Some((self.ask_deadline(), None)).filter(|(at, _)| self.is_unasked() && *at > now);
        let look = after(now, shorter.map(|time| time / 8), None);
        let look = [ask_deadline, look].into_iter().flatten().min_by_key(|(at, _)| *at);
        let in_idle_time = match blocked {
            Some(since) => after(since, idle, Some(Event::Stalled)),
            None => after(moved, idle, Some(Event::Idle)),
        };
        let stalled = in_idle_time.filter(|_| blocked.is_some());
        let gone = after(moved, close, Some(Event::Gone));
        let due = match self.latest.phase {
            // A client that reads nothing is timed out, even if it may still be connected.
            Phase::Open if self.is_unstarted() && stalled.map_or(false, |(at, _)| at <= now) => {
                [stalled, None, None]
            }
            Phase::Open if self.is_unstarted() => [look, stalled, gone],
            Phase::Open if !self.is_reading() => [look, stalled, None],
            // The client's FIN does not wake the writer, so the writer checks for it once per close timeout.
            Phase::Open => [in_idle_time, after(now, close, None), None],
            Phase::ClientDone => [in_idle_time, gone, None],
            Phase::WriteFailed => [after(moved, shorter, Some(Event::Idle)), None, None],
            // The server does not see whether bytes move.
            Phase::Lent => return None,
            Phase::Lingering(_) | Phase::Over(_) => return None,
        };
        due.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Until when the application has time to ask for the live client's bytes.
    pub(super) fn ask_deadline(&self) -> Instant {
        self.latest.began + self.shorter_timeout().map_or(ASK_TIME, |time| ASK_TIME.min(time / 8))
    }

    /// Checks whether a timeout that passed `at` this time must end the session. Time alone proves nothing: if this process was
    /// paused, or had no processor time, the client's bytes may have arrived, and the reader or the application may be about
    /// to act. So they get a grace period, and then the writer peeks at the connection. Returns `None` if the session must end.
    fn confirm(&mut self, at: Instant, event: Event, seen: Option<Seen>, now: Instant) -> Option<Verdict> {
        let moment = self.shorter_timeout().unwrap_or_default() / 8;
        if self.latest.spared < at {
            self.latest.spared = now + moment.min(LONGEST_MOMENT);
        }
        if now < self.latest.spared {
            return Some(Verdict::Wait(Some(self.latest.spared)));
        }
        // Not for a client whose FIN was seen: it has left.
        let unstarted = self.is_unstarted() && self.is_open();
        match (event, seen) {
            (Event::Idle | Event::Gone, None) => return Some(Verdict::Look),
            // The reader has yet to read what has arrived.
            (Event::Idle, Some(Seen::Data | Seen::Fin)) => {}
            // The client may still be connected. If it has sent bytes, a FIN may be behind them, so with `read_on_demand` the
            // session ends.
            (Event::Gone, Some(Seen::Nothing | Seen::Unknown)) if unstarted => {}
            (Event::Gone, Some(Seen::Data)) if unstarted && !self.read_on_demand => {}
            _ => return None,
        }
        self.latest.spared = now + moment;
        Some(Verdict::Wait(Some(self.latest.spared)))
    }

    fn shorter_timeout(&self) -> Option<Duration> {
        [self.idle_timeout, self.close_timeout].into_iter().flatten().min()
    }

    /// The application is still working for a session: restarts its idle and close timeouts.
    pub(crate) fn extend(&mut self, session: u64, now: Instant) {
        if self.is_live(session) {
            self.latest.moved = now;
        }
    }

    /// Until when a lingering connection is kept, or when to check again; `None` if there is none.
    pub(super) fn lingers_until(&self, now: Instant) -> Option<Instant> {
        if !matches!(self.latest.phase, Phase::Lingering(_)) {
            return None;
        }
        let silence = if self.is_stopping() { LINGER_SILENCE_AT_STOP } else { LINGER_SILENCE };
        // A reader that waits for room in the outbox does not notice that the client sends.
        let heard = if self.is_reading() { self.latest.moved } else { now };
        let total = self.latest.ended + LINGER_TOTAL;
        let last = match self.life {
            Life::Stopping(by) => total.min(by),
            Life::Running | Life::Draining(_) => total,
        };
        Some(last.min(heard + silence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::writing::Next;
    use crate::values::options::Options;
    use crate::values::signal::Reason;

    const SECOND: Duration = Duration::from_secs(1);
    const MOMENT: Duration = Duration::from_millis(100);

    /// A machine with a session that the reader reads, begun at the time returned.
    fn reading(options: Options) -> (Machine, Instant) {
        let (nobody, now) = (([127, 0, 0, 1], 1).into(), Instant::now());
        let mut machine = Machine::new(&options, nobody, now);
        machine.begin(nobody, now);
        machine.attend(0);
        machine.delivered(now);
        machine.take_effects();
        (machine, now)
    }

    fn until(next: Option<Next>) -> Option<Instant> {
        match next {
            Some(Next::Write(until)) => until,
            next => panic!("{next:?}"),
        }
    }

    fn reason(machine: &Machine) -> Option<Reason> {
        machine.latest.phase.reason()
    }

    #[test]
    fn a_silent_client_is_idle_after_a_grace_period_and_a_fruitless_peek() {
        let (mut machine, start) = reading(Options::new().idle_timeout(SECOND).close_timeout(None));
        assert_eq!(until(machine.next(1, None, start)), Some(start + SECOND));
        assert_eq!(until(machine.next(1, None, start + SECOND)), Some(start + SECOND + MOMENT));
        assert_eq!(machine.next(1, None, start + SECOND + MOMENT), None); // look
        assert_eq!(machine.next(1, Some(Seen::Nothing), start + SECOND + MOMENT), Some(Next::End));
        assert_eq!(reason(&machine), Some(Reason::Idle));
    }

    #[test]
    fn a_client_whose_bytes_or_fin_have_arrived_is_not_idle() {
        for seen in [Seen::Data, Seen::Fin] {
            let (mut machine, start) = reading(Options::new().idle_timeout(SECOND).close_timeout(None));
            let late = start + 5 * SECOND;
            assert_eq!(until(machine.next(1, None, late)), Some(late + MOMENT));
            assert!(until(machine.next(1, Some(seen), late + MOMENT)).is_some());
            // The reader reads it.
            machine.received(1, late + MOMENT);
            machine.delivered(late + MOMENT);
            assert_eq!(until(machine.next(1, None, late + MOMENT)), Some(late + MOMENT + SECOND));
        }
    }

    #[test]
    fn a_silent_client_is_not_idle_while_the_application_leaves_the_outbox_full() {
        let (mut machine, start) = reading(Options::new().idle_timeout(SECOND).close_timeout(None));
        machine.received(1, start);
        for seconds in 0..10 {
            let now = start + seconds * SECOND;
            assert_eq!(until(machine.next(1, Some(Seen::Nothing), now)), Some(now + SECOND / 8));
        }
        let taken = start + 10 * SECOND;
        machine.delivered(taken);
        assert_eq!(until(machine.next(1, None, taken)), Some(taken + SECOND));
    }

    #[test]
    fn an_application_that_was_paused_has_a_grace_period_to_answer() {
        let (mut machine, start) = reading(Options::new().close_timeout(SECOND));
        machine.apply(1, Event::Fin, start);
        let late = start + 5 * SECOND;
        assert_eq!(until(machine.next(1, None, late)), Some(late + MOMENT));
        machine.extend(1, late);
        assert_eq!(until(machine.next(1, None, late + MOMENT)), Some(late + SECOND));
        assert_eq!(until(machine.next(1, None, late + SECOND)), Some(late + SECOND + MOMENT));
        assert_eq!(machine.next(1, Some(Seen::Nothing), late + SECOND + MOMENT), Some(Next::End));
        assert_eq!(reason(&machine), Some(Reason::Gone));
    }

    #[test]
    fn a_blocked_write_is_tried_again_before_the_client_has_stalled() {
        let (mut machine, start) = reading(Options::new().idle_timeout(SECOND));
        let late = start + 5 * SECOND;
        assert_eq!(machine.go_on(1, None, start, late), Some(true));
        assert_eq!(machine.go_on(1, None, start, late + MOMENT), Some(false));
        assert_eq!(reason(&machine), Some(Reason::Stalled));
    }

    #[test]
    fn a_client_can_stall_while_its_close_timeout_is_in_doubt() {
        let options = Options::new().idle_timeout(3 * SECOND).close_timeout(SECOND).read_on_demand(true);
        let (nobody, start) = (([127, 0, 0, 1], 1).into(), Instant::now());
        let mut machine = Machine::new(&options, nobody, start);
        machine.begin(nobody, start);
        machine.attend(0);
        for millis in (0..3000).step_by(50) {
            let now = start + Duration::from_millis(millis);
            assert_eq!(machine.go_on(1, Some(Seen::Nothing), start, now), Some(true), "{millis}");
        }
        assert_eq!(
            machine.go_on(1, Some(Seen::Nothing), start, start + 3 * SECOND + 2 * MOMENT),
            Some(false)
        );
        assert_eq!(reason(&machine), Some(Reason::Stalled));
    }

    #[test]
    fn a_client_that_left_before_it_was_announced_is_timed_out() {
        let options = Options::new().close_timeout(SECOND).read_on_demand(true);
        let (nobody, start) = (([127, 0, 0, 1], 1).into(), Instant::now());
        let mut machine = Machine::new(&options, nobody, start);
        machine.begin(nobody, start);
        machine.attend(0);
        machine.offer(&mut crate::state::account::Message::new(1, 1, 1), false);
        let heard = start + SECOND / 8;
        assert!(until(machine.next(1, Some(Seen::Fin), start)).map_or(false, |at| at <= heard));
        assert_eq!(machine.latest.phase, Phase::Open); // the application may be about to ask
        assert!(until(machine.next(1, Some(Seen::Fin), heard)).is_some());
        assert_eq!(machine.latest.phase, Phase::ClientDone);
        assert_eq!(until(machine.next(1, None, heard + SECOND)), Some(heard + SECOND + MOMENT));
        assert_eq!(machine.next(1, None, heard + SECOND + MOMENT), None); // look
        assert_eq!(machine.next(1, Some(Seen::Nothing), heard + SECOND + MOMENT), Some(Next::End));
        assert_eq!(reason(&machine), Some(Reason::Gone));
    }

    #[test]
    fn a_client_that_is_not_announced_yet_has_not_vanished_while_its_bytes_are_unread() {
        let (nobody, start) = (([127, 0, 0, 1], 1).into(), Instant::now());
        let mut machine = Machine::new(&Options::new().close_timeout(SECOND), nobody, start);
        machine.begin(nobody, start);
        machine.attend(0); // the outbox is full of older sessions
        for moment in 0..20 {
            let now = start + 5 * SECOND + moment * MOMENT;
            assert!(until(machine.next(1, Some(Seen::Data), now)).is_some(), "{moment}");
        }
    }

    #[test]
    fn the_session_timeout_applies_while_other_timeouts_are_in_doubt() {
        let options = Options::new().idle_timeout(SECOND).session_timeout(3 * SECOND);
        let (mut machine, start) = reading(options);
        for millis in (1000..3000).step_by(50) {
            let now = start + Duration::from_millis(millis);
            assert!(until(machine.next(1, Some(Seen::Data), now)).map_or(false, |at| at > now), "{millis}");
        }
        assert_eq!(machine.next(1, Some(Seen::Data), start + 3 * SECOND), Some(Next::End));
        assert_eq!(reason(&machine), Some(Reason::TimeUp));
    }

    #[test]
    fn a_stop_ends_a_session_in_time_while_other_timeouts_are_in_doubt() {
        let (mut machine, start) = reading(Options::new().idle_timeout(SECOND));
        machine.close_output(1, crate::state::account::Output::HalfClosing);
        machine.stop(start + SECOND); // and the stop timeout, another second
        machine.account.offer(&mut crate::state::account::Message::new(1, 1, 1), false); // something is left to write
        let _ = machine.go_on(1, Some(Seen::Data), start, start + SECOND);
        assert_eq!(machine.go_on(1, None, start + SECOND, start + 2 * SECOND), Some(false));
        assert_eq!(reason(&machine), Some(Reason::Stopped));
    }
}
