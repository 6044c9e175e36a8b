//! The queries of the machine. Nothing here changes it.

use std::time::Instant;

use super::machine::{Awaited, Life, Machine, Position, Session};
use super::phase::Phase;
use crate::values::signal::{Reason, Report};
use crate::values::traffic::Traffic;

impl Machine {
    /// Whether a client is being served.
    pub(super) fn is_busy(&self) -> bool {
        self.latest.phase.is_live()
    }

    /// Whether a newcomer may be served.
    pub(super) fn is_accepting(&self) -> bool {
        self.life == Life::Running
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.life, Life::Stopping(_))
    }

    pub(super) fn is_latest(&self, session: u64) -> bool {
        self.latest.number == session
    }

    pub(super) fn is_live(&self, session: u64) -> bool {
        self.is_latest(session) && self.is_busy()
    }

    /// Whether both directions of the latest session are open.
    pub(super) fn is_open(&self) -> bool {
        self.latest.phase == Phase::Open
    }

    /// Whether the connection of the latest session is lent.
    pub(super) fn is_lent(&self) -> bool {
        self.latest.phase == Phase::Lent
    }

    /// Whether a newcomer waits for the slot of this session.
    pub(super) fn is_awaited(&self, session: u64) -> bool {
        self.awaited == Awaited::Slot && self.is_live(session)
    }

    /// The session that unaddressed bytes are for: the live one or, if nobody is connected, the next.
    pub(super) fn addressee(&self) -> u64 {
        self.latest.number + u64::from(!self.is_busy())
    }

    /// Changes with everything that a newcomer may wait for.
    pub(super) fn progress(&self) -> (u64, Phase, bool) {
        (self.latest.received, self.latest.phase, self.is_stopping())
    }

    /// Whether the reader would not notice a reset of the live connection now, because it does not read.
    pub(super) fn is_unread(&self) -> bool {
        match self.latest.phase {
            Phase::Open => !self.is_reading(),
            Phase::ClientDone => true,
            Phase::WriteFailed | Phase::Lent | Phase::Lingering(_) | Phase::Over(_) => false,
        }
    }

    /// Whether the application has yet to ask for the bytes of the live client, which may not even have been announced.
    pub(super) fn is_unasked(&self) -> bool {
        self.read_on_demand && self.is_open() && self.is_unstarted()
    }

    /// Whether the reader has yet to begin reading: the client has not been announced, because the outbox is full of older
    /// sessions, or the application has yet to ask for its bytes.
    pub(super) fn is_unstarted(&self) -> bool {
        let read = [Position::Reading, Position::Delivering].map(|position| self.latest.at(position));
        !read.contains(&self.reader)
    }

    /// Whether the reader is reading the latest session's connection, or done with it.
    pub(super) fn is_reading(&self) -> bool {
        self.reader == self.latest.at(Position::Reading)
    }

    /// Whether no more bytes will come: the client will send nothing more, and the reader has queued everything it read.
    pub(super) fn is_exhausted(&self, session: u64) -> bool {
        let all_read = !self.is_latest(session) || !self.latest.phase.is_readable();
        let delivered = self.reader.session > session || self.reader.position == Position::Reading;
        all_read && delivered
    }

    /// How many bytes of the live session have moved.
    pub(super) fn traffic(&self) -> Traffic {
        let Session { received, sent, .. } = self.latest;
        Traffic { received, sent, queued: self.account.accepted.saturating_sub(sent) }
    }

    /// The report of the live session, as if it ended now.
    pub(super) fn report(&self, reason: Reason, now: Instant) -> Report {
        let Session { phase, peer, began, .. } = self.latest;
        let Traffic { received, sent, queued } = self.traffic();
        let complete = phase == Phase::ClientDone;
        let lasted = now.saturating_duration_since(began);
        let lent = phase == Phase::Lent;
        Report { peer, reason, complete, received, sent, discarded: queued, lent, lasted }
    }
}
