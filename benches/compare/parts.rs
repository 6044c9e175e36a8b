//! The parts of the bench. Each prints one or more tables.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{during_knocks, knock, read_numbered, round_trips, session, stream_through};
use crate::contender::{connect, Contender};
use crate::returning::returning;
use crate::table::{alternate, heading, median, quantile, ratio, row};
use crate::Effort;

type Part = (&'static str, fn(Effort));

pub const ALL: &[Part] = &[
    ("throughput", throughput),
    ("roundtrip", roundtrip),
    ("inbox", inbox),
    ("refusal", refusal),
    ("sessions", sessions),
    ("returning", returning),
    ("storm", storm),
    ("memory", memory),
    ("growth", growth),
    ("relay", relay),
    ("tools", tools),
    ("build", build),
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
        ("library, Session, Read and Write", Contender::own(&["session"])),
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
        ("three bare threads, two channels", Contender::own(&["shape"])),
        ("single-server echo", Contender::ours(&["echo"])),
    ];
    let mut p50 = vec![Vec::new(); contenders.len()];
    let mut p99 = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds {
        for (i, (_, contender)) in contenders.iter().enumerate() {
            let times = round_trips(&mut connect(contender.addr), count);
            p50[i].push(quantile(&times, 0.5));
            p99[i].push(quantile(&times, 0.99));
        }
    }
    for (i, (name, _)) in contenders.iter().enumerate() {
        let target = |text: &'static str| if i == 2 { text } else { "" };
        let value = |of: &[f64]| format!("{:.1}", median(of.to_vec()));
        row(&format!("{name}, p50"), &value(&p50[i]), Some(ratio(&p50[i], &p50[0])), target("<= 0.33"));
        row(&format!("{name}, p99"), &value(&p99[i]), Some(ratio(&p99[i], &p99[0])), target("<= 0.8"));
    }
}

