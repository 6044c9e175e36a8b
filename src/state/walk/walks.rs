//! The settings of the walks without timeouts. Those with timeouts and the large ones have files of their own.

use super::config::{Act, Config, Manners, Policy, ONE_CLIENT};
use crate::values::signal::Reason::*;

pub(super) const ONE: Config = Config { bytes: 1, ..ONE_CLIENT };

/// Two clients. Closing and half-closing differ only if the server writes, so these clients do not close.
pub(super) const TWO: Config = Config {
    name: "two clients",
    clients: 2,
    bytes: 0,
    manners: &[Manners::HalfCloses, Manners::Resets],
    ..ONE_CLIENT
};

/// Part of every test run; some seconds in total.
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
        name: "a lent connection",
        read_on_demand: true,
        acts: &[Act::Lend, Act::HolderReads],
        times: 1,
        sender: &[Act::TrySend, Act::Abort],
        reasons: &[Finished, Aborted],
        at_least: 180_000,
        ..ONE
    },
    Config {
        name: "two clients, a lent connection",
        read_on_demand: true,
        manners: &[Manners::HalfCloses],
        acts: &[Act::Lend, Act::HolderReads],
        times: 1,
        reasons: &[Finished],
        at_least: 85_000,
        ..TWO
    },
    Config {
        name: "two clients, a lent connection, Replace",
        policy: Policy::Replace,
        read_on_demand: true,
        manners: &[Manners::HalfCloses],
        acts: &[Act::Lend],
        times: 1,
        reasons: &[Finished, Replaced],
        at_least: 70_000,
        ..TWO
    },
    Config { name: "two stops", stops: 2, bytes: 0, at_least: 40_000, ..ONE },
    Config {
        name: "a drain and a stop",
        drains: 1,
        stops: 1,
        bytes: 0,
        acts: &[Act::Finish],
        times: 1,
        reasons: &[Stopped],
        at_least: 60_000,
        ..ONE
    },
    Config {
        name: "two clients, Refuse, a drain",
        policy: Policy::Refuse,
        drains: 1,
        manners: &[Manners::HalfCloses],
        at_least: 87_000,
        ..TWO
    },
    Config {
        name: "two clients, Replace, a drain",
        policy: Policy::Replace,
        drains: 1,
        manners: &[Manners::HalfCloses],
        at_least: 200_000,
        ..TWO
    },
    Config { name: "two wake-ups", wakes: 2, bytes: 0, at_least: 20_000, ..ONE },
    Config {
        name: "an application that stops the server",
        acts: &[Act::StopServer, Act::Reply],
        times: 1,
        at_least: 40_000,
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
    Config {
        name: "two clients, read on demand, Wait",
        read_on_demand: true,
        policy: Policy::Wait,
        manners: &[Manners::HalfCloses],
        reasons: &[ClientClosed],
        at_least: 30_000,
        ..TWO
    },
    Config { name: "two clients, Wait", policy: Policy::Wait, at_least: 85_000, ..TWO },
    Config { name: "two clients, Refuse", policy: Policy::Refuse, at_least: 110_000, ..TWO },
    Config { name: "two clients, Replace", policy: Policy::Replace, at_least: 155_000, ..TWO },
];
