//! Tests that need a process: a file for each feature of the command, and in `promises` a file for each promise that the
//! command keeps or whose tests need their own process. The tests run in parallel.

#[path = "../visitor/processes/mod.rs"]
mod processes;
#[path = "../visitor/mod.rs"]
mod visitor;

mod arguments;
#[cfg(unix)]
mod exec;
#[cfg(unix)]
mod forward;
#[cfg(unix)]
mod inetd;
mod log;
#[cfg(unix)]
mod pipe;

mod promises {
    mod strangers;

    #[cfg(unix)]
    mod back_at_once;
    #[cfg(unix)]
    mod lent;

    // These need `/proc`, `strace` or network namespaces.
    #[cfg(target_os = "linux")]
    mod bounded;
    #[cfg(target_os = "linux")]
    mod busy;
    #[cfg(target_os = "linux")]
    mod dead_client;
    #[cfg(target_os = "linux")]
    mod facts_before_verdicts;
    #[cfg(target_os = "linux")]
    mod only_stop_ends_it;
    #[cfg(target_os = "linux")]
    mod stop_stops;
    #[cfg(target_os = "linux")]
    mod three_threads;
    #[cfg(target_os = "linux")]
    mod whole;
}
