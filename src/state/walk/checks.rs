//! The invariants, and their checks in each state. Conditions of a single step are checked in the file of that step.

use super::acceptor::At as AcceptorAt;
use super::application::At as ApplicationAt;
use super::config::{Policy, Rules, ROOM};
use super::reader::At as ReaderAt;
use super::sleepers;
use super::step::When;
use super::world::{Parcel, Thread, World};
use super::writer::At as WriterAt;
use crate::state::machine::Awaited;
use crate::state::phase::Phase;

/// The invariants. A failure names the one that was violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Check {
    /// One session is live at a time.
    OneLive,
    /// The busy flag says whether a session is live.
    BusyFlag,
    /// Bytes reach only their own session.
    Apart,
    /// Bytes arrive in order, and none is lost or duplicated.
    InOrder,
    /// The application receives the end of a session after its last byte, and nothing of the session later.
    ToldTooSoon,
    /// Each session that is announced has one end, before the next one is announced.
    OneEnd,
    /// A session is announced, unless the next one begins before the reader reaches it.
    Announced,
    /// The bytes accepted are the sum of `sent` and `discarded` in the report.
    SentAndDiscarded,
    /// `sent` counts for its own session only.
    CountedElsewhere,
    /// The bytes that the reader has delivered are `received` in the report.
    Received,
    /// Nothing is accepted after the end or the half-close.
    AcceptedAfterEnd,
    /// Nothing is refused while the session is open, or while there is room.
    RefusedThoughOpen,
    /// Unaddressed bytes go to the session that is live at the call, or to the next one.
    Addressee,
    /// The account has room for the messages in the inbox and with the writer.
    NoRoom,
    /// Messages left in the inbox for a session that has ended are dropped, even while nobody is connected.
    Leftovers,
    /// After a failed write nothing more is written.
    WroteOn,
    /// The client gets a FIN only after all bytes accepted for it.
    FinTooSoon,
    /// A finished session is not cut.
    CutShort,
    /// A session is complete only if its client has sent a FIN and everything before it was read.
    FalselyComplete,
    /// The report gives the true reason for the end.
    WithoutCause,
    /// If a session ends as idle, no unread bytes of its client have arrived.
    NotIdle,
    /// If a session ends as gone, its client has left, or has sent bytes that the application does not ask for.
    NotGone,
    /// Before a timeout ends a session, the reader and the application have a grace period.
    NoMoment,
    /// A client that reads no byte for the idle timeout is timed out, even while another timeout is in doubt.
    StillStalled,
    /// A session does not last longer than the session timeout.
    Overtime,
    /// `extend` restarts the timeouts of the session for which it is called.
    NotExtended,
    /// If the application has not asked for a client's bytes, the client loses the slot when it leaves.
    LeftUnasked,
    /// A break of the connection does not count as activity.
    Moved,
    /// When the client sees the end, the slot is free.
    SeenBeforeFree,
    /// When the client sees the end under `Busy::Refuse`, the port is open.
    SeenBeforePort,
    /// The port is closed during a session under `Busy::Refuse`.
    PortOpen,
    /// When the end is signalled, the slot is free.
    SignalBeforeFree,
    /// Nothing is read before the application has asked for it.
    NotAsked,
    /// A connection is lent only before anything was read from it or accepted for it.
    LentTooLate,
    /// The server does not touch a lent connection.
    Touched,
    /// At the end a lent connection is shut down, also for its holder.
    NotTakenBack,
    /// Bytes on a connection that is over are left unread, so the close is a reset.
    ReadsOn,
    /// A session is awaited only if a newcomer waits for its slot.
    Awaited,
    /// A second stop or drain does not extend the time of the first.
    StopExtended,
    /// A draining server accepts no more clients.
    AcceptedAfterDrain,
    /// A draining server serves its client for a while.
    StoppedTooSoon,
    /// A draining server stops when its client has left.
    NotStopped,
    /// No thread sleeps that would not wait if it asked again.
    Sleeps(Thread),
    /// An end can be reached from each state.
    Stuck,
}

