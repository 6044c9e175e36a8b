//! The application's thread, step by step: its own actions, and its reactions to messages from the outbox.

use super::breaks::{Break, Call};
use super::checks::{Check, Checked};
use super::client::Came;
use super::config::{Act, Rules};
use super::sender::Offered;
use super::world::{On, Thread, World};
use crate::state::account::Output;
use crate::state::lending::NotLent;
use crate::state::phase::Event;

/// The application's position in its loop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// Polls the outbox, drops the end that it holds, or does something else.
    #[default]
    Poll,
    /// The outbox was empty, or held a wake-up: asks the slot.
    Look { woken: bool },
    /// Waits for an item.
    Receive,
    /// Waits for room in the inbox.
    Send(Offered),
    /// Has passed its session's connection to a holder, and waits until the holder is done with it.
    Lent(usize),
    /// Has dropped its session, and finishes it.
    Finish(usize),
    /// Waits until a session has ended.
    WaitUntilEnded(usize),
    /// Has dropped the outbox, and stops the server.
    Stop,
    /// The outbox is disconnected.
    Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Application {
    pub(super) at: At,
    /// The session whose `Connected` it has received, and not its end; 0 for none.
    pub(super) open: usize,
    /// A `Connected` that was taken out of the channel before the end of the previous session was returned.
    pub(super) held: usize,
    /// The slot has said that nothing more of the open session will come into the channel.
    pub(super) told: bool,
    /// The `End` that it holds.
    pub(super) end: usize,
    /// How many more actions it may take.
    times: u8,
}

const SELF: Thread = Thread::Application;

impl Application {
    pub(super) fn new(times: u8) -> Application {
        Application { times, ..Application::default() }
    }

    /// The session that replies are for.
    fn client(&self) -> usize {
        self.open.max(self.end)
    }
}

impl World {
    pub(super) fn can_application_run(&self) -> bool {
        match self.application.at {
            At::Done => false,
            At::Receive => !self.outbox.items.is_empty() || self.outbox.ended,
            _ => true,
        }
    }

    pub(super) fn can_application_act(&self, act: Act) -> bool {
        let application = &self.application;
        let open = application.open != 0;
        if act == Act::StopServer {
            // Also while it waits, by the timeout of `recv_timeout`.
            return matches!(application.at, At::Poll | At::Receive) && application.end == 0;
        }
        if act == Act::HolderReads {
            let reads = |session: usize| {
                let client = &self.clients[self.facts[session].client];
                !client.shut && client.upcoming() != Came::Nothing
            };
            return matches!(application.at, At::Lent(session) if reads(session));
        }
        let free = application.at == At::Poll && !application.told && application.times > 0;
        free && match act {
            Act::TrySend | Act::Send => true,
            Act::TryReply | Act::Reply | Act::HalfClose | Act::Finish | Act::Abort | Act::Extend => {
                application.client() != 0
            }
            Act::Leave | Act::Close | Act::Lend => open,
            Act::StopServer | Act::HolderReads => false,
        }
    }

    pub(super) fn application_acts(&mut self, rules: &Rules, act: Act) -> Checked {
        if act == Act::HolderReads {
            if let At::Lent(session) = self.application.at {
                self.client(session).take_upcoming();
            }
            return Ok(());
        }
        self.application.times = self.application.times.saturating_sub(1);
        let client = self.application.client();
        match act {
            Act::TryReply | Act::Reply => return self.send(rules, Some(client), act == Act::Reply),
            Act::TrySend | Act::Send => return self.send(rules, None, act == Act::Send),
            Act::HalfClose => return self.close_output(rules, SELF, client, Output::HalfClosing),
            Act::Finish => return self.close_output(rules, SELF, client, Output::Finishing),
            Act::Abort => {
                self.facts[client].aborted = true;
                return self.apply(rules, SELF, client, Event::Abort);
            }
            Act::Extend => return self.extend(rules, client),
            Act::Lend => return self.lend(rules, client),
            Act::Leave => {
                self.application.open = 0;
                self.application.at = At::Finish(client);
            }
            Act::Close => {
                self.application.at = At::WaitUntilEnded(client);
                return self.close_output(rules, SELF, client, Output::Finishing);
            }
            Act::StopServer => {
                self.outbox.closed = true;
                self.outbox.items.clear();
                self.application.open = 0;
                self.application.held = 0;
                self.application.at = At::Stop;
            }
            Act::HolderReads => {}
        }
        if client == 0 {
            return Ok(());
        }
        self.want_nothing_more(rules, client)
    }

