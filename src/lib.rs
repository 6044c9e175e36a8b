//! A TCP server that serves one client at a time, with no dependencies beyond `std`.
//!
//! ```
//! use single_server::SingleServer;
//! use std::io::Write;
//!
//! let mut server = SingleServer::bind("127.0.0.1:0")?; // port 0: any free port
//! # let (addr, control) = (server.local_addr(), server.control());
//! # let client = std::thread::spawn(move || -> std::io::Result<String> {
//! #     let mut client = std::net::TcpStream::connect(addr)?;
//! #     client.write_all(b"world\n")?;
//! #     client.shutdown(std::net::Shutdown::Write)?;
//! #     let mut heard = String::new();
//! #     std::io::Read::read_to_string(&mut client, &mut heard)?;
//! #     control.stop();
//! #     Ok(heard)
//! # });
//! server.serve(|session| -> std::io::Result<()> {
//!     let mut out = session.inbox();
//!     for line in session.bounded_lines(1024) {
//!         writeln!(out, "hello, {}", line?)?; // an error ends this session only
//!     }
//!     Ok(())
//! });
//! # assert_eq!(client.join().unwrap()?, "hello, world\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | type | what it is |
//! |---|---|
//! | [`SingleServer`] | the server; [`accept`](SingleServer::accept) and [`serve`](SingleServer::serve) take one session at a time |
//! | [`Options`], [`Busy`], [`Prefix`] | its settings: what happens to a second client, timeouts, who is allowed |
//! | [`Session`], [`BoundedLines`] | one client's connection: `Read`, `BufRead` and `Write` |
//! | [`Outbox`], [`Message`], [`End`], [`Chunk`] | the same as messages: what clients send, and when they come and go |
//! | [`Inbox`], [`SendError`] | sends to the client, from any thread |
//! | [`Client`], [`Traffic`] | one session: ends it, from any thread, and reports its byte counts |
//! | [`Control`] | drains or stops the server, from any thread; never waits |
//! | [`Signal`], [`Report`], [`Reason`], [`Refusal`] | events for a log: connections, refusals, and how each session ended |
//!
//! **Inbox and outbox are named from the server's side**, as in Kamaelia, where the server is a component that is wired to
//! others: you *receive* the client's bytes from its outbox, and you *send* replies to its inbox.
//!
//! ```text
//!                       +----------+
//!  second client -----> | acceptor |  busy: closed at once
//!                       +----+-----+
//!                            |  free: handed over
//!                            v
//!                       +--------+  outbox   +-------------+
//!  client ------------> | reader | --------> |             |
//!                       +--------+           | application |
//!                       +--------+   inbox   |             |
//!  client <------------ | writer | <-------- |             |
//!                       +--------+           +-------------+
//! ```
//!
//! Both are bounded channels, so backpressure works both ways: TCP slows a client down if the application does not read, and
//! a sender waits if the client does not read. [`echo`](fn@echo) is a whole application in ten lines.
//!
//! # Guide
//!
//! - [`guide::embedding`]: the server inside your program, sessions or messages, and complete programs
//! - [`guide::how_it_works`]: a course in eight programs, from a naive server to this one; then the protocol, for those who
//!   change it
//! - [`guide::decisions`]: the design decisions: what was tried and rejected, and the measurements behind them
//! - [`guide::promises`]: what the server guarantees, each with its test
//! - [`guide::platforms`]: where it runs, what differs there, offline and embedded use
//! - [`guide::panics`]: what happens when something panics
//!
//! The README describes the command and lists the limits; [`guide::recipes`] has more commands.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

// A module imports only modules further down this list.

#[cfg(any(doc, doctest))]
pub mod guide;

mod echo;
mod server;

/// The handles of the application.
mod handles {
    pub(crate) mod client;
    pub(crate) mod control;
    pub(crate) mod inbox;
    pub(crate) mod message;
    pub(crate) mod outbox;

    // The documentation lists the methods of `Session` in this order.
    pub(crate) mod session;

    pub(crate) mod bounded_lines;
    mod session_io;
    mod session_stream;

    mod session_end;
}

/// The three threads, one file each, and what the acceptor remembers between two newcomers.
mod threads {
    pub(crate) mod acceptor;
    pub(crate) mod reader;
    mod recent;
    pub(crate) mod writer;
}

/// The state that threads and handles share: a state machine, and the slot, which guards it and carries out its effects.
mod state {
    // The operations of each thread on the slot.
    pub(crate) mod accepting;
    pub(crate) mod lending;
    mod reading;
    mod receiving;
    mod sending;
    pub(crate) mod writing;

    mod listening;
    mod looking;
    pub(crate) mod slot;
    mod stop;

    pub(crate) mod channels;
    pub(crate) mod record;

    // Pure: no lock, no socket, no clock.
    pub(crate) mod account;
    mod deadlines;
    mod effects;
    mod machine;
    pub(crate) mod phase;
    mod questions;

    #[cfg(test)]
    mod walk;
}

/// The connection, and what differs from one system to the other.
mod net {
    pub(crate) mod address;
    pub(crate) mod connection;
    pub(crate) mod timeout;
    #[cfg(windows)]
    mod windows;
}

/// Plain values, the pool of buffers, and the subscribers to signals.
mod values {
    pub(crate) mod chunk;
    pub(crate) mod options;
    pub(crate) mod pool;
    pub(crate) mod prefix;
    pub(crate) mod seen;
    pub(crate) mod signal;
    pub(crate) mod subscribers;
    pub(crate) mod traffic;
}

/// Locks and waiting.
mod sync {
    pub(crate) mod monitor;
    pub(crate) mod yielding;
}

pub use echo::echo;
pub use handles::bounded_lines::BoundedLines;
pub use handles::client::Client;
pub use handles::control::Control;
pub use handles::inbox::{Inbox, SendError};
pub use handles::message::{End, Message};
pub use handles::outbox::{Messages, Outbox};
pub use handles::session::{Chunks, Session};
pub use server::SingleServer;
pub use values::chunk::Chunk;
pub use values::options::{Busy, Options};
pub use values::prefix::{ParsePrefixError, Prefix};
pub use values::signal::{Reason, Refusal, Report, Signal};
pub use values::traffic::Traffic;

/// Checks at compile time which types can be sent to other threads.
const _: () = {
    const fn send<T: Send>() {}
    const fn send_and_sync<T: Send + Sync>() {}
    send::<SingleServer>();
    send::<Outbox>();
    send::<Message>();
    send_and_sync::<Inbox>();
    send_and_sync::<Control>();
    send_and_sync::<Chunk>();
    send_and_sync::<Client>();
    send_and_sync::<End>();
    send_and_sync::<Signal>();
    send_and_sync::<Options>();
    send_and_sync::<SendError>();
};

// The README's examples are run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
