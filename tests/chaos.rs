//! Rude clients of all kinds at once, under every policy; then the server must be as it was.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Busy, Options};
use visitor::*;

/// One visit of somebody without manners.
fn visit(addr: std::net::SocketAddr, random: &mut Random, bytes: &[u8]) {
    let mut client = match TcpStream::connect(addr) {
        Ok(client) => client,
        Err(_) => return, // refused
    };
    client.set_read_timeout(Some(Duration::from_millis(1 + random.below(5)))).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(1 + random.below(5)))).unwrap();
    match random.below(6) {
        // Connects and vanishes.
        0 => {}
        // Leaves something unread, for a reset.
        1 => drop(client.write(b"hello").and_then(|_| client.peek(&mut [0]))),
        // Floods without reading.
        2 => drop(client.write_all(&bytes[..random.below(bytes.len() as u64) as usize])),
        // Half-closes, and reads a little.
        3 => {
            let _ = client.write(&bytes[..1000]);
            let _ = client.shutdown(Shutdown::Write);
            let _ = client.read(&mut [0; 100]);
        }
        // Shuts its reading side, and sends.
        4 => {
            let _ = client.shutdown(Shutdown::Read);
            let _ = client.write(&bytes[..5000]);
        }
        // Holds the slot for some milliseconds.
        _ => drop(client.read(&mut [0])),
    }
}

// One test, since it counts the threads and descriptors of the process.
#[test]
fn after_chaos_under_every_policy_the_server_is_as_it_was() {
    let bytes = pattern(1, 4 << 20);
    let before = threads_and_descriptors();
    for policy in [Busy::Drop, Busy::Tell(b"one moment".to_vec()), Busy::Refuse, Busy::Wait, Busy::Replace] {
        let echo = echo(Options::new().busy(policy.clone()).idle_timeout(Duration::from_secs(5)));
        ping(&mut connect(echo.addr)).unwrap();
        let addr = echo.addr;
        becomes(before.0 + 4, || status("self", "Threads:"));
        let until = Instant::now() + Duration::from_secs(2);
        thread::scope(|scope| {
            for number in 0..4 {
                let bytes = &bytes;
                scope.spawn(move || {
                    let mut random = Random(number + 1);
                    while Instant::now() < until {
                        visit(addr, &mut random, bytes);
                    }
                });
            }
        });
        // At once. Those who came in the last moments may be before us, so that Drop and Refuse take a retry.
        let mut client = connect_until_served(echo.addr);
        assert_same(&through(&mut client, &bytes), &bytes);
        drop(client);
        becomes(before.0 + 4, || status("self", "Threads:"));
        echo.stop();
        becomes(before, threads_and_descriptors);
    }
}
