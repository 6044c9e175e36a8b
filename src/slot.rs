//! The slot: the shared state of the server. It admits one client at a time, and decides when a session begins and ends.
//!
//! Shared by the three threads and all handles through an `Arc`. Only the acceptor calls [`begin`](Slot::begin). Any thread
//! may end a session; every end goes through [`end`](Slot::end), and the first one counts. Between the two, the connection
//! is in `state.live`. One lock guards it; nothing blocks under it. Locks are taken in this order: the slot's, the queue's,
//! a record's.
//!
//! Keeps promises 1 (one connection in `live`) and 4 (the order of steps in `end`). The rest is in four further files:
//! `slot/arrival.rs`, where threads without a session wait; `slot/listening.rs`, the listener under `Busy::Refuse`;
//! `slot/timeouts.rs`, which the writer checks; and `slot/stop.rs`, the end of the server.

mod arrival;
mod listening;
mod stop;
mod timeouts;

use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use crate::connection::{Connection, WeakConnection};
use crate::events::Events;
use crate::monitor::{Locked, Monitor};
use crate::options::Options;
use crate::pool::Pool;
use crate::queue::{Output, Queue};
use crate::record::{Phase, Record};
use crate::signal::{Reason, Report, Signal};
use crate::subscribers::Subscribers;

pub(crate) struct Slot {
    /// A client is being served. Only `begin` sets it and only `end` clears it; the acceptor reads it for each newcomer,
    /// without the lock.
    busy: AtomicBool,
    state: Monitor<State>,
    pub(crate) queue: Queue,
    pub(crate) events: Events,
    pub(crate) pool: Arc<Pool>,
    pub(crate) signals: Subscribers,
    pub(crate) options: Options,
    pub(crate) local_addr: SocketAddr,
    /// The server bound its first listener itself, so no other process can accept from it.
    owns_listener: bool,
}

#[derive(Default)]
struct State {
    /// The connection of the session that is live.
    live: Option<Arc<Connection>>,
    /// The connection of a session in phase `Lingering`.
    lingering: Option<Arc<Connection>>,
    /// The latest session, even if it has ended: the reader and the writer may get to it late.
    latest: Option<WeakConnection>,
    /// A newcomer waits for the slot of the live session, whose client is leaving.
    awaited: bool,
    /// Set by the first `stop`: until when the current client may still be served.
    stop_by: Option<Instant>,
    /// Under `Busy::Refuse`: the new listener, until the acceptor fetches it.
    listener: Option<TcpListener>,
    /// A second handle of the acceptor's listener, used to wake the acceptor. `None` while the acceptor has no listener.
    waker: Option<TcpListener>,
    /// The acceptor has closed its listener and is about to exit.
    acceptor_done: bool,
}

impl Slot {
    pub(crate) fn new(
        listener: &TcpListener,
        owns_listener: bool,
        local_addr: SocketAddr,
        options: Options,
        (queue, events): (Queue, Events),
    ) -> Slot {
        // Upper bound of the buffers in use: `depth` in each channel, and five more: one each with the reader, the
        // application, the writer (which returns gathered buffers at once) and a session's rest, and one being returned.
        let pool = Pool::new(options.buffer_size, 2 * options.depth + 5);
        Slot {
            busy: AtomicBool::new(false),
            state: Monitor::new(State { waker: listener.try_clone().ok(), ..State::default() }),
            queue,
            events,
            pool: Arc::new(pool),
            signals: Subscribers::default(),
            options,
            local_addr,
            owns_listener,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stop_by.is_some()
    }

    /// The record of the live session.
    pub(crate) fn current(&self) -> Option<Arc<Record>> {
        self.state.lock().live.as_ref().map(|live| live.record.clone())
    }

    /// The report of a session: the current figures or, once it has ended, the final ones.
    pub(crate) fn report(&self, record: &Record) -> Report {
        record.report(self.queue.taken(record.number))
    }

    /// Whether a newcomer waits for the slot of this session.
    pub(crate) fn is_awaited(&self, record: &Record) -> bool {
        let state = self.state.lock();
        state.awaited && state.live.as_ref().map_or(false, |live| live.is_of(record))
    }

    /// For the application: waits until a session has ended.
    pub(crate) fn wait_until_ended(&self, record: &Record) {
        let mut state = self.state.lock();
        while !record.is_ended() {
            state = state.wait();
        }
    }

    /// Ends a session after everything accepted for it has been written.
    pub(crate) fn finish(&self, record: &Record) {
        self.queue.close(Some(record.number), Output::Finished);
    }
}

/// How a session begins, changes and ends. Every change of phase is made here, under the lock.
impl Slot {
    /// Gives the slot to a client. Only the acceptor calls this, after it has found the slot free.
    pub(crate) fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let local = stream.local_addr().unwrap_or(self.local_addr);
        let mut state = self.state.lock();
        if state.stop_by.is_some() {
            return;
        }
        let record = Record::new(self.queue.session(), peer, local, self.pool.clone());
        let live = Arc::new(Connection::new(stream, Arc::new(record)));
        self.busy.store(true, Ordering::Release);
        self.signals.send(Signal::Connected(peer));
        state.latest = Some(WeakConnection::new(&live));
        state.live = Some(live);
        let lingering = state.lingering.take();
        if let Some(connection) = &lingering {
            connection.record.set_phase(Phase::Over);
        }
        state.notify();
        if let Some(connection) = lingering {
            connection.close();
        }
    }

