//! The slot: the one place for a client, and all that the three threads and the application share about it.
//!
//! Owned by nobody and held by everybody, in an `Arc`. Only the acceptor calls [`begin`](Slot::begin); whoever
//! finds a reason calls [`end`](Slot::end), and the first one counts. Between the two the connection is in
//! `state.live`, and there it is found by the reader (which waits for the next one), the writer (which looks up
//! whom a parcel is for) and the inbox (which notes whom a parcel was for when it was put in).
//!
//! One lock guards it. Nothing blocks under it, and the served bytes take it once for each message put in the
//! inbox and twice for each write, however many messages that takes along.
//!
//! Keeps promises 1 (one connection in `live`) and 4 (the order of steps in `end`). The way into the inbox is in
//! `slot/allowance.rs`, what the acceptor waits for in `slot/listening.rs`, the end of the server in
//! `slot/shutdown.rs`.

mod allowance;
mod listening;
mod shutdown;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::bell::Bell;
use crate::connection::Connection;
use crate::inbox::Parcel;
use crate::options::{Busy, Options};
use crate::outbox::{End, Message};
use crate::record::Record;
use crate::signal::{Reason, Signal, Subscribers};

/// How many messages the inbox takes.
const MESSAGES: usize = 1024;
/// Room beyond that for parcels without bytes, so that ending a session does not wait for a slow client.
const RESERVE: usize = 64;
/// What the channel to the writer holds. The allowance lets in no more than `MESSAGES`, so putting waits for the
/// allowance, where it can be told that the session or the server has ended, and never for the channel.
pub(crate) const PARCELS: usize = MESSAGES + RESERVE;

pub(crate) struct Slot {
    /// A client is being served. Only the acceptor sets it, only `end` clears it.
    busy: AtomicBool,
    state: Mutex<State>,
    /// A session began, ended or got nearer to its end, or the server is to stop: for whoever waits for that.
    changed: Bell,
    /// There is room in the inbox, or no longer a reason to wait for it: for those who put.
    room: Bell,
    inbox: SyncSender<Parcel>,
    /// Takes used buffers back to the reader.
    recycled: SyncSender<Vec<u8>>,
    pub(crate) signals: Subscribers,
    pub(crate) options: Options,
    pub(crate) local_addr: SocketAddr,
}

#[derive(Default)]
struct State {
    live: Option<Arc<Connection>>,
    /// A session that the application has closed, or a stop, while its client was still sending: over, but its
    /// connection is kept until the client is done too, or the next one comes, or the linger time of the stop is up.
    lingering: Option<Arc<Connection>>,
    /// Its end, if there was no room for that in the outbox while the reader was inside a read: told by the application
    /// itself when it finds the outbox empty, or by the reader if that comes back before.
    untold: Option<Arc<Record>>,
    /// Set by the first `shutdown`: until when the current client may still be written to.
    stop_by: Option<Instant>,
    /// What the inbox holds, including what the writer has in its hands.
    weight: usize,
    messages: usize,
    /// Under `Busy::Refuse`: the new listener, made by `end`, until the acceptor fetches it.
    listener: Option<TcpListener>,
    /// A descriptor to give up when there is none left to connect with, so that `accept` can be woken.
    spare: Option<TcpListener>,
    /// The acceptor thread has come to its end.
    accepted_last: bool,
}

/// Enters a lock, also one that a panicking thread has left behind. No code of ours panics inside one, and none
/// leaves what it guards half changed, so there is nothing to report.
pub(crate) fn enter<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listening, busy) = (self.local_addr, self.is_busy());
        f.debug_struct("Slot").field("local_addr", &listening).field("busy", &busy).finish_non_exhaustive()
    }
}

