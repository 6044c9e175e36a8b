//! The application's end of the outbox, step by step, as in `handles/outbox.rs` and `receiving.rs`.

use super::application::At;
use super::breaks::{Break, Call};
use super::checks::{Check, Checked};
use super::config::Rules;
use super::world::{Item, Thread, World};

const SELF: Thread = Thread::Application;

impl World {
    pub(super) fn poll(&mut self, rules: &Rules) -> Checked {
        let held = std::mem::take(&mut self.application.held);
        if held != 0 {
            return self.connected(held);
        }
        if std::mem::take(&mut self.slot.woken) {
            return self.message();
        }
        if !self.outbox.items.is_empty() {
            return self.receive();
        }
        if self.outbox.ended {
            return self.disconnected(rules);
        }
        if self.application.told {
            return self.end_or(At::Receive);
        }
        self.application.at = At::Look { woken: false };
        Ok(())
    }

    fn disconnected(&mut self, rules: &Rules) -> Checked {
        if rules.breaks(Break::PendingEndLost) {
            self.application.at = At::Done;
            return Ok(());
        }
        self.end_or(At::Done)
    }

    /// Takes an item out of the channel.
    pub(super) fn receive(&mut self) -> Checked {
        if self.outbox.items.is_empty() {
            self.application.at = At::Poll; // disconnected
            return Ok(());
        }
        match self.outbox.items.remove(0) {
            Item::Wake => {
                self.application.at = At::Look { woken: true };
                Ok(())
            }
            Item::Byte(session, place) => {
                let forgotten = self.application.open == 0;
                self.tell_byte(self.application.open, session, place)?;
                if forgotten {
                    // Dropped; `poll` continues, and a wait begins again.
                    self.application.told &= self.application.at == At::Poll;
                    self.application.at = At::Poll;
                    return Ok(());
                }
                self.message()
            }
            Item::Connected(session) if self.application.open != 0 => {
                self.application.held = session;
                self.end_or(At::Done)
            }
            Item::Connected(session) => self.connected(session),
        }
    }

    fn connected(&mut self, session: usize) -> Checked {
        self.application.open = session;
        self.tell_client(session)?;
        self.message()
    }

    /// Returns the end of the open session; without one, continues elsewhere.
    fn end_or(&mut self, at: At) -> Checked {
        let open = std::mem::take(&mut self.application.open);
        if open == 0 {
            self.application.told = false;
            self.application.at = at;
            return Ok(());
        }
        self.application.end = open;
        self.tell_end(open)?;
        self.message()
    }

    /// A message has been returned.
    fn message(&mut self) -> Checked {
        self.application.told = false;
        self.application.at = At::Poll;
        Ok(())
    }

    pub(super) fn look_at_facts(&mut self, rules: &Rules, woken: bool) -> Checked {
        let open = self.application.open;
        let session = Some(open as u64).filter(|_| open != 0);
        if self.outbox.closed {
            return Err(Check::OneEnd);
        }
        self.facts[open].asked = true;
        let told = self.ask(rules, Call::Look, |machine| machine.look(session, woken));
        self.application.told = told;
        self.application.at = if told || woken { At::Poll } else { At::Receive };
        self.carry_out(rules, SELF)?;
        if told && rules.breaks(Break::ChannelNotLookedAtAgain) {
            return self.end_or(At::Receive);
        }
        Ok(())
    }
}
