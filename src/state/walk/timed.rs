//! The settings of the walks with timeouts. Each names the reasons for which sessions must have ended.

use super::config::{Act, Config, Manners};
use super::walks::{ONE, TWO};
use crate::values::signal::Reason::*;

/// Part of every test run; a second in total.
pub(super) const TIMED: &[Config] = &[
    Config {
        name: "timeouts",
        idle: true,
        close: true,
        read_on_demand: true,
        acts: &[Act::Reply, Act::Extend],
        times: 1,
        at_least: 35_000,
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
    Config {
        name: "a slow client, and an application that stands still",
        stalls: true,
        slow_clients: true,
        idle: true,
        close: true,
        read_on_demand: true,
        sender: &[Act::Send, Act::Send],
        manners: &[Manners::HalfCloses],
        bytes: 0,
        reasons: &[Stalled, Gone],
        at_least: 23_000,
        ..ONE
    },
    Config {
        name: "a lent connection and timeouts",
        read_on_demand: true,
        idle: true,
        close: true,
        session: true,
        acts: &[Act::Lend],
        times: 1,
        reasons: &[TimeUp, Finished],
        at_least: 21_000,
        ..ONE
    },
    Config { name: "a stop and timeouts", stops: 1, idle: true, close: true, at_least: 75_000, ..ONE },
];
