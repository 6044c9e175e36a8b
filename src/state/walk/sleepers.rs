//! The most useful check: no thread sleeps that would not wait if it asked again.
//!
//! A sleeping thread has not been notified; once notified, it no longer counts as asleep. So if a copy of the machine
//! would now give it another answer, a wake-up is lost. Each function returns whether that is the case.

use super::acceptor::{patience, At as AcceptorAt};
use super::application::At as ApplicationAt;
use super::config::Rules;
use super::reader::At as ReaderAt;
use super::sender::Offered;
use super::world::{Thread, World};
use super::writer::At as WriterAt;
use crate::state::accepting::Meeting;
use crate::state::account::Offer;
use crate::state::machine::Turn;
use crate::state::writing::Next;

pub(super) fn reader(world: &World) -> bool {
    let mut machine = world.machine.clone();
    match world.reader.at {
        ReaderAt::Attend => machine.attend(world.reader.session as u64) != Turn::Wait(None),
        _ => !machine.must_be_asked(),
    }
}

/// Also true if it waits without a deadline and would now have one.
pub(super) fn writer(world: &World, rules: &Rules) -> bool {
    let writer = &world.writer;
    let (session, now) = (writer.session as u64, rules.base);
    let waits_for_parcel = writer.waits(&world.inbox);
    if !waits_for_parcel && !world.is_asleep(Thread::Writer) {
        return false;
    }
    let mut machine = world.machine.clone();
    if writer.at == WriterAt::Attend {
        return match machine.next_to_write(session, now) {
            Turn::Wait(until) => until.is_some() && !writer.timed,
            _ => true,
        };
    }
    match machine.next(session, None, now) {
        Some(Next::Write(until) | Next::Drop(until)) => {
            machine != world.machine || (until.is_some() && !writer.timed)
        }
        Some(Next::End) | None => true,
    }
}

pub(super) fn acceptor(world: &World, rules: &Rules) -> bool {
    let machine = &world.machine;
    let waits = match world.acceptor.at {
        AcceptorAt::WaitUntilFree(_) => machine.is_busy() && machine.is_accepting(),
        AcceptorAt::Fetch => !world.slot.listener && machine.is_busy() && machine.is_accepting(),
        _ => {
            let meeting = machine.clone().meet(world.acceptor.seen, rules.base, patience(rules), rules.base);
            matches!(meeting, Meeting::Wait(_))
        }
    };
    !waits
}

pub(super) fn application(world: &World) -> bool {
    let application = &world.application;
    match &application.at {
        ApplicationAt::Receive if world.can_application_run() => false,
        ApplicationAt::Receive => {
            let open = Some(application.open as u64).filter(|open| *open != 0);
            let woken = world.slot.woken && !world.waking;
            woken || world.machine.clone().look(open, false)
        }
        ApplicationAt::Send(offered) => world.is_asleep(Thread::Application) && sender(world, Some(offered)),
        ApplicationAt::WaitUntilEnded(session) => {
            world.is_asleep(Thread::Application) && world.facts[*session].ended
        }
        _ => false,
    }
}

pub(super) fn sender(world: &World, waits: Option<&Offered>) -> bool {
    waits.map_or(false, |offered| {
        let mut message = offered.message.clone();
        world.machine.clone().offer(&mut message, true) != Offer::Wait
    })
}
