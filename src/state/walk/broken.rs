//! The test of the checks: each deliberate break is caught, by the check that is named here.

use std::time::Instant;

use super::breaks::Break;
use super::checks::Check::{self, *};
use super::config::{Act, Config, Manners, Policy, Rules, ONE_CLIENT};
use super::search;
use super::world::Thread::*;

const PLAIN: Config = Config { bytes: 1, ..ONE_CLIENT };
const REPLIES: Config = Config { acts: &[Act::Reply, Act::HalfClose, Act::Finish], times: 2, ..PLAIN };
const SENDER: Config = Config { bytes: 0, sender: &[Act::Send, Act::Send, Act::Send], ..PLAIN };
const TWO: Config =
    Config { bytes: 0, clients: 2, manners: &[Manners::HalfCloses, Manners::Resets], ..ONE_CLIENT };
const REFUSE: Config = Config { policy: Policy::Refuse, ..TWO };
const REPLACE: Config = Config { policy: Policy::Replace, acts: &[Act::Reply], times: 1, ..TWO };
const ON_DEMAND: Config = Config { read_on_demand: true, ..PLAIN };
const STOP: Config = Config { bytes: 0, stops: 1, ..PLAIN };
const DRAIN: Config = Config { bytes: 0, drains: 1, ..PLAIN };
const STOP_TWICE: Config = Config { stops: 2, ..STOP };
const STOP_SENDER: Config = Config { sender: SENDER.sender, ..STOP };
const TIMEOUTS: Config = Config { idle: true, close: true, ..PLAIN };
const STALLS: Config = Config { stalls: true, close: true, manners: &[Manners::HalfCloses], ..TWO };
const ON_DEMAND_TWO: Config =
    Config { read_on_demand: true, sender: &[Act::TrySend], manners: &[Manners::HalfCloses], ..TWO };
const LEND: Config = Config {
    read_on_demand: true,
    acts: &[Act::Lend, Act::Leave],
    times: 2,
    sender: &[Act::TrySend, Act::Abort],
    ..PLAIN
};
const LEND_TWO: Config =
    Config { sender: &[], times: 1, clients: 2, manners: &[Manners::HalfCloses], ..LEND };
const EXTEND: Config = Config { acts: &[Act::Extend], times: 1, ..TWO };
const FINISH_TWO: Config = Config { acts: &[Act::Finish], times: 1, ..TWO };
const REFUSE_FINISH: Config = Config { policy: Policy::Refuse, ..FINISH_TWO };
const ANSWER_TWO: Config = Config { manners: &[Manners::HalfCloses], acts: &[Act::Reply], times: 1, ..TWO };
const LEAVE_TWO: Config = Config { manners: &[Manners::HalfCloses], sender: &[Act::Send], ..TWO };
const SENDERS: Config = Config { acts: &[Act::Send], times: 1, ..SENDER };
const FINISH: Config = Config { acts: &[Act::Finish], times: 1, ..PLAIN };
const STOP_FINISH: Config = Config { acts: &[Act::Finish], times: 1, ..STOP };
const SENDER_TRIES: Config = Config { sender: &[Act::Send, Act::Send, Act::Send, Act::TrySend], ..SENDER };

