//! The state machine of the server: the state of the slot, except for descriptors, as a plain value.
//!
//! No lock, no socket, no clock: the time is an argument. A thread takes a *step* of the machine under the slot's lock. The
//! step returns an answer to the thread, and adds to `effects` what must be done outside. So the whole protocol can be run
//! without a server: the tests in `walk` go through every order of the steps.
//!
//! This file has the state, and the changes that several steps share; `questions` has the queries, and
//! `deadlines` the timeouts. The steps are in the files that are named after what a thread does: `accepting`, `reading`,
//! `writing`, `sending`, `receiving`.
//!
//! There is one session, the latest. It is live, lingers or is over; the next one replaces it. The reader may still
//! deliver bytes of an older session, so its position includes a session number.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::account::Account;
use super::effects::{Close, Effects};
use super::phase::{Event, Phase};
use crate::values::options::Options;
use crate::values::seen::Seen;
use crate::values::signal::{Reason, Report};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Machine {
    pub(super) latest: Session,
    pub(super) reader: Reader,
    pub(super) account: Account,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) close_timeout: Option<Duration>,
    pub(super) session_timeout: Option<Duration>,
    pub(super) read_on_demand: bool,
    pub(super) awaited: Awaited,
    pub(super) life: Life,
    /// How long the current client may still be served after a stop.
    pub(super) stop_timeout: Duration,
    /// A wake-up is in the outbox.
    pub(super) wake_queued: bool,
    /// The effects of the last steps.
    pub(super) effects: Effects,
}

/// The latest session. Before the first client, session 0, which is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session {
    /// Sessions are numbered from 1. Bytes in the inbox are addressed with this number.
    pub(super) number: u64,
    pub(super) phase: Phase,
    pub(super) peer: SocketAddr,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) began: Instant,
    /// When a byte last moved in either direction, or either side closed.
    pub(super) moved: Instant,
    /// The end of the grace period after a timeout has passed. The session does not end before.
    pub(super) spared: Instant,
    pub(super) ended: Instant,
}

/// The state of the reader. Together with the phase it tells whether another chunk may still reach the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    /// The session that it serves, which need not be the latest.
    pub(super) session: u64,
    pub(super) position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Position {
    /// It has read nothing: the client has yet to be put into the outbox, or the application has yet to ask for its bytes.
    Announcing,
    /// It reads, or is done. The bytes of a read are counted and put into the outbox in one step.
    Reading,
    /// It waits for room in the outbox. Also set between the application's request and the first read.
    Delivering,
}

/// What the newcomer waits for that the acceptor has accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Awaited {
    /// There is no such newcomer, or it only waits for a time.
    Nothing,
    /// The slot: the client that has it is leaving.
    Slot,
    /// The reader, which must first read the unread data. The FIN may be behind it.
    Reader,
}

/// The state of the server. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Running,
    /// No more clients are accepted. The server stops when the live client leaves, or at this time.
    Draining(Instant),
    /// Neither clients nor bytes are accepted. The current client is sent the bytes accepted before, until this time at the latest.
    Stopping(Instant),
}

/// The answer to a thread that asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// The latest session.
    Serve,
    /// Wait for the next turn, at most until this time, and ask again.
    Wait(Option<Instant>),
    /// Ask again once the effects are carried out.
    Again,
    /// The server has stopped.
    Exit,
}

impl Machine {
    pub(crate) fn new(options: &Options, nobody: SocketAddr, now: Instant) -> Machine {
        let phase = Phase::Over(Reason::ClientClosed);
        Machine {
            latest: Session::new(0, phase, nobody, now),
            reader: Reader { session: 0, position: Position::Reading },
            account: Account::new(options.inbox_room()),
            idle_timeout: options.idle_timeout,
            close_timeout: options.close_timeout,
            session_timeout: options.session_timeout,
            read_on_demand: options.read_on_demand,
            awaited: Awaited::Nothing,
            life: Life::Running,
            stop_timeout: options.stop_timeout,
            wake_queued: false,
            effects: Effects::default(),
        }
    }

    /// Takes the effects of the steps since the last call.
    pub(crate) fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Whether the steps since the last call of `take_effects` have effects.
    pub(crate) fn has_effects(&self) -> bool {
        self.effects != Effects::default()
    }

    /// Applies what a thread has seen when it peeked at the connection of the live session.
    pub(super) fn note(&mut self, seen: Seen, now: Instant) {
        let session = self.latest.number;
        match seen {
            Seen::Broken => self.apply(session, Event::Broken, now),
            // The client has closed without sending anything, before the application asked for its bytes. Wait until the
            // application has had time to ask: it may still want to answer.
            Seen::Fin if self.is_unasked() && self.ask_deadline() <= now => {
                self.apply(session, Event::Fin, now);
                if self.account.accepted == 0 {
                    self.apply(session, Event::Finish, now);
                }
            }
            Seen::Nothing | Seen::Data | Seen::Fin | Seen::Unknown => {}
        }
    }

    /// Applies an event to a session. Nothing else changes a phase.
    pub(crate) fn apply(&mut self, session: u64, event: Event, now: Instant) {
        let before = self.latest.phase;
        let after = before.after(event);
        if !self.is_latest(session) || after == before {
            return;
        }
        let report = after.reason().map(|reason| self.report(reason, now));
        self.latest.phase = after;
        match (after, report) {
            // The connection no longer lingers. Only the writer waits for that, and only during a stop; otherwise it notices
            // when the linger time is up.
            _ if !before.is_live() => {
                self.effects.close = Some(Close::Whole);
                self.effects.turn |= self.is_stopping();
                return;
            }
            (_, Some(report)) => self.end(report, now),
            (Phase::ClientDone, _) => {
                self.latest.moved = now; // a FIN counts as activity
                self.effects.reopen = true;
            }
            (Phase::Lent, _) => self.effects.room = true, // the inbox is closed
            _ => {}
        }
        self.effects.change = true;
        if before.is_readable() && !after.is_readable() {
            self.wake_application();
        }
    }

    /// The live session has ended.
    fn end(&mut self, report: Report, now: Instant) {
        self.latest.moved = now;
        self.latest.ended = now;
        self.account.start_over();
        self.wake_writer();
        self.effects.reopen = true;
        self.effects.ended = Some(report);
        self.effects.room = true;
        if matches!(self.life, Life::Draining(_)) {
            self.stop(now); // it was the last client
        }
        self.effects.close = Some(match self.latest.phase {
            Phase::Lingering(_) => Close::Half,
            // Dropping our handle alone would leave a lent connection open.
            Phase::Over(Reason::Reset | Reason::Aborted) if !report.lent => Close::Abort,
            _ => Close::Whole,
        });
    }

    pub(super) fn wake_writer(&mut self) {
        self.effects.wake_writer |= !self.account.wake_queued;
        self.account.wake_queued = true;
    }

    /// Makes an application that waits for the outbox ask the slot again.
    pub(crate) fn wake_application(&mut self) {
        self.effects.wake_application |= !self.wake_queued;
        self.wake_queued = true;
    }

    /// There was no room in the outbox for a wake-up, so the application is not waiting for one.
    pub(crate) fn wake_dropped(&mut self) {
        self.wake_queued = false;
    }
}

impl Session {
    /// The reader in a position of this session.
    pub(super) fn at(&self, position: Position) -> Reader {
        Reader { session: self.number, position }
    }

    pub(super) fn new(number: u64, phase: Phase, peer: SocketAddr, now: Instant) -> Session {
        Session { number, phase, peer, received: 0, sent: 0, began: now, moved: now, spared: now, ended: now }
    }
}
