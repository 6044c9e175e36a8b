//! What has really happened in a session, recorded by the world outside the machine, and the checks of the server's reports.

use super::checks::{Check, Checked};
use super::client::{Place, Reset};
use super::config::{Policy, Rules};
use super::world::World;
use crate::state::effects::{Close, Effects};
use crate::values::signal::{Reason, Report};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    pub(super) client: usize,
    /// Bytes that the inbox has accepted, and how many of these the kernel has accepted.
    pub(super) accepted: u8,
    pub(super) written: u8,
    /// Bytes that the reader has delivered, and how many of these the application has received.
    pub(super) delivered: u8,
    pub(super) got: u8,
    /// Whether the application has received the client, and its end.
    pub(super) announced: bool,
    pub(super) told: bool,
    /// Whether the application has dropped its `Session` or its outbox.
    pub(super) forgotten: bool,
    /// Whether the application had time to ask for the client's bytes and did not.
    pub(super) heard: bool,
    /// Whether the application has asked for the client's bytes.
    pub(super) asked: bool,
    /// Whether the connection has been lent, and whether a thread of the server has touched it since.
    pub(super) lent: bool,
    pub(super) touched: bool,
    /// Whether the application has half-closed or finished the session, and whether it has ended it.
    pub(super) closed: bool,
    pub(super) finished: bool,
    pub(super) aborted: bool,
    /// Whether a write has failed.
    pub(super) write_failed: bool,
    /// Whether the busy flag has been cleared, and whether the port was open then.
    pub(super) freed: bool,
    pub(super) port_was_open: bool,
    pub(super) ended: bool,
    /// Whether the next session began before the reader reached this one, so this one is not announced.
    pub(super) missed: bool,
}

impl World {
    /// Whether bytes for that session must be accepted.
    pub(super) fn is_open_for(&self, session: usize) -> bool {
        !self.stopped
            && session == self.real_addressee()
            && !self.facts[session].closed
            && !self.facts[session].lent
    }

    /// The live session or, if there is none, the next one.
    pub(super) fn real_addressee(&self) -> usize {
        if self.begun > 0 && !self.facts[self.begun].ended {
            self.begun
        } else {
            self.begun + 1
        }
    }

    /// Messages that occupy room in the inbox.
    pub(super) fn outstanding(&self) -> usize {
        let bytes = self.inbox.iter().filter(|parcel| !matches!(parcel, super::world::Parcel::Wake)).count();
        bytes + self.writer.outstanding()
    }

    /// The latest session has ended: checks that its report is true.
    pub(super) fn check_report(&self, rules: &Rules, report: &Report, effects: &Effects) -> Checked {
        let session = self.machine.latest.number as usize;
        let facts = &self.facts[session];
        let client = &self.clients[facts.client];
        if facts.ended {
            return Err(Check::OneEnd);
        }
        if report.sent > u64::from(facts.written) {
            return Err(Check::CountedElsewhere);
        }
        if report.sent + report.discarded != u64::from(facts.accepted) {
            return Err(Check::SentAndDiscarded);
        }
        if report.received != u64::from(facts.delivered) {
            return Err(Check::Received);
        }
        // A failed write may have consumed the reset, and the reader then sees what looks like a FIN.
        if report.complete && (!client.fin || client.read < client.sent) && !facts.write_failed {
            return Err(Check::FalselyComplete);
        }
        let caused = match report.reason {
            Reason::ClientClosed => {
                // Without the application, if it had time to ask for the bytes of a client that leaves and did not.
                (facts.finished || (self.was_unasked() && facts.heard)) && report.complete && client.fin
            }
            Reason::Finished => facts.finished,
            Reason::Aborted => facts.aborted,
            Reason::Reset => client.reset == Reset::Reported,
            Reason::Idle | Reason::Stalled => rules.config.idle,
            Reason::Gone => rules.config.close,
            Reason::TimeUp => rules.config.session,
            Reason::Replaced => rules.config.policy == Policy::Replace && !self.drained,
            Reason::Stopped => self.stopped,
        };
        let by_nobody = matches!(report.reason, Reason::ClientClosed | Reason::Reset);
        let by_silence = matches!(report.reason, Reason::Idle | Reason::Stalled | Reason::Gone);
        if !caused || (facts.lent && (by_nobody || by_silence)) || facts.lent != report.lent {
            return Err(Check::WithoutCause);
        }
        self.check_timeout(report)?;
        if matches!(report.reason, Reason::ClientClosed | Reason::Finished) && report.discarded > 0 {
            return Err(Check::CutShort);
        }
        if facts.lent && report.reason != Reason::Finished && effects.close != Some(Close::Whole) {
            return Err(Check::NotTakenBack);
        }
        if report.reason == Reason::Finished && effects.close != Some(Close::Half) {
            return Err(Check::CutShort);
        }
        Ok(())
    }

    /// The application receives the end of a session.
    pub(super) fn tell_end(&mut self, session: usize) -> Checked {
        let facts = &mut self.facts[session];
        if !facts.announced || facts.told || facts.forgotten {
            return Err(Check::OneEnd);
        }
        if facts.got < facts.delivered {
            return Err(Check::ToldTooSoon);
        }
        facts.told = true;
        Ok(())
    }

    /// The application receives a client.
    pub(super) fn tell_client(&mut self, session: usize) -> Checked {
        let unfinished = |facts: &Facts| facts.announced && !facts.told && !facts.forgotten;
        if self.facts[session].announced || self.facts[session].missed || self.facts.iter().any(unfinished) {
            return Err(Check::OneEnd);
        }
        self.facts[session].announced = true;
        Ok(())
    }

    /// The application takes a byte out of the outbox. `open` is its open session.
    pub(super) fn tell_byte(&mut self, open: usize, session: usize, place: u8) -> Checked {
        let facts = &mut self.facts[session];
        if facts.forgotten {
            return Ok(());
        }
        if facts.told {
            return Err(Check::ToldTooSoon);
        }
        if open != session {
            return Err(Check::Apart);
        }
        if place != facts.got {
            return Err(Check::InOrder);
        }
        facts.got += 1;
        Ok(())
    }

    /// Whether everything that the clients have done has been handled.
    pub(super) fn are_clients_gone(&self) -> bool {
        self.clients.iter().all(|client| client.is_gone() || client.place == Place::Away)
    }
}
