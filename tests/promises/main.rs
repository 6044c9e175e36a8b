//! The promises of the library, one file each. The tests run in parallel, in a process that starts no other: between
//! `fork` and `exec`, a child process would hold all connections and listeners of this process, so closing one would take
//! effect late. Tests that need another or a separate process are in `tests/command/promises`.

#[path = "../visitor/mod.rs"]
mod visitor;

mod apart;
mod back_at_once;
mod bounded;
mod busy;
mod cited;
mod dead_client;
mod drain;
mod embedding;
mod free_first;
mod lines;
mod model;
mod never_blocks;
mod one;
mod only_stop_ends_it;
mod read_on_demand;
mod stop_stops;
mod strangers;
mod whole;
