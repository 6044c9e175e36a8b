//! The acceptor thread: the only one that takes connections, and so the only one that decides who is served.
//!
//! Owns the listener. Gives the slot to a client when the busy flag is down, and does to everybody else what the
//! [`Busy`] policy says: each policy is one arm in [`meet`](Acceptor::meet) or [`listener`](Acceptor::listener). An
//! error of `accept` is signalled and waited out; only `stop` ends the loop (promises 1, 7 and 10).

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::connection::turn_away;
use crate::options::Busy;
use crate::signal::{Reason, Refusal, Signal};
use crate::slot::Slot;

/// The first pause after an error; each further one is twice as long, up to the longest. Most errors pass by
/// themselves; for one that does not (no descriptor left), this is next to no work.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Acceptor {
    slot: Arc<Slot>,
    /// `None` while `Busy::Refuse` has it closed.
    listener: Option<TcpListener>,
    /// How long to wait after the next error in a row.
    pause: Duration,
}

impl Acceptor {
    pub(crate) fn new(slot: Arc<Slot>, listener: TcpListener) -> Acceptor {
        Acceptor { slot, listener: Some(listener), pause: FIRST_PAUSE }
    }

    /// The acceptor thread.
    pub(crate) fn run(mut self) {
        while let Some(listener) = self.listener() {
            let accepted = listener.accept();
            if self.slot.is_stopping() {
                break; // and whoever it was, most likely we ourselves, is dropped
            }
            match accepted {
                Ok((stream, peer)) => {
                    self.pause = FIRST_PAUSE;
                    self.meet(stream, peer);
                }
                Err(e) => self.wait_out("accept a connection", e),
            }
        }
        // First the port is free, then the last client is seen off, then nobody expects anything of us.
        self.listener = None;
        self.slot.linger();
        self.slot.signals.close();
        self.slot.accepted_last();
    }

    /// The listener to accept from, once it is time to; `None` at the end of the server.
    fn listener(&mut self) -> Option<&TcpListener> {
        match self.slot.options.busy {
            Busy::Wait => self.slot.wait_until_free(),
            Busy::Refuse if self.listener.is_none() => self.slot.wait_until_free(),
            _ => {}
        }
        while self.listener.is_none() && !self.slot.is_stopping() {
            let made_by_end = self.slot.fetch_listener();
            match made_by_end.map_or_else(|| self.slot.listen_again(), Ok) {
                Ok(listener) => {
                    self.pause = FIRST_PAUSE;
                    self.listener = Some(listener);
                }
                Err(e) => self.wait_out("listen again", e),
            }
        }
        self.listener.as_ref().filter(|_| !self.slot.is_stopping())
    }

    /// Somebody has connected: serve, or do what the policy says.
    fn meet(&mut self, stream: TcpStream, peer: SocketAddr) {
        if !self.slot.options.allows(peer.ip()) {
            return self.refuse(peer, Refusal::NotAllowed);
        }
        if self.slot.is_busy() {
            match &self.slot.options.busy {
                Busy::Tell(message) => {
                    self.refuse(peer, Refusal::Busy);
                    return turn_away(stream, message);
                }
                Busy::Replace => {
                    if let Some(record) = self.slot.current() {
                        self.slot.end(&record, Reason::Replaced);
                    }
                }
                Busy::Drop | Busy::Refuse | Busy::Wait => return self.refuse(peer, Refusal::Busy),
            }
        }
        if self.slot.options.busy == Busy::Refuse {
            // Whoever is in the backlog is reset. Before `begin`, since `end` must find the port free.
            self.listener = None;
            self.slot.drop_spare();
        }
        self.slot.begin(stream, peer);
    }

    /// Tells those who watch, before the stranger sees its connection dropped by whoever called this.
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
