//! What each check times: its contenders, and what one round of each costs in the unit of the table.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{during_knocks, knock, read_last_number, read_numbered, round_trips, session, Pattern};
use crate::contender::{connect, Contender};
use crate::cores::{place, Core};
use crate::statistics::{median, median_us};

type Measure = Box<dyn FnMut() -> f64>;

/// Ours and two equal baselines. Each call measures one round and returns its cost.
pub struct Three {
    pub ours: Measure,
    pub baseline: Measure,
    pub again: Measure,
}

pub type Prepared = Result<Three, String>;

pub fn three<T: 'static>(
    ours: T,
    baseline: impl Fn() -> T,
    measure: impl Fn(&mut T) -> f64 + Copy + 'static,
) -> Prepared {
    let each = |mut contender: T| -> Measure { Box::new(move || measure(&mut contender)) };
    Ok(Three { ours: each(ours), baseline: each(baseline()), again: each(baseline()) })
}

pub fn plain_loop() -> Contender {
    // The size of our buffers by default.
    Contender::own(&["loop", "262144"])
}

/// The library without a log, with a polling time in microseconds.
pub fn library(polling: &str) -> Contender {
    Contender::own(&["library", polling])
}

/// A contender and the client that it serves, if there is one.
pub struct Pair {
    pub contender: Contender,
    pub client: Option<TcpStream>,
}

pub fn serving(contender: Contender) -> Pair {
    let mut client = connect(contender.addr);
    round_trips(&mut client, 100);
    Pair { client: Some(client), contender }
}

fn trips(pair: &mut Pair, count: usize) -> f64 {
    median_us(round_trips(pair.client.as_mut().expect("a client is served"), count))
}

pub fn round_trip() -> Prepared {
    let bare = || serving(Contender::own(&["shape"]));
    three(serving(Contender::ours(&["echo"])), bare, |pair| trips(pair, 300))
}

/// The client on one core, and the server on another one: each message wakes a core that may sleep.
pub fn round_trip_to_loop() -> Prepared {
    let ours = placed(|| Contender::ours(&["echo"]), Core::First, Core::Second)?;
    let bare = || placed(plain_loop, Core::First, Core::Second).expect("threads of our own are placed");
    three(ours, bare, |pair| trips(pair, 300))
}

/// Starts a server, serves a client, and places their threads: the one that accepts, and that of the client.
fn placed(start: fn() -> Contender, accepting: Core, client: Core) -> Result<Pair, String> {
    place(process::id(), Core::Any)?;
    let pair = serving(start());
    pair.contender.place(accepting)?;
    place(process::id(), client)?;
    Ok(pair)
}

/// Connection attempts from the address of the served client, as fast as one thread can make them.
fn in_storm(cost: impl Fn(f64, Vec<Duration>) -> f64 + Copy + 'static) -> Prepared {
    let placed = |start| placed(start, Core::Second, Core::First);
    let bare = || placed(|| Contender::own(&["shape"])).expect("threads of our own are placed");
    three(placed(|| Contender::ours(&["echo"]))?, bare, move |pair| {
        let addr = pair.contender.addr;
        let (trip, knocks) = during_knocks(addr, || trips(pair, 400));
        cost(trip, knocks)
    })
}

pub fn storm() -> Prepared {
    in_storm(|trip, _| trip)
}

pub fn storm_refusal() -> Prepared {
    in_storm(|_, knocks| median_us(knocks))
}

/// As many refusals as round trips, however the system divides the processor between the two.
pub fn storm_work() -> Prepared {
    const COUNT: usize = 200;
    let bare = || serving(Contender::own(&["shape"]));
    three(serving(Contender::ours(&["echo"])), bare, |pair| {
        let addr = pair.contender.addr;
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| knocks(addr, COUNT));
            trips(pair, COUNT);
        });
        began.elapsed().as_secs_f64() * 1e6 / COUNT as f64
    })
}

/// Streams so many MiB there and back, each time with a connection of its own. The lowest of several times: whatever disturbs
/// work that is limited by the processor adds to it.
fn streamed(mib: usize, times: usize, ours: Contender, baseline: impl Fn() -> Contender) -> Prepared {
    let with_pattern = |contender| (contender, Pattern::new());
    three(
        with_pattern(ours),
        || with_pattern(baseline()),
        move |(contender, pattern)| {
            let time = |_| pattern.stream_through(contender.addr, mib << 20).expect("every byte comes back");
            let best = (0..times).map(time).min().expect("more than none");
            best.as_secs_f64() * 1e3
        },
    )
}

