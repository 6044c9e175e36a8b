//! Facts about a process, from `/proc`.

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
    let threads = std::fs::read_dir(format!("/proc/{}/task", running.id())).unwrap();
    let named = |thread: &std::fs::DirEntry| {
        // A thread may end meanwhile.
        std::fs::read_to_string(thread.path().join("comm")).map_or(false, |found| found.trim_end() == name)
    };
    let named = threads.map(|thread| thread.unwrap()).filter(named);
    named.map(|thread| thread.file_name().into_string().unwrap()).collect()
}
