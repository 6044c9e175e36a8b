//! What must hold, and the checks of it in each state. What must hold at a certain step is checked where that step is.

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

/// What has been violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Check {
    /// One session is live at a time.
    OneLive,
    /// The busy flag says whether a session is live.
    BusyFlag,
    /// Bytes reach their own session only ...
    Apart,
    /// ... in order, and none is lost or doubled.
    InOrder,
    /// The end of a session is told after its last byte, and nothing of it comes later.
    ToldTooSoon,
    /// Each session that is announced has one end, before the next one is announced.
    OneEnd,
    /// A session is announced, unless the next one begins before the reader comes to it.
    Announced,
    /// What was accepted is the sum of what the report calls sent and discarded.
    SentAndDiscarded,
    /// `sent` counts for its own session only.
    CountedElsewhere,
    /// What the reader has handed over is what the report calls received.
    Received,
    /// Nothing is accepted after the end or the half-close.
    AcceptedAfterEnd,
    /// Nothing is refused while the session is open, or while there is room.
    RefusedThoughOpen,
    /// What is sent to nobody in particular is for the session at the call.
    Addressee,
    /// The messages in the inbox and with the writer have room.
    NoRoom,
    /// What is left in the inbox for a session that has ended is dropped, also while nobody is connected.
    Leftovers,
    /// After a failed write nothing more is written.
    WroteOn,
    /// The client is sent a FIN only after everything that was accepted for it.
    FinTooSoon,
    /// A finished session is not cut.
    CutShort,
    /// Only a client that has sent its FIN, of which everything was read, is complete.
    FalselyComplete,
    /// A session ends for the reason that its report gives.
    WithoutCause,
    /// Of a client that is ended as idle nothing has arrived.
    NotIdle,
    /// A client that is ended as gone has left, or has sent something that nobody wants.
    NotGone,
    /// Before a timeout ends a session, the reader and the application have a moment.
    NoMoment,
    /// A client that takes no byte for the idle timeout is not waited for, whatever else is in doubt.
    StillStalled,
    /// A session is not longer than the session timeout.
    Overtime,
    /// `extend` counts as a movement of the session for which it is called.
    NotExtended,
    /// A client for which nobody has asked loses the slot when it leaves.
    LeftUnasked,
    /// A broken connection is not a movement.
    Moved,
    /// The client sees the end when the slot is free ...
    SeenBeforeFree,
    /// ... and under `Busy::Refuse` the port is open.
    SeenBeforePort,
    /// The port is closed during a session under `Busy::Refuse`.
    PortOpen,
    /// The slot is free when the signal says that the session has ended.
    SignalBeforeFree,
    /// Nothing is read before the application has asked for it.
    NotAsked,
    /// A connection is lent before anything was read from it or accepted for it ...
    LentTooLate,
    /// ... is left alone from then on ...
    Touched,
    /// ... and is shut down at the end, also for its holder.
    NotTakenBack,
    /// Of a connection that is over the bytes are left unread, which makes the close a reset.
    ReadsOn,
    /// Only a session whose slot a newcomer waits for is awaited.
    Awaited,
    /// A second stop or drain does not extend the time of the first.
    StopExtended,
    /// A server that drains accepts nobody more ...
    AcceptedAfterDrain,
    /// ... goes on with its client for a while ...
    StoppedTooSoon,
    /// ... and stops when that has left.
    NotStopped,
    /// Nobody sleeps who, asked again, would not wait.
    Sleeps(Thread),
    /// From each state everything can come to its end.
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

    /// Between two sessions the writer has dropped everything that is not for the next one.
    fn check_leftovers(&self) -> Checked {
        let between = self.writer.at == WriterAt::Attend && self.is_asleep(Thread::Writer);
        let late = |parcel: &Parcel| matches!(parcel, Parcel::Byte(to, _) if *to <= self.writer.session);
        require(!between || !self.inbox.iter().any(late), Check::Leftovers)
    }

    /// Everything has come to its end: nothing happens any more, unless a client connects.
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
