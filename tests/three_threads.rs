//! Promise 6, *three threads*: no session, refusal or fault leaves a thread, a descriptor or a buffer behind.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::Write;
use std::net::Shutdown;

use single_server::Options;
use visitor::*;

// One test alone in its process, since it counts what the process has.
#[test]
fn ten_thousand_rude_clients_leave_nothing_behind() {
    let before = threads_and_descriptors();
    let echo = echo(Options::new());
    assert_eq!(status("self", "Threads:"), before.0 + 3 + 1, "three threads, and the application's");

    // Served once more, so that whatever the last client left behind has been dealt with.
    let one_more = || {
        let mut client = connect_until_served(echo.addr);
        client.shutdown(Shutdown::Write).unwrap();
        rest(&mut client);
    };
    be_rude(&echo, 500);
    one_more();
    let serving = (before.0 + 4, before.1 + 2); // the listener, and a spare
    becomes(serving, threads_and_descriptors);
    let memory = status("self", "VmRSS:");
    be_rude(&echo, 10_000);
    one_more();
    becomes(serving, threads_and_descriptors);
    let grown = status("self", "VmRSS:").saturating_sub(memory);
    assert!(grown < 2048, "{grown} KiB");

    drop(echo);
    becomes(before, threads_and_descriptors);
}

fn be_rude(echo: &Echo, count: usize) {
    let mut random = Random(count as u64);
    let bytes = [0x55; 100_000];
    for _ in 0..count {
        // Refused or served, as it comes.
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
