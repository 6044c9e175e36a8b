//! Time, and what the writer and the acceptor see when they peek at the connection before a timeout ends a session.
//!
//! Between two steps all times are one of three: the past, in which a byte has moved last; the present, at which steps
//! happen; and the end of the grace period before a timeout ends a session. A byte that moves cancels that period.

use std::time::{Duration, Instant};

use super::breaks::Break;
use super::checks::{Check, Checked};
use super::client::Came;
use super::config::{Rules, DRAIN, IDLE, LINGER};
use super::step::When;
use super::world::World;
use crate::state::machine::{Life, Machine};
use crate::state::phase::Phase;
use crate::values::seen::Seen;
use crate::values::signal::{Reason, Report};

impl Rules {
    /// The time of all past events. Less than the shortest silence ago.
    pub(super) fn past(&self) -> Instant {
        self.base - Duration::from_millis(20)
    }

    /// The beginning of a session for which the application has had time to ask.
    fn long_ago(&self) -> Instant {
        self.base - Duration::from_secs(1)
    }

    /// The end of the grace period: later than timeouts that began in the past, but not than those that begin now.
    fn moment(&self) -> Instant {
        self.base + IDLE - Duration::from_millis(10)
    }
}

impl World {
    /// A copy of `State::look`.
    pub(super) fn look(&mut self, rules: &Rules) -> Seen {
        if !self.slot.connection {
            return Seen::Nothing;
        }
        let lent = self.machine.is_lent() && rules.breaks(Break::LentIsLookedAt);
        self.look_as(rules, (self.machine.is_unread(), self.machine.is_open() || lent))
    }

    /// As `look`, with these answers of `is_unread` and `is_open`.
    pub(super) fn look_as(&mut self, rules: &Rules, (is_unread, is_open): (bool, bool)) -> Seen {
        let facts = &mut self.facts[self.begun];
        facts.touched |= facts.lent && !facts.ended && (is_unread || is_open);
        let forgets = rules.breaks(Break::ResetForgotten);
        let client = self.client(self.begun);
        if is_unread && client.take_reset() && !forgets {
            return Seen::Broken;
        }
        match client.upcoming() {
            _ if !is_open => Seen::Nothing,
            Came::Fin => Seen::Fin,
            Came::Byte(_) => Seen::Data,
            Came::Failed => {
                client.take_upcoming();
                if forgets {
                    Seen::Nothing
                } else {
                    Seen::Broken
                }
            }
            Came::Nothing => Seen::Nothing,
        }
    }

    /// A copy of `State::look_for_the_reader`.
    pub(super) fn look_for_the_reader(&mut self, rules: &Rules) -> Option<Seen> {
        // Only at its own session's connection; otherwise a reset of the next one would be lost.
        let latest = self.writer.session == self.begun || rules.breaks(Break::ResetOfTheNextTaken);
        if !self.slot.connection || !latest {
            return None;
        }
        if self.machine.is_unasked() && !rules.breaks(Break::WriterIgnoresFin) {
            return Some(self.look(rules));
        }
        let found = self.machine.is_unread() && self.client(self.begun).take_reset();
        Some(Seen::Broken).filter(|_| found && !rules.breaks(Break::ResetForgotten))
    }

    /// The peek that a timeout requires.
    pub(super) fn look_for_the_clock(&mut self, rules: &Rules) -> Seen {
        if rules.breaks(Break::NoLook) {
            return Seen::Nothing;
        }
        match self.look(rules) {
            Seen::Nothing if rules.breaks(Break::NothingTakenForFin) => Seen::Fin,
            Seen::Data if rules.breaks(Break::DataTakenForNothing) => Seen::Nothing,
            Seen::Fin if rules.breaks(Break::FinTakenForNothing) => Seen::Nothing,
            seen => seen,
        }
    }

