//! The reader thread, step by step, as in `threads/reader.rs` and `reading.rs`.

use super::breaks::{Break, Call};
use super::checks::{Check, Checked};
use super::client::{Came, Client};
use super::config::Rules;
use super::world::{Item, On, Thread, World};
use crate::state::machine::Turn;
use crate::state::phase::Event;
use crate::state::reading::Received;

/// The reader's position in its loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// Asks for a session.
    #[default]
    Attend,
    Announce,
    /// Has announced the client; may wait until the application asks for its bytes.
    Announced,
    /// Reads.
    Read,
    /// Has read a byte.
    Got(u8),
    /// Waits for room for the item in the outbox.
    Put(Item),
    /// The outbox has accepted a byte for which it had no room at first.
    Delivered,
    Apply(Event),
    Exited,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    pub(super) at: At,
    /// The last session that it got.
    pub(super) session: usize,
}

const SELF: Thread = Thread::Reader;

impl World {
    pub(super) fn can_reader_run(&self) -> bool {
        match self.reader.at {
            At::Exited => false,
            At::Read => self.reader_client().upcoming() != Came::Nothing,
            At::Put(_) => self.outbox.closed || !self.outbox.is_full(),
            _ => true,
        }
    }

    fn reader_client(&self) -> &Client {
        &self.clients[self.facts[self.reader.session].client]
    }

    pub(super) fn run_reader(&mut self, rules: &Rules) -> Checked {
        let session = self.reader.session;
        match self.reader.at {
            At::Attend => self.attend(rules),
            At::Announce => self.put_out(rules, Item::Connected(session)),
            At::Announced => self.announced(rules),
            At::Read => self.read(rules),
            At::Got(place) => self.received(rules, place),
            At::Put(item) => {
                self.outbox.try_send(item);
                self.reader.at = match item {
                    Item::Connected(_) => At::Announced,
                    _ => At::Delivered,
                };
                Ok(())
            }
            At::Delivered => self.delivered(rules),
            At::Apply(event) => {
                let client = self.client(session);
                let (all, fin) = (client.read == client.sent, client.fin);
                let over = client.shut || client.reset != super::client::Reset::No;
                if event == Event::Fin && !over && !(all && fin) {
                    return Err(Check::FalselyComplete);
                }
                self.reader.at = At::Attend;
                self.apply(rules, SELF, session, event)
            }
            At::Exited => Ok(()),
        }
    }

    fn attend(&mut self, rules: &Rules) -> Checked {
        let last = self.reader.session as u64;
        match self.ask(rules, Call::Attend, |machine| machine.attend(last)) {
            Turn::Serve if rules.breaks(Break::EndedNotAnnounced) && !self.machine.is_busy() => {
                self.reader.session = self.begun;
            }
            Turn::Serve => {
                self.reader.session = self.begun;
                self.reader.at = At::Announce;
            }
            Turn::Exit => {
                self.outbox.ended = true;
                self.reader.at = At::Exited;
            }
            Turn::Wait(_) | Turn::Again => self.sleep(SELF, On::Turn),
        }
        Ok(())
    }

    /// Puts an item into the outbox and continues, all under one lock, or waits for room without the lock.
    fn put_out(&mut self, rules: &Rules, item: Item) -> Checked {
        if !self.outbox.try_send(item) {
            self.reader.at = At::Put(item);
            return Ok(());
        }
        match item {
            Item::Connected(_) => self.announced(rules),
            _ => self.delivered(rules),
        }
    }

    fn announced(&mut self, rules: &Rules) -> Checked {
        let waits = self.ask(rules, Call::MustBeAsked, |machine| machine.must_be_asked());
        if waits && !(self.machine.is_lent() && rules.breaks(Break::LentIsRead)) {
            self.reader.at = At::Announced;
            self.sleep(SELF, On::Change);
            return Ok(());
        }
        self.delivered(rules)
    }

    fn delivered(&mut self, rules: &Rules) -> Checked {
        let now = rules.base;
        let reads_on = self.ask(rules, Call::Delivered, |machine| machine.delivered(now));
        let reads_on = reads_on || rules.breaks(Break::ReadsOnWhenOver);
        if reads_on && !(self.slot.connection && self.reader.session == self.begun) {
            return Err(Check::ReadsOn);
        }
        self.reader.at = if reads_on { At::Read } else { At::Attend };
        self.carry_out(rules, SELF)
    }

    fn read(&mut self, rules: &Rules) -> Checked {
        let session = self.reader.session;
        let facts = self.facts[session];
        let unasked = rules.config.read_on_demand && !facts.asked && !facts.ended && !self.stopped;
        self.facts[session].touched |= facts.lent && !facts.ended;
        let came = self.client(session).take_upcoming();
        // A broken connection is read without a request.
        if unasked && matches!(came, Came::Byte(_)) && self.machine.is_open() {
            return Err(Check::NotAsked);
        }
        self.reader.at = match came {
            Came::Byte(place) => At::Got(place),
            Came::Failed if rules.breaks(Break::ReadErrorTakenForFin) => At::Apply(Event::Fin),
            Came::Failed => At::Apply(Event::ReadFailed),
            _ => At::Apply(Event::Fin),
        };
        Ok(())
    }

    fn received(&mut self, rules: &Rules, place: u8) -> Checked {
        let (session, now) = (self.reader.session, rules.base);
        match self.ask(rules, Call::Received, |machine| machine.received(1, now)) {
            Received::Deliver => {
                let facts = &mut self.facts[session];
                facts.delivered += 1;
                if facts.told {
                    return Err(Check::ToldTooSoon);
                }
                if facts.ended {
                    return Err(Check::Apart);
                }
                self.put_out(rules, Item::Byte(session, place))
            }
            Received::Discard => {
                self.reader.at = At::Read;
                Ok(())
            }
            Received::Stop => {
                self.reader.at = At::Attend;
                Ok(())
            }
        }
    }
}
