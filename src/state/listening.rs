//! The listener under [`Busy::Refuse`]: closed while a client is connected, and bound again when its session is about to end.
//!
//! The acceptor closes it and fetches the new one. The thread that changes the session's phase binds the new one, under the
//! lock: the port must be open before the client sees the end.

use std::io;
use std::net::TcpListener;

use super::slot::{Slot, State};
use crate::values::options::Busy;

impl Slot {
    /// A session is about to end or has ended: makes sure that there is a listener. If that fails, the acceptor tries again
    /// once the slot is free, and reports it.
    pub(super) fn reopen(&self, state: &mut State) {
        if self.options.busy == Busy::Refuse && state.machine.is_accepting() && state.waker.is_none() {
            let _ = self.listen_again(state);
        }
    }

    /// Makes a new listener on the same address, for the acceptor to fetch.
    fn listen_again(&self, state: &mut State) -> io::Result<()> {
        let listener = TcpListener::bind(self.local_addr)?;
        state.waker = listener.try_clone().ok();
        state.listener = Some(listener);
        Ok(())
    }

    /// For the acceptor: drops the second handle of the listener, which would keep the port open.
    pub(crate) fn forget_listener(&self) {
        self.lock().waker = None;
    }

    /// For the acceptor: waits until the port may be open again, and returns the new listener; `None` when the server accepts
    /// no more clients.
    ///
    /// # Errors
    ///
    /// The port is in use, or there is no descriptor.
    pub(crate) fn fetch_listener(&self) -> io::Result<Option<TcpListener>> {
        let mut state = self.lock();
        while state.listener.is_none() && state.machine.is_busy() && state.machine.is_accepting() {
            state = self.change.wait(state, None);
        }
        if state.listener.is_none() && state.machine.is_accepting() {
            self.listen_again(&mut state)?;
        }
        Ok(state.listener.take())
    }
}
