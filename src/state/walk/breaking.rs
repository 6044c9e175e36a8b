//! How a break changes the machine: before a step, after it, or in the effects of the step.

use std::time::Duration;

use super::breaks::{Break, Call};
use super::config::IDLE;
use crate::state::account::Output;
use crate::state::effects::{Close, Effects};
use crate::state::machine::{Awaited, Life, Machine, Position};
use crate::state::phase::{Event, Phase};

/// Longer than a walk.
const NEVER: Duration = Duration::from_secs(10_000 * 3600);

/// The session was live and is no longer.
fn has_ended(before: &Machine, machine: &Machine) -> bool {
    before.is_busy() && !machine.is_busy()
}

impl Break {
    /// Changes the machine before a step.
    pub(super) fn before(self, call: Call, machine: &mut Machine) {
        match (self, call) {
            (Break::LateBytesTaken, Call::Received) => machine.reader.session = machine.latest.number,
            (Break::ReadUnasked, Call::MustBeAsked) => machine.reader.position = Position::Delivering,
            (Break::StopExtended, Call::Stop) => machine.life = Life::Running,
            (Break::DrainExtended, Call::Drain) if !machine.is_stopping() => machine.life = Life::Running,
            (Break::DrainReplaces, Call::Replace) if !machine.is_stopping() => machine.life = Life::Running,
            (Break::DrainOutlastsTime, Call::Next | Call::GoOn) => {
                if let Life::Draining(until) = machine.life {
                    machine.life = Life::Draining(until + NEVER);
                }
            }
            (Break::AcceptsWhenHalfClosed, Call::Offer) if machine.account.output < Output::Finishing => {
                machine.account.output = Output::Open;
            }
            (Break::LentTakesBytes, Call::Offer) | (Break::LentIsIdle, Call::Next) if machine.is_lent() => {
                machine.latest.phase = Phase::Open;
            }
            (Break::NoMoment, Call::Next | Call::GoOn) => {
                machine.latest.spared = machine.latest.moved + IDLE;
            }
            (Break::TimeUpMasked, Call::Next) if machine.latest.spared > machine.latest.moved => {
                machine.session_timeout = None;
            }
            (Break::EndsUnheard, Call::Meet) => machine.latest.began -= Duration::from_secs(1),
            (Break::UnheardNeverGone, Call::Next) if machine.is_unstarted() => {
                machine.latest.moved += NEVER;
            }
            _ => {}
        }
    }

