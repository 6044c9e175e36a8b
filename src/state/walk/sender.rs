//! How a message gets into the inbox, as in `sending.rs`, and the second thread that sends.

use super::breaks::{Break, Call};
use super::checks::{Check, Checked};
use super::config::{Act, Rules, ROOM};
use super::world::{On, Parcel, Thread, World, ALL};
use crate::state::account::{Message, Offer, Output, Refused};
use crate::state::phase::Event;

/// A message that a sender offers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Offered {
    pub(super) message: Message,
    /// The session that the sender has named, or else the one that was live, or the next one, when it called.
    meant: usize,
    addressed: bool,
    may_wait: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sender {
    /// How many of its actions are done.
    done: usize,
    pub(super) waits: Option<Offered>,
}

const SELF: Thread = Thread::Sender;

impl World {
    pub(super) fn can_sender_run(&self, rules: &Rules) -> bool {
        match (&self.sender.waits, rules.config.sender.get(self.sender.done)) {
            (Some(_), _) => true,
            (None, Some(Act::TrySend | Act::Send)) => true,
            (None, Some(_)) => self.begun > 0,
            (None, None) => false,
        }
    }

    /// Addressed messages go to the first session.
    pub(super) fn run_sender(&mut self, rules: &Rules) -> Checked {
        let offered = match self.sender.waits.take() {
            Some(offered) => offered,
            None => {
                let act = rules.config.sender[self.sender.done];
                self.sender.done += 1;
                match act {
                    Act::TrySend | Act::Send => self.offered(None, act == Act::Send),
                    Act::TryReply | Act::Reply => self.offered(Some(1), act == Act::Reply),
                    Act::HalfClose => return self.close_output(rules, SELF, 1, Output::HalfClosing),
                    Act::Finish => return self.close_output(rules, SELF, 1, Output::Finishing),
                    _ => {
                        self.facts[1].aborted = true;
                        return self.apply(rules, SELF, 1, Event::Abort);
                    }
                }
            }
        };
        self.sender.waits = self.offer(rules, SELF, offered)?;
        Ok(())
    }

    /// Makes a new message. Its session is determined now.
    pub(super) fn offered(&self, to: Option<usize>, may_wait: bool) -> Offered {
        let meant = to.unwrap_or_else(|| self.real_addressee());
        let number = to.map_or_else(|| self.machine.addressee(), |to| to as u64);
        Offered { message: Message::new(number, 1, 1), meant, addressed: to.is_some(), may_wait }
    }

    /// Offers a message, perhaps again. Returns it if the sender must wait.
    pub(super) fn offer(
        &mut self,
        rules: &Rules,
        thread: Thread,
        mut offered: Offered,
    ) -> Checked<Option<Offered>> {
        if rules.breaks(Break::AddresseeAfterWaiting) && !offered.addressed {
            offered.message.to = self.machine.addressee();
        }
        let (meant, may_wait) = (offered.meant, offered.may_wait);
        let message = &mut offered.message;
        let answer = self.ask(rules, Call::Offer, |machine| machine.offer(message, may_wait));
        self.check_answer(answer, thread, message, meant)?;
        match answer {
            Offer::Wait => {
                self.sleep(thread, On::Room);
                return Ok(Some(offered)); // nothing is carried out
            }
            Offer::Refused(_) => {}
            Offer::Accepted => {
                if self.inbox.len() > ROOM {
                    return Err(Check::NoRoom);
                }
                let to = message.to as usize;
                self.inbox.push(Parcel::Byte(to, self.facts[to].accepted));
                self.facts[to].accepted += 1;
            }
        }
        self.carry_out(rules, thread)?;
        Ok(None)
    }

    fn check_answer(&self, answer: Offer, thread: Thread, message: &Message, meant: usize) -> Checked {
        let open = self.is_open_for(meant);
        let waiting = |other: &Thread| *other != thread && self.waits_for_room(*other);
        match answer {
            Offer::Accepted | Offer::Wait if message.to != meant as u64 => Err(Check::Addressee),
            Offer::Accepted | Offer::Wait if !open => Err(Check::AcceptedAfterEnd),
            Offer::Refused(Refused::Over) if open => Err(Check::RefusedThoughOpen),
            Offer::Refused(Refused::Stopped) if !self.stopped => Err(Check::RefusedThoughOpen),
            Offer::Refused(Refused::Full) if self.outstanding() < ROOM && !ALL.iter().any(waiting) => {
                Err(Check::RefusedThoughOpen)
            }
            _ => Ok(()),
        }
    }

    /// It has offered a message and must wait, though it may have been woken since.
    fn waits_for_room(&self, thread: Thread) -> bool {
        match thread {
            Thread::Sender => self.sender.waits.is_some(),
            Thread::Application => matches!(self.application.at, super::application::At::Send(_)),
            _ => false,
        }
    }
}