pub fn throughput() -> Prepared {
    streamed(4, 12, Contender::ours(&["echo"]), plain_loop)
}

pub fn forward() -> Prepared {
    // One target for each forwarder, because a plain loop serves one client at a time.
    let target = plain_loop();
    let ours = Contender::ours(&["forward", &target.addr.to_string()]).keeping(target);
    streamed(16, 4, ours, || {
        let target = plain_loop();
        Contender::own(&["forward", &target.addr.to_string()]).keeping(target)
    })
}

pub fn exec() -> Prepared {
    needs_cat()?;
    streamed(16, 4, Contender::ours(&["exec", "--", "cat"]), || Contender::own(&["exec"]))
}

fn messages(baseline: &str) -> Prepared {
    const COUNT: u64 = 20_000;
    let count = COUNT.to_string();
    let baseline = || Contender::own(&[baseline, &count]);
    three(Contender::own(&["inbox", &count]), baseline, |contender| {
        read_numbered(contender.addr, COUNT).as_secs_f64() * 1e9 / COUNT as f64
    })
}

pub fn inbox() -> Prepared {
    messages("channel")
}

pub fn inbox_to_writes() -> Prepared {
    messages("write")
}

pub fn send() -> Prepared {
    const COUNT: u64 = 1000;
    let count = COUNT.to_string();
    let ours = Contender::own(&["inbox-before", &count]);
    three(
        ours,
        || Contender::own(&["channel-before", &count]),
        |contender| {
            let times = (0..20).map(|_| read_last_number(contender.addr, COUNT) as f64 / COUNT as f64);
            median(times.collect())
        },
    )
}

pub fn refusal() -> Prepared {
    let bare = || Pair { contender: Contender::own(&["drop", "0"]), client: None };
    three(serving(Contender::ours(&["echo"])), bare, |pair| knocks(pair.contender.addr, 100))
}

pub fn refusal_by_the_kernel() -> Prepared {
    /// Who has closed the port.
    enum Closed {
        ByServer(Pair),
        ByNobody(SocketAddr),
    }
    let ours = Closed::ByServer(serving(Contender::ours(&["--busy", "refuse", "echo"])));
    let nobody = || {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        Closed::ByNobody(free.expect("a free port"))
    };
    three(ours, nobody, |closed| match closed {
        Closed::ByServer(pair) => knocks(pair.contender.addr, 200),
        Closed::ByNobody(addr) => knocks(*addr, 200),
    })
}

pub fn first_refusal() -> Prepared {
    let bare = || Pair { contender: Contender::own(&["drop", "1000"]), client: None };
    three(serving(Contender::ours(&["echo"])), bare, |pair| {
        // Three of these are longer than the time after which a refusal counts as a first one.
        thread::sleep(Duration::from_millis(40));
        knocks(pair.contender.addr, 1)
    })
}

fn knocks(addr: SocketAddr, count: usize) -> f64 {
    median_us((0..count).map(|_| knock(addr)).collect())
}

/// Clients that send, half-close and read to the end, one after the other. Returns the mean time, in microseconds.
pub fn in_turn(contender: &Contender, count: usize) -> f64 {
    let began = Instant::now();
    for _ in 0..count {
        assert!(session(contender.addr), "a client was refused, because the slot was not free yet");
    }
    began.elapsed().as_secs_f64() * 1e6 / count as f64
}

pub fn sessions() -> Prepared {
    three(library("50"), plain_loop, |contender| in_turn(contender, 100))
}

pub fn sessions_logged() -> Prepared {
    three(Contender::ours(&["echo"]), plain_loop, |contender| in_turn(contender, 100))
}

pub fn exec_sessions() -> Prepared {
    needs_cat()?;
    let ours = Contender::ours(&["exec", "--", "cat"]);
    three(ours, || Contender::own(&["exec"]), |contender| in_turn(contender, 10))
}

pub fn exec_inetd() -> Prepared {
    needs_cat()?;
    if !Contender::help().contains("--inetd") {
        return Err("this single-server has no `exec --inetd`".into());
    }
    let ours = Contender::ours(&["exec", "--inetd", "--", "cat"]);
    three(ours, || Contender::own(&["inetd"]), |contender| in_turn(contender, 10))
}

fn needs_cat() -> Result<(), String> {
    if cfg!(unix) {
        Ok(())
    } else {
        Err("this system has no cat".into())
    }
}
