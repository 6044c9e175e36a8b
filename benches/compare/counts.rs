//! The checks that count instead of timing: what /proc knows of the contenders.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{slow_session, Pattern};
use crate::contender::Contender;
use crate::measures::{in_turn, library, plain_loop, serving, three, Pair, Prepared};
use crate::statistics::lower_quartile;

pub fn switches() -> Prepared {
    // Without polling, so the load does not decide whether a thread goes to sleep.
    let ours = library("0");
    ours.switches()?;
    let switches = |contender: &Contender| contender.switches().expect("its process has not ended") as f64;
    three(ours, plain_loop, move |contender| {
        let sessions = (0..9).map(|_| {
            let before = switches(contender);
            slow_session(contender.addr);
            switches(contender) - before
        });
        // Under load a thread sometimes sleeps once more, to wait for a lock.
        lower_quartile(sessions.collect())
    })
}

pub fn memory() -> Prepared {
    plain_loop().memory()?;
    let ours: fn() -> Contender = || Contender::ours(&["echo"]);
    three(
        ours,
        || plain_loop,
        |start| {
            // A new process in each round, because a peak only grows.
            let contender = start();
            Pattern::new().stream_through(contender.addr, 32 << 20).expect("every byte comes back");
            in_turn(&contender, 300);
            let served = serving(contender);
            // Fewer than the backlog, where the plain loop leaves them.
            (0..100).for_each(|_| drop(TcpStream::connect(served.contender.addr)));
            drop(served.client);
            in_turn(&served.contender, 1);
            served.contender.memory().expect("its process has not ended") as f64
        },
    )
}

pub fn idle() -> Prepared {
    /// Processes, when they were last looked at, and the processor time that they had used then.
    struct Seen(Vec<Pair>, Instant, f64);
    let time = |pairs: &[Pair]| -> f64 {
        let each = pairs.iter().map(|pair| pair.contender.processor_time());
        each.map(|time| time.expect("its process has not ended").as_secs_f64() * 1e6).sum()
    };
    let look = |pairs: Vec<Pair>| {
        let used = time(&pairs);
        Seen(pairs, Instant::now(), used)
    };
    let alone = |contender| Pair { contender, client: None };
    let ours = vec![alone(Contender::ours(&["echo"])), serving(Contender::ours(&["echo"]))];
    ours[0].contender.processor_time()?;
    three(
        look(ours),
        || look(vec![alone(Contender::own(&["tick"]))]),
        move |seen| {
            // Meanwhile the others are idle, too: each is measured since it was looked at last.
            thread::sleep(Duration::from_millis(200));
            let (used, now) = (time(&seen.0), Instant::now());
            let cost = (used - seen.2) / (now - seen.1).as_secs_f64();
            (seen.1, seen.2) = (now, used);
            cost
        },
    )
}