    fn want_nothing_more(&mut self, rules: &Rules, client: usize) -> Checked {
        self.facts[client].forgotten = true;
        self.facts[client].asked = true;
        self.ask(rules, Call::Look, |machine| machine.ask(client as u64));
        self.carry_out(rules, SELF)
    }

    /// Lends the connection of a session, if possible.
    fn lend(&mut self, rules: &Rules, session: usize) -> Checked {
        let now = rules.base;
        let refused = self.machine.may_lend(session as u64).err();
        let refused = refused.filter(|why| !(*why == NotLent::Asked && rules.breaks(Break::LentAfterAsked)));
        let facts = &mut self.facts[session];
        let unused = !facts.asked && facts.delivered == 0 && facts.accepted == 0 && !facts.closed;
        if let Some(why) = refused {
            return match why {
                NotLent::Asked | NotLent::InboxUsed | NotLent::AlreadyLent if unused && !self.stopped => {
                    Err(Check::RefusedThoughOpen)
                }
                _ => Ok(()),
            };
        }
        if !unused || facts.ended {
            return Err(Check::LentTooLate);
        }
        facts.lent = true;
        self.application.at = At::Lent(session);
        self.ask(rules, Call::Lend, |machine| machine.apply(session as u64, Event::Lend, now));
        self.carry_out(rules, SELF)
    }

    pub(super) fn run_application(&mut self, rules: &Rules) -> Checked {
        match self.application.at.clone() {
            At::Poll if self.application.end != 0 => {
                let end = std::mem::take(&mut self.application.end);
                self.close_output(rules, SELF, end, Output::Finishing)
            }
            At::Poll => self.poll(rules),
            At::Look { woken } => self.look_at_facts(rules, woken),
            At::Receive => self.receive(),
            At::Send(offered) => self.offer_again(rules, offered),
            At::Lent(session) => {
                self.application.open = 0;
                self.application.at = At::Finish(session);
                self.want_nothing_more(rules, session)
            }
            At::Finish(session) => {
                self.application.at = At::Poll;
                self.close_output(rules, SELF, session, Output::Finishing)
            }
            At::WaitUntilEnded(session) if self.facts[session].ended => {
                self.application.at = At::Poll;
                Ok(())
            }
            At::WaitUntilEnded(_) => {
                self.sleep(SELF, On::Change);
                Ok(())
            }
            At::Stop => {
                self.application.at = At::Done;
                self.stop(rules, SELF)
            }
            At::Done => Ok(()),
        }
    }

    fn extend(&mut self, rules: &Rules, client: usize) -> Checked {
        let now = rules.base;
        let (is_live, before) = (self.machine.is_live(client as u64), self.machine.latest.moved);
        let latest = rules.breaks(Break::ExtendsTheLatest);
        let session = if latest { self.machine.latest.number } else { client as u64 };
        self.ask(rules, Call::Extend, |machine| machine.extend(session, now));
        if self.machine.latest.moved != if is_live { now } else { before } {
            return Err(Check::NotExtended);
        }
        Ok(())
    }

    fn send(&mut self, rules: &Rules, to: Option<usize>, may_wait: bool) -> Checked {
        let offered = self.offered(to, may_wait);
        self.offer_again(rules, offered)
    }

    fn offer_again(&mut self, rules: &Rules, offered: Offered) -> Checked {
        self.application.at = match self.offer(rules, SELF, offered)? {
            Some(waits) => At::Send(waits),
            None => At::Poll,
        };
        Ok(())
    }
}
