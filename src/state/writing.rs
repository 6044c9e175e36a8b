//! The writer's operations on the slot: get a session, and find out what to do next for it. The writer keeps the time.

use std::time::Instant;

use super::account::Output;
use super::deadlines::Verdict;
use super::effects::Close;
use super::machine::{Machine, Turn};
use super::phase::Event;
use super::slot::{Assignment, Slot};
use crate::values::seen::Seen;

/// What the writer has done since it last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Done {
    pub(crate) sent: u64,
    /// The memory and the number of the messages that were written or discarded.
    pub(crate) weight: usize,
    pub(crate) messages: usize,
    /// Whether a wake-up was taken out of the inbox.
    pub(crate) woken: bool,
}

/// What the writer does next for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Next {
    /// Wait for a message, at most until this time, and write it.
    Write(Option<Instant>),
    /// The same, but drop the message, because the connection is broken.
    Drop(Option<Instant>),
    /// The session has ended. Drop what is left in the inbox for it.
    End,
}

/// The steps, pure.
impl Machine {
    /// The writer asks for a session after the given one. Closes a lingering connection when its time is up.
    pub(crate) fn next_to_write(&mut self, last: u64, now: Instant) -> Turn {
        if self.latest.number > last {
            return Turn::Serve;
        }
        match self.lingers_until(now) {
            Some(until) if until <= now => {
                self.apply(self.latest.number, Event::Release, now);
                Turn::Again
            }
            None if self.is_stopping() => Turn::Exit,
            until => Turn::Wait(until),
        }
    }

    /// Accounts for the work that the writer has done for a session.
    pub(crate) fn settle(&mut self, session: u64, done: &Done, now: Instant) {
        if done.sent > 0 && self.is_live(session) {
            self.latest.sent += done.sent;
            self.latest.moved = now;
        }
        self.account.give_back(done.weight, done.messages);
        self.account.wake_queued &= !done.woken;
        self.effects.room |= done.messages > 0;
    }

    /// The writer asks what to do next for a session. A half-close, a finish or a stop happens once everything accepted before
    /// it has been written. `seen`: what a peek at the connection has shown, if there was one. Returns `None` if the writer
    /// must peek and ask again.
    pub(crate) fn next(&mut self, session: u64, seen: Option<Seen>, now: Instant) -> Option<Next> {
        self.end_drain(now);
        if self.is_live(session) {
            self.note(seen.unwrap_or(Seen::Nothing), now);
        }
        if self.is_live(session) && self.account.is_drained() {
            match self.account.output {
                Output::Finishing => self.apply(session, Event::Finish, now),
                _ if self.is_stopping() => self.apply(session, Event::Stop, now),
                // No FIN after bytes that were dropped: the answer would look complete.
                Output::HalfClosing if self.latest.phase.is_writable() => {
                    self.account.output = Output::HalfClosed;
                    self.effects.close = Some(Close::Half);
                }
                Output::HalfClosing | Output::Open | Output::HalfClosed => {}
            }
        }
        if !self.is_live(session) {
            return Some(Next::End);
        }
        match self.check_timeouts(None, seen, now) {
            Verdict::Look => None,
            _ if !self.is_live(session) => Some(Next::End),
            Verdict::Wait(until) if self.latest.phase.is_writable() => Some(Next::Write(until)),
            Verdict::Wait(until) => Some(Next::Drop(until)),
        }
    }

    /// A write has made no progress since then. Returns whether to continue it; `None` if the writer must peek and ask again.
    pub(crate) fn go_on(
        &mut self,
        session: u64,
        seen: Option<Seen>,
        since: Instant,
        now: Instant,
    ) -> Option<bool> {
        self.end_drain(now);
        if self.is_live(session) {
            self.note(seen.unwrap_or(Seen::Nothing), now);
        }
        if self.is_live(session) && self.check_timeouts(Some(since), seen, now) == Verdict::Look {
            return None;
        }
        Some(self.is_latest(session) && self.latest.phase.is_writable())
    }
}

/// The steps, under the lock.
impl Slot {
    /// Waits for a session after the given one, and meanwhile closes a lingering connection when its time is up. `None` when
    /// the server stops and the last connection is closed.
    pub(crate) fn next_to_write(&self, last: u64) -> Option<Assignment> {
        let mut state = self.lock();
        loop {
            match state.machine.next_to_write(last, Instant::now()) {
                Turn::Serve => return state.assignment(),
                Turn::Exit => return None,
                Turn::Wait(until) => state = self.turn.wait(state, until),
                Turn::Again => {
                    self.carry_out(state);
                    state = self.lock();
                }
            }
        }
    }

    /// Called once per batch: accounts for the work that the writer has done, and returns what to do next. Carries out a
    /// half-close, a finish or a stop if everything accepted before it has been written.
    pub(crate) fn next(&self, session: &Assignment, done: &Done) -> Next {
        let (number, now) = (session.number(), Instant::now());
        let mut state = self.lock();
        state.machine.settle(number, done, now);
        let mut seen = state.look_for_the_reader(number);
        let next = loop {
            match state.machine.next(number, seen, now) {
                None => seen = Some(state.look()),
                Some(next) => break next,
            }
        };
        self.carry_out(state);
        next
    }

    /// A write was blocked or partial, and has made no progress since then. Accounts for `sent` bytes, and checks
    /// the timeouts. Returns whether to keep writing.
    pub(crate) fn go_on(&self, session: &Assignment, sent: u64, since: Instant) -> bool {
        let (number, now) = (session.number(), Instant::now());
        let mut state = self.lock();
        state.machine.settle(number, &Done { sent, ..Done::default() }, now);
        let mut seen = state.look_for_the_reader(number);
        let goes_on = loop {
            match state.machine.go_on(number, seen, since, now) {
                None => seen = Some(state.look()),
                Some(goes_on) => break goes_on,
            }
        };
        self.carry_out(state);
        goes_on
    }

    /// Accounts for the messages that the writer has discarded.
    pub(crate) fn discarded(&self, done: &Done) {
        let mut state = self.lock();
        state.machine.settle(0, done, Instant::now());
        self.carry_out(state);
    }
}
