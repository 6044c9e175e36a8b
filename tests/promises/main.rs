//! The promises of the library, a file each. The tests run side by side, most of them waiting for something, in a process
//! that starts no other: between `fork` and `exec` a child holds every connection and every listener of this process, so
//! closing one would take effect late. What needs another process, or one of its own, is in `tests/command/promises`.

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
