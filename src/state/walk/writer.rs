//! The writer thread, step by step, as in `threads/writer.rs` and `writing.rs`.

use std::time::Instant;

use super::breaks::{Break, Call};
use super::checks::Checked;
use super::config::Rules;
use super::step::When;
use super::world::{On, Parcel, Thread, World};
use crate::state::machine::Turn;
use crate::state::phase::{Event, Phase};
use crate::state::writing::{Done, Next};

/// The writer's position in its loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// Asks for a session.
    #[default]
    Attend,
    /// Asks what to do next.
    Next,
    /// Waits for an item, which it writes or drops.
    Take {
        writes: bool,
    },
    Write,
    /// A write was blocked or partial.
    GoOn,
    /// A write has failed.
    Failed,
    /// Discards the messages left for the session, without the lock, and accounts for them.
    Discard,
    Discarded,
    Exited,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Writer {
    pub(super) at: At,
    pub(super) session: usize,
    /// Whether it waits with a deadline.
    pub(super) timed: bool,
    /// Whether the write has made progress since the grace period began.
    pub(super) fresh: bool,
    pub(super) held: Option<Parcel>,
    /// How many messages are being written, and how many of them have been written.
    pub(super) gathered: usize,
    pub(super) written: usize,
    pub(super) done: Done,
}

const SELF: Thread = Thread::Writer;

impl Writer {
    /// Messages that it holds and has not accounted for.
    pub(super) fn outstanding(&self) -> usize {
        usize::from(self.held.is_some()) + self.gathered + self.done.messages
    }

    /// It waits for an item, and there is none.
    pub(super) fn waits(&self, inbox: &[Parcel]) -> bool {
        matches!(self.at, At::Take { .. }) && self.held.is_none() && inbox.is_empty()
    }
}

impl World {
    /// At which times the writer can take its next step.
    pub(super) fn writer_times(&self, rules: &Rules, times: &mut Vec<When>) {
        let lingers = matches!(self.machine.latest.phase, Phase::Lingering(_));
        let far =
            rules.has_timeouts() || rules.config.read_on_demand || self.drained || self.stopped || lingers;
        let waits = self.is_asleep(SELF) || self.writer.waits(&self.inbox);
        match self.writer.at {
            At::Exited => {}
            _ if waits && self.writer.timed => times.push(When::Far),
            _ if waits => {}
            At::Attend | At::Next | At::GoOn if far => times.extend([When::Now, When::Far]),
            _ => times.push(When::Now),
        }
        if rules.config.session && times.contains(&When::Far) {
            times.push(When::Farther);
        }
    }

    pub(super) fn run_writer(&mut self, rules: &Rules, when: When) -> Checked {
        self.asleep[SELF as usize] = None;
        self.writer.timed = false;
        match self.writer.at {
            At::Attend => self.next_to_write(rules, when),
            At::Next => self.next(rules, when),
            At::Take { writes } => self.take(rules, writes),
            At::Write => self.write(rules),
            At::GoOn => self.go_on(rules, when),
            At::Failed if rules.breaks(Break::FailedWriteRetried) => self.write(rules),
            At::Failed => {
                self.written_off(rules);
                if rules.breaks(Break::FailedWriteForgotten) {
                    return Ok(());
                }
                self.apply(rules, SELF, self.writer.session, Event::Broken)
            }
            At::Discard => {
                self.writer.at = At::Discarded;
                self.discard(rules);
                Ok(())
            }
            At::Discarded => {
                let done = std::mem::take(&mut self.writer.done);
                self.writer.at = At::Attend;
                self.settle(rules, 0, &done, rules.base);
                self.carry_out(rules, SELF)
            }
            At::Exited => Ok(()),
        }
    }

    fn next_to_write(&mut self, rules: &Rules, when: When) -> Checked {
        let (last, now) = (self.writer.session as u64, when.time(rules));
        match self.ask(rules, Call::NextToWrite, |machine| machine.next_to_write(last, now)) {
            Turn::Serve => {
                self.writer.session = self.begun;
                self.writer.at = At::Next;
                Ok(())
            }
            Turn::Exit => {
                self.writer.at = At::Exited;
                Ok(())
            }
            Turn::Wait(until) => {
                self.writer.timed = until.is_some();
                self.sleep(SELF, On::Turn);
                Ok(())
            }
            Turn::Again => self.carry_out(rules, SELF),
        }
    }

    /// Whether it would only wait. It then knows the deadline.
    pub(super) fn writer_rests(&mut self, rules: &Rules) -> bool {
        match self.machine.clone().next_to_write(self.writer.session as u64, rules.base) {
            Turn::Wait(until) => {
                self.writer.timed = until.is_some();
                true
            }
            _ => false,
        }
    }

    fn settle(&mut self, rules: &Rules, session: u64, done: &Done, now: Instant) {
        self.ask(rules, Call::Settle(session, done.sent), |machine| machine.settle(session, done, now));
    }

    fn next(&mut self, rules: &Rules, when: When) -> Checked {
        let (session, now) = (self.writer.session as u64, when.time(rules));
        let done = std::mem::take(&mut self.writer.done);
        self.settle(rules, session, &done, now);
        self.pass_time(rules, when);
        let before = self.machine.clone();
        let mut seen = self.look_for_the_reader(rules);
        let next = loop {
            match self.ask(rules, Call::Next, |machine| machine.next(session, seen, now)) {
                None => seen = Some(self.look_for_the_clock(rules)),
                Some(next) => break next,
            }
        };
        self.check_clock(rules, &before, None, when)?;
        let (at, until) = match next {
            Next::Write(until) => (At::Take { writes: true }, until),
            Next::Drop(until) if rules.breaks(Break::WritesAfterFailure) => {
                (At::Take { writes: true }, until)
            }
            Next::Drop(until) => (At::Take { writes: false }, until),
            Next::End => (At::Discard, None),
        };
        self.writer.at = at;
        self.writer.timed = until.is_some() && !rules.breaks(Break::NoDeadline);
        self.carry_out(rules, SELF)
    }

    fn go_on(&mut self, rules: &Rules, when: When) -> Checked {
        let (session, now) = (self.writer.session as u64, when.time(rules));
        let sent = std::mem::take(&mut self.writer.done.sent);
        self.settle(rules, session, &Done { sent, ..Done::default() }, now);
        let since = if self.writer.fresh { rules.base } else { rules.past() };
        self.pass_time(rules, when);
        let before = self.machine.clone();
        let mut seen = self.look_for_the_reader(rules);
        let goes_on = loop {
            match self.ask(rules, Call::GoOn, |machine| machine.go_on(session, seen, since, now)) {
                None => seen = Some(self.look_for_the_clock(rules)),
                Some(goes_on) => break goes_on,
            }
        };
        self.check_clock(rules, &before, Some(since), when)?;
        if goes_on {
            self.writer.at = At::Write;
        } else {
            self.written_off(rules);
        }
        self.carry_out(rules, SELF)
    }
}
