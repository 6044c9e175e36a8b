//! The slot: the state that all threads and handles share, behind one lock.
//!
//! The [`Machine`], a plain value, makes the decisions. The slot adds everything else: the lock, the
//! connection, the listener, the sending ends of the two channels, the busy flag and the signals. A thread locks the slot,
//! takes a step of the machine, and unlocks by [`carry_out`](Slot::carry_out), the only function that carries out the effects
//! of a step. There is one file for each thread's operations on the slot: `accepting`, `reading`, `writing`, `sending` and
//! `receiving`; `looking`, `listening` and `stop` have the rest.
//!
//! Nothing blocks under the lock. A thread that unlocks and locks again must not rely on the session being the same: each
//! step takes the number of its session.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use super::channels::{Item, Parcel};
use super::effects::Close;
use super::machine::Machine;
use super::phase::Event;
use super::record::Record;
use crate::net::connection::Connection;
use crate::sync::monitor::{lock, Condition};
use crate::values::options::Options;
use crate::values::pool::Pool;
use crate::values::signal::{Report, Signal};
use crate::values::subscribers::Subscribers;
use crate::values::traffic::Traffic;

pub(crate) struct Slot {
    state: Mutex<State>,
    /// Where senders wait for room in the inbox.
    pub(super) room: Condition,
    /// Where the reader and the writer wait for a session. Separate from `change`; otherwise each end would wake a reader that
    /// only waits for the next client.
    pub(super) turn: Condition,
    /// Where all others wait: the acceptor, a reader that must be asked, and applications that wait for an end.
    pub(super) change: Condition,
    /// Whether a client is being served. Changed under the lock; the acceptor reads it for each newcomer without the lock.
    pub(super) busy: AtomicBool,
    /// The application has requested a `Message::Woken` and not received it yet. Not in the machine, because a `Session`
    /// leaves it for later.
    pub(super) woken: AtomicBool,
    /// The read buffers. Each server has its own pool, which also identifies the server of a chunk.
    pub(crate) pool: Arc<Pool>,
    pub(crate) signals: Subscribers,
    pub(crate) options: Options,
    pub(crate) local_addr: SocketAddr,
    /// The server bound its first listener itself, so no other process can accept from it.
    pub(super) owns_listener: bool,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) machine: Machine,
    /// The latest session; `None` before the first one.
    pub(super) session: Option<Served>,
    /// The channel to the writer. It has room for everything that the machine accepts.
    pub(super) inbox: SyncSender<Parcel>,
    /// The channel to the application; `None` once the reader has exited, which disconnects the outbox.
    pub(super) outbox: Option<SyncSender<Item>>,
    /// Under `Busy::Refuse`: the new listener, until the acceptor fetches it.
    pub(super) listener: Option<TcpListener>,
    /// A second handle of the acceptor's listener, used to wake the acceptor. `None` while the acceptor has no listener.
    pub(super) waker: Option<TcpListener>,
    pub(super) acceptor: Acceptor,
}

/// The state of the acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acceptor {
    /// It accepts, or waits until it may.
    Running,
    /// The same, but its listener has been shut down, so it is certain to find the server stopping.
    Woken,
    /// It has found the server stopping, and is about to close its listener.
    Leaving,
    /// It has closed its listener, and is about to exit.
    Done,
}

pub(super) struct Served {
    pub(super) record: Arc<Record>,
    /// `Some` while the session is live or lingers. Nothing else keeps the connection: the reader and the writer borrow it for
    /// one call at a time, so its descriptor is closed as soon as this is dropped (promises 4 and 6).
    pub(super) connection: Option<Arc<Connection>>,
}

/// A session that the reader or the writer serves.
pub(crate) struct Assignment {
    pub(crate) record: Arc<Record>,
    connection: Weak<Connection>,
}

impl Assignment {
    pub(crate) fn number(&self) -> u64 {
        self.record.number
    }

    /// The connection. Hold it for one call only. `None` once the slot has closed it.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        self.connection.upgrade()
    }
}

impl State {
    /// The latest session, for the reader or the writer.
    pub(super) fn assignment(&self) -> Option<Assignment> {
        self.session.as_ref().map(|session| Assignment {
            record: session.record.clone(),
            connection: session.connection.as_ref().map_or_else(Weak::new, Arc::downgrade),
        })
    }

    /// The connection of the latest session, while it is live or lingers.
    pub(super) fn connection(&self) -> Option<&Connection> {
        self.session.as_ref()?.connection.as_deref()
    }
}

