//! The phases of a session, and the table of its transitions. Pure: no lock, no socket, no clock.
//!
//! The machine calls [`Phase::after`] for the thread that has detected an event. Nothing else changes a phase.

use crate::values::signal::Reason;

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Both directions are open.
    Open,
    /// The client has closed its side. The application may still answer.
    ClientDone,
    /// The connection broke, and a thread other than the reader noticed. The kernel reports a reset only once, to the first
    /// call that fails; the bytes that the client sent before can still be read. Nothing more is written, and the session ends
    /// when the reader has read everything.
    WriteFailed,
    /// The application has lent the connection to another holder, which reads from it and writes to it. The server does not
    /// touch it, and cannot see whether the client is still connected.
    Lent,
    /// The server has closed its side after its last byte, and the slot is free. The reader discards what the client still
    /// sends: closing a socket with unread data sends a RST, which can destroy an answer that is still in transit.
    Lingering(Reason),
    /// The connection is closed.
    Over(Reason),
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The reader has read the client's FIN.
    Fin,
    /// A read failed.
    ReadFailed,
    /// A write failed, or a thread that does not read has found the connection dead.
    Broken,
    /// The application finishes the session, and everything accepted for it has been written.
    Finish,
    /// The server stops, and everything accepted for the session has been written, or the time for that is up.
    Stop,
    /// No byte has moved for the idle timeout.
    Idle,
    /// The client has read no byte for the idle timeout.
    Stalled,
    /// No byte has moved for the close timeout since the client closed its side.
    Gone,
    /// The session has lasted for the session timeout.
    TimeUp,
    /// The application lends the connection.
    Lend,
    /// A newcomer takes the slot.
    Replace,
    /// The application aborts the session.
    Abort,
    /// The time of a lingering connection is up, or the next client is about to be served.
    Release,
}

impl Phase {
    /// The phase that follows. An event without an effect leaves the phase as it is.
    #[must_use]
    pub(crate) fn after(self, event: Event) -> Phase {
        use Event::*;
        use Phase::*;
        match (self, event) {
            (Open, Fin) => ClientDone,
            (Open | ClientDone | WriteFailed, ReadFailed) => Over(Reason::Reset),
            (WriteFailed, Fin) => Over(Reason::Reset),

            (Open, Broken) => WriteFailed,
            (ClientDone, Broken) => Over(Reason::Reset), // everything has been read already

            (Open, Finish) => Lingering(Reason::Finished),
            (ClientDone, Finish) => Over(Reason::ClientClosed), // both sides have closed
            (Open, Stop) => Lingering(Reason::Stopped),
            (ClientDone, Stop) => Over(Reason::Stopped),

            (Open | ClientDone, Idle) => Over(Reason::Idle),
            (Open | ClientDone, Stalled) => Over(Reason::Stalled),
            (Open | ClientDone, Gone) => Over(Reason::Gone),
            (Open | ClientDone, TimeUp) => Over(Reason::TimeUp),
            (WriteFailed, Finish | Stop | Idle | Stalled | Gone | TimeUp) => Over(Reason::Reset),

            (Open, Lend) => Lent,
            (Lent, Finish) => Lingering(Reason::Finished),
            (Lent, Stop) => Over(Reason::Stopped), // what its holder still writes is not waited for
            (Lent, TimeUp) => Over(Reason::TimeUp),

            (Open | ClientDone | WriteFailed | Lent, Replace) => Over(Reason::Replaced),
            (Open | ClientDone | WriteFailed | Lent, Abort) => Over(Reason::Aborted),

            (Lingering(reason), Fin | ReadFailed | Abort | Release) => Over(reason),
            (unchanged, _) => unchanged,
        }
    }

    /// The session holds the slot.
    pub(crate) fn is_live(self) -> bool {
        self.reason().is_none()
    }

    /// Bytes of the client may still come or, of a lent connection, go to somebody else.
    pub(crate) fn is_readable(self) -> bool {
        matches!(self, Phase::Open | Phase::WriteFailed | Phase::Lent)
    }

    /// Bytes for the client can still be sent.
    pub(crate) fn is_writable(self) -> bool {
        matches!(self, Phase::Open | Phase::ClientDone)
    }

