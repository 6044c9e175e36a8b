//! Promise 6, *three threads*: no session, refusal or fault leaks a thread, a descriptor or a buffer. Each of these tests
//! counts the resources of its own process, so it runs in a separate one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use single_server::{Busy, Message, Options, SingleServer};

use crate::processes::*;
use crate::visitor::*;

#[test]
fn ten_thousand_misbehaving_clients_leave_no_thread_descriptor_or_memory_behind() {
    if !is_alone() {
        return;
    }
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

#[test]
fn misbehaving_clients_leave_no_thread_or_descriptor_behind_under_any_policy() {
    if !is_alone() {
        return;
    }
    let bytes = pattern(1, 4 << 20);
    let before = threads_and_descriptors();
    for policy in [Busy::Drop, Busy::tell("one moment"), Busy::Refuse, Busy::Wait, Busy::Replace] {
        let echo = echo(Options::new().busy(policy.clone()).idle_timeout(Duration::from_secs(5)));
        ping(&mut connect(echo.addr)).unwrap();
        let addr = echo.addr;
        becomes(before.0 + 4, || status("self", "Threads:"));
        thread::scope(|scope| {
            for number in 0..4 {
                let bytes = &bytes;
                scope.spawn(move || {
                    let mut random = Random(number + 1);
                    for _ in 0..200 {
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

#[test]
fn the_descriptor_of_a_reset_connection_is_closed_even_while_the_outbox_is_full() {
    if !is_alone() {
        return;
    }
    let server = Options::new().depth(1).bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    for _ in 0..20 {
        let mut client = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        client.write_all(b"this fills the outbox").unwrap();
        server.inbox().send("unread").unwrap();
        reset(client);
        becomes(false, || server.is_busy());
        becomes(before, || descriptors("self"));
        while !matches!(next_message(&server), Message::End(_)) {}
    }
}

#[test]
fn a_lingering_connection_is_closed_when_the_client_closes() {
    if !is_alone() {
        return;
    }
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    for _ in 0..20 {
        let mut client = connect(server.local_addr());
        let mut session = server.accept().unwrap();
        session.write_all(b"good-bye").unwrap();
        session.close();
        assert_eq!(rest(&mut client), b"good-bye");
        client.shutdown(Shutdown::Write).unwrap();
        becomes(before + 1, || descriptors("self")); // the client's own descriptor
    }
}

#[test]
fn a_lingering_connection_is_closed_even_if_the_client_never_closes() {
    if !is_alone() {
        return;
    }
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    let mut client = connect(server.local_addr());
    let mut session = server.accept().unwrap();
    session.write_all(b"good-bye").unwrap();
    session.close();
    assert_eq!(rest(&mut client), b"good-bye");
    // The client keeps its end open and sends nothing.
    becomes(before + 1, || descriptors("self"));
}
