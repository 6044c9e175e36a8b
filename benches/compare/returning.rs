//! The part about returning clients: whether a client that closes and reconnects at once is served, and how soon a
//! concurrent client is refused, by servers that do refuse. The two conflict: a server that waits for the first client's FIN refuses the second
//! client later.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::client::{knock, round_trips};
use crate::contender::{connect, Contender};
use crate::table::{heading, quantile};
use crate::Effort;

pub fn returning(effort: Effort) {
    heading(
        "returning: clients that read their answer, close and reconnect at once; and how soon a concurrent client is \
         refused",
    );
    println!("  {:<36} {:>14} {:>18} {:>16}", "", "served", "first refusal", "next refusals");
    let contenders = [
        ("single-server echo", Some(Contender::ours(&["echo"]))),
        ("single-server exec -- cat", Some(Contender::ours(&["exec", "--", "cat"]))),
        ("single-server exec --inetd -- cat", Some(Contender::ours(&["exec", "--inetd", "--", "cat"]))),
        ("xinetd, instances = 1, /bin/cat", Contender::tool("xinetd")),
    ];
    for (name, contender) in &contenders {
        let contender = match contender {
            Some(contender) => contender,
            None => {
                println!("  {name:<36} not installed, or failed to start");
                continue;
            }
        };
        let clients = 1000 / effort.less;
        let served = (0..clients).filter(|_| visit(contender)).count();
        thread::sleep(Duration::from_millis(700)); // some tools notice late that a client has gone
        let mut client = connect(contender.addr);
        round_trips(&mut client, 1);
        let alone = (0..9).map(|_| {
            thread::sleep(Duration::from_millis(150));
            knock(contender.addr)
        });
        let median = |mut times: Vec<Duration>| {
            times.sort();
            format!("{:.0} µs", quantile(&times, 0.5))
        };
        let first = median(alone.collect());
        let storm = median((0..300).map(|_| knock(contender.addr)).collect());
        println!("  {name:<36} {:>14} {first:>18} {storm:>16}", format!("{served} of {clients}"));
    }
}

/// One round trip, and a close that waits for nothing. Returns whether the client was served.
fn visit(contender: &Contender) -> bool {
    let answered = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(contender.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"ping")?;
        stream.read_exact(&mut [0; 4])
    };
    answered().is_ok()
}
