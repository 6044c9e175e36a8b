//! Promise 5, *bounded*, for the account of the inbox: which sender gets room, and when. The memory of a server is measured
//! in `tests/command/promises/bounded.rs`.

use std::io::Read;
use std::thread;
use std::time::Duration;

use single_server::{Message, Options, SendError};

use crate::visitor::*;

#[test]
fn a_message_larger_than_the_inbox_is_accepted_once_the_inbox_is_empty() {
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
fn a_queued_message_counts_by_its_capacity_not_its_length() {
    let server = Options::new().buffer_size(1000).depth(4).bind("127.0.0.1:0").unwrap();
    let mut roomy = Vec::with_capacity(4000);
    roomy.push(b'x');
    server.inbox().try_send(roomy).unwrap();
    let full = server.inbox().try_send("y");
    assert!(matches!(full, Err(SendError::Full(_))), "{full:?}");
}

#[test]
fn a_large_message_waiting_for_room_is_not_overtaken_by_later_small_ones() {
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
    // Only an empty inbox accepts this.
    becomes(true, || inbox.try_send(vec![b'x'; 32 << 20]).is_ok());
    assert!(!server.is_busy());
}

#[test]
fn all_senders_that_have_room_are_woken_even_if_they_wake_up_out_of_order() {
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
    let mut senders = vec![sender("roomy-large", 30 << 20)];
    all_asleep("roomy-large", 1);
    senders.extend((0..SENDERS).map(|_| sender("roomy-small", 1)));
    all_asleep("roomy-small", SENDERS);
    // Now there is room for all of them at once. No more room is made until the large message has been written, and the
    // client does not read that one.
    client.read_exact(&mut vec![0; 32 << 20]).unwrap();
    for _ in 0..=SENDERS {
        assert!(accepted.recv_timeout(DEADLINE).expect("a sender that has room is woken"));
    }
    drop(server);
    in_time("send", move || senders.into_iter().for_each(|sender| sender.join().unwrap()));
}