    /// Changes the machine after a step.
    pub(super) fn after(self, call: Call, before: &Machine, machine: &mut Machine) {
        let now = machine.latest.began;
        match (self, call) {
            (Break::OutputNotReset, _) if has_ended(before, machine) => {
                machine.account.output = before.account.output;
            }
            (Break::AcceptedNotReset, _) if has_ended(before, machine) => {
                machine.account.accepted = before.account.accepted;
            }
            (Break::ReaderPlacedAtEnd, _) if has_ended(before, machine) => {
                machine.reader.position = Position::Reading;
            }
            (Break::SentForWhoever, Call::Settle(session, sent)) if !before.is_live(session) => {
                machine.latest.sent += sent;
            }
            (Break::LineNotLeft, Call::Offer) if machine.account.line.len() < before.account.line.len() => {
                machine.account.line = before.account.line.clone();
            }
            (Break::ResetIsMovement, _)
                if machine.latest.phase == Phase::WriteFailed && before.latest.phase == Phase::Open =>
            {
                machine.latest.moved = now + NEVER;
            }
            (Break::DeliveryWakesNobody, Call::Delivered) => {
                machine.wake_queued = before.wake_queued;
                machine.effects.wake_application = before.effects.wake_application;
            }
            (Break::FinIsTheEnd, Call::Apply) if machine.latest.phase == Phase::ClientDone => {
                machine.apply(machine.latest.number, Event::Finish, now);
            }
            (Break::AwaitedLeftSet, Call::Meet) if before.awaited == Awaited::Slot => {
                machine.awaited = before.awaited;
            }
            (Break::DrainWakesNoWriter, Call::Drain) => {
                machine.effects.wake_writer = false;
                machine.account.wake_queued = before.account.wake_queued;
            }
            (Break::DrainWakesNoAcceptor, Call::Drain) => machine.effects.change = false,
            (Break::DrainStopsAtOnce, Call::Drain) => machine.stop(now),
            (Break::DrainOutlastsClient, Call::Apply)
                if has_ended(before, machine) && matches!(before.life, Life::Draining(_)) =>
            {
                machine.life = before.life;
            }
            (Break::LentTakesBytes, Call::Offer) | (Break::LentIsIdle, Call::Next)
                if before.is_lent() && machine.is_open() =>
            {
                machine.latest.phase = Phase::Lent;
            }
            (Break::StopWakesNoSender, Call::Stop) => machine.effects.room = false,
            (Break::StopWakesNoThread, Call::Stop) => machine.effects.turn = false,
            (Break::StopWakesNoAcceptor, Call::Stop) => machine.effects.change = false,
            (Break::StopWakesNoWriter, Call::Stop) => {
                machine.effects.wake_writer = false;
                machine.account.wake_queued = before.account.wake_queued;
            }
            (Break::RoomNotGivenBack, Call::Settle(..)) => {
                let wake_queued = machine.account.wake_queued;
                machine.account = before.account.clone();
                machine.account.wake_queued = wake_queued;
            }
            (Break::WakeTakenNotNoted, Call::Settle(..)) => {
                machine.account.wake_queued = before.account.wake_queued;
            }
            (Break::ReceivedNotCounted, Call::Received) => machine.latest.received = before.latest.received,
            (Break::FinAfterFailure, Call::Next)
                if machine.latest.phase == Phase::WriteFailed
                    && machine.account.output == Output::HalfClosing =>
            {
                machine.effects.close = Some(Close::Half);
            }
            (Break::TimeUpMasked, Call::Next) => machine.session_timeout = before.session_timeout,
            (Break::EndsUnheard, Call::Meet) => machine.latest.began = before.latest.began,
            (Break::UnheardNeverGone, Call::Next) => machine.latest.moved = before.latest.moved,
            (Break::ExtendForgotten, Call::Extend) => machine.latest.moved = before.latest.moved,
            (Break::ExtendMovesTheStart, Call::Extend) => machine.latest.began = machine.latest.moved,
            (Break::LineNotPassedOn, Call::Offer) => machine.effects.room = before.effects.room,
            (Break::AskForgotten, Call::Look) => machine.reader = before.reader.clone(),
            (Break::HalfCloseBeforeWritten, Call::Next) if machine.account.output == Output::HalfClosing => {
                machine.account.output = Output::HalfClosed;
                machine.effects.close = Some(Close::Half);
            }
            (Break::FinishBeforeWritten, Call::Next) if machine.account.output == Output::Finishing => {
                machine.apply(machine.latest.number, Event::Finish, now);
            }
            _ => {}
        }
    }

    /// Changes the effects of a step.
    pub(super) fn effects(self, effects: &mut Effects, machine: &Machine) {
        let release = effects.ended.is_none() && effects.close == Some(Close::Whole);
        match self {
            Break::WriterNotWoken => effects.wake_writer = false,
            Break::ApplicationNotWoken => effects.wake_application = false,
            Break::RoomNotNotified => effects.room = false,
            Break::TurnNotNotified => effects.turn = false,
            Break::ChangeNotNotified => effects.change = false,
            Break::EndNotNotified if effects.ended.is_some() => effects.change = false,
            Break::ReleaseNotNotified if release => effects.turn = false,
            Break::PortReopenedOnRelease if release => effects.reopen = true,
            Break::PortNotReopened => effects.reopen = false,
            Break::CutInsteadOfLingering if !machine.is_busy() && effects.close == Some(Close::Half) => {
                effects.close = Some(Close::Whole);
            }
            Break::LentIsNotTakenBack if effects.ended.map_or(false, |report| report.lent) => {
                effects.close = Some(Close::Abort);
            }
            Break::NotShutDown if effects.ended.is_some() => effects.close = None,
            _ => {}
        }
    }
}
