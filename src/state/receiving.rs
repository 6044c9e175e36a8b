//! What the application's end of the outbox asks of the slot: whether an empty channel means that a session has ended.
//!
//! The reader puts clients and chunks into the channel, and waits while it is full. The end of a session is a fact, stored in
//! the machine. A wake-up in the channel only makes an application that blocks there look at the facts again. If the channel
//! is full, the application does not block, so the wake-up may be dropped.

use std::sync::atomic::Ordering;

use super::channels::Item;
use super::machine::{Machine, Position, Reader};
use super::slot::{Slot, State};

/// The steps, pure.
impl Machine {
    /// Has found the outbox empty, or a wake-up in it (`woken`), while `open` was the session whose end it has not received.
    /// Asks for that client's bytes. Returns whether no more will come: then what is in the outbox by now is the last.
    pub(crate) fn look(&mut self, open: Option<u64>, woken: bool) -> bool {
        self.wake_queued &= !woken;
        open.map_or(false, |session| {
            self.ask(session);
            self.is_told(session)
        })
    }

    /// Wants the client's bytes, or nothing more of it.
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
    /// The application has found the channel empty, or a wake-up in it (`woken`), while `open` was the session whose end it
    /// has not received. Asks for that client's bytes. Returns whether no more of them will come: then what is in the channel
    /// by now is the last.
    pub(crate) fn look(&self, open: Option<u64>, woken: bool) -> bool {
        let mut state = self.lock();
        let told = state.machine.look(open, woken);
        self.carry_out(state);
        told
    }

    /// The application wants to hear nothing more of a session. What its client still sends is read, to be dropped: it may
    /// not take an answer before it has sent everything.
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

    /// Whether a `Message::Woken` was asked for since the last call.
    pub(crate) fn take_woken(&self) -> bool {
        // Seldom set, and a load costs less than a swap.
        self.woken.load(Ordering::SeqCst) && self.woken.swap(false, Ordering::SeqCst)
    }
}

impl State {
    /// Puts a wake-up into the outbox. Returns whether there was room.
    pub(super) fn wake_outbox(&self) -> bool {
        self.outbox.as_ref().map_or(false, |outbox| outbox.try_send(Item::Wake).is_ok())
    }
}
