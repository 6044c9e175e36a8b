//! The settings of all walks.

use super::config::{Act, Config, Manners, Policy, ONE_CLIENT};
use crate::values::signal::Reason::*;

const ONE: Config = Config { bytes: 1, ..ONE_CLIENT };

/// Two clients. Closing and half-closing differ only if the server writes, so these clients do not close.
const TWO: Config = Config {
    name: "two clients",
    clients: 2,
    bytes: 0,
    manners: &[Manners::HalfCloses, Manners::Resets],
    ..ONE_CLIENT
};

/// In every run of the tests, some seconds in all.
pub(super) const SMALL: &[Config] = &[
    Config { at_least: 8_000, ..ONE_CLIENT },
    Config {
        name: "an application that answers, half-closes and finishes",
        acts: &[Act::TryReply, Act::Reply, Act::HalfClose, Act::Finish],
        times: 2,
        at_least: 100_000,
        ..ONE
    },
    Config {
        name: "an application that aborts and drops sessions",
        acts: &[Act::Abort, Act::Leave, Act::Close, Act::Reply],
        times: 2,
        at_least: 100_000,
        ..ONE
    },
    Config {
        name: "a slow client",
        slow_clients: true,
        acts: &[Act::Reply],
        times: 3,
        at_least: 90_000,
        ..ONE
    },
    Config {
        name: "a second sender",
        sender: &[Act::Send, Act::TrySend, Act::Send],
        bytes: 0,
        at_least: 60_000,
        ..ONE
    },
    Config {
        name: "two senders that wait",
        sender: &[Act::Send, Act::Send, Act::Send],
        acts: &[Act::Reply],
        times: 1,
        bytes: 0,
        manners: &[Manners::Resets],
        at_least: 100_000,
        ..ONE
    },
    Config {
        name: "read on demand",
        read_on_demand: true,
        acts: &[Act::Reply, Act::Leave],
        times: 1,
        at_least: 15_000,
        ..ONE
    },
    Config {
        name: "timeouts",
        idle: true,
        close: true,
        read_on_demand: true,
        acts: &[Act::Reply, Act::Extend],
        times: 1,
        at_least: 20_000,
        ..ONE
    },
    Config {
        name: "the idle timeout",
        idle: true,
        bytes: 2,
        reasons: &[Idle, ClientClosed, Reset],
        at_least: 18_000,
        ..ONE
    },
    Config { name: "the close timeout", close: true, reasons: &[Gone, ClientClosed], at_least: 7_000, ..ONE },
    Config {
        name: "the session timeout, and others",
        session: true,
        idle: true,
        close: true,
        acts: &[Act::Extend],
        times: 1,
        reasons: &[TimeUp, Idle],
        at_least: 23_000,
        ..ONE
    },
    Config {
        name: "the idle timeout of a slow client",
        slow_clients: true,
        idle: true,
        bytes: 0,
        acts: &[Act::Reply],
        times: 2,
        manners: &[Manners::Closes],
        reasons: &[Stalled, Idle],
        at_least: 10_000,
        ..ONE
    },
    Config {
        name: "an application that stands still",
        stalls: true,
        close: true,
        manners: &[Manners::HalfCloses],
        reasons: &[Gone, ClientClosed],
        at_least: 23_000,
        ..TWO
    },
    Config {
        name: "an application that does not ask",
        stalls: true,
        close: true,
        read_on_demand: true,
        reasons: &[Gone, ClientClosed, Reset],
        at_least: 7_000,
        ..ONE
    },
    Config { name: "two stops", stops: 2, bytes: 0, at_least: 40_000, ..ONE },
    Config { name: "two wake-ups", wakes: 2, bytes: 0, at_least: 20_000, ..ONE },
    Config {
        name: "an application that stops the server",
        acts: &[Act::StopServer, Act::Reply],
        times: 1,
        at_least: 40_000,
        ..ONE
    },
    Config {
        name: "a stop and timeouts",
        stops: 1,
        idle: true,
        close: true,
        acts: &[Act::Reply],
        times: 1,
        at_least: 190_000,
        ..ONE
    },
    Config { at_least: 100_000, ..TWO },
    Config {
        name: "two clients, read on demand",
        read_on_demand: true,
        manners: &[Manners::HalfCloses],
        sender: &[Act::TrySend],
        reasons: &[ClientClosed],
        at_least: 90_000,
        ..TWO
    },
    Config { name: "two clients, Wait", policy: Policy::Wait, at_least: 70_000, ..TWO },
    Config { name: "two clients, Refuse", policy: Policy::Refuse, at_least: 110_000, ..TWO },
    Config { name: "two clients, Replace", policy: Policy::Replace, at_least: 160_000, ..TWO },
];

const TWO_ANSWERED: Config = Config { bytes: 1, acts: &[Act::Reply], times: 1, ..TWO };

/// On demand: two minutes in all, and at most 1.2 GB of memory.
pub(super) const LARGE: &[Config] = &[
    Config {
        name: "an application that does everything",
        sender: &[Act::Send],
        acts: &[Act::Reply, Act::TrySend, Act::HalfClose, Act::Finish, Act::Abort, Act::Leave, Act::Close],
        times: 3,
        at_least: 2_000_000,
        ..ONE
    },
    Config {
        name: "two stops, timeouts and a slow client",
        stops: 2,
        idle: true,
        close: true,
        slow_clients: true,
        sender: &[Act::Send],
        acts: &[Act::Reply],
        times: 1,
        at_least: 1_600_000,
        ..ONE
    },
    Config {
        name: "stop, timeouts and read on demand",
        stops: 1,
        idle: true,
        close: true,
        read_on_demand: true,
        wakes: 1,
        acts: &[Act::Reply],
        times: 1,
        at_least: 1_000_000,
        ..ONE
    },
    Config { name: "two clients in a storm of refusals", grace: false, at_least: 100_000, ..TWO },
    Config { name: "two clients, answered", at_least: 1_800_000, ..TWO_ANSWERED },
    Config {
        name: "two clients, answered, Refuse",
        policy: Policy::Refuse,
        at_least: 1_800_000,
        ..TWO_ANSWERED
    },
    Config {
        name: "two clients, answered, Replace",
        policy: Policy::Replace,
        at_least: 2_800_000,
        ..TWO_ANSWERED
    },
    Config {
        name: "two clients and a second sender",
        sender: &[Act::Send, Act::Send, Act::Send],
        at_least: 5_000_000,
        ..TWO
    },
    Config {
        name: "two clients and timeouts",
        idle: true,
        close: true,
        acts: &[Act::Reply],
        times: 1,
        at_least: 600_000,
        ..TWO
    },
    Config {
        name: "two clients and a stop",
        stops: 1,
        acts: &[Act::Finish, Act::Leave],
        times: 1,
        at_least: 2_300_000,
        ..TWO
    },
    Config {
        name: "two clients, a stop, Refuse",
        stops: 1,
        acts: &[Act::Finish],
        times: 1,
        policy: Policy::Refuse,
        at_least: 2_100_000,
        ..TWO
    },
    Config {
        name: "two clients, a stop, Replace",
        stops: 1,
        acts: &[Act::Finish],
        times: 1,
        policy: Policy::Replace,
        at_least: 2_000_000,
        ..TWO
    },
];