pub(super) type Checked<T = ()> = Result<T, Check>;

fn require(holds: bool, check: Check) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(check)
    }
}

impl World {
    /// What must hold in each state.
    pub(super) fn check(&self, rules: &Rules) -> Checked {
        let latest = &self.machine.latest;
        require(self.slot.busy == self.machine.is_busy(), Check::BusyFlag)?;
        require(latest.sent <= u64::from(self.facts[self.begun].written), Check::CountedElsewhere)?;
        require(self.outstanding() <= ROOM, Check::NoRoom)?;
        require(
            latest.phase != Phase::WriteFailed || latest.moved <= When::Farther.time(rules),
            Check::Moved,
        )?;
        let meets = matches!(self.acceptor.at, AcceptorAt::Meet(_));
        require(self.machine.awaited != Awaited::Slot || !self.machine.is_busy() || meets, Check::Awaited)?;
        if rules.config.policy == Policy::Refuse {
            let open = matches!(latest.phase, Phase::Open | Phase::WriteFailed);
            require(!open || !self.is_port_open(), Check::PortOpen)?;
        }
        require(!self.facts[self.begun].touched, Check::Touched)?;
        self.check_leftovers()?;
        for thread in super::world::ALL {
            require(!sleeps_in_vain(self, rules, thread), Check::Sleeps(thread))?;
        }
        Ok(())
    }

    /// Between two sessions, the writer has dropped everything that is not for the next one.
    fn check_leftovers(&self) -> Checked {
        let between = self.writer.at == WriterAt::Attend && self.is_asleep(Thread::Writer);
        let late = |parcel: &Parcel| matches!(parcel, Parcel::Byte(to, _) if *to <= self.writer.session);
        require(!between || !self.inbox.iter().any(late), Check::Leftovers)
    }

    /// Whether this is an end: nothing more happens unless a client connects.
    pub(super) fn is_done(&self, rules: &Rules) -> bool {
        let threads = if self.stopped {
            self.reader.at == ReaderAt::Exited
                && self.writer.at == WriterAt::Exited
                && self.acceptor.at == AcceptorAt::Exited
                && self.application.at == ApplicationAt::Done
                && self.sender.waits.is_none()
        } else {
            let idle = |thread| self.is_asleep(thread);
            let accepts = self.acceptor.at == AcceptorAt::Accept && self.backlog.is_empty();
            let told = self.reader.at == ReaderAt::Attend
                && idle(Thread::Reader)
                && self.application.at == ApplicationAt::Receive
                && self.application.open == 0
                && self.outbox.items.is_empty();
            (told || rules.config.stalls)
                && self.writer.at == WriterAt::Attend
                && idle(Thread::Writer)
                && (accepts || idle(Thread::Acceptor))
                && !rules.must_stop()
        };
        let closed = self.closing.iter().all(Option::is_none) && !self.slot.connection;
        threads && closed && self.are_clients_gone() && !self.machine.is_busy()
    }

    /// What must hold at the end.
    pub(super) fn check_end(&self, rules: &Rules) -> Checked {
        if rules.config.stalls {
            return Ok(());
        }
        for facts in &self.facts[1..=self.begun] {
            require(!facts.announced || facts.told || facts.forgotten, Check::OneEnd)?;
            require(facts.announced != facts.missed || self.outbox.closed, Check::Announced)?;
        }
        Ok(())
    }
}

fn sleeps_in_vain(world: &World, rules: &Rules, thread: Thread) -> bool {
    if world.closing[thread as usize].is_some() {
        return false;
    }
    match thread {
        Thread::Reader => world.is_asleep(thread) && sleepers::reader(world),
        Thread::Writer => sleepers::writer(world, rules),
        Thread::Acceptor => world.is_asleep(thread) && sleepers::acceptor(world, rules),
        Thread::Application => sleepers::application(world),
        Thread::Sender => world.is_asleep(thread) && sleepers::sender(world, world.sender.waits.as_ref()),
        Thread::Control => false,
    }
}
