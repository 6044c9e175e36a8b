//! Misbehaving clients of many kinds at once, under every policy. Afterwards the server must serve as before, with the
//! same number of threads and descriptors.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Busy, Options};
use visitor::*;

/// One visit of a misbehaving client.
fn visit(addr: std::net::SocketAddr, random: &mut Random, bytes: &[u8]) {
    let mut client = match TcpStream::connect(addr) {
        Ok(client) => client,
        Err(_) => return, // refused
    };
    client.set_read_timeout(Some(Duration::from_millis(1 + random.below(5)))).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(1 + random.below(5)))).unwrap();
    match random.below(6) {
        // Connects and closes.
        0 => {}
        // Leaves the echo unread, which makes its close a RST.
        1 => drop(client.write(b"hello").and_then(|_| client.peek(&mut [0]))),
        // Floods without reading.
        2 => drop(client.write_all(&bytes[..random.below(bytes.len() as u64) as usize])),
        // Half-closes, and reads only some of the echo.
        3 => {
            let _ = client.write(&bytes[..1000]);
            let _ = client.shutdown(Shutdown::Write);
            let _ = client.read(&mut [0; 100]);
        }
        // Shuts down its reading side, and sends.
        4 => {
            let _ = client.shutdown(Shutdown::Read);
            let _ = client.write(&bytes[..5000]);
        }
        // Occupies the slot for some milliseconds.
        _ => drop(client.read(&mut [0])),
    }
}

// The only test in this file: it counts the threads and descriptors of the process.
#[test]
fn misbehaving_clients_leave_no_thread_or_descriptor_behind_under_any_policy() {
    let bytes = pattern(1, 4 << 20);
    let before = threads_and_descriptors();
    for policy in [Busy::Drop, Busy::tell("one moment"), Busy::Refuse, Busy::Wait, Busy::Replace] {
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
        // Under Drop and Refuse this may take a retry: earlier clients may still be in the backlog.
        let mut client = connect_until_served(echo.addr);
        assert_same(&through(&mut client, &bytes), &bytes);
        drop(client);
        becomes(before.0 + 4, || status("self", "Threads:"));
        echo.stop();
        becomes(before, threads_and_descriptors);
    }
}
