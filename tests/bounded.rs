//! Promise 5, *bounded*: whatever a client or the application does, memory stays under a fixed figure, at the
//! defaults 8 MiB for the process; and nothing is lost for it.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::Read;
use std::net::Shutdown;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use single_server::{Message, Options, SendError, SingleServer};
use visitor::*;

/// The tests here measure the process or its threads, and take turns.
static TURN: Mutex<()> = Mutex::new(());

const LIMIT: u64 = 8 * 1024;

#[test]
fn a_client_that_never_reads_is_held_back() {
    let _turn = TURN.lock();
    let echo = start(&["echo"], |_| {});
    let mut client = connect(echo.addr);
    let written = write_until_held_back(&mut client);
    assert!(written > 1 << 20);
    let memory = status(&echo.id(), "VmHWM:");
    assert!(memory < LIMIT, "{memory} KiB");
    // And when it reads after all, everything is there.
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client).len(), written);
}

#[test]
fn a_long_stream_and_many_clients_leave_it_small() {
    let _turn = TURN.lock();
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
fn an_application_that_never_reads_holds_the_client_back() {
    let _turn = TURN.lock();
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let before = status("self", "VmRSS:");
    let written = write_until_held_back(&mut client);
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
    client.shutdown(Shutdown::Write).unwrap();
    let mut session = server.accept().unwrap();
    let received: usize = session.chunks().map(|chunk| chunk.len()).sum();
    assert_eq!(received, written);
}

#[test]
fn an_application_that_sends_without_end_is_held_back() {
    let _turn = TURN.lock();
    let server = Options::new().linger(Duration::ZERO).bind("127.0.0.1:0").unwrap();
    let inbox = server.inbox();
    let before = status("self", "VmRSS:");
    let mut sizes = [1, 100, 10_000, 1_000_000].iter().cycle();
    // Nobody is connected; then somebody who does not read.
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
    while progress.recv_timeout(Duration::from_millis(500)).is_ok() {}
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
    drop(server);
    in_time("send", move || sending.join().unwrap());
}

#[test]
fn a_message_larger_than_the_inbox_goes_when_it_is_empty() {
    let _turn = TURN.lock();
    let server = Options::new().buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let inbox = server.inbox();
    inbox.send("").unwrap(); // takes no room
    inbox.send("small").unwrap();
    let full = inbox.try_send(vec![b'x'; 100_000]).unwrap_err();
    assert!(full.to_string().contains("full"), "{full}");
    assert_eq!(std::io::Error::from(full).kind(), std::io::ErrorKind::WouldBlock);
    let sending = thread::spawn(move || inbox.send(vec![b'x'; 100_000]).unwrap());
    let mut client = connect(server.local_addr());
    let mut all = vec![0; 100_005];
    client.read_exact(&mut all).unwrap();
    sending.join().unwrap();
    assert!(all.starts_with(b"smallxxx"));
}

#[test]
fn a_message_counts_as_the_memory_that_it_keeps_and_not_as_its_length() {
    let server = Options::new().buffer_size(1000).depth(4).bind("127.0.0.1:0").unwrap();
    let mut roomy = Vec::with_capacity(4000);
    roomy.push(b'x');
    server.inbox().try_send(roomy).unwrap();
    let full = server.inbox().try_send("y");
    assert!(matches!(full, Err(SendError::Full(_))), "{full:?}");
}

#[test]
fn a_subscriber_that_never_reads_costs_no_more() {
    let _turn = TURN.lock();
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let unread = server.signal();
    let read = server.signal();
    let _served = connect(server.local_addr());
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
fn subscribers_that_are_gone_cost_nothing() {
    let _turn = TURN.lock();
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let _served = connect(server.local_addr());
    next_connected(&signals);
    let before = status("self", "VmRSS:");
    for _ in 0..2000 {
        drop(server.signal());
        drop(connect(server.local_addr()));
        signals.recv_timeout(DEADLINE).unwrap(); // that it was refused, by which the others are found to be gone
    }
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
}

#[test]
fn dropped_subscriptions_cost_nothing_while_nothing_happens() {
    let _turn = TURN.lock();
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let before = status("self", "VmRSS:");
    for _ in 0..1000 {
        drop(server.signal());
    }
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB");
    // And one that is kept beside them still gets everything.
    let kept = server.signal();
    for _ in 0..1000 {
        drop(server.signal());
    }
    let _client = connect(server.local_addr());
    next_connected(&kept);
}

#[test]
fn a_large_message_is_not_overtaken_by_small_ones_that_came_later() {
    let _turn = TURN.lock();
    for _ in 0..8 {
        let server = Options::new().linger(Duration::ZERO).bind("127.0.0.1:0").unwrap();
        let mut client = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        // More than the kernel takes for a client that never reads: whoever comes next waits for room.
        let first = 30 << 20;
        server.inbox().send(vec![b'1'; first]).unwrap();
        let sender = |name: &str, send: fn(single_server::Inbox)| {
            let inbox = server.inbox();
            thread::Builder::new().name(name.into()).spawn(move || send(inbox)).unwrap()
        };
        let mut senders = vec![sender("large", |inbox| inbox.send(vec![b'2'; 1 << 20]).unwrap())];
        all_asleep("large", 1);
        for _ in 0..3 {
            senders.push(sender("small", |inbox| while inbox.send([b'3'; 1024]).is_ok() {}));
        }
        all_asleep("small", 3);
        let mut all = vec![0; first + (1 << 20) + 1024];
        client.read_exact(&mut all).unwrap();
        let small = all.iter().position(|byte| *byte == b'3').unwrap();
        assert_eq!(small, first + (1 << 20), "small messages overtook the large one");
        drop(server);
        in_time("send", move || senders.into_iter().for_each(|sender| sender.join().unwrap()));
    }
}