const BREAKS: &[(Break, Config, Check)] = &[
    (Break::WriterNotWoken, PLAIN, Sleeps(Writer)),
    (Break::ApplicationNotWoken, PLAIN, Sleeps(Application)),
    (Break::RoomNotNotified, SENDER, Sleeps(Sender)),
    (Break::TurnNotNotified, PLAIN, Sleeps(Reader)),
    (Break::ChangeNotNotified, ON_DEMAND, Sleeps(Reader)),
    (Break::ReleaseNotNotified, STOP_FINISH, Sleeps(Writer)),
    (Break::PortReopenedOnRelease, REFUSE_FINISH, PortOpen),
    (Break::PortNotReopened, REFUSE, SeenBeforePort),
    (Break::CutInsteadOfLingering, REPLIES, CutShort),
    (Break::NotShutDown, PLAIN, Stuck),
    (Break::ShutdownUnderTheLock, PLAIN, SeenBeforeFree),
    (Break::SignalBeforeFlag, PLAIN, SignalBeforeFree),
    (Break::DroppedWakeNotNoted, Config { wakes: 1, ..PLAIN }, Sleeps(Application)),
    (Break::EndNotNotified, Config { policy: Policy::Wait, ..TWO }, Sleeps(Acceptor)),
    (Break::OutputNotReset, SENDER, RefusedThoughOpen),
    (Break::AcceptedNotReset, ANSWER_TWO, SentAndDiscarded),
    (Break::SentForWhoever, REPLACE, CountedElsewhere),
    (Break::ReaderPlacedAtEnd, FINISH, ToldTooSoon),
    (Break::LineNotLeft, SENDER_TRIES, RefusedThoughOpen),
    (Break::ResetIsMovement, Config { acts: &[Act::Reply], times: 1, ..PLAIN }, Moved),
    (Break::DeliveryWakesNobody, FINISH, Sleeps(Application)),
    (Break::FinIsTheEnd, PLAIN, WithoutCause),
    (Break::LateBytesTaken, Config { bytes: 1, ..REPLACE }, Apart),
    (Break::AwaitedLeftSet, TWO, Awaited),
    (Break::StopWakesNoSender, STOP_SENDER, Sleeps(Sender)),
    (Break::StopWakesNoThread, STOP, Sleeps(Reader)),
    (Break::StopWakesNoAcceptor, Config { policy: Policy::Wait, stops: 1, ..TWO }, Sleeps(Acceptor)),
    (Break::StopWakesNoWriter, STOP, Sleeps(Writer)),
    (Break::StopExtended, STOP_TWICE, StopExtended),
    (Break::DrainExtended, Config { drains: 2, ..DRAIN }, StopExtended),
    (Break::DrainWakesNoWriter, DRAIN, Sleeps(Writer)),
    (Break::DrainWakesNoAcceptor, Config { policy: Policy::Wait, drains: 1, ..TWO }, Sleeps(Acceptor)),
    (Break::DrainReplaces, Config { drains: 1, ..REPLACE }, WithoutCause),
    (Break::DrainStopsAtOnce, DRAIN, StoppedTooSoon),
    (Break::DrainOutlastsClient, DRAIN, NotStopped),
    (Break::DrainOutlastsTime, DRAIN, Overtime),
    (Break::RoomNotGivenBack, SENDER, Stuck),
    (Break::ReadUnasked, ON_DEMAND, NotAsked),
    (Break::AskForgotten, ON_DEMAND, Stuck),
    (Break::AcceptsWhenHalfClosed, REPLIES, AcceptedAfterEnd),
    (Break::HalfCloseBeforeWritten, REPLIES, FinTooSoon),
    (Break::FinishBeforeWritten, REPLIES, FinTooSoon),
    (Break::WakeTakenNotNoted, REPLIES, Sleeps(Writer)),
    (Break::ReceivedNotCounted, PLAIN, Received),
    (Break::FinAfterFailure, REPLIES, FinTooSoon),
    (Break::LineNotPassedOn, SENDERS, Sleeps(Sender)),
    (Break::FailedWriteRetried, REPLIES, WroteOn),
    (Break::ReadsOnWhenOver, Config { acts: &[Act::Abort], times: 1, ..PLAIN }, ReadsOn),
    (Break::BusyFlagNotSet, PLAIN, BusyFlag),
    (Break::ReadErrorTakenForFin, PLAIN, FalselyComplete),
    (Break::EndedNotAnnounced, Config { sender: &[Act::Abort], ..PLAIN }, Announced),
    (Break::FailedWriteForgotten, REPLIES, FinTooSoon),
    (Break::WritesAfterFailure, REPLIES, InOrder),
    (Break::LeftoversKept, REPLIES, Leftovers),
    (Break::NextOnesDiscarded, LEAVE_TWO, CutShort),
    (Break::RoomBeforeWritten, SENDER, NoRoom),
    (Break::NoDeadline, TIMEOUTS, Sleeps(Writer)),
    (Break::ResetForgotten, PLAIN, FalselyComplete),
    (Break::ResetOfTheNextTaken, TWO, FalselyComplete),
    (Break::BusyFlagIgnored, TWO, OneLive),
    (Break::AddresseeAfterWaiting, SENDER, Addressee),
    (Break::ChannelNotLookedAtAgain, PLAIN, ToldTooSoon),
    (Break::PendingEndLost, STOP, OneEnd),
    (Break::NoLook, TIMEOUTS, NotIdle),
    (Break::DataTakenForNothing, TIMEOUTS, NotIdle),
    (Break::FinTakenForNothing, TIMEOUTS, NotIdle),
    (Break::NothingTakenForFin, STALLS, NotGone),
    (Break::NoMoment, TIMEOUTS, NoMoment),
    (Break::TimeUpMasked, Config { session: true, ..TIMEOUTS }, Overtime),
    (Break::UnheardNeverGone, STALLS, Stuck),
    (Break::EndsUnheard, ON_DEMAND_TWO, WithoutCause),
    (Break::WriterIgnoresFin, ON_DEMAND, LeftUnasked),
    (Break::AcceptorIgnoresFin, ON_DEMAND_TWO, LeftUnasked),
    (Break::AcceptorIgnoresFin, Config { policy: Policy::Wait, ..ON_DEMAND_TWO }, LeftUnasked),
    (Break::WaitsBeforeCarryingOut, ON_DEMAND_TWO, Sleeps(Reader)),
    (Break::WaitsForNobody, Config { policy: Policy::Wait, ..TWO }, OneLive),
    (Break::LentAfterAsked, LEND, LentTooLate),
    (Break::LentIsRead, LEND, Touched),
    (Break::LentIsLookedAt, LEND_TWO, Touched),
    (Break::LooksWithoutTheLock, LEND_TWO, Touched),
    (Break::LooksWithoutTheLock, TWO, FalselyComplete),
    (Break::LentTakesBytes, LEND, AcceptedAfterEnd),
    (Break::LentIsIdle, Config { idle: true, stalls: true, ..LEND }, WithoutCause),
    (Break::LentIsNotTakenBack, LEND, NotTakenBack),
    (Break::ExtendForgotten, EXTEND, NotExtended),
    (Break::ExtendMovesTheStart, EXTEND, Overtime),
    (Break::ExtendsTheLatest, EXTEND, NotExtended),
];

#[test]
fn the_walk_notices_each_deliberate_break() {
    let mut wrong = 0;
    for (broken, config, check) in BREAKS {
        let start = Instant::now();
        match search::walk(&Rules::new(*config, Some(*broken))) {
            Err(failure) if failure.check == *check => {
                eprintln!("{broken:?}: {check:?}, {:.1?}", start.elapsed());
            }
            Err(failure) => {
                eprintln!(
                    "WRONG {broken:?}: {check:?} was expected, {:.1?}; {:?}",
                    start.elapsed(),
                    failure.check
                );
                wrong += 1;
            }
            Ok(seen) => {
                eprintln!("WRONG {broken:?}: not noticed in {} states {:.1?}", seen.states, start.elapsed());
                wrong += 1;
            }
        }
    }
    assert_eq!(wrong, 0);
}
