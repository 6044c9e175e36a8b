//! How the server ends: everybody who waits for something is woken, the last client is seen off, the threads come home.
//!
//! `shutdown` runs on the thread that wants it, and does not wait. The acceptor then runs `linger` as its last work, and
//! so does `stop`, in case the acceptor cannot be woken (promise 8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{enter, Slot};
use crate::inbox::Parcel;
use crate::signal::Reason;

/// A client that has had everything, and sends nothing for so long, is not waited for by a stop. Long enough for what
/// was held back to come when there is room for it again, from the other side of the world.
const SILENT: Duration = Duration::from_millis(250);

impl Slot {
    /// Begins the end of the server and wakes whoever waits: the reader in `next`, the writer in `connection` or
    /// for a parcel, the application in `put`, the acceptor in a pause or in `accept`.
    pub(crate) fn shutdown(&self) {
        let mut state = enter(&self.state);
        if state.stop_by.is_none() {
            state.stop_by = Some(Instant::now() + self.options.linger);
        }
        state.spare = None;
        state.listener = None;
        drop(state);
        self.changed.ring();
        self.room.ring();
        let _ = self.inbox.try_send(Parcel::Wake);
        self.wake_acceptor();
    }

    /// Connects to ourselves, which makes a blocked `accept` return; the acceptor then sees why. An error can mean
    /// that it is not in `accept` but in a pause, from which `changed` has woken it.
    fn wake_acceptor(&self) {
        let mut addr = self.local_addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let _ = TcpStream::connect_timeout(&addr, Duration::from_millis(100));
    }

    /// After `shutdown`: waits until the writer has ended the session for want of more to write, and its client has been
    /// listened to, or has nothing to say; or, when the linger time is up, ends it here.
    pub(crate) fn linger(&self) {
        let mut state = enter(&self.state);
        while let (Some(open), Some(mut by)) =
            (state.live.as_ref().or(state.lingering.as_ref()), state.stop_by)
        {
            let record = &open.record;
            if record.is_over() && record.in_read.load(Ordering::SeqCst) {
                by = by.min(record.moved() + SILENT);
            }
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let open = open.clone();
                // Of the two it is: if it is live, for a first time, and if it lingers, for good.
                self.end_locked(state, &open.record, Reason::Stopped);
                return open.hang_up();
            }
            state = self.changed.wait_for(state, left);
        }
    }

    /// The acceptor's last act.
    pub(crate) fn accepted_last(&self) {
        enter(&self.state).accepted_last = true;
        self.changed.ring();
    }

    /// Waits for that, and knocks again as long as it does not come, which takes a process without a free
    /// descriptor; `false` if it has not come after another second.
    pub(crate) fn wait_for_acceptor(&self) -> bool {
        let give_up = Instant::now() + Duration::from_secs(1);
        let mut state = enter(&self.state);
        while !state.accepted_last {
            if Instant::now() > give_up {
                return false;
            }
            let waited = self.changed.wait_for(state, Duration::from_millis(20));
            drop(waited);
            self.wake_acceptor();
            state = enter(&self.state);
        }
        true
    }
}
