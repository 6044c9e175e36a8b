//! The state machine of the server: everything that the slot knows, but for descriptors, as a plain value.
//!
//! No lock, no socket, no clock: the time is an argument. A thread takes a *step* of the machine under the slot's lock. The
//! step answers the thread, and leaves in `effects` what has to be done outside. So the whole protocol can be run without a
//! server: the tests in `walk` go through every order of the steps.
//!
//! This file has the state, and the changes that steps have in common; `questions` has what can be asked of it, and
//! `deadlines` the timeouts. The steps are in the files that are named after what a thread does: `accepting`, `reading`,
//! `writing`, `sending`, `receiving`.
//!
//! There is one session, the latest. It is live, lingers or is over; the next one takes its place. The reader may still
//! deliver for an older one, so its position has a number of its own.

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
    /// What the last steps want done.
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
    /// Once a timeout has passed: not before this time is it held against the client.
    pub(super) spared: Instant,
    pub(super) ended: Instant,
}

/// Where the reader is. Together with the phase it tells whether another chunk may still reach the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    /// The session that it is at, which need not be the latest.
    pub(super) session: u64,
    pub(super) position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Position {
    /// It has read nothing: the outbox has yet to take the client, or the application has yet to ask for its bytes.
    Announcing,
    /// In a read, or done. What it reads is counted and put into the outbox in one step.
    Reading,
    /// It waits until the outbox takes something. Also between the application's request and the first read.
    Delivering,
}

/// What the newcomer that the acceptor has in hand waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Awaited {
    /// There is none, or only time can tell.
    Nothing,
    /// The slot: the client that has it is leaving.
    Slot,
    /// The reader, which has to come to what is unread. The FIN may be behind it.
    Reader,
}

/// How long the server lives. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Running,
    /// No client is accepted any more. The live one may go on until then; the server stops when it leaves, or then.
    Draining(Instant),
    /// Nothing is accepted any more, from nobody. The current client is sent what has been, until then at the latest.
    Stopping(Instant),
}

/// What a thread that wants a session is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// The latest session.
    Serve,
    /// Wait for the next turn, until then at most, and ask again.
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

    /// What the steps since the last call want done.
    pub(crate) fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// The steps since the last call of `take_effects` want something done.
    pub(crate) fn has_effects(&self) -> bool {
        self.effects != Effects::default()
    }

    /// A thread has looked at the connection of the live session.
    pub(super) fn note(&mut self, seen: Seen, now: Instant) {
        let session = self.latest.number;
        match seen {
            Seen::Broken => self.apply(session, Event::Broken, now),
            // Nobody has asked for this client, and it has left without a word. If the application had no time to ask, it may
            // have an answer for it all the same.
            Seen::Fin if self.is_unasked() && self.heard_by() <= now => {
                self.apply(session, Event::Fin, now);
                if self.account.accepted == 0 {
                    self.apply(session, Event::Finish, now);
                }
            }
            Seen::Nothing | Seen::Data | Seen::Fin | Seen::Unknown => {}
        }
    }

    /// Something has happened to a session. The only place that changes a phase.
    pub(crate) fn apply(&mut self, session: u64, event: Event, now: Instant) {
        let before = self.latest.phase;
        let after = before.after(event);
        if !self.is_latest(session) || after == before {
            return;
        }
        let report = after.reason().map(|reason| self.report(reason, now));
        self.latest.phase = after;
        match (after, report) {
            // The connection no longer lingers. Nobody waits for that but, during a stop, the writer; otherwise it finds out
            // when the linger time is up.
            _ if !before.is_live() => {
                self.effects.close = Some(Close::Whole);
                self.effects.turn |= self.is_stopping();
                return;
            }
            (_, Some(report)) => self.end(report, now),
            (Phase::ClientDone, _) => {
                self.latest.moved = now; // a FIN is a movement, too
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
            // Giving up our handle alone would leave a lent connection open.
            Phase::Over(Reason::Reset | Reason::Aborted) if !report.lent => Close::Abort,
            _ => Close::Whole,
        });
    }

    pub(super) fn wake_writer(&mut self) {
        self.effects.wake_writer |= !self.account.wake_queued;
        self.account.wake_queued = true;
    }

    /// Makes an application that waits for the outbox ask again.
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