impl Slot {
    pub(crate) fn new(
        listener: &TcpListener,
        owns_listener: bool,
        local_addr: SocketAddr,
        options: Options,
        (inbox, outbox): (SyncSender<Parcel>, SyncSender<Item>),
    ) -> Slot {
        // Upper bound of the buffers in use: `depth` in each channel, and five more: one each with the reader, the
        // application, the writer (which returns gathered buffers at once) and a session's rest, and one being returned.
        let pool = Pool::new(options.buffer_size, 2 * options.depth + 5);
        let state = State {
            machine: Machine::new(&options, local_addr, Instant::now()),
            session: None,
            inbox,
            outbox: Some(outbox),
            listener: None,
            waker: listener.try_clone().ok(),
            acceptor: Acceptor::Running,
        };
        Slot {
            state: Mutex::new(state),
            room: Condition::default(),
            turn: Condition::default(),
            change: Condition::default(),
            busy: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            pool: Arc::new(pool),
            signals: Subscribers::default(),
            options,
            local_addr,
            owns_listener,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Carries out the effects of the machine's last steps, and unlocks. Nothing else does that. The order:
    ///
    /// 1. Reopen the port before anybody can see the end (promise 4, under `Busy::Refuse`).
    /// 2. Store the report, then clear the busy flag, then send the signal. The signal is sent under the lock, so the next
    ///    session's `Connected` comes after it.
    /// 3. Wake the writer and the application through their channels.
    /// 4. Notify waiting threads without the lock; otherwise they would only wait for the lock.
    /// 5. Last, let the client see the end: *free first* (promise 4).
    pub(super) fn carry_out(&self, mut state: MutexGuard<'_, State>) {
        // Most steps have no effects, such as those for each message.
        if !state.machine.has_effects() {
            return;
        }
        let effects = state.machine.take_effects();
        if effects.reopen {
            self.reopen(&mut state);
        }
        if let (Some(report), Some(session)) = (effects.ended, &state.session) {
            session.record.end(report);
            self.busy.store(false, Ordering::Release);
            self.signals.send(Signal::ProducerFinished(report));
        }
        if effects.wake_writer {
            // An error would mean that the writer has panicked.
            let _ = state.inbox.try_send(Parcel::Wake);
        }
        if effects.wake_application && !state.wake_outbox() {
            state.machine.wake_dropped();
        }
        let connection = match (effects.close, &mut state.session) {
            (Some(Close::Half), Some(session)) => session.connection.clone(),
            (Some(Close::Whole | Close::Abort), Some(session)) => session.connection.take(),
            _ => None,
        };
        let conditions =
            [(effects.room, &self.room), (effects.turn, &self.turn), (effects.change, &self.change)];
        let awaited = conditions.map(|(wanted, condition)| wanted && condition.is_awaited());
        drop(state);
        for ((_, condition), awaited) in conditions.iter().zip(awaited) {
            if awaited {
                condition.notify_all();
            }
        }
        if let (Some(connection), Some(how)) = (connection, effects.close) {
            match how {
                Close::Half => connection.half_close(),
                Close::Whole => connection.close(),
                Close::Abort => connection.abort(),
            }
        }
    }

    /// Applies an event to a session.
    pub(crate) fn apply(&self, session: u64, event: Event) {
        let mut state = self.lock();
        state.machine.apply(session, event, Instant::now());
        self.carry_out(state);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Whether a newcomer may be served.
    pub(crate) fn is_accepting(&self) -> bool {
        self.lock().machine.is_accepting()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().machine.is_stopping()
    }

    /// The record of the live session.
    pub(crate) fn current(&self) -> Option<Arc<Record>> {
        let state = self.lock();
        state.session.as_ref().filter(|_| state.machine.is_busy()).map(|session| session.record.clone())
    }

    /// How many bytes of a session have moved, up to its end or until now.
    pub(crate) fn traffic(&self, record: &Record) -> Traffic {
        let state = self.lock();
        // Under the lock: the session cannot end in between.
        match record.report() {
            Some(Report { received, sent, .. }) => Traffic { received, sent, queued: 0 },
            None => state.machine.traffic(),
        }
    }

    /// Whether a newcomer waits for the slot of this session.
    pub(crate) fn is_awaited(&self, session: u64) -> bool {
        self.lock().machine.is_awaited(session)
    }

    /// For the application: waits until a session has ended.
    pub(crate) fn wait_until_ended(&self, record: &Record) -> Report {
        let mut state = self.lock();
        loop {
            match record.report() {
                Some(report) => return report,
                None => state = self.change.wait(state, None),
            }
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listening, busy) = (self.local_addr, self.is_busy());
        f.debug_struct("Slot").field("local_addr", &listening).field("busy", &busy).finish_non_exhaustive()
    }
}
