//! Compares the server with a plain single-threaded loop, and with existing tools.
//!
//! `cargo bench` runs all parts, `cargo bench -- PART...` some of them, and `cargo bench -- short` all with less work.
//!
//! A small, noisy machine gives no reliable absolute times, so the bench measures ratios. Every contender is a process
//! of its own, started here. Contenders are measured in turn, round after round. The result is the ratio of a contender
//! to the baseline *in the same round*, and the median of these ratios is shown. All times include the client's work.

#![forbid(unsafe_code)]

mod client;
mod contender;
mod parts;
mod returning;
mod table;

use std::env;
use std::process::ExitCode;

/// How much work to do.
#[derive(Clone, Copy)]
pub struct Effort {
    /// How many times each contender is measured.
    pub rounds: usize,
    /// The divisor of the work in each measurement.
    pub less: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    if let ["serve", what @ ..] = &words[..] {
        return contender::serve(what);
    }
    let mut effort = Effort { rounds: 7, less: 1 };
    let mut wanted = Vec::new();
    for word in words {
        match word {
            "short" => effort = Effort { rounds: 3, less: 16 },
            part if parts::ALL.iter().any(|(name, _)| *name == part) => wanted.push(part),
            other => {
                let names: Vec<&str> = parts::ALL.iter().map(|(name, _)| *name).collect();
                eprintln!("unknown part {other:?}: expected `short` or any of {}", names.join(", "));
                return ExitCode::from(2);
            }
        }
    }
    for (name, part) in parts::ALL {
        if wanted.is_empty() || wanted.contains(name) {
            part(effort);
        }
    }
    ExitCode::SUCCESS
}
