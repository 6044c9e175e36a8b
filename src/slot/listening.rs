//! What the acceptor waits for when it is not in `accept`: a free slot, a listener, the end of a pause.
//!
//! Run by the acceptor thread; the end of the server wakes it from all of them.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{enter, Slot};

impl Slot {
    /// Waits until no client is served, or the server is to stop.
    pub(crate) fn wait_until_free(&self) {
        let mut state = enter(&self.state);
        while state.live.is_some() && state.stop_by.is_none() {
            state = self.changed.wait(state);
        }
    }

    /// Lets go of the spare descriptor, which is the listener's too: or the port would stay open.
    pub(crate) fn drop_spare(&self) {
        enter(&self.state).spare = None;
    }

    /// The listener that `end` has made, if it has.
    pub(crate) fn fetch_listener(&self) -> Option<TcpListener> {
        enter(&self.state).listener.take()
    }

    /// Waits for so long, or until the server is to stop.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = enter(&self.state);
        while state.stop_by.is_none() && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            state = self.changed.wait_for(state, left);
        }
    }

    /// Another listener on the same address.
    pub(crate) fn listen_again(&self) -> io::Result<TcpListener> {
        TcpListener::bind(self.local_addr)
    }
}
