//! The operations of senders on the slot: send bytes to a session, half-close it, finish it or abort it.

use std::time::Instant;

use super::account::{Message, Offer, Output, Refused};
use super::channels::Parcel;
use super::machine::Machine;
use super::phase::Event;
use super::slot::Slot;
use crate::values::chunk::Chunk;

/// The steps, pure.
impl Machine {
    /// Offers a message to the inbox. If it is accepted, it must go into the channel before any other thread's next step.
    pub(crate) fn offer(&mut self, message: &mut Message, may_wait: bool) -> Offer {
        let answer = if self.is_stopping() {
            Offer::Refused(Refused::Stopped)
        } else if message.to != self.addressee() || self.account.output != Output::Open || self.is_lent() {
            Offer::Refused(Refused::Over)
        } else {
            self.account.offer(message, may_wait)
        };
        if answer != Offer::Wait {
            self.effects.room |= self.account.leave(message);
        }
        answer
    }

    /// Half-closes or finishes a session, after everything accepted for it.
    pub(crate) fn close_output(&mut self, session: u64, output: Output) {
        if self.is_live(session) && self.account.output < output {
            self.account.output = output;
            self.wake_writer();
            self.effects.room = true;
        }
    }
}

/// The steps, under the lock.
impl Slot {
    /// Puts bytes into the inbox: for the given session, or for the one that is live now or, if there is none, the next one.
    pub(crate) fn put(&self, to: Option<u64>, chunk: Chunk, may_wait: bool) -> Result<(), (Refused, Chunk)> {
        if chunk.is_empty() {
            return Ok(());
        }
        let mut state = self.lock();
        // Resolved once, before waiting: the bytes must not go to a client that connects while the sender waits.
        let to = to.unwrap_or_else(|| state.machine.addressee());
        let mut message = Message::new(to, chunk.len() as u64, chunk.weight());
        let result = loop {
            match state.machine.offer(&mut message, may_wait) {
                Offer::Wait => state = self.room.wait(state, None),
                Offer::Refused(refused) => break Err((refused, chunk)),
                Offer::Accepted => {
                    // There is room. An error would mean that the writer has panicked.
                    let _ = state.inbox.try_send(Parcel::Bytes(to, chunk));
                    break Ok(());
                }
            }
        };
        self.carry_out(state);
        result
    }

    /// Half-closes a session, after everything accepted for it.
    pub(crate) fn half_close(&self, session: u64) {
        self.close_output(session, Output::HalfClosing);
    }

    /// Finishes a session, after everything accepted for it.
    pub(crate) fn finish(&self, session: u64) {
        self.close_output(session, Output::Finishing);
    }

    fn close_output(&self, session: u64, output: Output) {
        let mut state = self.lock();
        state.machine.close_output(session, output);
        self.carry_out(state);
    }

    /// The application is still working for a session.
    pub(crate) fn extend(&self, session: u64) {
        self.lock().machine.extend(session, Instant::now());
    }

    /// Aborts a session now, or cuts its lingering connection.
    pub(crate) fn abort(&self, session: u64) {
        self.apply(session, Event::Abort);
    }
}
