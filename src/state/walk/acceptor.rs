//! The acceptor thread, step by step, as in `threads/acceptor.rs`, `accepting.rs` and `listening.rs`.

use std::time::Duration;

use super::breaks::{Break, Call};
use super::checks::{Check, Checked};
use super::client::{Came, Place};
use super::config::{Policy, Rules};
use super::facts::Facts;
use super::step::When;
use super::world::{nobody, On, Thread, World};
use crate::state::accepting::{Meeting, Patience};
use crate::state::effects::Close;
use crate::values::seen::Seen;

/// The acceptor's position in its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// Under `Busy::Wait`: peeks at the live connection, and waits with its client until no other is served.
    Look(usize),
    WaitUntilFree(usize),
    /// Under `Busy::Refuse`: waits for the new listener.
    Fetch,
    Accept,
    /// A newcomer waits for the slot of a live session.
    Meet(usize),
    /// Under `Busy::Replace`: ends the live session.
    Replace(usize),
    /// Under `Busy::Refuse`: closes the port.
    Forget(usize),
    Begin(usize),
    Exited,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Acceptor {
    pub(super) at: At,
    pub(super) listener: bool,
    /// What it has seen when it peeked at the live connection, while a newcomer waits for the slot.
    pub(super) seen: Seen,
    /// The progress of a peek, which is one step unless a break splits it.
    look: Look,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Look {
    #[default]
    None,
    /// It peeks without the lock, at a connection that was unread or open.
    Begun(bool, bool),
    Done(Seen),
}

const SELF: Thread = Thread::Acceptor;

impl Acceptor {
    pub(super) fn new(policy: Policy) -> Acceptor {
        Acceptor { at: Acceptor::first(policy), listener: true, seen: Seen::Nothing, look: Look::None }
    }

    fn first(policy: Policy) -> At {
        match policy {
            Policy::Refuse => At::Fetch,
            Policy::Drop | Policy::Replace | Policy::Wait => At::Accept,
        }
    }
}

/// With grace, as in a quiet time; without, as in a burst of refusals.
pub(super) fn patience(rules: &Rules) -> Patience {
    let present = if rules.config.grace { Duration::from_micros(500) } else { Duration::ZERO };
    Patience { leaving: Duration::from_secs(1), unread: Duration::from_millis(5), present }
}

impl World {
    /// At which times the acceptor can take its next step.
    pub(super) fn acceptor_times(&self, times: &mut Vec<When>) {
        match self.acceptor.at {
            At::Meet(_) if self.is_asleep(SELF) => {
                // It checks often whether the reader has read the unread data.
                times.extend(Some(When::Now).filter(|_| self.acceptor.seen == Seen::Data));
                times.extend([When::Soon, When::Far]);
            }
            _ if self.is_asleep(SELF) => {}
            At::Exited => {}
            At::Accept if self.backlog.is_empty() && !self.stopped && !self.drained => {}
            At::Meet(_) | At::Look(_) => times.extend([When::Now, When::Far]),
            _ => times.push(When::Now),
        }
    }

    pub(super) fn run_acceptor(&mut self, rules: &Rules, when: When) -> Checked {
        self.asleep[SELF as usize] = None;
        self.pass_time(rules, when);
        match self.acceptor.at {
            At::Look(client) => {
                let seen = match self.acceptor_looks(rules) {
                    Some(seen) => seen,
                    None => return Ok(()),
                };
                self.machine.note(seen, when.time(rules));
                if self.has_left_unasked(rules, when) {
                    return Err(Check::LeftUnasked);
                }
                self.acceptor.at = At::WaitUntilFree(client);
                return self.carry_out(rules, SELF);
            }
            At::WaitUntilFree(_) if self.machine.is_busy() && self.machine.is_accepting() => {
                self.sleep(SELF, On::Change);
            }
            At::WaitUntilFree(client) => self.acceptor.at = At::Begin(client),
            At::Fetch => self.fetch(),
            At::Accept => self.accept(rules),
            At::Meet(client) => return self.meet(rules, client, when),
            At::Replace(client) => {
                let now = rules.base;
                self.acceptor.at = At::Begin(client);
                self.ask(rules, Call::Replace, |machine| machine.replace(now));
                return self.carry_out(rules, SELF);
            }
            At::Forget(client) => {
                self.acceptor.listener = false;
                self.slot.waker = false;
                self.refuse_backlog();
                self.acceptor.at = At::Begin(client);
            }
            At::Begin(client) => return self.begin(rules, client),
            At::Exited => {}
        }
        Ok(())
    }

    fn fetch(&mut self) {
        let stopping = !self.machine.is_accepting();
        if !self.acceptor.listener && !stopping {
            if !self.slot.listener && self.machine.is_busy() {
                return self.sleep(SELF, On::Change);
            }
            if !self.slot.listener {
                self.listen_again();
            }
            self.slot.listener = false;
            self.acceptor.listener = true;
        }
        self.acceptor.at = At::Accept;
    }

    fn accept(&mut self, rules: &Rules) {
        if !self.machine.is_accepting() {
            self.acceptor.listener = false;
            self.slot.waker = false;
            self.refuse_backlog();
            self.acceptor.at = At::Exited;
            return;
        }
        let client = self.backlog.remove(0);
        let policy = rules.config.policy;
        self.acceptor.at = match policy {
            Policy::Replace => At::Replace(client),
            Policy::Wait if rules.breaks(Break::WaitsForNobody) => At::Begin(client),
            Policy::Wait => At::Look(client),
            _ if self.slot.busy && !rules.breaks(Break::BusyFlagIgnored) => At::Meet(client),
            Policy::Refuse => At::Forget(client),
            Policy::Drop => At::Begin(client),
        };
    }

    fn refuse_backlog(&mut self) {
        for client in std::mem::take(&mut self.backlog) {
            self.clients[client].place = Place::Refused;
        }
    }

    /// A newcomer finds a live session, whose client may be leaving.
    fn meet(&mut self, rules: &Rules, client: usize, when: When) -> Checked {
        let seen = match self.acceptor_looks(rules) {
            Some(seen) => seen,
            None => return Ok(()),
        };
        let (start, now, patience) = (rules.base, when.time(rules), patience(rules));
        let meeting = self.ask(rules, Call::Meet, |machine| machine.meet(seen, start, patience, now));
        self.acceptor.seen = Seen::Nothing;
        match meeting {
            Meeting::Wait(_)
                if self.machine.has_effects() && !rules.breaks(Break::WaitsBeforeCarryingOut) => {}
            Meeting::Wait(_) => {
                self.acceptor.seen = seen;
                self.sleep(SELF, On::Change);
                return Ok(());
            }
            Meeting::Free if rules.config.policy == Policy::Refuse => self.acceptor.at = At::Forget(client),
            Meeting::Free => self.acceptor.at = At::Begin(client),
            Meeting::Busy if self.has_left_unasked(rules, when) => return Err(Check::LeftUnasked),
            Meeting::Busy => {
                self.clients[client].place = Place::Refused;
                self.acceptor.at = Acceptor::first(rules.config.policy);
            }
        }
        self.carry_out(rules, SELF)
    }

    /// Peeks at the live connection; `None` if that takes another step, because of a break.
    fn acceptor_looks(&mut self, rules: &Rules) -> Option<Seen> {
        let by_steps = rules.breaks(Break::LooksWithoutTheLock) && self.slot.connection;
        let seen = match std::mem::take(&mut self.acceptor.look) {
            Look::Done(seen) => return Some(seen),
            Look::None if by_steps => {
                self.acceptor.look = Look::Begun(self.machine.is_unread(), self.machine.is_open());
                return None;
            }
            Look::None => self.look(rules),
            Look::Begun(is_unread, is_open) => {
                let seen = self.look_as(rules, (is_unread, is_open));
                self.acceptor.look = Look::Done(seen);
                return None;
            }
        };
        match seen {
            Seen::Fin if rules.breaks(Break::AcceptorIgnoresFin) => Some(Seen::Nothing),
            seen => Some(seen),
        }
    }

    /// The application has had time to ask for it. (If the peek was not under the lock, the client may have left since.)
    fn has_left_unasked(&self, rules: &Rules, when: When) -> bool {
        let left = self.clients[self.facts[self.begun].client].upcoming() == Came::Fin;
        let late = when >= When::Far || self.facts[self.begun].heard;
        let late = late && !rules.breaks(Break::LooksWithoutTheLock);
        self.machine.is_unasked() && left && late
    }

    fn begin(&mut self, rules: &Rules, client: usize) -> Checked {
        let now = rules.base;
        self.acceptor.at = Acceptor::first(rules.config.policy);
        if rules.config.policy == Policy::Refuse && self.is_port_open() {
            return Err(Check::PortOpen);
        }
        let busy = self.machine.is_busy();
        if !self.ask(rules, Call::Begin, |machine| machine.begin(nobody(), now)) {
            self.clients[client].place = Place::Refused;
            return Ok(());
        }
        if busy {
            return Err(Check::OneLive);
        }
        if self.drained {
            return Err(Check::AcceptedAfterDrain);
        }
        let before = self.facts[self.begun].client;
        let lingers = std::mem::replace(&mut self.slot.connection, true) && self.begun > 0;
        self.facts[self.begun].missed |= self.begun > 0 && self.reader.session < self.begun;
        self.begun += 1;
        let facts = &mut self.facts[self.begun];
        *facts = Facts { client, ..*facts };
        self.clients[client].place = Place::Served(self.begun);
        self.slot.busy = !rules.breaks(Break::BusyFlagNotSet);
        self.carry_out(rules, SELF)?;
        if lingers {
            self.closing[SELF as usize] = Some((before, Close::Whole));
        }
        Ok(())
    }
}
