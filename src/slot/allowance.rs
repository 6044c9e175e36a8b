//! The way into the inbox: to whom bytes are addressed, and how much of them is let in.
//!
//! Run by whoever puts something in, on threads of the application, and by the writer, which gives back what it has
//! dealt with. The channel itself never makes anybody wait: it has room for all that the allowance lets in, so that who
//! waits does so here, where it can be told that the session or the server has ended (promises 3, 5 and 8).

use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::{enter, Slot, MESSAGES};
use crate::chunk::Chunk;
use crate::inbox::{Parcel, SendError};
use crate::record::Record;

impl Slot {
    /// Puts a message in the inbox, addressed to the session it answers, else to `to`, else to the one that is
    /// live now, else to the first one to come.
    pub(crate) fn put(
        &self,
        to: Option<&Arc<Record>>,
        chunk: Chunk,
        wait_for_room: bool,
    ) -> Result<(), SendError> {
        let answers = chunk.origin().filter(|record| std::ptr::eq(&*record.slot, self)).or(to).cloned();
        if chunk.is_empty() {
            return Ok(());
        }
        let weight = chunk.weight();
        let mut state = enter(&self.state);
        // Noted once: who waits for room with bytes for this client does not want them to go to the next one.
        let to = answers.or_else(|| state.live.as_ref().map(|live| live.record.clone()));
        loop {
            if state.stop_by.is_some() {
                return Err(SendError::Stopped(chunk));
            }
            if to.as_ref().map_or(false, |to| !to.takes()) {
                return Err(SendError::Over(chunk));
            }
            let fits = state.weight == 0 || state.weight + weight <= self.options.inbox_weight();
            if fits && state.messages < MESSAGES {
                break;
            }
            if !wait_for_room {
                return Err(SendError::Full(chunk));
            }
            state = self.room.wait(state);
        }
        state.weight += weight;
        state.messages += 1;
        if let Some(to) = &to {
            to.taken.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        drop(state);
        self.inbox.send(Parcel::Bytes(to, chunk)).map_err(|refused| match refused.0 {
            Parcel::Bytes(_, chunk) => SendError::Stopped(chunk),
            _ => unreachable!("a parcel comes back as it was sent"),
        })
    }

    /// The writer has dealt with so much of what the inbox held.
    pub(crate) fn give_back(&self, weight: usize, messages: usize) {
        let mut state = enter(&self.state);
        state.weight -= weight;
        state.messages -= messages;
        drop(state);
        self.room.ring();
    }

    /// The server is to stop and the inbox is empty, down to messages that are only just being put in.
    pub(crate) fn is_drained(&self) -> bool {
        let state = enter(&self.state);
        state.stop_by.is_some() && state.messages == 0
    }

    pub(crate) fn half_close(&self, to: Option<&Arc<Record>>) {
        let to = to.cloned().or_else(|| self.current());
        if let Some(to) = &to {
            to.half_closed.store(true, Ordering::Relaxed);
        }
        let _ = self.inbox.send(Parcel::HalfClose(to));
    }

    /// Ends a session behind what the inbox holds for it.
    pub(crate) fn finish(&self, record: &Arc<Record>) {
        if !record.is_over() {
            let _ = self.inbox.send(Parcel::Finish(record.clone()));
        }
    }
}
