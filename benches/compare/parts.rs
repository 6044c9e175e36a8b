//! The parts of the bench, each a question and a table that answers it.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{knock, read_numbered, round_trips, session, stream_through};
use crate::contender::{connect, Contender};
use crate::table::{alternate, heading, median, quantile, ratio, row};
use crate::Effort;

type Part = (&'static str, fn(Effort));

pub const ALL: &[Part] = &[
    ("throughput", throughput),
    ("roundtrip", roundtrip),
    ("inbox", inbox),
    ("refusal", refusal),
    ("sessions", sessions),
    ("memory", memory),
];

fn mib_per_second(total: usize, time: Duration) -> f64 {
    total as f64 / (1 << 20) as f64 / time.as_secs_f64()
}

fn throughput(effort: Effort) {
    let total = (256 << 20) / effort.less;
    heading(&format!("throughput: {} MiB echoed in 64 KiB writes, every byte checked; MiB/s", total >> 20));
    let contenders = [
        ("plain loop, 64 KiB buffer", Contender::own(&["loop", "65536"])),
        ("plain loop, 256 KiB buffer", Contender::own(&["loop", "262144"])),
        ("single-server echo", Contender::ours(&["echo"])),
        ("Session, Read and Write", Contender::own(&["session"])),
    ];
    let measure = |contender: &Contender| {
        let time = stream_through(contender.addr, total, 65536).expect("every byte comes back");
        mib_per_second(total, time)
    };
    let mut each: Vec<_> = contenders.iter().map(|(_, contender)| move || measure(contender)).collect();
    let mut each: Vec<&mut dyn FnMut() -> f64> = each.iter_mut().map(|f| f as _).collect();
    let results = alternate(effort.rounds, &mut each);
    for ((name, _), result) in contenders.iter().zip(&results) {
        let speed = format!("{:.0}", median(result.clone()));
        let of_64 = ratio(result, &results[0]);
        let of_256 = ratio(result, &results[1]);
        row(name, &speed, Some(of_256), &format!("({of_64:.2} of 64 KiB)"));
    }
}

fn roundtrip(effort: Effort) {
    let count = 40_000 / effort.less;
    heading(&format!("round trip: 64 bytes, {count} times; µs"));
    let contenders = [
        ("plain loop", Contender::own(&["loop", "262144"])),
        ("single-server echo", Contender::ours(&["echo"])),
    ];
    let mut p50 = vec![Vec::new(); 2];
    let mut p99 = vec![Vec::new(); 2];
    for _ in 0..effort.rounds {
        for (i, (_, contender)) in contenders.iter().enumerate() {
            let times = round_trips(&mut connect(contender.addr), count);
            p50[i].push(quantile(&times, 0.5));
            p99[i].push(quantile(&times, 0.99));
        }
    }
    for (i, (name, _)) in contenders.iter().enumerate() {
        let target = |text: &'static str| if i == 1 { text } else { "" };
        let value = |of: &[f64]| format!("{:.1}", median(of.to_vec()));
        row(&format!("{name}, p50"), &value(&p50[i]), Some(ratio(&p50[i], &p50[0])), target("<= 0.33"));
        row(&format!("{name}, p99"), &value(&p99[i]), Some(ratio(&p99[i], &p99[0])), target("<= 0.8"));
    }
}

fn inbox(effort: Effort) {
    let count = 1_000_000 / effort.less as u64;
    heading(&format!("inbox: {count} messages of 32 bytes, put in one by one; messages/s"));
    let counted = count.to_string();
    let contenders = [
        ("a write for each", Contender::own(&["write", &counted])),
        ("a send for each", Contender::own(&["inbox", &counted])),
    ];
    let measure = |contender: &Contender| count as f64 / read_numbered(contender.addr, count).as_secs_f64();
    let results =
        alternate(effort.rounds, &mut [&mut || measure(&contenders[0].1), &mut || measure(&contenders[1].1)]);
    for (i, (name, _)) in contenders.iter().enumerate() {
        let target = if i == 1 { ">= 5" } else { "" };
        row(
            name,
            &format!("{:.0}", median(results[i].clone())),
            Some(ratio(&results[i], &results[0])),
            target,
        );
    }
}

fn refusal(effort: Effort) {
    let count = 4000 / effort.less;
    heading(&format!("refusal: {count} knocks while a client is served, connect to end; p50 in µs"));
    let drops = Contender::ours(&["--busy", "drop", "echo"]);
    let refuses = Contender::ours(&["--busy", "refuse", "echo"]);
    let bare = Contender::own(&["drop"]);
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let _served: Vec<_> = [&drops, &refuses]
        .map(|contender| {
            let mut client = connect(contender.addr);
            round_trips(&mut client, 1);
            client
        })
        .into();
    let knocks = |addr| {
        let mut times: Vec<Duration> = (0..count).map(|_| knock(addr)).collect();
        times.sort();
        quantile(&times, 0.5)
    };
    let results = alternate(
        effort.rounds,
        &mut [&mut || knocks(bare.addr), &mut || knocks(drops.addr), &mut || knocks(closed), &mut || {
            knocks(refuses.addr)
        }],
    );
    let value = |i: usize| format!("{:.1}", median(results[i].clone()));
    row("bare accept and drop", &value(0), Some(1.0), "");
    row("single-server --busy drop", &value(1), Some(ratio(&results[1], &results[0])), "<= 1.2");
    row("a closed port", &value(2), Some(1.0), "");
    row("single-server --busy refuse", &value(3), Some(ratio(&results[3], &results[2])), "<= 1.1");
}

fn sessions(effort: Effort) {
    let count = 4000 / effort.less;
    heading(&format!("sessions: {count} clients in turn, each waiting for the end; sessions/s"));
    let contenders = [
        ("plain loop", Contender::own(&["loop", "262144"])),
        ("single-server echo", Contender::own(&["options", "262144", "4"])),
    ];
    let measure = |contender: &Contender| {
        let began = Instant::now();
        let refused = (0..count).filter(|_| !session(contender.addr)).count();
        assert_eq!(refused, 0, "clients that found the slot not yet free");
        count as f64 / began.elapsed().as_secs_f64()
    };
    let results =
        alternate(effort.rounds, &mut [&mut || measure(&contenders[0].1), &mut || measure(&contenders[1].1)]);
    for (i, (name, _)) in contenders.iter().enumerate() {
        let target = if i == 1 { ">= 0.8" } else { "" };
        row(
            name,
            &format!("{:.0}", median(results[i].clone())),
            Some(ratio(&results[i], &results[0])),
            target,
        );
    }
}

fn memory(effort: Effort) {
    let total = (256 << 20) / effort.less;
    heading(&format!("memory: resident at its highest, after {} MiB echoed; KiB", total >> 20));
    let contenders = [
        ("plain loop, 256 KiB buffer", Contender::own(&["loop", "262144"]), ""),
        ("single-server echo", Contender::ours(&["echo"]), "< 6144"),
        ("library, 4 KiB buffers, depth 1", Contender::own(&["options", "4096", "1"]), "< 3072"),
    ];
    for (name, contender, target) in &contenders {
        stream_through(contender.addr, total, 65536).expect("every byte comes back");
        row(name, &contender.memory().1.to_string(), None, target);
    }
    let before: Vec<u64> = contenders.iter().map(|(_, contender, _)| contender.ticks()).collect();
    thread::sleep(Duration::from_secs(2));
    let idle = contenders[1].1.ticks() - before[1];
    let connected = connect(contenders[1].1.addr);
    let between = contenders[1].1.ticks();
    thread::sleep(Duration::from_secs(2));
    let idle_connected = contenders[1].1.ticks() - between;
    drop(connected);
    row("processor time in 2 s, idle", &format!("{} ms", idle * 10), None, "0 ms");
    row("processor time in 2 s, connected", &format!("{} ms", idle_connected * 10), None, "0 ms");
}
