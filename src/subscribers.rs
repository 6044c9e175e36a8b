//! The subscriptions to signals.
//!
//! Signals are sent by whichever thread causes them, most of them under the slot's lock, so their order is the order of
//! events. Sending never waits: a subscriber that does not read loses signals and is told how many, but it holds nothing up
//! and costs no more memory (promises 5 and 7).

use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Mutex;

use crate::monitor::lock;
use crate::signal::Signal;

/// How many signals a subscription holds for its reader.
const CAPACITY: usize = 1024;
/// `std` tells whether a receiver still exists only when something is sent to it, and each subscription costs about 90 KiB.
/// With so many of them, a new one is preceded by a look for dropped ones.
const CROWD: usize = 8;

#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Subscriptions>);

#[derive(Default)]
struct Subscriptions {
    list: Vec<Subscriber>,
    /// Look for dropped receivers when there are so many more than `CROWD`.
    surviving: usize,
    closed: bool,
}

struct Subscriber {
    signals: SyncSender<Signal>,
    missed: u64,
}

impl Subscribers {
    pub(crate) fn subscribe(&self) -> Receiver<Signal> {
        let (signals, receiver) = sync_channel(CAPACITY);
        let mut subscriptions = lock(&self.0);
        if subscriptions.closed {
            return receiver;
        }
        if subscriptions.list.len() >= 2 * subscriptions.surviving + CROWD {
            subscriptions.list.retain_mut(|subscriber| subscriber.send(None));
            subscriptions.surviving = subscriptions.list.len();
        }
        subscriptions.list.push(Subscriber { signals, missed: 0 });
        receiver
    }

    /// Sends a copy to every subscriber that has room for it, and forgets those that are gone.
    pub(crate) fn send(&self, signal: Signal) {
        lock(&self.0).list.retain_mut(|subscriber| subscriber.send(Some(&signal)));
    }

    /// Ends every subscription, behind what has been sent.
    pub(crate) fn close(&self) {
        let mut subscriptions = lock(&self.0);
        subscriptions.closed = true;
        subscriptions.list.clear();
    }
}

impl Subscriber {
    /// Sends how many signals were missed, if any, and then the signal; without one, `Missed` even if it is 0, which tells
    /// whether the receiver still exists. Returns that.
    fn send(&mut self, signal: Option<&Signal>) -> bool {
        if self.missed > 0 || signal.is_none() {
            match self.signals.try_send(Signal::Missed(self.missed)) {
                Ok(()) => self.missed = 0,
                Err(TrySendError::Full(_)) => {
                    self.missed += signal.is_some() as u64;
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        match signal.map(|signal| self.signals.try_send(signal.clone())) {
            None | Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_))) => {
                self.missed += 1;
                true
            }
            Some(Err(TrySendError::Disconnected(_))) => false,
        }
    }
}
