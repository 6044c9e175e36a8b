//! Promise 3, *apart*: nothing addressed to one session, nor any byte from it, reaches another.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Busy, Message, Options, Reason, SendError, SingleServer};

use crate::visitor::*;

#[test]
fn after_a_flood_and_a_reset_the_next_client_sees_only_its_own_bytes() {
    let echo = echo(Options::new());
    let rude = pattern(1, 8 << 20);
    let mut random = Random(7);
    for round in 0..200 {
        let mut first = connect(echo.addr);
        // From one byte to more than all buffers on the path hold.
        let size = 1 << random.below(24);
        flood(&mut first, &rude[..size]);
        reset(first);
        next_report(&echo.signals);

        let mut second = connect(echo.addr);
        let own = pattern(1000 + round, 1 + random.below(100_000) as usize);
        assert_same(&through(&mut second, &own), &own);
        next_report(&echo.signals);
    }
}

#[test]
fn bytes_sent_before_anyone_connects_reach_only_the_first_client() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let inbox = server.inbox();
    inbox.send("one ").unwrap();
    inbox.try_send(b"two ".to_vec()).unwrap();
    let mut writer = inbox.clone();
    writer.write_all(b"three").unwrap();
    let mut first = connect(server.local_addr());
    next_client(&server, &first).half_close();
    assert_eq!(rest(&mut first), b"one two three");
    assert!(matches!(inbox.send("after the half-close"), Err(SendError::Over(_))));
    drop(first);
    while !matches!(next_message(&server), Message::End(_)) {}
    assert_eq!(next_report(&signals).sent, 13);

    let mut second = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    inbox.send("for you").unwrap();
    finish(&server.control());
    assert_eq!(rest(&mut second), b"for you");
}

#[test]
fn replies_to_a_departed_client_are_returned_to_the_sender() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut first = connect(server.local_addr());
    first.write_all(b"question").unwrap();
    drop(first);
    let (mut inbox_of_first, mut question) = (None, None);
    loop {
        match next_message(&server) {
            Message::Connected(client) => inbox_of_first = Some(client.inbox()),
            Message::Data(chunk) => question = Some(chunk),
            Message::End(_) => break,
            other => panic!("{other:?}"),
        }
    }
    next_report(&signals);
    let mut second = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    // First through an addressed inbox; then as a chunk that came from the first client, through any inbox.
    let late = inbox_of_first.unwrap().send("secret");
    assert!(matches!(late, Err(SendError::Over(bytes)) if &bytes[..] == b"secret"));
    let late = server.inbox().send(question.unwrap());
    assert!(matches!(late, Err(SendError::Over(bytes)) if &bytes[..] == b"question"));
    server.inbox().send("hello").unwrap();
    finish(&server.control());
    assert_eq!(rest(&mut second), b"hello");
}

#[test]
fn the_handle_of_a_departed_client_cannot_end_the_next_session() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let departed = connect(server.local_addr());
    let first = next_client(&server, &departed);
    first.abort();
    let mut stream = connect(server.local_addr());
    let second = next_client(&server, &stream);
    first.half_close();
    first.finish();
    first.abort();
    first.extend();
    assert!(first.is_closed() && !second.is_closed());
    assert_ne!(first, second);
    second.inbox().send("still here").unwrap();
    second.finish();
    assert_eq!(rest(&mut stream), b"still here");
}

#[test]
fn bytes_accepted_for_a_client_that_resets_are_discarded_and_counted() {
    // On a busy machine the writer may only have been late when the inbox was full, and may write everything before the reset.
    let rounds = (0..50).take_while(|_| discarded_after_a_reset() == 0).count();
    assert!(rounds < 50, "nothing was discarded");
}