impl Slot {
    pub(crate) fn new(
        listener: &TcpListener,
        options: Options,
        inbox: SyncSender<Parcel>,
        recycled: SyncSender<Vec<u8>>,
    ) -> io::Result<Slot> {
        Ok(Slot {
            busy: AtomicBool::new(false),
            state: Mutex::new(State { spare: listener.try_clone().ok(), ..State::default() }),
            changed: Bell::default(),
            room: Bell::default(),
            inbox,
            recycled,
            signals: Subscribers::default(),
            options,
            local_addr: listener.local_addr()?,
        })
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        enter(&self.state).stop_by.is_some()
    }

    pub(crate) fn current(&self) -> Option<Arc<Record>> {
        let state = enter(&self.state);
        state.live.as_ref().map(|live| live.record.clone())
    }

    pub(crate) fn buffer_size(&self) -> usize {
        self.options.buffer_size
    }

    /// Gives a buffer back to the reader; one too many, or one that comes after the reader has gone, is freed.
    pub(crate) fn recycle(&self, buffer: Vec<u8>) {
        let _ = self.recycled.try_send(buffer);
    }
}

impl Slot {
    /// Gives the slot to a client. For the acceptor, which has seen that it is free.
    pub(crate) fn begin(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Errors mean that the connection is already broken, which the reader will find out.
        let _ = stream.set_nodelay(true);
        if let Some(idle) = self.options.idle_timeout {
            let _ = stream.set_read_timeout(Some(idle));
            let _ = stream.set_write_timeout(Some(idle / 8));
        }
        let record = Arc::new(Record::new(peer, self.clone()));
        let mut state = enter(&self.state);
        if state.stop_by.is_some() {
            return;
        }
        self.busy.store(true, Ordering::Release);
        self.signals.send(Signal::Connected(peer));
        state.live = Some(Arc::new(Connection { stream, record }));
        let lingering = state.lingering.take();
        drop(state);
        // The writer and the reader wake up side by side: the first answer often comes before the writer could have
        // been woken for it.
        let _ = self.inbox.try_send(Parcel::Wake);
        self.changed.ring();
        if let Some(connection) = lingering {
            connection.cut();
        }
    }

    /// Ends a session: the one place where that happens, whoever wants it and for whatever reason.
    ///
    /// The order is promise 4: first the books are closed and the slot is free (under [`Busy::Refuse`] there is a
    /// listener again), then the client is told.
    pub(crate) fn end(&self, record: &Arc<Record>, reason: Reason) {
        let state = enter(&self.state);
        self.end_locked(state, record, reason);
    }

    fn end_locked(&self, mut state: MutexGuard<'_, State>, record: &Arc<Record>, reason: Reason) {
        let connection = match state.live.take() {
            Some(live) if live.is_of(record) => live,
            other => {
                state.live = other;
                return;
            }
        };
        let report = record.close(reason);
        if self.options.busy == Busy::Refuse && state.stop_by.is_none() {
            // If that fails, the acceptor says so, and tries again.
            state.listener = self.listen_again().ok();
            state.spare = state.listener.as_ref().and_then(|l| l.try_clone().ok());
        }
        self.busy.store(false, Ordering::Release);
        let being_read = record.taken_up.load(Ordering::Relaxed) && !record.has_read_all();
        let still_sending = matches!(reason, Reason::Finished | Reason::Stopped) && being_read;
        state.lingering = Some(connection.clone()).filter(|_| still_sending);
        // Still under the lock, which the next `begin` needs: so that its signal comes after this one.
        self.signals.send(Signal::ProducerFinished(report));
        drop(state);
        self.changed.ring();
        self.room.ring();
        if still_sending {
            connection.say_goodbye();
        } else {
            connection.cut();
        }
    }

