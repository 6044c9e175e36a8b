//! Promise 5, *bounded*: memory stays below a limit (8 MiB for the process at the defaults), whatever a client
//! or the application does, and no byte is dropped for that. Tests that measure their own process run in a separate one.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use single_server::{Message, Options, SingleServer};

use crate::processes::*;
use crate::visitor::*;

const LIMIT: u64 = 8 * 1024;

#[test]
fn backpressure_blocks_a_client_that_does_not_read_its_echo() {
    let echo = start(&["echo"], |_| {});
    let mut client = connect(echo.addr);
    let written = write_until_blocked(&mut client);
    assert!(written > 1 << 20);
    let memory = status(&echo.id(), "VmHWM:");
    assert!(memory < LIMIT, "{memory} KiB");
    // Once the client reads, it receives everything.
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client).len(), written);
}

#[test]
fn memory_stays_small_after_a_long_stream_and_a_thousand_clients() {
    let echo = start(&["echo"], |_| {});
    let sent = pattern(1, 32 << 20);
    assert_same(&through(&mut connect(echo.addr), &sent), &sent);
    for _ in 0..1000 {
        ping(&mut connect_until_served(echo.addr)).unwrap();
    }
    let memory = status(&echo.id(), "VmHWM:");
    assert!(memory < LIMIT, "{memory} KiB");
}

#[test]
fn backpressure_blocks_a_client_while_the_application_does_not_read() {
    if !is_alone() {
        return;
    }
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let before = status("self", "VmRSS:");
    let written = write_until_blocked(&mut client);
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
    client.shutdown(Shutdown::Write).unwrap();
    let session = server.accept().unwrap();
    let received: usize = session.chunks().map(|chunk| chunk.len()).sum();
    assert_eq!(received, written);
}

#[test]
fn a_client_that_sends_no_newline_does_not_fill_the_memory() {
    if !is_alone() {
        return;
    }
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let control = server.control();
    let mut client = connect(server.local_addr());
    let before = status("self", "VmRSS:");
    let application = thread::spawn(move || {
        let session = server.accept().unwrap();
        let lines: Vec<Option<String>> = session.bounded_lines(1 << 20).map(Result::ok).collect();
        lines
    });
    let piece = vec![b'x'; 1 << 20];
    (0..64).for_each(|_| client.write_all(&piece).unwrap());
    becomes(64 << 20, || control.client().unwrap().traffic().received);
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
    client.write_all(b"\nnext\n").unwrap();
    drop(client);
    let lines = in_time("the application", move || application.join().unwrap());
    assert_eq!(lines, [None, Some("next".to_string())]);
}

#[test]
fn backpressure_blocks_a_sender_while_the_client_does_not_read() {
    if !is_alone() {
        return;
    }
    let server = Options::new().stop_timeout(Duration::ZERO).bind("127.0.0.1:0").unwrap();
    let inbox = server.inbox();
    let before = status("self", "VmRSS:");
    let mut sizes = [1, 100, 10_000, 1_000_000].iter().cycle();
    // First with nobody connected, then with a client that does not read.
    while inbox.try_send(vec![1; *sizes.next().unwrap()]).is_ok() {}
    let _client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let (sent, progress) = std::sync::mpsc::channel();
    let sending = thread::spawn(move || {
        for size in sizes {
            if inbox.send(vec![1; *size]).is_err() {
                return;
            }
            let _ = sent.send(());
        }
    });
    while progress.recv_timeout(Duration::from_millis(150)).is_ok() {}
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
    drop(server);
    in_time("send", move || sending.join().unwrap());
}

#[test]
fn a_subscriber_that_never_reads_takes_bounded_memory() {
    if !is_alone() {
        return;
    }
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let unread = server.signal();
    let read = server.signal();
    let _served = connect(server.local_addr());
    next_connected(&read); // from here on, each signal is the one of the last connection
    let before = status("self", "VmRSS:");
    for _ in 0..5000 {
        drop(connect(server.local_addr()));
        read.recv_timeout(DEADLINE).unwrap();
    }
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB");
    assert_eq!(unread.try_iter().count(), 1024);
}

#[test]
fn dropped_subscriptions_are_freed_when_signals_are_sent() {
    if !is_alone() {
        return;
    }
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let _served = connect(server.local_addr());
    next_connected(&signals);
    let before = status("self", "VmRSS:");
    for _ in 0..2000 {
        drop(server.signal());
        drop(connect(server.local_addr()));
        signals.recv_timeout(DEADLINE).unwrap(); // the refusal: sending it also finds the dropped subscriptions
    }
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
}

#[test]
fn dropped_subscriptions_are_freed_even_if_no_signal_is_sent() {
    if !is_alone() {
        return;
    }
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let before = status("self", "VmRSS:");
    for _ in 0..1000 {
        drop(server.signal());
    }
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB");
    // A subscription kept among dropped ones still receives every signal.
    let kept = server.signal();
    for _ in 0..1000 {
        drop(server.signal());
    }
    let _client = connect(server.local_addr());
    next_connected(&kept);
}