    /// Ends a session, for whatever reason, unless it has ended already.
    pub(crate) fn end(&self, record: &Record, reason: Reason) {
        self.end_locked(self.state.lock(), record, reason);
    }

    /// The order keeps promise 4: first the slot becomes free (under `Busy::Refuse`, with a new listener), then the client
    /// sees the end.
    fn end_locked(&self, mut state: Locked<'_, State>, record: &Record, reason: Reason) {
        let connection = match state.live.take() {
            Some(live) if live.is_of(record) => live,
            other => {
                state.live = other;
                return;
            }
        };
        let report = self.queue.end(record.number, |taken| {
            self.busy.store(false, Ordering::Release);
            record.end(reason, taken)
        });
        self.reopen(&mut state);
        let lingers = record.phase() == Phase::Lingering;
        state.lingering = Some(connection.clone()).filter(|_| lingers);
        // Under the lock: the next `begin` must send its signal after this one.
        self.signals.send(Signal::ProducerFinished(report));
        state.notify();
        self.events.wake();
        match report.reason {
            _ if lingers => connection.half_close(),
            Reason::Reset | Reason::Aborted => connection.abort(),
            _ => connection.close(),
        }
    }

    /// Cuts a session now. Unlike [`end`](Slot::end), it also cuts a connection that lingers.
    pub(crate) fn abort(&self, record: &Record) {
        let state = self.state.lock();
        if record.phase() == Phase::Lingering {
            return self.let_go(state);
        }
        self.end_locked(state, record, Reason::Aborted);
    }

    /// For the reader: it has read the client's FIN (`broken` is false) or an error.
    pub(crate) fn read_ended(&self, record: &Record, broken: bool) {
        let mut state = self.state.lock();
        match record.phase() {
            Phase::Open if !broken => {
                record.set_phase(Phase::ClientDone);
                self.reopen(&mut state);
                state.notify();
                self.events.wake();
            }
            Phase::Open | Phase::ClientDone | Phase::WriteFailed => {
                self.end_locked(state, record, Reason::Reset)
            }
            Phase::Lingering => self.let_go(state),
            Phase::Over => {}
        }
    }

    /// For a thread that has found a reset by something else than a read.
    pub(crate) fn write_failed(&self, record: &Record) {
        self.write_failed_locked(self.state.lock(), record);
    }

    fn write_failed_locked(&self, state: Locked<'_, State>, record: &Record) {
        match record.phase() {
            Phase::Open => {
                record.set_phase(Phase::WriteFailed);
                state.notify();
            }
            Phase::ClientDone => self.end_locked(state, record, Reason::Reset),
            Phase::WriteFailed | Phase::Lingering | Phase::Over => {}
        }
    }

    /// Closes the connection that lingers.
    fn let_go(&self, mut state: Locked<'_, State>) {
        let lingering = state.lingering.take();
        if let Some(connection) = &lingering {
            connection.record.set_phase(Phase::Over);
        }
        state.notify();
        self.events.wake();
        if let Some(connection) = lingering {
            connection.close();
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listening, busy) = (self.local_addr, self.is_busy());
        f.debug_struct("Slot").field("local_addr", &listening).field("busy", &busy).finish_non_exhaustive()
    }
}
