//! Facts about a process, from `/proc`.

use std::time::Duration;

use super::Running;
use crate::visitor::value;

/// A field of a process's `/proc` status: in KiB, or a count.
pub fn status(process: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    value(&status, field).parse().unwrap()
}

/// The number of descriptors that a process has open.
pub fn descriptors(process: &str) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// The numbers of threads and descriptors of this process.
pub fn threads_and_descriptors() -> (u64, usize) {
    (status("self", "Threads:"), descriptors("self"))
}

/// The id of a thread of a running command.
pub fn thread_named(running: &Running, name: &str) -> String {
    threads_named(running, name).pop().unwrap()
}

/// The ids of all threads of a running command that have this name.
pub fn threads_named(running: &Running, name: &str) -> Vec<String> {
    // A thread may end meanwhile.
    let comm =
        |thread: &String| std::fs::read_to_string(format!("/proc/{}/task/{thread}/comm", running.id()));
    let mut threads = threads(running);
    threads.retain(|thread| comm(thread).map_or(false, |found| found.trim_end() == name));
    threads
}

/// How long these threads of a running command were ready to run, but had no processor. Zero if the system does not report it.
pub fn kept_waiting(running: &Running, threads: &[String]) -> Duration {
    // The second field, in nanoseconds (Documentation/scheduler/sched-stats.rst of the kernel).
    let waited = |thread: &String| -> Option<u64> {
        let path = format!("/proc/{}/task/{thread}/schedstat", running.id());
        std::fs::read_to_string(path).ok()?.split(' ').nth(1)?.parse().ok()
    };
    Duration::from_nanos(threads.iter().filter_map(waited).sum())
}

/// The ids of all threads of a running command. None if the system has no `/proc` like that of Linux.
pub fn threads(running: &Running) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{}/task", running.id())).into_iter().flatten().flatten();
    entries.map(|thread| thread.file_name().into_string().unwrap()).collect()
}
