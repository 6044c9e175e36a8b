//! What the acceptor waits for when it is not in `accept`: a free slot, a listener, the end of a pause.
//!
//! Run by the acceptor thread. The end of the server wakes it from each of these.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{Slot, State};
use crate::monitor::Locked;
use crate::record::Phase;

impl Slot {
    /// Waits until no client is served, or the server stops.
    pub(crate) fn wait_until_free(&self) {
        let mut state = self.state.lock();
        while state.live.is_some() && state.stop_by.is_none() {
            state = state.wait();
        }
    }

    /// A newcomer has met a live session. Waits for the slot: up to `handover` if the session's client is leaving, and up to
    /// `grace` for news that it is. Returns whether the slot is free.
    pub(crate) fn wait_for_handover(&self, handover: Duration, grace: Duration) -> bool {
        let start = Instant::now();
        loop {
            let state = self.state.lock();
            let live = match &state.live {
                Some(live) if state.stop_by.is_none() => live.clone(),
                live => return live.is_none(),
            };
            if live.record.is_unread() && live.is_reset() {
                self.write_failed_locked(state, &live.record);
                continue;
            }
            let leaving = live.record.phase() != Phase::Open || self.queue.is_finishing(live.record.number);
            // Hold no connection while waiting: the slot's is to be the last.
            drop(live);
            let until = start + if leaving { handover } else { grace };
            if until <= Instant::now() {
                return false;
            }
            drop(state.wait_until(Some(until)));
        }
    }

    /// Under [`Busy::Refuse`](crate::Busy::Refuse): drops the second handle of the listener, which would keep the port open.
    pub(crate) fn forget_listener(&self) {
        self.state.lock().waker = None;
    }

    /// Under [`Busy::Refuse`](crate::Busy::Refuse): waits until it is time to listen again. `None` when the server stops.
    ///
    /// # Errors
    ///
    /// The port is taken, or there is no descriptor.
    pub(crate) fn fetch_listener(&self) -> io::Result<Option<TcpListener>> {
        let mut state = self.state.lock();
        while state.listener.is_none() && state.live.is_some() && state.stop_by.is_none() {
            state = state.wait();
        }
        if state.listener.is_none() && state.stop_by.is_none() {
            self.listen_again(&mut state)?;
        }
        Ok(state.listener.take())
    }

    /// Waits for so long, or until the server stops.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state: Locked<'_, State> = self.state.lock();
        while state.stop_by.is_none() && Instant::now() < until {
            state = state.wait_until(Some(until));
        }
    }
}
