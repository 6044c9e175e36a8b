//! Waiting for a fact, with a deadline.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The deadline of every wait: only a hang takes this long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Reports that the machine lacks something that the running test needs. `.ci/run` collects these lines. They bypass
/// the test harness, which would hide the output of a test that passes.
pub fn skipped(why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_string();
    let _ = write!(io::stderr(), "\nSKIPPED {test}: {why}\n");
}

/// Runs something on a thread of its own, and panics if it does not return before the deadline.
pub fn in_time<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || done.send(run()));
    match result.recv_timeout(DEADLINE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("it has sent its result"),
        },
    }
}

/// Polls until `look` returns `expected`, for states that nothing signals, such as a counter of the kernel.
pub fn becomes<T: PartialEq + std::fmt::Debug>(expected: T, look: impl Fn() -> T) {
    let give_up = Instant::now() + DEADLINE;
    let mut looks = 0;
    while look() != expected {
        assert!(Instant::now() < give_up, "still {:?} instead of {expected:?}", look());
        looks += 1;
        match looks {
            0..=100 => thread::yield_now(),
            // Leaves the processor to the threads under test, and to other tests.
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// A field of the status of a process in `/proc`.
pub fn value<'a>(status: &'a str, field: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap()
}

/// Waits until exactly `count` threads of this process have this name (at most 15 bytes) and all of them sleep, and keep
/// sleeping: not just for a lock that another thread holds briefly.
pub fn all_asleep(name: &str, count: usize) {
    // The state of each, and how often it has gone to sleep.
    let states = || -> Vec<(String, String)> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let files =
            tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
        let named = files.filter(|status| value(status, "Name:") == name);
        let owned = |status: &str, field| value(status, field).to_string();
        named.map(|status| (owned(&status, "State:"), owned(&status, "voluntary_ctxt_switches:"))).collect()
    };
    becomes(true, || {
        let before = states();
        thread::sleep(Duration::from_millis(20));
        before.len() == count && before.iter().all(|(state, _)| state == "S") && before == states()
    });
}