    /// Why the session has ended; `None` while it is live.
    pub(crate) fn reason(self) -> Option<Reason> {
        match self {
            Phase::Lingering(reason) | Phase::Over(reason) => Some(reason),
            Phase::Open | Phase::ClientDone | Phase::WriteFailed | Phase::Lent => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASONS: [Reason; 10] = [
        Reason::ClientClosed,
        Reason::Reset,
        Reason::Idle,
        Reason::Stalled,
        Reason::Gone,
        Reason::TimeUp,
        Reason::Replaced,
        Reason::Finished,
        Reason::Aborted,
        Reason::Stopped,
    ];

    fn phases() -> Vec<Phase> {
        let ended = |reason| [Phase::Lingering(reason), Phase::Over(reason)];
        let live = [Phase::Open, Phase::ClientDone, Phase::WriteFailed, Phase::Lent];
        live.into_iter().chain(REASONS.into_iter().flat_map(ended)).collect()
    }

    const EVENTS: [Event; 13] = [
        Event::Fin,
        Event::ReadFailed,
        Event::Broken,
        Event::Finish,
        Event::Stop,
        Event::Idle,
        Event::Stalled,
        Event::Gone,
        Event::TimeUp,
        Event::Lend,
        Event::Replace,
        Event::Abort,
        Event::Release,
    ];

    /// The rows of the guide's table, as pairs of an event's name and its cells.
    fn table() -> Vec<(String, Vec<String>)> {
        let page = include_str!("../guide/protocol.md");
        let rows = page.lines().skip_while(|line| !line.starts_with("| event |")).skip(2);
        rows.take_while(|line| line.starts_with('|'))
            .map(|line| {
                let mut cells: Vec<String> =
                    line.trim_matches('|').split('|').map(|c| c.trim().to_string()).collect();
                let event = cells.remove(0);
                (event, cells)
            })
            .collect()
    }

    fn named(event: Event) -> String {
        format!("`{event:?}`")
    }

    /// How the table writes what an event does to a phase.
    fn cell(before: Phase, event: Event) -> String {
        match before.after(event) {
            after if after == before => "–".to_string(),
            Phase::Lingering(reason) => format!("Lingering: {reason:?}"),
            Phase::Over(reason) if before.reason() == Some(reason) => "Over".to_string(),
            Phase::Over(reason) => format!("Over: {reason:?}"),
            after => format!("{after:?}"),
        }
    }

    #[test]
    fn the_guide_shows_every_pair_of_phase_and_event() {
        let table = table();
        for event in EVENTS {
            let rows: Vec<_> = table.iter().filter(|(name, _)| name.starts_with(&named(event))).collect();
            assert_eq!(rows.len(), 1, "rows of {event:?}");
            let live = [Phase::Open, Phase::ClientDone, Phase::WriteFailed, Phase::Lent];
            let before = live.into_iter().chain([Phase::Lingering(Reason::Finished)]);
            let expected: Vec<String> = before.map(|phase| cell(phase, event)).collect();
            assert_eq!(rows[0].1, expected, "the row of {event:?}");
        }
        assert_eq!(table.len(), EVENTS.len(), "rows of the table");
    }

    #[test]
    fn a_session_that_is_over_stays_as_it_is() {
        for reason in REASONS {
            for event in EVENTS {
                assert_eq!(Phase::Over(reason).after(event), Phase::Over(reason), "{event:?}");
            }
        }
    }

    #[test]
    fn a_reason_never_changes() {
        for phase in phases() {
            for event in EVENTS {
                let (before, after) = (phase.reason(), phase.after(event).reason());
                assert!(before.is_none() || before == after, "{phase:?} after {event:?}: {after:?}");
            }
        }
    }

    #[test]
    fn only_an_open_or_lent_session_lingers_and_only_after_a_finish_or_a_stop() {
        for phase in phases() {
            for event in EVENTS {
                if phase.reason().is_none() && matches!(phase.after(event), Phase::Lingering(_)) {
                    assert!(matches!(phase, Phase::Open | Phase::Lent), "{phase:?}");
                    assert!(matches!(event, Event::Finish | Event::Stop), "{event:?}");
                }
            }
        }
    }

    #[test]
    fn events_of_its_connection_do_not_end_a_lent_session() {
        use Event::*;
        for event in EVENTS {
            let ends = Phase::Lent.after(event) != Phase::Lent;
            assert_eq!(ends, matches!(event, Finish | Stop | TimeUp | Replace | Abort), "{event:?}");
        }
    }

    #[test]
    fn a_session_never_returns_to_an_earlier_phase() {
        let rank = |phase| match phase {
            Phase::Open => 0,
            Phase::ClientDone | Phase::WriteFailed | Phase::Lent => 1,
            Phase::Lingering(_) => 2,
            Phase::Over(_) => 3,
        };
        for phase in phases() {
            for event in EVENTS {
                let after = phase.after(event);
                assert!(after == phase || rank(after) > rank(phase), "{phase:?} after {event:?}: {after:?}");
            }
        }
    }

    #[test]
    fn every_phase_can_be_ended_by_the_application_and_by_a_stop() {
        for phase in phases() {
            assert!(matches!(phase.after(Event::Abort), Phase::Over(_)), "{phase:?}");
            assert!(phase.after(Event::Stop).reason().is_some(), "{phase:?}");
            assert!(matches!(phase.after(Event::Stop).after(Event::Release), Phase::Over(_)), "{phase:?}");
        }
    }

    #[test]
    fn nothing_is_written_after_a_write_has_failed() {
        for event in EVENTS {
            assert!(!Phase::WriteFailed.after(event).is_writable(), "{event:?}");
        }
    }
}
