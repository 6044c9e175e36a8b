//! Measures the server beside a plain one-thread loop, and beside the tools people use.
//!
//! `cargo bench` runs everything; `cargo bench -- PART...` only the parts named; `cargo bench -- short` quickly.
//!
//! The machine is taken to be small and noisy, so that no time means anything by itself. All contenders run as
//! processes of their own, started here; they are measured in turn, round after round, and what counts is the ratio
//! of a contender to the baseline *in the same round*, of which the median is shown. The client's work is included.

#![forbid(unsafe_code)]

mod client;
mod contender;
mod parts;
mod returning;
mod table;

use std::env;
use std::process::ExitCode;

/// How much to do.
#[derive(Clone, Copy)]
pub struct Effort {
    /// How often each contender is measured.
    pub rounds: usize,
    /// By how much the amount of work in each measurement is divided.
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
                eprintln!("{other} is not a part; give short and any of {}", names.join(", "));
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
