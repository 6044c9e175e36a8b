//! The settings of the large walks.

use super::config::{Act, Config, Policy};
use super::walks::{ONE, TWO};

const TWO_ANSWERED: Config = Config { bytes: 1, acts: &[Act::Reply], times: 1, ..TWO };

/// Only with `WALK=all`: three minutes in total, and at most 1.2 GB of memory.
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
        name: "a stop, all timeouts and an answer",
        stops: 1,
        idle: true,
        close: true,
        session: true,
        acts: &[Act::Reply],
        times: 1,
        at_least: 275_000,
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
    Config {
        name: "two drains, a stop and timeouts",
        drains: 2,
        stops: 1,
        idle: true,
        close: true,
        acts: &[Act::Finish, Act::Reply],
        times: 1,
        at_least: 1_500_000,
        ..ONE
    },
    Config {
        name: "two clients, a lent connection and a drain",
        read_on_demand: true,
        acts: &[Act::Lend, Act::HolderReads],
        times: 1,
        drains: 1,
        at_least: 1,
        ..TWO
    },
    Config { name: "two clients in a burst of refusals", grace: false, at_least: 100_000, ..TWO },
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
        at_least: 2_600_000,
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
