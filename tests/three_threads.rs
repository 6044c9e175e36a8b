//! Promise 6, *three threads*: no session, refusal or fault leaves a thread, a descriptor or a buffer behind.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::Write;
use std::net::Shutdown;

use single_server::Options;
use visitor::*;

// The only test in this file: it counts the threads, descriptors and memory of the process.
#[test]
fn ten_thousand_misbehaving_clients_leave_no_thread_descriptor_or_memory_behind() {
    let before = threads_and_descriptors();
    let echo = echo(Options::new());
    assert_eq!(status("self", "Threads:"), before.0 + 3 + 1, "three threads, and the one that runs the echo");

    // Serves one more client, after which the previous sessions are over.
    let one_more = || {
        let mut client = connect_until_served(echo.addr);
        client.shutdown(Shutdown::Write).unwrap();
        rest(&mut client);
    };
    misbehave(&echo, 500);
    one_more();
    let serving = (before.0 + 4, before.1 + 2); // the listener, and the handle that wakes the acceptor
    becomes(serving, threads_and_descriptors);
    let memory = status("self", "VmRSS:");
    misbehave(&echo, 10_000);
    one_more();
    becomes(serving, threads_and_descriptors);
    let grown = status("self", "VmRSS:").saturating_sub(memory);
    assert!(grown < 2048, "{grown} KiB");

    drop(echo);
    becomes(before, threads_and_descriptors);
}

fn misbehave(echo: &Echo, count: usize) {
    let mut random = Random(count as u64);
    let bytes = [0x55; 100_000];
    for _ in 0..count {
        // Either refused or served.
        let mut client = connect(echo.addr);
        match random.below(5) {
            0 => {}
            1 => drop(client.write(b"hello")),
            2 => drop(client.shutdown(Shutdown::Write)),
            3 => drop(flood(&mut client, &bytes)),
            _ => {
                let _ = ping_or_not(&mut client);
                let _ = client.write(b"and no goodbye");
            }
        }
    }
}

fn ping_or_not(client: &mut std::net::TcpStream) -> std::io::Result<usize> {
    client.write_all(b"ping")?;
    client.peek(&mut [0])
}
