//! What the slot does around the machine: a copy of `Slot::carry_out` and of what it calls, on the world.

use std::time::Duration;

use super::breaks::{Break, Call};
use super::checks::{Check, Checked};
use super::client::Place;
use super::config::{Policy, Rules, DRAIN, ROOM};
use super::world::{Item, On, Parcel, Thread, World};
use crate::state::account::Output;
use crate::state::effects::{Close, Effects};
use crate::state::machine::{Life, Machine};
use crate::state::phase::Event;

impl World {
    /// Takes a step of the machine. All steps go through here, so a break can change the machine before and after it.
    pub(super) fn ask<R>(&mut self, rules: &Rules, call: Call, step: impl FnOnce(&mut Machine) -> R) -> R {
        let broken = match rules.broken {
            None => return step(&mut self.machine),
            Some(broken) => broken,
        };
        let before = self.machine.clone();
        broken.before(call, &mut self.machine);
        let answer = step(&mut self.machine);
        broken.after(call, &before, &mut self.machine);
        answer
    }

    /// Carries out the effects of the machine's last step. The shutdown of the socket happens without the lock, so it is left
    /// to the thread's next step.
    pub(super) fn carry_out(&mut self, rules: &Rules, thread: Thread) -> Checked {
        let mut effects = self.machine.take_effects();
        if let Some(broken) = rules.broken {
            broken.effects(&mut effects, &self.machine);
        }
        let taken = match effects.close {
            Some(Close::Half) if self.slot.connection => effects.close,
            Some(Close::Whole | Close::Abort) if self.slot.connection => {
                self.slot.connection = false;
                effects.close
            }
            _ => None,
        };
        let client = self.facts[self.begun].client;
        self.closing[thread as usize] = taken.map(|how| (client, how));
        if effects.close == Some(Close::Half) {
            self.check_half_close(&effects)?;
        }
        if rules.breaks(Break::ShutdownUnderTheLock) && taken.is_some() {
            self.shut(rules, thread)?;
        }
        if effects.reopen {
            self.reopen(rules);
        }
        self.carry_out_end(rules, &effects)?;
        if effects.wake_writer {
            if self.inbox.len() > ROOM {
                return Err(Check::NoRoom);
            }
            self.inbox.push(Parcel::Wake);
        }
        if effects.wake_application {
            let dropped = self.outbox.ended || self.outbox.closed || !self.outbox.try_send(Item::Wake);
            if dropped && !rules.breaks(Break::DroppedWakeNotNoted) {
                self.machine.wake_dropped();
            }
        }
        if effects.room {
            self.notify(On::Room);
        }
        if effects.turn {
            self.notify(On::Turn);
        }
        if effects.change {
            self.notify(On::Change);
        }
        Ok(())
    }

    fn carry_out_end(&mut self, rules: &Rules, effects: &Effects) -> Checked {
        let report = match &effects.ended {
            Some(report) => report,
            None => return Ok(()),
        };
        self.check_report(rules, report, effects)?;
        let port_open = self.is_port_open() || self.drained || self.stopped;
        let facts = &mut self.facts[self.begun];
        facts.ended = true;
        facts.port_was_open = port_open;
        if !rules.breaks(Break::SignalBeforeFlag) {
            self.slot.busy = false;
            facts.freed = true;
        }
        // The signal is sent here. Its receivers must find the slot free.
        if self.slot.busy {
            return Err(Check::SignalBeforeFree);
        }
        Ok(())
    }

    /// The client gets a FIN: after everything accepted for it, unless the time of a stop is up.
    fn check_half_close(&self, effects: &Effects) -> Checked {
        let facts = &self.facts[self.begun];
        let called = facts.closed || self.stopped;
        let written = facts.written == facts.accepted || (self.stopped && effects.ended.is_some());
        if called && written {
            Ok(())
        } else {
            Err(Check::FinTooSoon)
        }
    }

    fn reopen(&mut self, rules: &Rules) {
        if rules.config.policy == Policy::Refuse && self.machine.is_accepting() && !self.slot.waker {
            self.listen_again();
        }
    }

    pub(super) fn listen_again(&mut self) {
        self.slot.waker = true;
        self.slot.listener = true;
    }

    /// The shutdown of a socket, without the lock. From now on the client sees the end.
    pub(super) fn shut(&mut self, rules: &Rules, thread: Thread) -> Checked {
        let (client, how) = match self.closing[thread as usize].take() {
            Some(closing) => closing,
            None => return Ok(()),
        };
        let client = &mut self.clients[client];
        match how {
            Close::Half => client.half_shut = true,
            Close::Whole | Close::Abort => client.shut = true,
        }
        let facts = match client.place {
            Place::Served(session) => &self.facts[session],
            _ => return Err(Check::Apart),
        };
        if how != Close::Half && !facts.freed {
            return Err(Check::SeenBeforeFree);
        }
        if facts.ended && rules.config.policy == Policy::Refuse && !facts.port_was_open {
            return Err(Check::SeenBeforePort);
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, rules: &Rules, thread: Thread, session: usize, event: Event) -> Checked {
        let now = rules.base;
        self.ask(rules, Call::Apply, |machine| machine.apply(session as u64, event, now));
        self.carry_out(rules, thread)
    }

    pub(super) fn close_output(
        &mut self,
        rules: &Rules,
        thread: Thread,
        session: usize,
        output: Output,
    ) -> Checked {
        if session == self.real_addressee() {
            self.facts[session].closed = true;
            self.facts[session].finished |= output == Output::Finishing;
        }
        self.ask(rules, Call::CloseOutput, |machine| machine.close_output(session as u64, output));
        self.carry_out(rules, thread)
    }

    pub(super) fn stop(&mut self, rules: &Rules, thread: Thread) -> Checked {
        let before = self.machine.life;
        // A second call must not grant more time.
        let now = rules.base + Duration::from_secs(u64::from(self.stopped));
        self.ask(rules, Call::Stop, |machine| machine.stop(now));
        self.stopped = true;
        if matches!(before, Life::Stopping(_)) && self.machine.life != before {
            return Err(Check::StopExtended);
        }
        self.close_port(rules, thread)
    }

    /// A second call must not grant more time.
    pub(super) fn drain(&mut self, rules: &Rules) -> Checked {
        let (now, before) = (rules.base, self.machine.life);
        let until = now + DRAIN + Duration::from_secs(u64::from(self.drained));
        self.ask(rules, Call::Drain, |machine| machine.drain(until, now));
        self.drained = true;
        if before != Life::Running && self.machine.life != before {
            return Err(Check::StopExtended);
        }
        self.close_port(rules, Thread::Control)
    }

    fn close_port(&mut self, rules: &Rules, thread: Thread) -> Checked {
        self.slot.listener = false;
        self.slot.waker = false;
        self.carry_out(rules, thread)
    }
}
