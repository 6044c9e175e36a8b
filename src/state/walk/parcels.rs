//! What the writer does, without the lock, with the items that it takes out of the inbox.

use super::breaks::Break;
use super::checks::{Check, Checked};
use super::config::Rules;
use super::world::{On, Parcel, World};
use super::writer::At;

impl World {
    /// Takes an item, and gathers more for the same session; takes none at the deadline.
    pub(super) fn take(&mut self, rules: &Rules, writes: bool) -> Checked {
        let session = self.writer.session;
        self.writer.at = At::Next;
        match self.next_parcel() {
            Some(Parcel::Byte(to, place)) if to == session && writes => {
                self.gather(rules, session, to, place)?;
                while let Some(&Parcel::Byte(to, place)) = self.inbox.first() {
                    if to != session {
                        break;
                    }
                    self.inbox.remove(0);
                    self.gather(rules, session, to, place)?;
                }
                self.writer.at = At::Write;
                self.writer.fresh = true;
            }
            Some(parcel @ Parcel::Byte(to, _)) if to > session => self.writer.held = Some(parcel),
            Some(parcel) => self.drop_parcel(parcel),
            None => {}
        }
        Ok(())
    }

    /// The item is about to be written: checks that it is the next one for this session.
    fn gather(&mut self, rules: &Rules, session: usize, to: usize, place: u8) -> Checked {
        if to != session {
            return Err(Check::Apart);
        }
        if usize::from(place) != usize::from(self.facts[session].written) + self.writer.gathered {
            return Err(Check::InOrder);
        }
        self.writer.gathered += 1;
        if rules.breaks(Break::RoomBeforeWritten) {
            self.machine.account.give_back(1, 1);
            self.notify(On::Room);
        }
        Ok(())
    }

    fn next_parcel(&mut self) -> Option<Parcel> {
        let held = self.writer.held.take();
        held.or_else(|| if self.inbox.is_empty() { None } else { Some(self.inbox.remove(0)) })
    }

    fn drop_parcel(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Byte(..) => {
                self.writer.done.messages += 1;
                self.writer.done.weight += 1;
            }
            Parcel::Wake => self.writer.done.woken = true,
        }
    }

    pub(super) fn write(&mut self, rules: &Rules) -> Checked {
        let session = self.writer.session;
        let rest = self.writer.gathered - self.writer.written;
        let client = self.client(session);
        if client.shut {
            self.written_off(rules); // the slot has dropped the connection
            return Ok(());
        }
        match client.write(rest, &rules.config) {
            None => {
                self.writer.at = At::Failed;
                let failed_before = std::mem::replace(&mut self.facts[session].write_failed, true);
                if failed_before {
                    return Err(Check::WroteOn);
                }
            }
            Some(count) => {
                let facts = &mut self.facts[session];
                facts.written += count as u8;
                if facts.written > facts.accepted {
                    return Err(Check::Apart);
                }
                self.writer.done.sent += count as u64;
                self.writer.written += count;
                self.writer.fresh |= count > 0;
                self.writer.at = At::GoOn;
                if count == rest {
                    self.written_off(rules);
                }
            }
        }
        Ok(())
    }

    /// The gathered messages have been written, or will not be.
    pub(super) fn written_off(&mut self, rules: &Rules) {
        let writer = &mut self.writer;
        if !rules.breaks(Break::RoomBeforeWritten) {
            writer.done.messages += writer.gathered;
            writer.done.weight += writer.gathered;
        }
        writer.gathered = 0;
        writer.written = 0;
        writer.at = At::Next;
    }

    /// Drops the messages left in the inbox for a session that has ended.
    pub(super) fn discard(&mut self, rules: &Rules) {
        if rules.breaks(Break::LeftoversKept) {
            return;
        }
        let session = self.writer.session;
        while let Some(parcel) = self.next_parcel() {
            match parcel {
                Parcel::Byte(to, _) if to > session && !rules.breaks(Break::NextOnesDiscarded) => {
                    self.writer.held = Some(parcel);
                    return;
                }
                parcel => self.drop_parcel(parcel),
            }
        }
    }
}
