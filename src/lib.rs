//! A TCP server that serves one client at a time, on nothing but `std`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod acceptor;
mod bell;
mod chunk;
mod connection;
mod control;
mod echo;
mod inbox;
mod options;
mod outbox;
mod prefix;
mod reader;
mod record;
mod server;
mod session;
mod signal;
mod slot;
mod writer;

pub use chunk::Chunk;
pub use control::Control;
pub use echo::echo;
pub use inbox::{Inbox, SendError};
pub use options::{Busy, Options};
pub use outbox::{Client, End, Message, Messages, Outbox};
pub use prefix::Prefix;
pub use server::SingleServer;
pub use session::{Chunks, Session};
pub use signal::{Reason, Refusal, Report, Signal};

// The README's examples are run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
