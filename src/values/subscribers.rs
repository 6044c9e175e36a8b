//! The subscribers to signals.
//!
//! The thread that causes an event sends its signal, usually under the slot's lock, so signals come in the order of events.
//! Sending never waits: a subscriber that does not read loses signals and gets their number, but it delays nobody and takes
//! no more memory (promises 5 and 7).

use std::mem;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Mutex;

use super::signal::Signal;
use crate::sync::monitor::lock;

/// The maximum number of unread signals in a subscription.
const CAPACITY: usize = 1024;
/// Only sending shows whether a receiver still exists, and each subscription takes about 90 KiB. With this many of them, a
/// new subscription first removes dropped ones.
const CROWD: usize = 8;

/// How many signals are kept for the first subscriber. The server accepts clients before anybody can have subscribed.
const EARLY: usize = 128;

#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Subscriptions>);

#[derive(Default)]
struct Subscriptions {
    /// The first signals, until the first subscription begins with them.
    early: Vec<Signal>,
    /// The number of signals that did not fit into `early`.
    early_missed: u64,
    /// Whether there has been a subscription.
    subscribed: bool,
    list: Vec<Subscriber>,
    /// How many were left after dropped ones were last removed. They are removed again at twice that number plus `CROWD`.
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
        let mut subscriber = Subscriber { signals, missed: 0 };
        if !subscriptions.subscribed {
            subscriptions.subscribed = true;
            for signal in mem::take(&mut subscriptions.early) {
                subscriber.send(Some(&signal));
            }
            subscriber.missed = subscriptions.early_missed;
        }
        if subscriptions.closed {
            return receiver;
        }
        if subscriptions.list.len() >= 2 * subscriptions.surviving + CROWD {
            subscriptions.list.retain_mut(|subscriber| subscriber.send(None));
            subscriptions.surviving = subscriptions.list.len();
        }
        subscriptions.list.push(subscriber);
        receiver
    }

    /// Sends a copy to every subscriber that has room for it, and removes dropped subscribers.
    pub(crate) fn send(&self, signal: Signal) {
        let mut subscriptions = lock(&self.0);
        if subscriptions.subscribed {
            subscriptions.list.retain_mut(|subscriber| subscriber.send(Some(&signal)));
        } else if subscriptions.early.len() < EARLY {
            subscriptions.early.push(signal);
        } else {
            subscriptions.early_missed += 1;
        }
    }

    /// Ends every subscription, after the signals already sent.
    pub(crate) fn close(&self) {
        let mut subscriptions = lock(&self.0);
        subscriptions.closed = true;
        subscriptions.list.clear();
    }
}

impl Subscriber {
    /// Sends `Missed` if signals were missed, and then the signal. Without a signal, sends `Missed` even if it is 0, to find
    /// out whether the receiver still exists. Returns whether it does.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_subscriptions_do_not_accumulate() {
        let subscribers = Subscribers::default();
        let kept: Vec<_> = (0..3).map(|_| subscribers.subscribe()).collect();
        (0..1000).for_each(|_| drop(subscribers.subscribe()));
        assert!(lock(&subscribers.0).list.len() <= 2 * kept.len() + CROWD);
    }
}
