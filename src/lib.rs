//! A TCP server that serves one client at a time, on nothing but `std`.
//!
//! What the client sends comes out of the server's **outbox**, what is put in its **inbox** goes to the client, and when
//! the client is done a **producerFinished** follows. Three threads and two channels do it:
//!
//! ```text
//!              +--------- acceptor: TcpListener + AtomicBool busy ---------+
//!              | free: hand the stream over          busy: drop it at once  |
//!              v                                                            v
//!  client --> reader --(outbox: bounded mpsc)--> application --(inbox: bounded mpsc)--> writer --> client
//! ```
//!
//! Start with [`SingleServer`]. To think in connections rather than messages, go on to [`SingleServer::accept`] and
//! [`Session`]. To see a whole application, read [`echo`](fn@echo): it is ten lines.
//!
//! # The way of one byte
//!
//! 1. The **reader** thread takes a free buffer, or makes one, and reads into it. `src/reader.rs`
//! 2. Buffer and length become a [`Chunk`], which knows its session, and go into the [`Outbox`] as [`Message::Data`].
//!    If that is full the reader waits, and TCP holds the client back. `src/chunk.rs`, `src/outbox.rs`
//! 3. The application takes the chunk out, looks at it, and puts it, or something else, in an [`Inbox`].
//!    `src/inbox.rs`
//! 4. There it gets its address, unless it has one: the session that is live now. If the inbox has no room the
//!    application waits. `src/slot/allowance.rs`
//! 5. The **writer** thread takes out all that is queued for one session, looks whether that is still live, and writes it
//!    in one call. `src/writer.rs`
//! 6. It drops the chunks, whose buffers go back to the reader through a channel of their own.
//!
//! The byte is copied twice, by the kernel, and no thread is started for it.
//!
//! # The way of one refusal
//!
//! 1. The **acceptor** thread is in `accept`, also while a client is served. `src/acceptor.rs`
//! 2. It gets a connection, sees that its address is [allowed](Options::allow), and that the busy flag is up.
//! 3. It does what the [`Busy`] policy says: drops it, or says why and drops it, or cuts the old client and serves the new
//!    one. (Under [`Busy::Refuse`] it has no listener now, and under [`Busy::Wait`] it does not ask it, so that it does
//!    not come this far.)
//! 4. It tells whoever has [subscribed](SingleServer::signal), without waiting for them. `src/signal.rs`
//!
//! # How the slot is never lost
//!
//! All that the threads share is in one place, the *slot*, under one lock: `src/slot.rs`. A session is live from `begin`,
//! which only the acceptor calls, to `end`, which anybody may call who has a reason; the first one counts, and there is no
//! other way out. `end` closes the books, lowers the busy flag and only then tells the client, so that a client who sees
//! its connection end finds the slot free.
//!
//! Who calls `end`? After the client's FIN the application has the last word: it is given an [`End`], a guard, and when
//! that is dropped, or never taken out of the outbox because the outbox is dropped, a `Finish` goes into the inbox, behind
//! everything that was put in before. The writer comes to it when all that is written, and ends the session. An
//! application cannot forget to do so: it would have to keep the guard. If the connection breaks there is nothing to be
//! written any more, and the reader ends the session at once.
//!
//! These meetings of threads were the hard ones; each is held by a test:
//!
//! | what meets | what holds | the test |
//! |---|---|---|
//! | a client leaves while a reply to it is on its way | the reply has an address; if that is not live it is dropped and counted | `apart.rs`, `an_answer_to_a_client_that_has_left...` |
//! | a reset is told to the writer, and the reader sees a mere FIN | each says its part before it asks for the other's, so that one of them sees both | `dead_client.rs`, `who_resets_after...` |
//! | a newcomer during the close | the flag is down before the client is told, and the acceptor looks at it after it has accepted | `free_before_told.rs` |
//! | a newcomer during the close, under `Refuse` | `end` makes the listener under the lock; `begin` comes after the old one is closed | `busy.rs`, `refuse_...` |
//! | a reply in the queue, and a newcomer who replaces its client | as for the first; the writer gathers for one address at a time | `apart.rs`, `what_is_queued...`, `what_is_put_in...` |
//! | the application closes while the client still sends | the connection lingers, read from and not delivered, so that no RST takes the place of the answer | `whole.rs`, `a_client_that_goes_on_sending...` |
//! | the application closes while the client is silent, and the reader so inside a read | the writer puts the end in the outbox; each says where it is before it looks where the other is | `whole.rs`, `an_application_that_closes_is_told...` |
//! | the same, and the outbox is full | the end is kept with the slot; the application finds it when the box is empty | `whole.rs`, `an_end_that_finds_the_outbox_full...` |
//! | a stop during `accept` | the flag is set, then we connect to ourselves; a connection that comes after the flag is dropped | `stop_stops.rs`, `while_nobody_is_connected...` |
//! | a stop while the application waits for room | it waits under the slot's lock, not in the channel, and is told | `stop_stops.rs`, `while_a_client_never_reads` |
//! | a stop, and a client that still sends | it lingers as after a close, until it is silent or the linger time is up | `stop_stops.rs`, `after_a_client_that_has_sent_much...` |
//! | the last message before a stop | the writer goes home when the inbox is empty by the books, not by the channel | `stop_stops.rs`, `after_the_client_has_had...` |
//! | the last sender is gone | there is none: the slot keeps one, and the end is a flag | `stop_stops.rs`, `with_everything_still...` |
//!
//! `model.rs` walks at random through all of it and compares each step with a model.
//!
//! # Embedding
//!
//! A [`SingleServer`] is `Send`: keep it as a field, move it to a thread. It is not `Sync`, since there is one outbox. The
//! handles [`Inbox`] and [`Control`] are both, and cloned freely, so that another thread can end the server, such as the
//! one on which a signal handler's crate tells of signals. Your tests give it port 0, or a listener of their own
//! ([`Options::listen_on`]):
//!
//! ```
//! use single_server::{Options, SingleServer};
//! use std::io::{BufRead, BufReader, Write};
//! use std::net::{TcpListener, TcpStream};
//! use std::thread;
//!
//! struct Counter {
//!     port: SingleServer,
//!     count: u64,
//! }
//!
//! impl Counter {
//!     /// Counts the lines that clients send, until the server is stopped.
//!     fn run(&mut self) {
//!         while let Some(session) = self.port.accept() {
//!             let mut out = session.inbox();
//!             // An error is a client that broke off.
//!             for _line in BufReader::new(session).lines().map_while(|line| line.ok()) {
//!                 self.count += 1;
//!                 let _ = writeln!(out, "{}", self.count);
//!             }
//!         }
//!     }
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let addr = listener.local_addr()?;
//! let mut counter = Counter { port: Options::new().listen_on(listener)?, count: 0 };
//! let control = counter.port.control();
//! let running = thread::spawn(move || {
//!     counter.run();
//!     counter.count
//! });
//!
//! let mut client = TcpStream::connect(addr)?;
//! client.write_all(b"one\n")?;
//! let mut answer = String::new();
//! BufReader::new(client).read_line(&mut answer)?;
//! assert_eq!(answer, "1\n");
//!
//! control.stop(); // from any thread
//! assert_eq!(running.join().expect("it does not panic"), 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A host program that is not Rust's own (a C program with this linked in) has to ignore SIGPIPE, as Rust's programs do:
//! `std` writes several buffers at once with `writev`, which cannot be told to leave that signal out.
//!
//! # Panics
//!
//! Nothing here panics on what a client, the network or the system does. If the *application* panics while it has a
//! [`Session`], an [`End`] or the server, those are dropped as it unwinds, which closes the connection or stops the server
//! as usual (for which it may wait as long as the [`linger`](Options::linger) time). With `panic = "abort"` the process
//! ends, and the system closes the connection. Should one of the server's own threads panic, which would be a defect,
//! [`SingleServer::stop`] says so with an error. A lock that a panicking thread has left behind is entered all the same:
//! no code panics while it has it.
//!
//! # Where it runs
//!
//! Wherever `std` has threads and TCP. It is tested on Linux, and type-checked for Windows. There, shutting a socket down
//! is not promised to wake a thread that is blocked in reading it, so that ending a session may have to wait for the
//! client; and `SO_REUSEADDR` is not set by `std`, nor needed for a restart.
//!
//! `std`'s channels, below Rust 1.67, are another implementation than today's. Two things are known of either. A receiver
//! that polls while a sender of lower priority was stopped in the middle of sending [spins until that goes
//! on](https://github.com/rust-lang/rust/issues/112723): on a system with real-time priorities give the threads that use
//! one server the same, or set [`Options::yield_time`] to zero, which leaves the short spin inside the channel only. And
//! there was a release in which [a sender to a full channel spun](https://github.com/rust-lang/rust/issues/106668); the
//! inbox is not affected, since its channel is never full, and the outbox's sender is the reader, which would then use
//! processor time while the application does not read.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod acceptor;
mod chunk;
mod connection;
mod control;
mod echo;
mod events;
mod inbox;
mod message;
mod monitor;
mod options;
mod outbox;
mod pool;
mod prefix;
mod queue;
mod reader;
mod record;
mod server;
mod session;
mod signal;
mod slot;
mod stream;
mod subscribers;
mod writer;
mod yielding;

pub use chunk::Chunk;
pub use control::Control;
pub use echo::echo;
pub use inbox::{Inbox, SendError};
pub use message::{Client, End, Message};
pub use options::{Busy, Options};
pub use outbox::{Messages, Outbox};
pub use prefix::{ParsePrefixError, Prefix};
pub use server::SingleServer;
pub use session::{Chunks, Session};
pub use signal::{Reason, Refusal, Report, Signal};

/// What may go to other threads, checked when this is compiled.
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