/// Fills the inbox of a client that does not read, and then resets. Checks the figures, and returns that of discarded bytes.
fn discarded_after_a_reset() -> u64 {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    // The client does not read: fill the kernel's buffers, then the inbox.
    let inbox = server.inbox();
    let mut taken: u64 = 0;
    let last = loop {
        match inbox.try_send(vec![b'x'; 50_000]) {
            Ok(()) => taken += 50_000,
            Err(SendError::Full(_)) if taken > 20 << 20 => {
                panic!("a client that does not read took {taken} bytes")
            }
            // Full for the moment, or because the writer is blocked. Blocked, if no room is made for 150 ms.
            Err(SendError::Full(bytes)) => {
                let (done, waited) = std::sync::mpsc::channel();
                let waiting = inbox.clone();
                let thread = thread::spawn(move || {
                    let sent = waiting.send(bytes);
                    let _ = done.send(());
                    sent
                });
                match waited.recv_timeout(std::time::Duration::from_millis(150)) {
                    Ok(()) => {
                        thread.join().unwrap().unwrap();
                        taken += 50_000;
                    }
                    Err(_) => break thread,
                }
            }
            Err(other) => panic!("{other}"),
        }
    };
    let mut one = [0];
    client.read_exact(&mut one).unwrap();
    reset(client);
    let report = next_report(&signals);
    // The waiting sender either got the room of discarded messages, or was refused.
    match last.join().unwrap() {
        Ok(()) => taken += 50_000,
        Err(SendError::Over(bytes)) => assert_eq!(bytes.len(), 50_000),
        Err(other) => panic!("{other}"),
    }
    assert_eq!(report.sent + report.discarded, taken);

    let mut next = connect(server.local_addr());
    while !matches!(next_message(&server), Message::Connected(_)) {}
    inbox.send("clean").unwrap();
    finish(&server.control());
    assert_same(&rest(&mut next), b"clean");
    report.discarded
}

#[test]
fn bytes_queued_for_a_replaced_client_do_not_reach_its_successor() {
    let server = Options::new().busy(Busy::Replace).bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        let first = connect(server.local_addr());
        let inbox = loop {
            if let Message::Connected(client) = next_message(&server) {
                break client.inbox();
            }
        };
        // Sends until the kernel's buffers and the inbox are full.
        let sending = thread::spawn(move || while inbox.send(vec![b'1'; 30_000]).is_ok() {});
        let mut second = connect(server.local_addr());
        while !matches!(next_message(&server), Message::Connected(client) if client.peer_addr() == second.local_addr().unwrap())
        {
        }
        server.inbox().send("for the second").unwrap();
        finish(&server.control());
        assert_same(&rest(&mut second), b"for the second");
        in_time("send", move || sending.join().unwrap());
        drop(first);
    }
}

#[test]
fn bytes_sent_during_a_replacement_go_to_the_client_they_were_accepted_for() {
    let echo = echo(Options::new().busy(Busy::Replace)); // it only empties the outbox: no client sends anything
    for _ in 0..20 {
        let stuck = connect(echo.addr);
        next_connected(&echo.signals);
        let done = Arc::new(AtomicBool::new(false));
        let (inbox, over) = (echo.inbox.clone(), done.clone());
        let sending = thread::spawn(move || {
            let mut taken = 0;
            while !over.load(Ordering::Acquire) {
                taken += if inbox.send([b'x'; 100]).is_ok() { 100 } else { 0 };
            }
            taken
        });
        // Until the first client blocks the writer: what is accepted after its end is for the second one.
        let mut taken = 0;
        while echo.inbox.try_send([b'x'; 100]).is_ok() {
            taken += 100;
        }
        let mut new = connect(echo.addr);
        let old = next_report(&echo.signals);
        next_connected(&echo.signals);
        new.read_exact(&mut [0; 1000]).unwrap();
        let reading = thread::spawn(move || rest(&mut new).len());
        done.store(true, Ordering::Release);
        taken += sending.join().unwrap();
        finish(&echo.control);
        let report = next_report(&echo.signals);
        assert_eq!((report.reason, report.discarded), (Reason::Finished, 0), "{report:?}");
        assert_eq!(reading.join().unwrap() as u64 + 1000, report.sent);
        assert_eq!(old.sent + old.discarded + report.sent, taken, "bytes were lost between the two sessions");
        drop(stuck);
    }
}

