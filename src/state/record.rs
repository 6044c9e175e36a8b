//! The record of one session, for its handles, which may outlive the session.
//!
//! Shared through an `Arc` by the slot and every handle given out for the session. It is separate from the connection, so
//! handles that outlive the session do not keep the socket open. Its lock is a leaf: no other lock is taken under it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;

use crate::sync::monitor::lock;
use crate::values::signal::Report;

pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The slot stores it when the session ends.
    report: Mutex<Option<Report>>,
}

impl Record {
    pub(super) fn new(number: u64, peer: SocketAddr, local: SocketAddr) -> Record {
        Record { number, peer, local, report: Mutex::new(None) }
    }

    /// The final report; `None` while the session is live.
    pub(crate) fn report(&self) -> Option<Report> {
        *lock(&self.report)
    }

    /// Whether the session has ended. Its connection may still linger.
    pub(crate) fn is_ended(&self) -> bool {
        self.report().is_some()
    }

    pub(super) fn end(&self, report: Report) {
        *lock(&self.report) = Some(report);
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("number", &self.number)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