    /// For the writer, after the `end` of a session that the application has closed while its client may be sending. A
    /// reader that is inside a read comes back when the client says something, which may be never; the application is
    /// not to wait for that, so that the end is put in the outbox from here.
    pub(crate) fn tell_end(&self, record: &Arc<Record>, outbox: &SyncSender<Message>) {
        let mut state = enter(&self.state);
        let lingers = state.lingering.as_ref().map_or(false, |connection| connection.is_of(record));
        if !lingers || record.has_read_all() || !record.in_read.load(Ordering::SeqCst) {
            return; // the reader has put it there itself, or is about to
        }
        record.end_told.store(true, Ordering::Relaxed);
        if outbox.try_send(Message::ProducerFinished(End::new(record.clone()))).is_err() {
            state.untold = Some(record.clone());
        }
    }

    pub(crate) fn has_untold_end(&self) -> bool {
        enter(&self.state).untold.is_some()
    }

    /// For the application, which has found the outbox empty: the end for which there was no room in it.
    pub(crate) fn untold_end(&self) -> Option<End> {
        enter(&self.state).untold.take().map(End::new)
    }

    /// For the reader: all is read that is for the application. The connection, if the session was ended and is to
    /// linger; and whether the application has been told.
    pub(crate) fn reading_ended(&self, record: &Arc<Record>) -> (Option<Arc<Connection>>, bool) {
        let mut state = enter(&self.state);
        record.set_read_all();
        let told = record.end_told.load(Ordering::Relaxed) && state.untold.take().is_none();
        let lingering = state.lingering.clone().filter(|connection| connection.is_of(record));
        (lingering, told)
    }

    /// For the reader: from now on it listens to a client that lingers, so that a stop can tell whether that is silent.
    pub(crate) fn listens_to(&self, record: &Record) {
        let state = enter(&self.state);
        record.touch();
        record.in_read.store(true, Ordering::SeqCst);
        drop(state);
        self.changed.ring();
    }

    /// For the reader: that is over.
    pub(crate) fn lingered(&self, record: &Arc<Record>) {
        let mut state = enter(&self.state);
        state.lingering = state.lingering.take().filter(|connection| !connection.is_of(record));
        self.changed.ring();
    }

    /// For the reader: waits for a session other than the `last` one it has dealt with. `None` at the end of the
    /// server.
    ///
    /// The last one may still be live: its client has half-closed and waits for the rest of the answer. As nobody
    /// reads from it any more, it is here that it is found to be idle.
    pub(crate) fn next(&self, last: Option<&Arc<Record>>) -> Option<Arc<Connection>> {
        let mut state = enter(&self.state);
        loop {
            let waiting_for_end = match (&state.live, last) {
                (Some(live), Some(last)) if live.is_of(last) => Some(last),
                (Some(live), _) => {
                    live.record.taken_up.store(true, Ordering::Relaxed);
                    return Some(live.clone());
                }
                (None, _) if state.stop_by.is_some() => return None,
                (None, _) => None,
            };
            state = match (waiting_for_end, self.options.idle_timeout) {
                (Some(last), Some(idle)) => match last.idle_after(idle) {
                    Some(wait) => self.changed.wait_for(state, wait),
                    None => {
                        self.end_locked(state, last, Reason::Idle);
                        enter(&self.state)
                    }
                },
                _ => self.changed.wait(state),
            };
        }
    }

    /// For the application: waits until a session is over.
    pub(crate) fn wait_until_over(&self, record: &Record) {
        let mut state = enter(&self.state);
        while !record.is_over() {
            state = self.changed.wait(state);
        }
    }

    /// For the writer: the connection that a parcel is for. An unaddressed one waits here for the first client.
    /// `None`: it can go nowhere any more.
    pub(crate) fn connection(&self, to: Option<&Arc<Record>>) -> Option<Arc<Connection>> {
        let mut state = enter(&self.state);
        loop {
            match (&state.live, to) {
                (Some(live), Some(to)) if live.is_of(to) => return Some(live.clone()),
                (_, Some(_)) => return None,
                (Some(live), None) => return Some(live.clone()),
                (None, None) if state.stop_by.is_some() => return None,
                (None, None) => state = self.changed.wait(state),
            }
        }
    }
}
