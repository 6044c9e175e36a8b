//! The record of one session: its client, its phase, its counters.
//!
//! Shared through an `Arc` by the slot, the reader, the writer and every handle given out for the session. It is separate
//! from the stream, so handles that outlive the session do not keep the socket open. It knows no other part of the
//! server; its lock is a leaf: no other lock is taken under it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::monitor::lock;
use crate::options::Options;
use crate::pool::Pool;
use crate::signal::{Reason, Report};

/// How long a lingering connection is kept in all, and how long without a byte from the client.
const LINGER_TOTAL: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// The same silence while the server stops. Longer than one round trip around the world.
const LINGER_SILENCE_AT_STOP: Duration = Duration::from_millis(250);

pub(crate) struct Record {
    /// Sessions of one server are numbered from 1. Bytes in the inbox are addressed with this number.
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The pool to which this session's chunks return their buffers.
    pub(crate) pool: Arc<Pool>,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    reader: Reader,
    received: u64,
    sent: u64,
    /// When a byte last moved in either direction, or either side closed.
    moved: Instant,
    /// The final report, once the session has ended: in `Lingering` and `Over`.
    ended: Option<Report>,
}

/// The phase of a session. It changes only under the slot's lock:
///
/// | event (thread) | Open | ClientDone | WriteFailed | Lingering |
/// |---|---|---|---|---|
/// | FIN read (reader) | ClientDone | | Over: Reset | Over |
/// | read error (reader) | Over: Reset | | Over: Reset | Over |
/// | write error (writer) | WriteFailed | Over: Reset | | |
/// | reset found while the reader does not read (writer, acceptor) | WriteFailed | Over: Reset | | |
/// | `finish`, and its queue written (writer) | Lingering: Finished | Over: ClientClosed | Over: Reset | |
/// | stop, and its queue written (writer) | Lingering: Stopped | Over: Stopped | Over: Reset | |
/// | no byte moved for the idle timeout (writer) | Over: Idle or Stalled | Over: Idle or Stalled | Over: Reset | |
/// | no byte moved for the close timeout (writer) | | Over: Gone | Over: Reset | |
/// | newcomer under `Replace` (acceptor) | Over: Replaced | Over: Replaced | Over: Replaced | Over |
/// | `abort` (application) | Over: Aborted | Over: Aborted | Over: Aborted | Over |
/// | linger time up (writer), next client (acceptor) | | | | Over |
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Both directions are open.
    Open,
    /// The client has closed its side. The application may still answer.
    ClientDone,
    /// A write failed. The kernel reports a reset only once, to whichever call meets it first; what the client sent before
    /// it can still be read. Nothing more is written, and the session ends when the reader has read everything.
    WriteFailed,
    /// The server has closed its side after its last byte, and the slot is free. The reader discards what the client still
    /// sends: closing a socket with unread data sends a RST, which can destroy an answer that is still on its way.
    Lingering,
    /// The connection is closed.
    Over,
}

/// Where the reader is. Together with the phase it tells whether another chunk may still reach the outbox.
#[derive(PartialEq, Eq)]
enum Reader {
    /// It has read nothing: the outbox has yet to take the client, or the application has yet to ask for its bytes.
    Announcing,
    /// In a read, or done. It asks for the phase before it delivers what it has read.
    Reading,
    /// It has something for the outbox, and waits if that is full. Also the way from `Announcing` to the first read.
    Delivering,
}

impl Record {
    pub(crate) fn new(number: u64, peer: SocketAddr, local: SocketAddr, pool: Arc<Pool>) -> Record {
        let began = Instant::now();
        let (phase, reader) = (Phase::Open, Reader::Announcing);
        let state = State { phase, reader, received: 0, sent: 0, moved: began, ended: None };
        Record { number, peer, local, pool, began, state: Mutex::new(state) }
    }

    pub(crate) fn phase(&self) -> Phase {
        lock(&self.state).phase
    }

    /// The session has ended, though its connection may still linger.
    pub(crate) fn is_ended(&self) -> bool {
        lock(&self.state).ended.is_some()
    }

    /// Whether the application can be told that no more bytes come: there will be none, and the reader has put all of
    /// them into the outbox. Read this before looking into the channel.
    pub(crate) fn is_told(&self) -> bool {
        lock(&self.state).is_told()
    }

    /// The final report; before the end, how things stand. `taken` counts the bytes accepted by the inbox.
    pub(crate) fn report(&self, taken: u64) -> Report {
        let state = lock(&self.state);
        state.ended.unwrap_or_else(|| self.count(&state, Reason::ClientClosed, taken))
    }

    fn count(&self, state: &State, reason: Reason, taken: u64) -> Report {
        Report {
            peer: self.peer,
            reason,
            complete: state.phase == Phase::ClientDone,
            received: state.received,
            sent: state.sent,
            discarded: taken.saturating_sub(state.sent),
            lasted: self.began.elapsed(),
        }
    }
}

/// For the reader.
impl Record {
    /// Counts bytes that were read. Returns whether to deliver them: not after the session has ended.
    pub(crate) fn received(&self, count: usize) -> bool {
        let mut state = lock(&self.state);
        state.moved = Instant::now();
        if state.ended.is_some() {
            return false;
        }
        state.received += count as u64;
        state.reader = Reader::Delivering;
        true
    }

