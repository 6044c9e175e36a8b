//! The acceptor thread: accepts connections. It alone decides who is served.
//!
//! Owns the listener. Gives the slot to a client if the busy flag is clear, and otherwise applies the [`Busy`] policy: each
//! policy is an arm in [`meet`](Acceptor::meet) or [`listener`](Acceptor::listener). An error of `accept` is signalled and
//! followed by a pause; only `stop` or `drain` ends the loop (promises 1, 4, 7 and 10).

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::recent::Recent;
use crate::net::address::canonical;
use crate::net::connection::turn_away;
use crate::state::slot::Slot;
use crate::values::options::Busy;
use crate::values::signal::{Refusal, Signal};

/// The first pause after an error; each further one is twice as long, up to the longest. Most errors pass by themselves;
/// for one that does not, such as a lack of descriptors, this is next to no work.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Acceptor {
    slot: Arc<Slot>,
    /// `None` while `Busy::Refuse` has it closed.
    listener: Option<TcpListener>,
    /// How long to wait after the next error in a row.
    pause: Duration,
    recent: Recent,
}

impl Acceptor {
    pub(crate) fn new(slot: Arc<Slot>, listener: TcpListener) -> Acceptor {
        let listener = Some(listener);
        Acceptor { slot, listener, pause: FIRST_PAUSE, recent: Recent::default() }
    }

    /// The acceptor thread.
    pub(crate) fn run(mut self) {
        while let Some(listener) = self.listener() {
            let accepted = listener.accept();
            if !self.slot.is_accepting() {
                break; // the connection may be our own, made to wake this thread
            }
            match accepted {
                Ok((stream, peer)) => {
                    self.pause = FIRST_PAUSE;
                    self.meet(stream, canonical(peer));
                }
                Err(e) if is_about_one_client(&e) => {}
                // Somebody else who holds a listener that was handed in has made it non-blocking.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.make_blocking() => {}
                Err(e) => self.wait_out("accept a connection", e),
            }
        }
    }

    /// The listener, once it is time to accept; `None` when the server accepts no more clients.
    fn listener(&mut self) -> Option<&TcpListener> {
        while self.listener.is_none() && self.slot.is_accepting() {
            match self.slot.fetch_listener() {
                Ok(listener) => {
                    self.pause = FIRST_PAUSE;
                    self.listener = listener;
                }
                Err(e) => self.wait_out("listen again", e),
            }
        }
        self.listener.as_ref().filter(|_| self.slot.is_accepting())
    }

    fn make_blocking(&self) -> bool {
        self.listener.as_ref().map_or(false, |listener| listener.set_nonblocking(false).is_ok())
    }

    /// A client has connected: serve it, or apply the policy.
    fn meet(&mut self, stream: TcpStream, peer: SocketAddr) {
        let slot = self.slot.clone();
        if !slot.options.allows(peer.ip()) {
            return self.refuse(peer, Refusal::NotAllowed);
        }
        match &slot.options.busy {
            // Only now: the allow-list applies while a client is served, too. The newcomer is kept in hand, and further ones
            // wait in the backlog.
            Busy::Wait => slot.wait_until_free(),
            Busy::Replace => {}
            policy if slot.is_busy() && !self.is_handed_over(peer) => {
                self.refuse(peer, Refusal::Busy);
                if let Busy::Tell(message) = policy {
                    turn_away(stream, message);
                }
                return;
            }
            _ => {}
        }
        if !slot.options.admits(peer) {
            return self.refuse(peer, Refusal::NotAdmitted);
        }
        if slot.options.busy == Busy::Replace {
            slot.replace();
        }
        if slot.options.busy == Busy::Refuse {
            // Clients in the backlog are reset. Before `begin`: `end` must find the port free.
            self.listener = None;
            slot.forget_listener();
        }
        slot.begin(stream, peer);
    }

    /// Waits for the slot if the client that holds it may be leaving. Returns whether the slot is free.
    fn is_handed_over(&mut self, peer: SocketAddr) -> bool {
        let newcomer = self.recent.newcomer(peer.ip(), self.slot.options.handover, Instant::now());
        let (session, free) = self.slot.wait_for_handover(&newcomer);
        if !free {
            self.recent.refuse(&newcomer, session, Instant::now());
        }
        free
    }

    /// Signals the refusal. The caller then drops the connection, so subscribers know of it before the client does.
    fn refuse(&self, peer: SocketAddr, why: Refusal) {
        self.slot.signals.send(Signal::Refused { peer, why });
    }

    fn wait_out(&mut self, doing: &'static str, error: io::Error) {
        self.slot.signals.send(Signal::Fault {
            doing,
            kind: error.kind(),
            text: error.to_string(),
            retry_in: self.pause,
        });
        self.slot.pause(self.pause);
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
    }
}

/// Also if the `admit` hook has panicked.
impl Drop for Acceptor {
    fn drop(&mut self) {
        self.slot.acceptor_leaves();
        self.listener = None; // before `acceptor_done`, which reports that the port is free
        self.slot.forget_listener();
        self.slot.acceptor_done();
    }
}

/// Whether an error of `accept` concerns one client only, which closed or reset before it was accepted.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn only_an_aborted_or_reset_connection_is_an_error_about_one_client() {
        let is_about_one = |kind: ErrorKind| is_about_one_client(&kind.into());
        assert!([ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset].into_iter().all(is_about_one));
        assert!(![ErrorKind::WouldBlock, ErrorKind::OutOfMemory, ErrorKind::Other]
            .into_iter()
            .any(is_about_one));
    }
}
