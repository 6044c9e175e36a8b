//! Promise 5, *bounded*: memory stays below a fixed figure (8 MiB for the process at the defaults), whatever a client
//! or the application does, and no byte is dropped to keep it there.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use single_server::{Message, Options, SendError, SingleServer};
use visitor::*;

/// The tests here measure the whole process, so they run one at a time.
static TURN: Mutex<()> = Mutex::new(());

const LIMIT: u64 = 8 * 1024;

#[test]
fn backpressure_blocks_a_client_that_does_not_read_its_echo() {
    let _turn = TURN.lock();
    let echo = start(&["echo"], |_| {});
    let mut client = connect(echo.addr);
    let written = write_until_held_back(&mut client);
    assert!(written > 1 << 20);
    let memory = status(&echo.id(), "VmHWM:");
    assert!(memory < LIMIT, "{memory} KiB");
    // Once the client reads, it receives everything.
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client).len(), written);
}

#[test]
fn memory_stays_small_after_a_long_stream_and_a_thousand_clients() {
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
fn backpressure_blocks_a_client_while_the_application_does_not_read() {
    let _turn = TURN.lock();
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let before = status("self", "VmRSS:");
    let written = write_until_held_back(&mut client);
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
    client.shutdown(Shutdown::Write).unwrap();
    let session = server.accept().unwrap();
    let received: usize = session.chunks().map(|chunk| chunk.len()).sum();
    assert_eq!(received, written);
}

#[test]
fn a_client_that_sends_no_newline_does_not_fill_the_memory() {
    let _turn = TURN.lock();
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
    let _turn = TURN.lock();
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
    while progress.recv_timeout(Duration::from_millis(500)).is_ok() {}
    let grown = status("self", "VmRSS:").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
    drop(server);
    in_time("send", move || sending.join().unwrap());
}

#[test]
fn a_message_larger_than_the_inbox_is_accepted_once_the_inbox_is_empty() {
    let _turn = TURN.lock();
    let server = Options::new().buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let inbox = server.inbox();
    inbox.send("").unwrap(); // an empty message takes no room
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
fn a_queued_message_is_accounted_by_its_capacity_and_not_by_its_length() {
    let server = Options::new().buffer_size(1000).depth(4).bind("127.0.0.1:0").unwrap();
    let mut roomy = Vec::with_capacity(4000);
    roomy.push(b'x');
    server.inbox().try_send(roomy).unwrap();
    let full = server.inbox().try_send("y");
    assert!(matches!(full, Err(SendError::Full(_))), "{full:?}");
}

#[test]
fn a_subscriber_that_never_reads_takes_bounded_memory() {
    let _turn = TURN.lock();
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
    let _turn = TURN.lock();
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
    let _turn = TURN.lock();
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

#[test]
fn a_large_message_waiting_for_room_is_not_overtaken_by_later_small_ones() {
    let _turn = TURN.lock();
    for _ in 0..8 {
        let server = Options::new().stop_timeout(Duration::ZERO).bind("127.0.0.1:0").unwrap();
        let mut client = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        // More than the kernel takes for a client that does not read, so the next senders wait for room.
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

/// A server with room for 32 MiB in the inbox, more than the kernel takes for a client that does not read.
fn roomy() -> Options {
    Options::new().buffer_size(1 << 20).depth(32).stop_timeout(Duration::ZERO)
}

#[test]
fn an_inbox_left_full_by_a_session_is_emptied_while_nobody_is_connected() {
    let _turn = TURN.lock();
    let mut server = roomy().bind("127.0.0.1:0").unwrap();
    let inbox = server.inbox();
    let _client = connect(server.local_addr());
    let session = server.accept().unwrap();
    inbox.send(vec![b'x'; 31 << 20]).unwrap();
    becomes(true, || session.client().traffic().sent > 0); // the writer has taken this message, and no other one
    inbox.try_send(vec![b'x'; 1 << 20]).unwrap();
    assert!(matches!(inbox.try_send("y"), Err(SendError::Full(_))));
    session.client().abort();
    assert!(session.wait_until_over().discarded >= 1 << 20);
    drop(session);
    // This is accepted only by an inbox that has all of its room.
    becomes(true, || inbox.try_send(vec![b'x'; 32 << 20]).is_ok());
    assert!(!server.is_busy());
}

#[test]
fn all_senders_that_have_room_are_woken_even_if_they_wake_out_of_order() {
    let _turn = TURN.lock();
    const SENDERS: usize = 32;
    let server = roomy().bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    server.inbox().send(vec![b'1'; 32 << 20]).unwrap();
    let (sent, accepted) = std::sync::mpsc::channel();
    let sender = |name: &str, length: usize| {
        let (inbox, sent) = (server.inbox(), sent.clone());
        let send = move || sent.send(inbox.send(vec![b'2'; length]).is_ok()).unwrap();
        thread::Builder::new().name(name.into()).spawn(send).unwrap()
    };
    let mut senders = vec![sender("large", 30 << 20)];
    all_asleep("large", 1);
    senders.extend((0..SENDERS).map(|_| sender("small", 1)));
    all_asleep("small", SENDERS);
    // Now there is room for all of them at once. No more room is made until the large message has been written, and the
    // client does not read that one.
    client.read_exact(&mut vec![0; 32 << 20]).unwrap();
    for _ in 0..=SENDERS {
        assert!(accepted.recv_timeout(DEADLINE).expect("a sender that has room is woken"));
    }
    drop(server);
    in_time("send", move || senders.into_iter().for_each(|sender| sender.join().unwrap()));
}
