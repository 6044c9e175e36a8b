//! Checks the server's costs against simple baselines, and compares it with existing tools.
//!
//! `cargo bench` runs everything, `cargo bench -- check` the checks, `cargo bench -- check NAME...` some of them, and
//! `cargo bench -- tools` the comparison. `short` in any place means less work.
//!
//! A small, noisy machine gives no reliable absolute times, so ratios are measured. Every contender is a process of its
//! own, started here, and all of them are measured in turn, round after round. All times include the client's work.

#![forbid(unsafe_code)]

mod bare_relays;
mod checks;
mod client;
mod contender;
mod cores;
mod counts;
mod inbox_servers;
mod judge;
mod measures;
mod servers;
mod statistics;
mod tools;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

/// How much work to do.
#[derive(Clone, Copy)]
pub struct Effort {
    /// How long the processes that are started for a check are measured, before new ones are started.
    pub generation: Duration,
    /// Each check takes at least this time ...
    pub least: Duration,
    /// ... and at most this time, if the result is not clear earlier.
    pub most: Duration,
    /// The divisor of the work in the comparison of tools.
    pub less: usize,
}

const NORMAL: Effort = Effort {
    generation: Duration::from_millis(150),
    least: Duration::from_secs(2),
    most: Duration::from_secs(6),
    less: 1,
};

const SHORT: Effort = Effort {
    generation: Duration::from_millis(80),
    least: Duration::from_millis(700),
    most: Duration::from_secs(3),
    less: 4,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut words: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    if let ["serve", what @ ..] = &words[..] {
        return servers::serve(what);
    }
    let all = words.len();
    words.retain(|word| *word != "short");
    let effort = if words.len() < all { SHORT } else { NORMAL };
    match &words[..] {
        [] => {
            let passed = judge::check(&[], effort);
            tools::compare(effort);
            passed
        }
        ["tools"] => {
            tools::compare(effort);
            ExitCode::SUCCESS
        }
        ["check", wanted @ ..] => {
            if let Some(unknown) = wanted.iter().find(|name| !checks::ALL.iter().any(|c| c.name == **name)) {
                let names: Vec<&str> = checks::ALL.iter().map(|check| check.name).collect();
                eprintln!("unknown check {unknown:?}: expected any of {}", names.join(", "));
                return ExitCode::from(2);
            }
            judge::check(wanted, effort)
        }
        _ => {
            eprintln!("usage: cargo bench -- [short] [check [NAME...] | tools]");
            ExitCode::from(2)
        }
    }
}
