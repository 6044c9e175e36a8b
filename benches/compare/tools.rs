//! A table of this server beside existing tools, without a verdict: they are other programs, made for other things.
//!
//! For each: throughput, the round trip, what a second client sees, and how many clients are served that come in turn. A
//! client of *in turn* waits for its end before the next one connects; one of *at once* closes when it has its answer, and the
//! next one connects in the same moment. A server that refuses a second client before it has seen that the first one has gone
//! refuses many of these.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::client::{knock, round_trips, session, Pattern};
use crate::contender::{connect, Contender};
use crate::statistics::{median, median_us};
use crate::Effort;

pub fn compare(effort: Effort) {
    // What the forwarders connect to.
    let targets = [Contender::own(&["loop", "262144"]), Contender::own(&["loop", "262144"])];
    let [for_ours, for_socat] = [&targets[0], &targets[1]].map(|target| target.addr);
    let candidates = [
        ("plain loop", Some(Contender::own(&["loop", "262144"]))),
        ("single-server echo", Some(Contender::ours(&["echo"]))),
        ("single-server exec -- cat", Some(Contender::ours(&["exec", "--", "cat"]))),
        ("single-server exec --inetd", Some(Contender::ours(&["exec", "--inetd", "--", "cat"]))),
        ("single-server forward", Some(Contender::ours(&["forward", &for_ours.to_string()]))),
        ("socat EXEC:cat", Contender::tool("socat")),
        ("socat TCP:", Contender::socat_to(for_socat)),
        ("xinetd cat", Contender::tool("xinetd")),
        ("tcpserver cat", Contender::tool("tcpserver")),
        ("ncat -e cat", Contender::tool("ncat")),
        ("ser2net, its echo", Contender::tool("ser2net")),
    ];
    let mut contenders = Vec::new();
    for (name, contender) in candidates {
        match contender {
            Some(contender) => contenders.push((name, contender)),
            None => println!("SKIPPED {name}: not installed, or failed to start"),
        }
    }
    let (bytes, clients) = ((64 << 20) / effort.less, 400 / effort.less);
    let pattern = Pattern::new();
    let mut speeds = vec![Vec::new(); contenders.len()];
    for _ in 0..5 {
        // In turn, so each has the time to notice that its client has gone.
        for ((_, contender), speeds) in contenders.iter().zip(&mut speeds) {
            if let Ok(time) = pattern.stream_through(contender.addr, bytes) {
                speeds.push((bytes >> 20) as f64 / time.as_secs_f64());
            }
        }
    }
    println!(
        "\n{} MiB echoed, the median round trip, and how many of {clients} clients are served\n\n\
         {:<26} {:>7} {:>11} {:>9} {:>9}  second client",
        bytes >> 20,
        "",
        "MiB/s",
        "round trip",
        "in turn",
        "at once"
    );
    for ((name, contender), speeds) in contenders.iter().zip(speeds) {
        let speed = if speeds.is_empty() { "stuck".to_string() } else { format!("{:.0}", median(speeds)) };
        let rest = visit_in_turn(contender, clients).unwrap_or_else(|e| format!("gets stuck: {e}"));
        println!("{name:<26} {speed:>7} {rest}");
    }
}

/// The round trip, the clients that are served, and what a second client sees.
fn visit_in_turn(contender: &Contender, clients: usize) -> io::Result<String> {
    // Some tools notice late that a client has gone.
    let leave = || thread::sleep(Duration::from_millis(700));
    let mut client = connect(contender.addr);
    client.write_all(b"ping")?;
    client.read_exact(&mut [0; 4])?;
    let trip = format!("{:.0} µs", median_us(round_trips(&mut client, 2000)));
    let time = knock(contender.addr);
    let second = match time < Duration::from_millis(190) {
        true => format!("refused in {:.1} ms", time.as_secs_f64() * 1e3),
        false => "hangs".to_string(),
    };
    drop(client);
    leave();
    let in_turn = (0..clients).filter(|_| session(contender.addr)).count();
    leave();
    let at_once = (0..clients).filter(|_| visit(contender).is_ok()).count();
    Ok(format!("{trip:>11} {in_turn:>9} {at_once:>9}  {second}"))
}

/// One round trip, and a close that waits for nothing. An error means that the client was not served.
fn visit(contender: &Contender) -> io::Result<()> {
    let mut stream = TcpStream::connect(contender.addr)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])
}