    /// The writer has asked about its session; `before` is the machine at that time, and a write was `blocked` since then. Checks
    /// that no timeout was unfair.
    pub(super) fn check_clock(
        &mut self,
        rules: &Rules,
        before: &Machine,
        blocked: Option<Instant>,
        when: When,
    ) -> Checked {
        if self.drained && when >= When::Far {
            if !self.machine.is_stopping() {
                return Err(Check::Overtime);
            }
            self.stopped = true;
        }
        let session = self.writer.session as u64;
        if !before.is_live(session) {
            return Ok(());
        }
        let live = self.machine.is_live(session);
        if live && when == When::Farther {
            return Err(Check::Overtime);
        }
        let had_moment = before.latest.spared >= rules.moment();
        if live && had_moment && rules.config.idle && when != When::Now && blocked == Some(rules.past()) {
            return Err(Check::StillStalled);
        }
        let left = self.clients[self.facts[self.begun].client].upcoming() == Came::Fin;
        if live && self.machine.is_unasked() && left && (when >= When::Far || self.facts[self.begun].heard) {
            return Err(Check::LeftUnasked);
        }
        let timed_out = match self.machine.latest.phase.reason() {
            Some(Reason::Idle | Reason::Stalled | Reason::Gone) => true,
            // By a timeout: there was nothing to finish or to stop.
            Some(Reason::Reset) => {
                before.latest.phase == Phase::WriteFailed && !self.facts[self.begun].closed
            }
            _ => false,
        };
        if timed_out && !had_moment && !self.stopped && when != When::Farther {
            return Err(Check::NoMoment);
        }
        Ok(())
    }

    /// Without a call of `stop`, a server stops if it drains and its client has left. (For the end of its time, see `check_clock`.)
    pub(super) fn check_drain(&mut self) -> Checked {
        let left = self.begun == 0 || self.facts[self.begun].ended;
        let stops = self.machine.is_stopping();
        if stops && !self.stopped && !(self.drained && left) {
            return Err(Check::StoppedTooSoon);
        }
        if self.drained && left && !stops {
            return Err(Check::NotStopped);
        }
        self.stopped |= stops;
        Ok(())
    }

    /// A timeout has ended the latest session. Its client must not have unread bytes.
    pub(super) fn check_timeout(&self, report: &Report) -> Checked {
        let upcoming = self.clients[self.facts[self.begun].client].upcoming();
        let arrived = !report.complete && matches!(upcoming, Came::Byte(_) | Came::Fin);
        if report.reason == Reason::Idle && arrived {
            return Err(Check::NotIdle);
        }
        if report.reason == Reason::Gone && !report.complete && !arrived {
            return Err(Check::NotGone);
        }
        // Its bytes were not asked for, and it has left: this was seen, and is not concluded from the time.
        if report.reason == Reason::Gone && self.was_unasked() && arrived && upcoming == Came::Fin {
            return Err(Check::LeftUnasked);
        }
        Ok(())
    }

    /// Whether the application has yet to ask for the bytes of the latest session, live or not.
    pub(super) fn was_unasked(&self) -> bool {
        self.machine.read_on_demand && self.machine.is_unstarted()
    }

    /// Only the next session changes the time at which the session timeout begins.
    pub(super) fn check_beginning(&self, rules: &Rules, begun: usize) -> Checked {
        let began = [rules.past(), rules.long_ago()];
        if self.begun == begun && !began.contains(&self.machine.latest.began) {
            return Err(Check::Overtime);
        }
        Ok(())
    }

    /// A thread peeks at the connection long after the other steps, so the application has had time to ask for the client's bytes.
    pub(super) fn pass_time(&mut self, rules: &Rules, when: When) {
        if self.machine.is_unasked() && when >= When::Far {
            self.facts[self.begun].heard = true;
            self.machine.latest.began = rules.long_ago();
        }
    }

    /// Sets all times back to the past. Only one fact matters: whether a grace period has been granted since a byte moved.
    pub(super) fn forget_times(&mut self, rules: &Rules) {
        let is_busy = self.machine.is_busy();
        self.facts[self.begun].heard &= self.machine.is_unasked();
        let began = if self.facts[self.begun].heard { rules.long_ago() } else { rules.past() };
        let latest = &mut self.machine.latest;
        let moved = latest.moved != rules.past();
        if moved || !is_busy || latest.spared < rules.moment() {
            latest.spared = rules.past();
            self.writer.fresh = false;
        } else if latest.spared > rules.moment() {
            latest.spared = rules.moment();
            self.writer.fresh = false;
        }
        latest.began = began;
        latest.moved = rules.past();
        latest.ended = rules.past();
        self.machine.life = match self.machine.life {
            Life::Running => Life::Running,
            Life::Draining(_) => Life::Draining(rules.base + DRAIN),
            Life::Stopping(_) => Life::Stopping(rules.base + LINGER),
        };
    }
}
