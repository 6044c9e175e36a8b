//! What is known of one session: who, since when, how many bytes, whether it is over.
//!
//! Written by all three threads and read by everything that was handed out for the session (its
//! [`Chunk`](crate::Chunk)s, its [`End`](crate::End), its [`Inbox`](crate::Inbox)es). It is kept apart from the
//! stream, so that whoever holds one of those, for however long, holds no descriptor. This is the *address* of
//! promise 3: two sessions are the same if their records are the same allocation.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::signal::{Reason, Report};
use crate::slot::{enter, Slot};

pub(crate) struct Record {
    pub(crate) peer: SocketAddr,
    /// The server it belongs to: where its buffers go back to, and where its answers are put.
    pub(crate) slot: Arc<Slot>,
    began: Instant,
    /// Bytes that came out of the connection. The reader alone adds to it.
    pub(crate) received: AtomicU64,
    /// Bytes the inbox took for this session. Added to under the slot's lock, so that `taken - sent` is exact
    /// when the session ends.
    pub(crate) taken: AtomicU64,
    /// Bytes the kernel took from the writer, which alone adds to it.
    pub(crate) sent: AtomicU64,
    /// No more will be put in the inbox for this session: its own side was half-closed.
    pub(crate) half_closed: AtomicBool,
    /// The reader has come to the client's FIN. Or to a RST, if the writer was told of that first: the kernel tells it
    /// once. Or to the end that the session was given.
    read_all: AtomicBool,
    /// The reader has taken it up; before that nobody knows of it outside.
    pub(crate) taken_up: AtomicBool,
    /// The reader is inside a read, or about to be. It says so before it looks whether the session is over, and the
    /// writer looks at it after it has ended the session, both in the one order of `SeqCst`: so a reader that the
    /// writer finds in here will put nothing more in the outbox. A stop looks at it too: whoever is read from is not
    /// held back by us, and if nothing comes, has nothing to say.
    pub(crate) in_read: AtomicBool,
    /// The writer has put the end in the outbox, or left it with the slot for want of room, so that the reader need not.
    pub(crate) end_told: AtomicBool,
    /// A write has failed: nothing more can go to the client.
    broken: AtomicBool,
    /// The writer is inside a write: if nothing moves, the client is not idle but stalled, and the writer will
    /// say so.
    pub(crate) writing: AtomicBool,
    /// When the last byte moved, in nanoseconds after `began`; kept only where there is an idle timeout, and from the
    /// end on, while the client lingers.
    moved: AtomicU64,
    /// Set once, with `last_word`, by `Slot::end`.
    over: AtomicBool,
    last_word: Mutex<Option<Report>>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report().fmt(f)
    }
}

impl Record {
    pub(crate) fn new(peer: SocketAddr, slot: Arc<Slot>) -> Record {
        Record {
            peer,
            slot,
            began: Instant::now(),
            received: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            half_closed: AtomicBool::new(false),
            read_all: AtomicBool::new(false),
            taken_up: AtomicBool::new(false),
            in_read: AtomicBool::new(false),
            end_told: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            over: AtomicBool::new(false),
            last_word: Mutex::new(None),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// A byte has moved, in either direction.
    pub(crate) fn touch(&self) {
        let since = self.began.elapsed().as_nanos() as u64;
        self.moved.store(since, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self) -> Instant {
        self.began + Duration::from_nanos(self.moved.load(Ordering::Relaxed))
    }

    /// How long from now until the session will have been idle for the timeout; `None` if it has been already.
    ///
    /// A write in progress is the writer's to judge: it knows whether the client takes anything.
    pub(crate) fn idle_after(&self, timeout: Duration) -> Option<Duration> {
        let quiet = self.moved().elapsed();
        if self.writing.load(Ordering::Relaxed) {
            return Some(timeout / 8);
        }
        timeout.checked_sub(quiet).filter(|left| !left.is_zero())
    }

    /// It can still be sent something.
    pub(crate) fn takes(&self) -> bool {
        !self.is_over() && !self.half_closed.load(Ordering::Relaxed)
    }

    /// For the reader: nothing more comes.
    pub(crate) fn set_read_all(&self) {
        self.read_all.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_read_all(&self) -> bool {
        self.read_all.load(Ordering::SeqCst)
    }

    /// For the writer: nothing more can go.
    pub(crate) fn set_broken(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Nothing can go and nothing comes: the connection was reset. Reader and writer each ask this after they have
    /// said their part, so that in the one order of `SeqCst` at least one of them sees both.
    pub(crate) fn is_reset(&self) -> bool {
        self.broken.load(Ordering::SeqCst) && self.has_read_all()
    }

    /// Closes the books; for `Slot::end` alone, which holds the lock under which `taken` grows.
    ///
    /// An application that closes after the client has done so only agrees.
    pub(crate) fn close(&self, reason: Reason) -> Report {
        let agreed = reason == Reason::Finished && self.has_read_all();
        let reason = if agreed { Reason::ClientClosed } else { reason };
        let report = self.count(reason);
        *enter(&self.last_word) = Some(report);
        self.touch(); // a client that lingers is given its time from now on
        self.over.store(true, Ordering::SeqCst);
        report
    }

    /// The final report or, as long as the session is not over, how things stand after the client's FIN.
    pub(crate) fn report(&self) -> Report {
        let last_word = *enter(&self.last_word);
        last_word.unwrap_or_else(|| self.count(Reason::ClientClosed))
    }

    fn count(&self, reason: Reason) -> Report {
        let sent = self.sent.load(Ordering::Relaxed);
        Report {
            peer: self.peer,
            reason,
            received: self.received.load(Ordering::Relaxed),
            sent,
            discarded: self.taken.load(Ordering::Relaxed).saturating_sub(sent),
            lasted: self.began.elapsed(),
        }
    }
}
