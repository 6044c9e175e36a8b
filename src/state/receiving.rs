//! The outbox's operations on the slot: find out whether an empty channel means that a session has ended.
//!
//! The reader puts clients and chunks into the channel, and waits while it is full. The end of a session is a fact, stored in
//! the machine. A wake-up in the channel only makes an application that blocks there ask the slot again. If the channel
//! is full, the application does not block, so the wake-up may be dropped.

use std::sync::atomic::Ordering;

use super::channels::Item;
use super::machine::{Machine, Position, Reader};
use super::slot::{Slot, State};

/// The steps, pure.
impl Machine {
    /// The application has found the channel empty, or a wake-up in it (`woken`). `open`: the session whose end it has not
    /// received. Asks for that client's bytes. Returns whether no more will come: then the channel holds the last ones.
    pub(crate) fn look(&mut self, open: Option<u64>, woken: bool) -> bool {
        self.wake_queued &= !woken;
        open.map_or(false, |session| {
            self.ask(session);
            self.is_exhausted(session)
        })
    }

    /// Asks for the client's bytes, to receive or to drop them.
    pub(crate) fn ask(&mut self, session: u64) {
        let waiting = Reader { session, position: Position::Announcing };
        if self.read_on_demand && self.reader == waiting {
            self.reader.position = Position::Delivering;
            self.effects.change = true;
        }
    }
}

/// The steps, under the lock.
impl Slot {
    /// Takes the step [`Machine::look`] under the lock.
    pub(crate) fn look(&self, open: Option<u64>, woken: bool) -> bool {
        let mut state = self.lock();
        let exhausted = state.machine.look(open, woken);
        self.carry_out(state);
        exhausted
    }

    /// The application wants no more messages of a session. Its client's bytes are still read and then dropped, because the
    /// client may not read an answer before it has sent everything.
    pub(crate) fn forget(&self, session: u64) {
        let mut state = self.lock();
        state.machine.ask(session);
        self.carry_out(state);
    }

    /// Asks for a `Message::Woken`, and wakes the application.
    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        let mut state = self.lock();
        state.machine.wake_application();
        self.carry_out(state);
    }

    /// Returns whether a `Message::Woken` was requested since the last call.
    pub(crate) fn take_woken(&self) -> bool {
        // Rarely set, and a load costs less than a swap.
        self.woken.load(Ordering::SeqCst) && self.woken.swap(false, Ordering::SeqCst)
    }
}

impl State {
    /// Puts a wake-up into the outbox. Returns whether there was room.
    pub(super) fn wake_outbox(&self) -> bool {
        self.outbox.as_ref().map_or(false, |outbox| outbox.try_send(Item::Wake).is_ok())
    }
}
