//! What the acceptor remembers of the newcomers that it has met. A plain value of the acceptor thread; the time is an argument.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::state::accepting::{Newcomer, Patience};

/// How long a newcomer waits for the reader if something is unread. A client that closes and reconnects at once can arrive
/// before the reader has seen its FIN. The acceptor looks for the FIN itself, but data may lie before it.
const UNREAD: Duration = Duration::from_millis(5);
/// How long a newcomer waits if nothing is unread. The network or the kernel can let a new connection overtake a FIN.
const REORDERED: Duration = Duration::from_micros(500);
/// A newcomer that comes this soon after a refusal does not wait for an overtaken FIN: in a burst, each refusal must be quick.
const BURST: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Recent {
    refused: Option<Instant>,
    /// A newcomer has waited for the slot of this session until the handover time was over. No other newcomer waits for it until
    /// then; otherwise each client in the backlog would wait for that time, one after the other.
    missed: Option<(u64, Instant)>,
}

impl Recent {
    /// A newcomer that has met a live session now.
    pub(super) fn newcomer(&self, ip: IpAddr, handover: Duration, now: Instant) -> Newcomer {
        Newcomer {
            ip,
            since: now,
            patience: Patience {
                leaving: handover,
                unread: UNREAD.min(handover),
                present: REORDERED.min(handover),
            },
            in_burst: self.refused.map_or(false, |last| now < last + BURST),
            missed: self.missed.filter(|(_, until)| now < *until).map(|(session, _)| session),
        }
    }

    /// That newcomer is refused now, because it has not got the slot of this session.
    pub(super) fn refuse(&mut self, newcomer: &Newcomer, session: u64, now: Instant) {
        self.refused = Some(now);
        let handover = newcomer.patience.leaving;
        if newcomer.missed != Some(session) && now - newcomer.since >= handover {
            self.missed = Some((session, now + handover));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MOMENT: Duration = Duration::from_millis(1);

    fn come(recent: &Recent, now: Instant) -> Newcomer {
        recent.newcomer([127, 0, 0, 1].into(), SECOND, now)
    }

    #[test]
    fn a_newcomer_soon_after_a_refusal_is_in_a_burst() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let first = come(&recent, start);
        assert!(!first.in_burst);
        recent.refuse(&first, 1, start);
        assert!(come(&recent, start + BURST - MOMENT).in_burst);
        assert!(!come(&recent, start + BURST).in_burst);
    }

    #[test]
    fn after_a_newcomer_has_waited_for_a_slot_others_do_not_for_one_handover_time() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let first = come(&recent, start);
        let refused = start + SECOND;
        recent.refuse(&first, 7, refused);
        let second = come(&recent, refused + MOMENT);
        assert_eq!(second.missed, Some(7));
        // It has not waited, so its refusal does not renew this.
        recent.refuse(&second, 7, refused + 2 * MOMENT);
        assert_eq!(come(&recent, refused + SECOND - MOMENT).missed, Some(7));
        assert_eq!(come(&recent, refused + SECOND).missed, None);
    }

    #[test]
    fn after_a_refusal_before_the_handover_time_is_over_the_next_newcomer_waits_as_well() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let first = come(&recent, start);
        recent.refuse(&first, 7, start + SECOND - MOMENT);
        assert_eq!(come(&recent, start + SECOND).missed, None);
    }

    #[test]
    fn a_newcomer_that_has_waited_for_the_slot_of_the_next_session_is_remembered() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let first = come(&recent, start);
        recent.refuse(&first, 7, start + SECOND);
        let second = come(&recent, start + SECOND + MOMENT);
        recent.refuse(&second, 8, start + 2 * SECOND + MOMENT);
        assert_eq!(come(&recent, start + 2 * SECOND + 2 * MOMENT).missed, Some(8));
    }

    #[test]
    fn no_newcomer_waits_longer_than_the_handover_time() {
        let recent = Recent::default();
        let patience = |handover| recent.newcomer([127, 0, 0, 1].into(), handover, Instant::now()).patience;
        let short = patience(MOMENT / 10);
        assert_eq!([short.leaving, short.unread, short.present], [MOMENT / 10; 3]);
        let long = patience(SECOND);
        assert_eq!([long.leaving, long.unread, long.present], [SECOND, UNREAD, REORDERED]);
    }
}