    /// Whether the application has yet to ask for the client's bytes. A broken connection is read without that: no reset
    /// can be sent on it any more, and reading finds its end.
    pub(crate) fn is_unasked(&self) -> bool {
        let state = lock(&self.state);
        state.reader == Reader::Announcing && state.phase == Phase::Open
    }

    /// Notes that the outbox has taken the last delivery. Returns whether it was the last one, in which case the
    /// application must be woken. The time that this took is not counted against the client.
    pub(crate) fn delivered(&self) -> bool {
        let mut state = lock(&self.state);
        state.moved = Instant::now();
        state.reader = Reader::Reading;
        state.is_told()
    }
}

/// For the application.
impl Record {
    /// Asks for the client's bytes. Returns whether this is the first time and the reader still waits for it.
    pub(crate) fn ask(&self) -> bool {
        let mut state = lock(&self.state);
        let first = state.reader == Reader::Announcing;
        if first {
            state.reader = Reader::Delivering;
        }
        first
    }
}

/// For the writer.
impl Record {
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.phase(), Phase::Open | Phase::ClientDone)
    }

    pub(crate) fn sent(&self, count: usize) {
        let mut state = lock(&self.state);
        state.moved = Instant::now();
        state.sent += count as u64;
    }

    /// Returns the deadline of the next timeout and its reason, or when to check again (no reason).
    ///
    /// `blocked` tells since when a write has made no progress. While the application leaves the outbox full, or has
    /// not asked for the client's bytes, no time is counted against the client, unless it does not read either or its
    /// connection is known to be broken.
    pub(crate) fn due(
        &self,
        options: &Options,
        blocked: Option<Instant>,
    ) -> Option<(Instant, Option<Reason>)> {
        let state = lock(&self.state);
        let after = |since: Instant, time: Option<Duration>, reason| Some((since + time?, reason));
        let (idle, close) = (options.idle_timeout, options.close_timeout);
        let shorter = [idle, close].into_iter().flatten().min();
        let in_idle_time = match blocked {
            Some(since) => after(since, idle, Some(Reason::Stalled)),
            None => after(state.moved, idle, Some(Reason::Idle)),
        };
        let due = match state.phase {
            Phase::Open if state.reader != Reader::Reading => {
                let look = after(Instant::now(), shorter.map(|time| time / 8), None);
                [look, in_idle_time.filter(|_| blocked.is_some())]
            }
            // The client's FIN does not wake the writer, so it looks for one as often as the close timeout needs.
            Phase::Open => [in_idle_time, after(Instant::now(), close, None)],
            Phase::ClientDone => [in_idle_time, after(state.moved, close, Some(Reason::Gone))],
            Phase::WriteFailed => [after(state.moved, shorter, Some(Reason::Reset)), None],
            Phase::Lingering | Phase::Over => [None, None],
        };
        due.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Until when a lingering connection is kept, or when to look again.
    pub(crate) fn lingers_until(&self, stop_by: Option<Instant>) -> Instant {
        let state = lock(&self.state);
        let silence = if stop_by.is_some() { LINGER_SILENCE_AT_STOP } else { LINGER_SILENCE };
        // A reader that waits for the outbox does not notice what the client sends.
        let heard = if state.reader == Reader::Reading { state.moved } else { Instant::now() };
        let ended = self.began + state.ended.map_or(Duration::ZERO, |report| report.lasted);
        let total = ended + LINGER_TOTAL;
        total.min(heard + silence).min(stop_by.unwrap_or(total))
    }
}

/// For the slot, which changes the phase, under its own lock.
impl Record {
    pub(crate) fn set_phase(&self, phase: Phase) {
        let mut state = lock(&self.state);
        if phase == Phase::ClientDone {
            state.moved = Instant::now(); // a FIN is a movement, too
        }
        state.phase = phase;
    }

    /// The reader would not notice a reset now: it does not read.
    pub(crate) fn is_unread(&self) -> bool {
        let state = lock(&self.state);
        state.phase == Phase::ClientDone || (state.phase == Phase::Open && state.reader != Reader::Reading)
    }

    /// Ends the session: the next phase is `Lingering` or `Over`. `taken` is what the inbox accepted for it.
    pub(crate) fn end(&self, reason: Reason, taken: u64) -> Report {
        let mut state = lock(&self.state);
        let in_good_order = matches!(reason, Reason::Finished | Reason::Stopped);
        let (phase, reason) = match state.phase {
            Phase::Open if in_good_order => (Phase::Lingering, reason),
            // Both sides have closed; the application only agreed.
            Phase::ClientDone if reason == Reason::Finished => (Phase::Over, Reason::ClientClosed),
            Phase::WriteFailed if in_good_order => (Phase::Over, Reason::Reset),
            _ => (Phase::Over, reason),
        };
        let report = self.count(&state, reason, taken);
        state.ended = Some(report);
        state.phase = phase;
        state.moved = Instant::now();
        report
    }
}

impl State {
    fn is_told(&self) -> bool {
        let all_read = !matches!(self.phase, Phase::Open | Phase::WriteFailed);
        all_read && self.reader == Reader::Reading
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("number", &self.number)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