#[test]
fn a_chunk_can_be_sent_to_a_client_of_another_server() {
    let from = SingleServer::bind("127.0.0.1:0").unwrap();
    let to = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut source = connect(from.local_addr());
    source.write_all(b"across").unwrap();
    source.shutdown(Shutdown::Write).unwrap();
    let mut target = connect(to.local_addr());
    assert!(matches!(next_message(&to), Message::Connected(_)));
    let inbox = to.inbox();
    loop {
        match next_message(&from) {
            Message::Connected(_) => {}
            Message::Data(chunk) => inbox.send(chunk).unwrap(),
            Message::End(_) => break,
            other => panic!("{other:?}"),
        }
    }
    finish(&to.control());
    assert_eq!(rest(&mut target), b"across");
}

#[test]
fn bytes_received_after_finish_do_not_reach_the_outbox() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        let mut old = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        old.write_all(b"early").unwrap();
        assert!(matches!(next_message(&server), Message::Data(_))); // the reader soon blocks in `read` again
        finish(&server.control());
        assert!(matches!(next_message(&server), Message::End(_)));
        old.write_all(b"late").unwrap();
        let new = connect(server.local_addr());
        let next = next_message(&server);
        assert!(
            matches!(&next, Message::Connected(client) if client.peer_addr() == new.local_addr().unwrap()),
            "{next:?}"
        );
        drop(new);
        while !matches!(next_message(&server), Message::End(_)) {}
        becomes(false, || server.is_busy());
    }
}

#[test]
fn bytes_received_after_finish_are_discarded_before_the_application_receives_the_end() {
    let server = Options::new().depth(1 << 16).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    client.write_all(b"early").unwrap();
    assert!(matches!(next_message(&server), Message::Data(_)));
    finish(&server.control());
    assert_eq!(next_report(&signals).reason, Reason::Finished);
    // More than the kernel holds. So once all of it is written, the reader has read a good part of it.
    client.write_all(&vec![b'x'; 30 << 20]).unwrap();
    match next_message(&server) {
        Message::End(end) => assert_eq!(report_of(&end).received, 5),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unaddressed_bytes_sent_while_a_session_ends_are_delivered_or_counted() {
    let echo = echo(Options::new().busy(Busy::Replace)); // it only empties the outbox: no client sends anything
    let (mut accepted, mut counted) = (0, 0);
    let count = || {
        let report = next_report(&echo.signals);
        report.sent + report.discarded
    };
    let mut random = Random(9);
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        while echo.inbox.try_send("x").is_ok() {
            accepted += 1;
        }
        // The second client ends the first session at a random point of the writer's work on these bytes.
        let first = connect(echo.addr);
        (0..random.below(6000)).for_each(|_| std::hint::spin_loop());
        let second = connect(echo.addr);
        counted += count();
        drop((first, second));
        counted += count();
    }
    // Bytes that no earlier session was charged with go to the last client.
    let mut last = connect(echo.addr);
    next_connected(&echo.signals);
    let reading = thread::spawn(move || rest(&mut last).len() as u64);
    finish(&echo.control);
    let report = next_report(&echo.signals);
    assert_eq!(reading.join().unwrap(), report.sent);
    assert_eq!(counted + report.sent + report.discarded, accepted);
}

#[test]
fn clients_are_equal_if_they_are_of_the_same_session() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let stream = connect(server.local_addr());
            let client = next_client(&server, &stream);
            assert_eq!(client, client.clone());
            assert_eq!(server.client().as_ref(), Some(&client));
            client.finish();
            client
        })
        .collect();
    assert_ne!(clients[0], clients[1]);
}