fn inbox(effort: Effort) {
    let count = 1_000_000 / effort.less as u64;
    heading(&format!("inbox: {count} messages of 32 bytes to the client; messages/s"));
    let counted = count.to_string();
    let contenders = [
        ("one write per message", Contender::own(&["write", &counted])),
        ("one Inbox::send per message", Contender::own(&["inbox", &counted])),
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
    heading(&format!("refusal: {count} connections while a client is served, connect to close; p50 in µs"));
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
    row("closed port", &value(2), Some(1.0), "");
    row("single-server --busy refuse", &value(3), Some(ratio(&results[3], &results[2])), "<= 1.1");
}

fn sessions(effort: Effort) {
    let count = 4000 / effort.less;
    heading(&format!("sessions: {count} consecutive clients, each from connect to close; sessions/s"));
    let contenders = [
        ("plain loop", Contender::own(&["loop", "262144"]), ""),
        ("library, echo", Contender::own(&["options", "262144", "4"]), ">= 0.8"),
        ("single-server echo, logging", Contender::ours(&["echo"]), ""),
    ];
    let measure = |contender: &Contender| {
        let began = Instant::now();
        let refused = (0..count).filter(|_| !session(contender.addr)).count();
        assert_eq!(refused, 0, "clients were refused, because the slot was not free yet");
        count as f64 / began.elapsed().as_secs_f64()
    };
    let mut each: Vec<_> = contenders.iter().map(|(_, contender, _)| move || measure(contender)).collect();
    let mut each: Vec<&mut dyn FnMut() -> f64> = each.iter_mut().map(|f| f as _).collect();
    let results = alternate(effort.rounds, &mut each);
    for ((name, _, target), result) in contenders.iter().zip(&results) {
        row(name, &format!("{:.0}", median(result.clone())), Some(ratio(result, &results[0])), target);
    }
}

fn storm(effort: Effort) {
    heading("storm: round trip of the served client while one thread makes connections; p50 in µs");
    let mut contenders = vec![
        ("library, Busy::Drop", Contender::own(&["options", "262144", "4"]), "<= 1.5"),
        ("single-server --busy drop", Contender::ours(&["echo"]), "<= 1.5"),
        ("single-server --busy refuse", Contender::ours(&["--busy", "refuse", "echo"]), ""),
    ];
    match Contender::tool("xinetd") {
        Some(xinetd) => contenders.insert(0, ("xinetd, instances = 1, /bin/cat", xinetd, "")),
        None => println!("  xinetd is not installed, so there is no baseline"),
    }
    let mut clients: Vec<_> = contenders.iter().map(|(_, contender, _)| connect(contender.addr)).collect();
    let mut p50 = vec![Vec::new(); contenders.len()];
    let mut rates = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds {
        for (i, (_, contender, _)) in contenders.iter().enumerate() {
            round_trips(&mut clients[i], 10);
            let began = Instant::now();
            let measure = || round_trips(&mut clients[i], 20_000 / effort.less);
            let (times, knocks) = during_knocks(contender.addr, 1, measure);
            p50[i].push(quantile(&times, 0.5));
            rates[i].push(knocks as f64 / began.elapsed().as_secs_f64());
        }
    }
    for (i, (name, _, target)) in contenders.iter().enumerate() {
        let value = format!("{:.1}", median(p50[i].clone()));
        let beside = format!("{target} ({:.0} refused/s)", median(rates[i].clone()));
        row(name, &value, Some(ratio(&p50[i], &p50[0])), &beside);
    }
}

fn memory(effort: Effort) {
    let total = (256 << 20) / effort.less;
    heading(&format!("memory: peak resident memory after {} MiB echoed; KiB", total >> 20));
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
    row("processor time in 2 s, no client", &format!("{} ms", idle * 10), None, "0 ms");
    row("processor time in 2 s, idle client", &format!("{} ms", idle_connected * 10), None, "0 ms");
}

fn growth(effort: Effort) {
    let total = (64 << 20) / effort.less;
    heading("growth: throughput by size of the client's writes; MiB/s, and ratio to 64 KiB");
    let echo = Contender::ours(&["echo"]);
    let size = |bytes: usize| match bytes {
        1..=1023 => format!("{bytes} B"),
        1024..=1_048_575 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    };
    let measure = |contender: &Contender, piece: usize| {
        let total = total.min(piece * 200_000 / effort.less);
        let each =
            (0..3).map(|_| stream_through(contender.addr, total, piece).expect("every byte comes back"));
        median(each.map(|time| mib_per_second(total, time)).collect())
    };
    let usual = measure(&echo, 64 << 10);
    for piece in [1, 16, 256, 4 << 10, 64 << 10, 1 << 20] {
        let speed = measure(&echo, piece);
        row(&format!("writes of {}", size(piece)), &format!("{speed:.1}"), Some(speed / usual), "");
    }
    heading(
        "growth: throughput by buffer size and depth; MiB/s, ratio to the defaults, and peak resident KiB",
    );
    for (buffer, depth) in [
        (4 << 10, 1),
        (4 << 10, 4),
        (64 << 10, 1),
        (64 << 10, 4),
        (256 << 10, 1),
        (256 << 10, 4),
        (1 << 20, 4),
    ] {
        let contender = Contender::own(&["options", &buffer.to_string(), &depth.to_string()]);
        let speed = measure(&contender, 64 << 10);
        let name = format!("buffers of {}, depth {depth}", size(buffer));
        row(&name, &format!("{speed:.0}"), Some(speed / usual), &contender.memory().1.to_string());
    }
    heading("growth: round trip of the served client by number of connecting threads; p50 in µs, and ratio to none");
    let mut client = connect(echo.addr);
    let mut alone = None;
    for threads in [0, 1, 4, 16, 64] {
        round_trips(&mut client, 10);
        let measure = || quantile(&round_trips(&mut client, 10_000 / effort.less), 0.5);
        let (p50, knocks) = during_knocks(echo.addr, threads, measure);
        let alone = *alone.get_or_insert(p50);
        row(
            &format!("{threads} threads"),
            &format!("{p50:.1}"),
            Some(p50 / alone),
            &format!("{knocks} refused"),
        );
    }
}

fn tools(effort: Effort) {
    let total = (64 << 20) / effort.less;
    heading(&format!(
        "tools: {} MiB echoed, round trip p50, 300 consecutive clients, and what a second client sees",
        total >> 20
    ));
    let mut contenders = vec![
        ("plain loop", Some(Contender::own(&["loop", "262144"]))),
        ("single-server echo", Some(Contender::ours(&["echo"]))),
        ("single-server exec -- cat", Some(Contender::ours(&["exec", "--", "cat"]))),
    ];
    contenders.extend(
        ["xinetd", "socat", "tcpserver", "ncat", "ser2net"].map(|name| (name, Contender::tool(name))),
    );
    println!("  {:<26} {:>10} {:>12} {:>16}  second client", "", "MiB/s", "round trip", "clients served");
    for (name, contender) in &contenders {
        let contender = match contender {
            Some(contender) => contender,
            None => {
                println!("  {name:<26} not installed, or failed to start");
                continue;
            }
        };
        let speed = match stream_through(contender.addr, total, 65536) {
            Ok(time) => format!("{:.0}", mib_per_second(total, time)),
            Err(e) => format!("{e}"),
        };
        thread::sleep(Duration::from_millis(700)); // some tools notice late that a client has gone
        let mut client = connect(contender.addr);
        let mut echoes = || -> std::io::Result<()> {
            use std::io::{Read, Write};
            client.write_all(b"ping")?;
            client.read_exact(&mut [0; 4])
        };
        let (trip, second) = match echoes() {
            Ok(()) => {
                let trip = format!("{:.1} µs", quantile(&round_trips(&mut client, 5000 / effort.less), 0.5));
                let time = knock(contender.addr);
                let told = time < Duration::from_millis(190);
                (trip, if told { format!("refused in {} µs", time.as_micros()) } else { "hangs".to_string() })
            }
            Err(_) => ("stuck".to_string(), "stuck".to_string()),
        };
        drop(client);
        thread::sleep(Duration::from_millis(700));
        let served = if trip == "stuck" { 0 } else { (0..300).filter(|_| session(contender.addr)).count() };
        println!("  {name:<26} {speed:>10} {trip:>12} {:>16}  {second}", format!("{served} of 300"));
    }
}

/// A relay and what it is compared with: the first of each group is its baseline.
type Relay = (&'static str, Option<Contender>, &'static str);

fn relay(effort: Effort) {
    let total = (256 << 20) / effort.less;
    heading(&format!(
        "relay: {} MiB there and back in 64 KiB writes; MiB/s, ratio to the first",
        total >> 20
    ));
    // One target for each forwarder, because a plain loop serves one client at a time.
    let targets = [Contender::own(&["loop", "262144"]), Contender::own(&["loop", "262144"])];
    let ours = |arguments: &[&str]| Some(Contender::ours(arguments));
    let relays: [Vec<Relay>; 3] = [
        vec![
            ("socat EXEC:cat", Contender::tool("socat"), ""),
            ("single-server exec -- cat", ours(&["exec", "--", "cat"]), ">= 1.0"),
        ],
        vec![
            ("xinetd, /bin/cat", Contender::tool("xinetd"), ""),
            ("tcpserver, /bin/cat", Contender::tool("tcpserver"), ""),
            ("single-server exec --inetd -- cat", ours(&["exec", "--inetd", "--", "cat"]), ">= 1.0"),
        ],
        vec![
            ("socat TCP:", Contender::socat_to(targets[0].addr), ""),
            ("single-server forward", ours(&["forward", &targets[1].addr.to_string()]), ">= 1.0"),
        ],
    ];
    for group in &relays {
        for (name, _, _) in group.iter().filter(|(_, contender, _)| contender.is_none()) {
            println!("  SKIPPED {name}: not installed, or failed to start");
        }
        let present: Vec<_> = group
            .iter()
            .filter_map(|(name, contender, target)| Some((name, contender.as_ref()?, target)))
            .collect();
        let measure = |contender: &Contender| {
            // After a session some tools need a moment to notice that the process has exited.
            thread::sleep(Duration::from_millis(300));
            let time = stream_through(contender.addr, total, 65536).expect("every byte comes back");
            mib_per_second(total, time)
        };
        let mut each: Vec<_> = present.iter().map(|(_, contender, _)| move || measure(contender)).collect();
        let mut each: Vec<&mut dyn FnMut() -> f64> = each.iter_mut().map(|f| f as _).collect();
        let results = alternate(effort.rounds, &mut each);
        for ((name, _, target), result) in present.iter().zip(&results) {
            row(name, &format!("{:.0}", median(result.clone())), Some(ratio(result, &results[0])), target);
        }
    }
}

fn build(_: Effort) {
    heading("build: size of the command, and time to build it from scratch");
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_single-server")).expect("the command is there").len();
    row("command, stripped", &format!("{} KiB", size >> 10), None, "< 450 KiB");
    let folder = std::env::temp_dir().join(format!("compare-{}-build", std::process::id()));
    let time = |name: &str, target: &str, program: &str, arguments: &[&str]| {
        let began = Instant::now();
        let mut command = std::process::Command::new(program);
        command.args(arguments).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        match command.status() {
            Ok(status) if status.success() => {
                row(name, &format!("{:.1} s", began.elapsed().as_secs_f64()), None, target);
            }
            _ => row(name, "failed", None, target),
        }
    };
    let folder = folder.display().to_string();
    time("cargo build --release", "< 10 s", "cargo", &["build", "--release", "--target-dir", &folder]);
    let library = format!("{folder}/libsingle_server.rlib");
    let arguments =
        ["--edition", "2021", "-O", "--crate-type", "rlib", "--crate-name", "single_server", "src/lib.rs"];
    time("rustc -O src/lib.rs", "< 3 s", "rustc", &[&arguments[..], &["-o", &library]].concat());
    let _ = std::fs::remove_dir_all(folder);
}
