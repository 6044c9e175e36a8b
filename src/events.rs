//! The sending half of the outbox: an mpsc channel to the application, and the flags that need no room in it.
//!
//! The reader puts clients and chunks into the channel, and waits while it is full. Wake-ups and the end of the server are
//! facts, stored under a lock; the application reads the facts first and the channel second. A `Wake` in the channel only
//! makes an application that blocks there read the facts again. If the channel is full, the application does not block, so
//! the `Wake` may be dropped.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

use crate::chunk::Chunk;
use crate::monitor::lock;
use crate::record::Record;

/// What travels to the outbox.
pub(crate) enum Event {
    Connected(Arc<Record>),
    Data(Chunk),
    /// Wakes an application that waits for an event.
    Wake,
}

pub(crate) struct Events {
    channel: SyncSender<Event>,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    /// A `Wake` is in the channel.
    wake_queued: bool,
    /// The application asked for a `Message::Woken` and has not got it yet.
    woken: bool,
    /// The reader has exited: nothing more will be put into the channel.
    closed: bool,
}

impl Events {
    pub(crate) fn new(channel: SyncSender<Event>) -> Events {
        Events { channel, facts: Mutex::default() }
    }

    /// Waits for room. An error means that `stop` has closed the outbox; the event is dropped then.
    pub(crate) fn put(&self, event: Event) {
        let _ = self.channel.send(event);
    }

    /// Makes an application that waits for an event read the facts.
    pub(crate) fn wake(&self) {
        let mut facts = lock(&self.facts);
        if !facts.wake_queued {
            facts.wake_queued = self.channel.try_send(Event::Wake).is_ok();
        }
    }

    /// A `Wake` was received.
    pub(crate) fn awake(&self) {
        lock(&self.facts).wake_queued = false;
    }

    /// Asks for a `Message::Woken`.
    pub(crate) fn ask(&self) {
        lock(&self.facts).woken = true;
        self.wake();
    }

    /// Whether a `Message::Woken` was asked for since the last call.
    pub(crate) fn take_woken(&self) -> bool {
        std::mem::take(&mut lock(&self.facts).woken)
    }

    pub(crate) fn close(&self) {
        lock(&self.facts).closed = true;
        self.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.facts).closed
    }
}
