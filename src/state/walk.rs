//! A test that takes the steps of all threads in every order, and checks every state that the server can come to.
//!
//! # What is walked
//!
//! A race shows itself only in one order of steps among very many. A test with real threads sees a few of these orders, and
//! never the same ones again. Here there are no threads. Each thread is a small automaton: it knows where it is in its loop,
//! and its next step calls the same pure methods of the [`Machine`](super::machine::Machine) as the thread does under the
//! lock. Everything around the machine is a plain value as well: clients, sockets, channels, and who sleeps where. Together
//! they are the [`World`](world::World). In each world some steps are possible: one for each thread that does not wait, and
//! whatever a client, the application or the clock may do. The [search](search) takes each of them on a copy, and goes on
//! from the worlds that it has not seen yet, until there are no more. This is known as *model checking*.
//!
//! A *state* is a world. It does not record how it was reached. So a thousand orders that lead to the same world are followed
//! only once from there, and the search ends. To keep it short, everything is small: one or two clients that send at most two
//! bytes each, an inbox with room for two messages, an outbox with room for one.
//!
//! - Steps are as long as the lock is held. What happens without it is a step of its own: reading, writing, shutting the
//!   socket down, and putting something into a full channel.
//! - A sleeping thread continues only when it is notified, or at its deadline. A notification that finds nobody is lost.
//! - Time stands still. But a step that depends on it also happens long after: when the idle and the close timeout have
//!   passed, or the session timeout, too. The clock then grants a moment before it ends a session. The world keeps whether
//!   it has, until a byte moves; so the next such step comes to the end of the moment. See [clock](clock).
//! - A look at a connection shows what the thread would see there: bytes, a FIN, a reset, or nothing.
//! - The kernel reports a reset once, to the call that meets it first.
//!
//! # What is checked
//!
//! [`Check`](checks::Check) has the list. The best of them: *nobody sleeps who, asked again, would not wait*. It finds lost
//! wake-ups in the state in which they are lost, even if another event would wake the thread in the end. The last one,
//! `Stuck`, looks back from the states in which everything has come to its end, such as that all threads have exited after a
//! stop. A state from which steps that are bound to happen lead to none of these is a deadlock.
//!
//! About time: a session is never ended as idle while bytes or a FIN of its client are unread in the socket, or as gone while
//! an unheard client is there; not before the moment is over; and always when the session timeout has passed. The walks
//! with timeouts must come to each reason that the clock has.
//!
//! One decision is checked, too: a session whose successor begins before the reader comes to it is not announced in the
//! outbox, although both of its signals are sent. A session that has only ended by then is still announced.
//!
//! [`Break`](breaks::Break) has the test of the checks: deliberate breaks, each of which must be noticed.
//!
//! # How to read a failure
//!
//! It names the check, then the shortest way to it, a step a line, and last the world at its end. `Run(Writer, Far)` is the
//! writer's next step, after the idle and the close timeout; `Farther` is after the session timeout, too. `Shut(Reader)` is
//! the shutdown of a socket that the reader's last step has left to do; `Act(Reply)` is something that the application does of
//! its own accord. To see what a step does, look for the `At` of the thread in the file of its name.
//!
//! # What is not seen
//!
//! The automata repeat what `reader.rs`, `writer.rs`, `acceptor.rs`, `outbox.rs` and the slot do around the machine. The walk
//! does not see faults in those files; tests with sockets do. A change to one of them needs the same change to its automaton.
//! A fault that needs more clients, bytes or messages than the bounds allow stays hidden. Parts of the acceptor are left out:
//! the allow-list, the pauses after errors, and what it remembers of past refusals.
//!
//! Time has no length: the idle and the close timeout pass in the same step, and any thread may sleep through a moment. A byte
//! that the reader has taken out of the socket, and not yet accounted for, does not keep a session from being idle.
//!
//! `cargo test --lib walk -- --nocapture` shows how much each walk has seen. `WALK=all` adds the large ones.

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
        // Less would mean that the walk has left something out.
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
