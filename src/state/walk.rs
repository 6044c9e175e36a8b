//! A model checker: takes the steps of all threads in every order, and checks every state that the server can reach.
//!
//! # The model
//!
//! A race shows only in one order of steps among very many. A test with real threads sees a few of these orders, and
//! different ones each time. Here there are no threads. Each thread is a small automaton: it knows its position in its loop,
//! and its next step calls the same pure methods of the [`Machine`](super::machine::Machine) as the thread does under the
//! lock. Everything around the machine is a plain value as well: clients, sockets, channels, and sleeping threads. Together
//! they are the [`World`](world::World). In each world some steps are possible: one for each thread that does not wait, and
//! the possible actions of clients, the application and the clock. The [search](search) takes each step on a copy, and
//! continues from the worlds that it has not seen yet, until there are no more.
//!
//! A *state* is a world. It does not record how it was reached. So if a thousand orders lead to the same world, they are
//! followed only once from there, and the search ends. To keep it short, everything is small: one or two clients that send at
//! most two bytes each, an inbox with room for two messages, an outbox with room for one.
//!
//! - A step lasts as long as the lock is held. Actions without the lock are steps, too: reading, writing, shutting down the
//!   socket, and putting an item into a full channel.
//! - A sleeping thread continues only when it is notified, or at its deadline. A notification without a sleeper is lost.
//! - Time stands still. But a step that depends on it can also happen long after: when the idle and the close timeout have
//!   passed, or the session timeout, too. The session then gets a grace period before it ends. The world records that until a
//!   byte moves; so the next such step reaches the end of the grace period. See [clock](clock).
//! - A peek at a connection shows what the thread would see there: bytes, a FIN, a reset, or nothing.
//! - The kernel reports a reset once, to the first call that fails.
//!
//! # The checks
//!
//! [`Check`](checks::Check) has the list. The most useful one: *no thread sleeps that would not wait if it asked again*. It
//! finds lost wake-ups in the state in which they are lost, even if another event would wake the thread in the end. The last
//! one, `Stuck`, searches back from the ends, such as the state in which all threads have exited after a stop. If steps that
//! are bound to happen lead from a state to none of the ends, that state is a deadlock.
//!
//! About time: a session never ends as idle while bytes or a FIN of its client are unread in the socket, or as gone while its
//! client is connected and reading has not begun. It never ends before the grace period is over, and always when the session
//! timeout has passed. The walks with timeouts must see every reason that a timeout can have.
//!
//! One design decision is checked, too: if a session's successor begins before the reader reaches the session, the session is
//! not announced in the outbox, although both of its signals are sent. If it has only ended by then, it is still announced.
//!
//! [`Break`](breaks::Break) tests the checks: deliberate breaks, each of which must be noticed.
//!
//! # How to read a failure
//!
//! It names the check, then the shortest path to it, one step per line, and finally the world at the end of that path.
//! `Run(Writer, Far)` is the writer's next step, after the idle and the close timeout; `Farther` is after the session timeout,
//! too. `Shut(Reader)` is the shutdown of a socket that the reader's last step has left to do; `Act(Reply)` is an action of the
//! application. To see what a step does, look for the `At` of the thread in the file of its name.
//!
//! # Limits
//!
//! The automata repeat what `reader.rs`, `writer.rs`, `acceptor.rs`, `outbox.rs` and the slot do around the machine. The walk
//! does not see bugs in those files; tests with sockets do. A change to one of them needs the same change to its automaton.
//! A bug that needs more clients, bytes or messages than the bounds allow stays hidden. Parts of the acceptor are left out:
//! the allow-list, the pauses after errors, and its memory of past refusals.
//!
//! Time has no length: the idle and the close timeout pass in the same step, and any thread may sleep through a grace period. A
//! byte that the reader has read from the socket, but not accounted for yet, does not keep a session from being idle.
//!
//! `cargo test --lib walk -- --nocapture` shows the size of each walk. `WALK=all` adds the large ones.

mod acceptor;
mod application;
mod breaking;
mod breaks;
mod broken;
mod checks;
mod client;
mod clock;
mod config;
mod facts;
mod fewer;
mod large;
mod outbox;
mod parcels;
mod reader;
mod search;
mod sender;
mod sleepers;
mod slot;
mod step;
mod timed;
mod walks;
mod world;
mod writer;

use std::time::Instant;

use config::{Config, Rules};

fn walk_all(configs: &[Config]) {
    for config in configs {
        let start = Instant::now();
        let seen = match search::walk(&Rules::new(*config, None)) {
            Ok(seen) => seen,
            Err(failure) => panic!("{}: {failure}", config.name),
        };
        let (states, ends, time) = (seen.states, seen.ends, start.elapsed());
        println!("{}: {states} states, of which {ends} are an end, in {time:.1?}", config.name);
        for reason in config.reasons {
            assert!(seen.reasons.contains(reason), "{}: no session has ended by {reason:?}", config.name);
        }
        // Fewer would mean that the walk has missed some.
        assert!(states >= config.at_least && ends > 0, "{}: only {states} states", config.name);
    }
}

#[test]
fn every_order_of_steps_keeps_the_promises() {
    walk_all(walks::SMALL);
}

#[test]
fn every_order_of_steps_and_timeouts_keeps_the_promises() {
    walk_all(timed::TIMED);
}

#[test]
fn every_order_of_steps_keeps_the_promises_in_large_walks_if_asked_for() {
    if std::env::var_os("WALK").map_or(false, |what| what == "all") {
        walk_all(large::LARGE);
    } else {
        println!("not walked, because WALK=all is not set: {} large walks", large::LARGE.len());
    }
}
