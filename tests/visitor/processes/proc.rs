//! What `/proc` tells of a process.

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
    let mut threads =
        std::fs::read_dir(format!("/proc/{}/task", running.id())).unwrap().map(|task| task.unwrap());
    let named = |thread: &std::fs::DirEntry| {
        std::fs::read_to_string(thread.path().join("comm")).unwrap().trim_end() == name
    };
    threads.find(named).unwrap().file_name().into_string().unwrap()
}
