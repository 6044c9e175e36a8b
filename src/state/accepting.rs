//! What the acceptor asks of the slot: whether it is free, and to give it to a client.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::account::Output;
use super::machine::{Awaited, Machine, Session};
use super::phase::{Event, Phase};
use super::record::Record;
use super::slot::{Served, Slot, State};
use crate::net::address::canonical;
use crate::net::connection::Connection;
use crate::values::seen::Seen;
use crate::values::signal::Signal;

/// How often the acceptor polls for the reader before it sleeps. If it slept at once, the reader would have to wake it, and in a
/// burst of newcomers that more than doubles the round trip of the served client.
const POLLS: u32 = 100;

/// How long a newcomer waits, depending on what the acceptor sees of the client that it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The client is leaving.
    pub(crate) leaving: Duration,
    /// Something is unread, and the FIN may be behind it.
    pub(crate) unread: Duration,
    /// There is no sign that it is leaving.
    pub(crate) present: Duration,
}

/// A newcomer that has met a live session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer {
    pub(crate) ip: IpAddr,
    pub(crate) since: Instant,
    pub(crate) patience: Patience,
    /// Others have been refused just now. Only one with the served client's address may be that client, and a look would disturb
    /// its connection.
    pub(crate) in_burst: bool,
    /// The session whose slot another newcomer has just waited for without success.
    pub(crate) missed: Option<u64>,
}

/// What a newcomer has met.
struct Met {
    session: u64,
    /// Whether the acceptor looks at the connection.
    looks: bool,
    patience: Patience,
}

/// The answer to the acceptor about a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Meeting {
    Free,
    Busy,
    /// Wait for a change, until then at most, and ask again.
    Wait(Instant),
}

/// The steps, pure.
impl Machine {
    /// Gives the slot, which is free, to a client. A lingering session ends here. Returns whether the server still accepts.
    pub(crate) fn begin(&mut self, peer: SocketAddr, now: Instant) -> bool {
        if !self.is_accepting() {
            return false;
        }
        self.latest = Session::new(self.latest.number + 1, Phase::Open, peer, now);
        self.effects.turn = true;
        true
    }

    /// Ends the live session for a newcomer. A client that is the last one stays: the newcomer will not be served.
    pub(crate) fn replace(&mut self, now: Instant) {
        if self.is_accepting() {
            self.apply(self.latest.number, Event::Replace, now);
        }
    }

    /// A newcomer may have met a live session. What it would wait for, and how long.
    fn met(&self, newcomer: &Newcomer) -> Met {
        let session = self.latest.number;
        let mut patience = newcomer.patience;
        if newcomer.missed == Some(session) {
            patience.leaving = Duration::ZERO;
        }
        if newcomer.in_burst {
            patience.present = Duration::ZERO;
        }
        Met { session, looks: !newcomer.in_burst || newcomer.ip == self.latest.peer.ip(), patience }
    }

    /// A newcomer has met a live session at `start`.
    pub(crate) fn meet(&mut self, seen: Seen, start: Instant, patience: Patience, now: Instant) -> Meeting {
        self.note(seen, now);
        self.awaited = Awaited::Nothing;
        if !self.is_busy() {
            return Meeting::Free;
        }
        let leaving =
            seen == Seen::Fin || self.latest.phase != Phase::Open || self.account.output == Output::Finishing;
        let until = match seen {
            _ if leaving => start + patience.leaving,
            Seen::Data => start + patience.unread,
            // Only the reader can tell, but not in a burst.
            Seen::Unknown if !patience.present.is_zero() => start + patience.unread,
            _ => start + patience.present,
        };
        if until <= now || !self.is_accepting() {
            return Meeting::Busy;
        }
        self.awaited = match seen {
            _ if leaving => Awaited::Slot,
            Seen::Data => Awaited::Reader,
            _ => Awaited::Nothing,
        };
        Meeting::Wait(until)
    }
}

/// The steps, under the lock.
impl Slot {
    /// A newcomer may have met a live session. Ends it if its client has left unasked, and waits until no client is served, or
    /// the server accepts no more clients.
    pub(crate) fn wait_until_free(&self) {
        let mut state = self.lock();
        let seen = state.look();
        state.machine.note(seen, Instant::now());
        // What was found must be carried out first.
        self.carry_out(state);
        state = self.lock();
        while state.machine.is_busy() && state.machine.is_accepting() {
            state = self.change.wait(state, None);
        }
    }

