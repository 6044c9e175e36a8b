//! The reader's operations on the slot: get a session, and put the bytes it has read into the outbox.

use std::sync::mpsc::TrySendError;
use std::sync::MutexGuard;
use std::time::Instant;

use super::channels::Item;
use super::machine::{Awaited, Machine, Position, Reader, Turn};
use super::phase::Phase;
use super::slot::{Assignment, Slot, State};
use crate::values::chunk::Chunk;

/// What to do with bytes that the reader has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Received {
    Deliver,
    /// The session has ended, and its connection lingers.
    Discard,
    /// The connection is closed.
    Stop,
}

/// The steps, pure.
impl Machine {
    /// The reader asks for a session after the given one.
    pub(crate) fn attend(&mut self, last: u64) -> Turn {
        if self.latest.number > last {
            self.reader = Reader { session: self.latest.number, position: Position::Announcing };
            return Turn::Serve;
        }
        if self.is_stopping() {
            Turn::Exit
        } else {
            Turn::Wait(None)
        }
    }

    /// The reader has announced the client. Returns whether it must wait until the application asks for the client's bytes, or
    /// while the connection is lent. A broken connection is read without a request: there is no point in leaving bytes unread
    /// for a reset, and reading finds the end.
    pub(crate) fn must_be_asked(&self) -> bool {
        let waits = self.is_lent() || (self.is_unasked() && !self.is_stopping());
        waits && self.is_latest(self.reader.session)
    }

    /// The reader has read bytes. If the answer is `Deliver`, it must put them into the outbox before any other thread's next
    /// step, or wait for room.
    pub(crate) fn received(&mut self, count: usize, now: Instant) -> Received {
        if !self.is_latest(self.reader.session) {
            return Received::Stop;
        }
        self.latest.moved = now;
        match self.latest.phase {
            Phase::Over(_) => Received::Stop,
            Phase::Lingering(_) => Received::Discard,
            _ => {
                self.latest.received += count as u64;
                self.reader.position = Position::Delivering;
                Received::Deliver
            }
        }
    }

    /// The last delivery is in the outbox. Returns whether to keep reading. The time that this took does not count against the
    /// client.
    pub(crate) fn delivered(&mut self, now: Instant) -> bool {
        self.reader.position = Position::Reading;
        let session = self.reader.session;
        if self.is_latest(session) {
            self.latest.moved = now;
        }
        self.effects.change |= self.awaited == Awaited::Reader;
        if self.is_exhausted(session) {
            self.wake_application(); // the session ended meanwhile, and the application may wait for its end
        }
        // If the session is over, its connection is about to be closed. Leave the rest unread, so the close is a reset;
        // otherwise a client blocked by backpressure would not notice the end.
        self.is_latest(session) && !matches!(self.latest.phase, Phase::Over(_))
    }
}

/// The steps, under the lock.
impl Slot {
    /// Waits for a session after the given one; `None` when the server stops.
    ///
    /// Also returns a session that has ended, unless the next one has begun: otherwise the outbox would need room for any
    /// number of ended sessions.
    pub(crate) fn next_to_read(&self, last: u64) -> Option<Assignment> {
        let mut state = self.lock();
        loop {
            match state.machine.attend(last) {
                Turn::Serve => return state.assignment(),
                Turn::Exit => return None,
                Turn::Wait(_) | Turn::Again => state = self.turn.wait(state, None),
            }
        }
    }

    /// Announces the client in the outbox. With `read_on_demand`, then waits until the application asks for the client's bytes,
    /// the session ends, its connection breaks, or the server stops. Returns whether to read.
    pub(crate) fn announce(&self, session: &Assignment) -> bool {
        let mut state = self.put_out(self.lock(), Item::Connected(session.record.clone()));
        while state.machine.must_be_asked() {
            state = self.change.wait(state, None);
        }
        self.delivered(state)
    }

    /// Delivers bytes that were read. Returns whether to keep reading.
    pub(crate) fn received(&self, session: &Assignment, buffer: Vec<u8>, count: usize) -> bool {
        let mut state = self.lock();
        match state.machine.received(count, Instant::now()) {
            Received::Deliver => {
                let chunk = Chunk::received(buffer, count, session.number(), &self.pool);
                let state = self.put_out(state, Item::Data(chunk));
                self.delivered(state)
            }
            discarded => {
                drop(state);
                self.pool.put(buffer);
                discarded == Received::Discard
            }
        }
    }

    /// Puts an item into the outbox, and waits for room without the lock. While the server stops, the outbox is closed and the
    /// item is dropped.
    fn put_out<'a>(&'a self, state: MutexGuard<'a, State>, item: Item) -> MutexGuard<'a, State> {
        let outbox = match &state.outbox {
            Some(outbox) => outbox,
            None => return state,
        };
        match outbox.try_send(item) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => state,
            Err(TrySendError::Full(item)) => {
                let outbox = outbox.clone();
                drop(state);
                let _ = outbox.send(item);
                self.lock()
            }
        }
    }

    fn delivered(&self, mut state: MutexGuard<'_, State>) -> bool {
        let reads_on = state.machine.delivered(Instant::now());
        self.carry_out(state);
        reads_on
    }

    /// The reader exits: the outbox disconnects after its last item.
    pub(crate) fn end_outbox(&self) {
        self.lock().outbox = None;
    }
}
