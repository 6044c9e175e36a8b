//! Faults: `strace` makes system calls of the command fail or take long.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{start_as, Killed, Running};
use crate::visitor::skipped;

/// The command under `strace`, which injects `faults` (the value of `inject=`) into its system calls.
///
/// If the machine does not allow that, reports the test as skipped and returns `None`.
pub fn with_faults(faults: &str) -> Option<Command> {
    let traced = |program: &str| {
        let mut command = Command::new("strace");
        // `-D`: the tracer is the grandchild, so the child is the program itself, and killing it ends both.
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={faults}"), program]);
        command
    };
    if !traced("true").output().map_or(false, |output| output.status.success()) {
        skipped("strace is not installed, or may not trace a process");
        return None;
    }
    Some(traced(env!("CARGO_BIN_EXE_single-server")))
}

/// Starts the command [`with_faults`].
pub fn start_with_faults(faults: &str, arguments: &[&str]) -> Option<Running> {
    with_faults(faults).map(|program| start_as(program, arguments))
}

/// Traces a process or thread until the result is dropped, and injects faults into its system calls.
///
/// If the machine does not allow that, reports the test as skipped and returns `None`.
pub fn trace(id: &str, faults: &str) -> Option<Killed> {
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-e", &format!("inject={faults}"), "-p", id]);
    if Command::new("strace").arg("-V").output().is_ok() {
        let mut strace = Killed::start(strace.stderr(Stdio::piped()));
        let mut line = String::new();
        let _ = BufReader::new(strace.0.stderr.take().unwrap()).read_line(&mut line);
        if line.ends_with(" attached\n") {
            return Some(strace);
        }
    }
    skipped("strace is not installed, or may not trace a process");
    None
}
