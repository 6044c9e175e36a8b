//! Processes: the command and others. All of them, and everything that they have started, end with the test.

#![allow(dead_code, unused_imports)] // not every system can use all of it

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::visitor::{skipped, DEADLINE};

mod alone;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
pub mod network;
mod proc;
mod scratch;

#[cfg(target_os = "linux")]
pub use faults::*;
pub use {alone::*, proc::*, scratch::*};

/// Whether this program is there. If not, reports the test as skipped.
pub fn installed(program: &str) -> bool {
    let found =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

/// A process that is killed at the end of the test, even if the test panics.
pub struct Killed(pub Child, Mark);

impl Killed {
    pub fn start(command: &mut Command) -> Killed {
        let mark = Mark::put_on(command);
        Killed(command.spawn().unwrap(), mark)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        end(&mut self.0, &self.1);
    }
}

fn end(child: &mut Child, mark: &Mark) {
    let _ = child.kill();
    let _ = child.wait();
    mark.kill_all();
}

/// An environment variable that a process passes on to its children. `std` of Rust 1.63 cannot start a process group, and
/// nothing else shows where an orphaned process came from.
struct Mark(String);

impl Mark {
    fn put_on(command: &mut Command) -> Mark {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("SINGLE_SERVER_TEST_{}_{number}", std::process::id());
        command.env(&mark, "");
        Mark(mark + "=")
    }

    /// The processes that have the mark. Empty where there is no `/proc`.
    fn processes(&self) -> Vec<String> {
        let is_marked = |entry: &std::fs::DirEntry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == self.0.as_bytes())
        };
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter(is_marked).map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Kills them, and those that they start meanwhile.
    fn kill_all(&self) {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > give_up {
                return;
            }
            let _ = Command::new("kill").arg("-KILL").args(left).stderr(Stdio::null()).status();
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A running command, killed on drop.
pub struct Running {
    pub child: Child,
    mark: Mark,
    pub addr: SocketAddr,
    /// The lines on its standard error after `listening on`.
    pub lines: Receiver<String>,
}

/// The command, for a test that only runs it to its end and looks at its output.
pub fn command() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_single-server"));
    command.timeout(DEADLINE);
    command
}

/// Starts the command and waits until it listens, on a free port unless the arguments name one. `change` can adjust the
/// process.
pub fn start(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
    if !arguments.iter().any(|argument| argument.starts_with("-l") || argument.starts_with("--listen")) {
        command.args(["-l", "0"]);
    }
    command.args(arguments).stdin(Stdio::null());
    change(&mut command);
    started(command)
}

/// Starts a program that runs the command with these arguments on a free port, and waits until it listens.
pub fn start_as(mut program: Command, arguments: &[&str]) -> Running {
    program.args(["-l", "0"]).args(arguments).stdin(Stdio::null());
    started(program)
}

/// Starts a prepared command that runs the server, and waits until it listens.
pub fn started(mut command: Command) -> Running {
    let mark = Mark::put_on(&mut command);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = io::BufReader::new(child.stderr.take().unwrap());
    let (line, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        while !matches!(errors.read_line(&mut text), Ok(0) | Err(_)) {
            let _ = line.send(std::mem::take(&mut text).trim_end().to_string());
        }
    });
    let first = lines.recv_timeout(DEADLINE).expect("the command prints the address it listens on");
    let addr = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).parse().unwrap();
    Running { child, mark, addr, lines }
}

impl Running {
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Waits for its next line on standard error.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("another line on standard error")
    }

    /// Waits for the next line that starts with `begin`, and drops those before it.
    pub fn line_with(&self, begin: &str) -> String {
        loop {
            let line = self.line();
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// The processor time used so far, in clock ticks (usually 10 ms).
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Waits until it exits. Returns the exit code, or `None` if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let give_up = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < give_up, "the command does not exit");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child, &self.mark);
    }
}