    /// A newcomer may have met a live session. Waits for its slot if its client may be leaving. Returns the session, and whether
    /// the slot is free.
    pub(crate) fn wait_for_handover(&self, newcomer: &Newcomer) -> (u64, bool) {
        let mut state = self.lock();
        let Met { session, looks, patience } = state.machine.met(newcomer);
        loop {
            let seen = if looks { state.look() } else { Seen::Nothing };
            state = match state.machine.meet(seen, newcomer.since, patience, Instant::now()) {
                // What was found must be carried out first: the reader or the application may wait for it.
                Meeting::Wait(_) if state.machine.has_effects() => {
                    self.carry_out(state);
                    self.lock()
                }
                Meeting::Wait(until) if seen == Seen::Data => match self.poll_for_the_reader(state) {
                    (state, true) => state,
                    (state, false) => self.change.wait(state, Some(until)),
                },
                Meeting::Wait(until) => self.change.wait(state, Some(until)),
                meeting => {
                    self.carry_out(state);
                    return (session, meeting == Meeting::Free);
                }
            };
        }
    }
    /// Polls for the reader, which has been woken if something is unread. Returns whether it has come to that.
    fn poll_for_the_reader<'a>(&'a self, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, bool) {
        let before = state.machine.progress();
        for _ in 0..POLLS {
            drop(state);
            thread::yield_now();
            state = self.lock();
            if state.machine.progress() != before {
                return (state, true);
            }
        }
        (state, false)
    }

    /// Ends the live session, if there is one, for a newcomer.
    pub(crate) fn replace(&self) {
        let mut state = self.lock();
        state.machine.replace(Instant::now());
        self.carry_out(state);
    }

    /// Gives the slot to a client. Only the acceptor calls this, after it has found the slot free.
    pub(crate) fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let local = canonical(stream.local_addr().unwrap_or(self.local_addr));
        let connection = Arc::new(Connection::new(stream));
        let mut state = self.lock();
        if !state.machine.begin(peer, Instant::now()) {
            return;
        }
        let record = Arc::new(Record::new(state.machine.addressee(), peer, local));
        self.busy.store(true, Ordering::Release);
        self.signals.send(Signal::Connected(peer));
        let before = state.session.replace(Served { record, connection: Some(connection) });
        self.carry_out(state);
        if let Some(lingering) = before.and_then(|session| session.connection) {
            lingering.close();
        }
    }

    /// Waits for `time`, or until the server accepts no more clients.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while state.machine.is_accepting() && Instant::now() < until {
            state = self.change.wait(state, Some(until));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::options::Options;

    const PATIENCE: Patience = Patience {
        leaving: Duration::from_secs(1),
        unread: Duration::from_millis(5),
        present: Duration::from_micros(500),
    };

    /// A machine with a session that the reader reads, begun at the time returned.
    fn reading() -> (Machine, Instant) {
        let (nobody, now) = (([127, 0, 0, 1], 1).into(), Instant::now());
        let mut machine = Machine::new(&Options::new(), nobody, now);
        machine.begin(nobody, now);
        machine.attend(0);
        machine.delivered(now);
        machine.take_effects();
        (machine, now)
    }

    fn newcomer(since: Instant) -> Newcomer {
        let ip = [127, 0, 0, 1].into();
        Newcomer { ip, since, patience: PATIENCE, in_burst: false, missed: None }
    }

    #[test]
    fn how_long_a_newcomer_waits_depends_on_what_it_sees_of_the_client_that_it_meets() {
        for (seen, time) in [
            (Seen::Fin, PATIENCE.leaving),
            (Seen::Data, PATIENCE.unread),
            (Seen::Unknown, PATIENCE.unread), // only the reader can tell
            (Seen::Nothing, PATIENCE.present),
        ] {
            let (mut machine, start) = reading();
            let until = start + time;
            assert_eq!(machine.meet(seen, start, PATIENCE, start), Meeting::Wait(until), "{seen:?}");
            assert_eq!(machine.meet(seen, start, PATIENCE, until), Meeting::Busy, "{seen:?}");
        }
    }

    #[test]
    fn in_a_burst_a_newcomer_waits_only_for_what_it_has_seen() {
        let burst = Patience { present: Duration::ZERO, ..PATIENCE };
        for seen in [Seen::Unknown, Seen::Nothing] {
            let (mut machine, start) = reading();
            assert_eq!(machine.meet(seen, start, burst, start), Meeting::Busy, "{seen:?}");
        }
        let (mut machine, start) = reading();
        assert_eq!(machine.meet(Seen::Data, start, burst, start), Meeting::Wait(start + burst.unread));
    }

    #[test]
    fn a_newcomer_does_not_wait_for_a_slot_that_another_one_has_just_missed() {
        let (machine, start) = reading();
        for (missed, leaving) in
            [(None, PATIENCE.leaving), (Some(1), Duration::ZERO), (Some(2), PATIENCE.leaving)]
        {
            let newcomer = Newcomer { missed, ..newcomer(start) };
            assert_eq!(machine.met(&newcomer).patience.leaving, leaving, "{missed:?}");
        }
    }

    #[test]
    fn in_a_burst_the_acceptor_looks_only_for_a_newcomer_from_the_address_of_the_served_client() {
        let (machine, start) = reading();
        for (in_burst, ip, looks) in [(false, 9, true), (true, 1, true), (true, 9, false)] {
            let newcomer = Newcomer { in_burst, ip: [127, 0, 0, ip].into(), ..newcomer(start) };
            let met = machine.met(&newcomer);
            assert_eq!(met.looks, looks, "{in_burst} {ip}");
            assert_eq!(met.patience.present.is_zero(), in_burst);
        }
    }

    #[test]
    fn a_newcomer_that_waits_for_the_reader_is_woken_by_the_next_delivery() {
        for (seen, woken) in [(Seen::Data, true), (Seen::Nothing, false)] {
            let (mut machine, start) = reading();
            machine.meet(seen, start, PATIENCE, start);
            machine.received(1, start);
            machine.delivered(start);
            assert_eq!(machine.take_effects().change, woken, "{seen:?}");
        }
    }

    #[test]
    fn the_application_hears_only_of_a_newcomer_that_waits_for_the_slot() {
        for (seen, awaited) in [(Seen::Fin, true), (Seen::Data, false), (Seen::Nothing, false)] {
            let (mut machine, start) = reading();
            machine.meet(seen, start, PATIENCE, start);
            assert_eq!(machine.is_awaited(1), awaited, "{seen:?}");
        }
    }
}
