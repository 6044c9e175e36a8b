//! Promise 9: a vanished client does not keep the slot.
//!
//! The tests check strictly that no session ends too early. How late it may end is limited only by the general deadline,
//! because the machine may be slow.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Busy, Message, Options, Reason, SingleServer};

use crate::visitor::*;

/// A timeout that ends a session.
const SHORT: Duration = Duration::from_millis(50);
/// For sessions that must not end, even on a busy machine.
const LONG: Duration = Duration::from_millis(800);

#[test]
fn a_client_that_sends_nothing_is_disconnected_after_the_idle_timeout() {
    let echo = echo(Options::new().idle_timeout(SHORT));
    let mut client = connect(echo.addr);
    assert!(rest(&mut client).is_empty());
    let report = next_report(&echo.signals);
    assert_eq!(report.reason, Reason::Idle);
    assert!(report.lasted >= SHORT, "{report:?}");
}

#[test]
fn a_client_that_falls_silent_is_disconnected_an_idle_timeout_after_its_last_byte() {
    let echo = echo(Options::new().idle_timeout(LONG));
    let mut client = connect(echo.addr);
    thread::sleep(LONG / 2); // within the timeout
    ping(&mut client).unwrap();
    let said = Instant::now();
    assert!(rest(&mut client).is_empty());
    assert!(said.elapsed() >= LONG - Duration::from_millis(20), "{:?}", said.elapsed());
    let report = next_report(&echo.signals);
    assert_eq!((report.reason, report.received, report.sent), (Reason::Idle, 4, 4));
}

#[test]
fn bytes_from_the_client_keep_its_session_open() {
    let server = Options::new().idle_timeout(LONG).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let talking = thread::spawn(move || {
        for _ in 0..12 {
            thread::sleep(LONG / 8);
            client.write_all(b"still here").unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        rest(&mut client)
    });
    loop {
        if let Message::End(end) = next_message(&server) {
            assert_eq!((end.client().report(), end.client().traffic().received), (None, 120));
            break;
        }
    }
    talking.join().unwrap();
}

#[test]
fn bytes_to_the_client_keep_its_session_open() {
    let server = Options::new().idle_timeout(LONG).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let inbox = server.inbox();
    let talking = thread::spawn(move || {
        for _ in 0..12 {
            thread::sleep(LONG / 8);
            inbox.send("tick").unwrap();
        }
    });
    assert_eq!(rest(&mut client).len(), 48);
    talking.join().unwrap();
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent), (Reason::Idle, 48));
}

#[test]
fn a_half_closed_client_that_gets_no_answer_is_disconnected_as_idle() {
    let server = Options::new().idle_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    client.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let end = next_message(&server); // kept: the application could still answer
    assert!(rest(&mut client).is_empty());
    assert_eq!(next_report(&signals).reason, Reason::Idle);
    drop(end);
}

#[test]
fn a_reset_during_the_answer_frees_the_slot() {
    let server = Options::new().bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let end = loop {
        if let Message::End(end) = next_message(&server) {
            break end;
        }
    };
    end.client().inbox().send("answer").unwrap();
    wait_for_bytes(&client);
    drop(client); // with unread bytes, so the kernel sends a RST
    let inbox = end.client().inbox();
    in_time("sending to a client that has reset", move || while inbox.send("and another thing").is_ok() {});
    assert_eq!(report_of(&end).reason, Reason::Reset);
    assert!(!server.is_busy());
}

#[test]
fn a_reset_found_by_a_write_ends_the_session_once_the_received_bytes_have_been_read() {
    let mut server = Options::new().buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    client.write_all(&pattern(4, 60_000)).unwrap();
    drop(client);
    let session = server.accept().unwrap();
    // The client's kernel answers the first write with a RST, and the second write fails.
    session.inbox().send("a piece").unwrap();
    becomes(7, || session.client().traffic().sent);
    session.inbox().send("another").unwrap();
    let received: usize = session.chunks().map(|chunk| chunk.len()).sum();
    assert_eq!(received, 60_000);
    // The session ends although the application neither writes nor closes it.
    assert_eq!(next_report(&signals).reason, Reason::Reset);
}

#[test]
fn a_client_that_does_not_read_bytes_queued_before_it_connected_is_disconnected_as_stalled() {
    let server = Options::new().idle_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    server.inbox().send(vec![b'x'; 30 << 20]).unwrap();
    let _client = connect(server.local_addr());
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent + report.discarded), (Reason::Stalled, 30 << 20), "{report:?}");
}

#[test]
fn a_client_that_sends_but_does_not_read_is_disconnected_as_stalled() {
    let server = Options::new().idle_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let inbox = server.inbox();
    let sending = thread::spawn(move || {
        let mut sent = 0;
        while inbox.send(vec![b'x'; 100_000]).is_ok() {
            sent += 100_000;
        }
        sent
    });
    // The client sends, but does not read.
    let mut talking = client.try_clone().unwrap();
    thread::spawn(move || {
        while talking.write_all(b"la la la").is_ok() {
            thread::sleep(SHORT / 10)
        }
    });
    let report = next_report(&signals);
    assert_eq!(report.reason, Reason::Stalled);
    let sent: u64 = in_time("send", move || sending.join().unwrap());
    assert_eq!(report.sent + report.discarded, sent);
    // The slot is free.
    let _next = connect(server.local_addr());
    next_connected(&signals);
    let mut scrap = [0; 1 << 16];
    while let Ok(1..) = client.read(&mut scrap) {}
}

#[test]
fn a_client_that_reads_slowly_is_not_disconnected() {
    // One message whose write takes much longer than the timeout.
    let sent = pattern(1, 24 << 20);
    // On a busy machine the client itself may not run for longer than the timeout. That says nothing about the server.
    let read = || -> Result<(), Duration> {
        let server = Options::new().idle_timeout(LONG).bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        let mut client = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        let inbox = server.inbox();
        let copy = sent.clone();
        let sending = thread::spawn(move || inbox.send(copy));
        let mut received = vec![0; sent.len()];
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        for piece in received.chunks_mut(3 << 20) {
            if let Err(e) = client.read_exact(piece) {
                longest = longest.max(last.elapsed());
                assert!(longest > LONG / 2, "{e}: {:?}", next_report(&signals));
                return Err(longest);
            }
            longest = longest.max(last.elapsed());
            last = Instant::now();
            thread::sleep(LONG / 4);
        }
        sending.join().unwrap().unwrap();
        assert_same(&received, &sent);
        Ok(())
    };
    let pauses: Vec<Duration> = (0..20).map_while(|_| read().err()).collect();
    if pauses.len() == 20 {
        skipped(&format!("too little processor time: the client did not run for {pauses:?}"));
    }
}

#[test]
fn a_slow_application_does_not_make_its_client_idle() {
    let mut server =
        Options::new().idle_timeout(LONG).buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let sent = pattern(2, 100_000);
    client.write_all(&sent).unwrap();
    let mut session = server.accept().unwrap();
    thread::sleep(LONG * 2);
    let mut received = vec![0; sent.len()];
    session.read_exact(&mut received).unwrap();
    assert_same(&received, &sent);
    client.write_all(b"and more").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut more = String::new();
    session.read_to_string(&mut more).unwrap();
    assert_eq!(more, "and more");
}

#[test]
fn time_before_the_reader_reaches_a_client_does_not_count_as_idle() {
    let options = Options::new().busy(Busy::Replace).idle_timeout(LONG).depth(1);
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let control = server.control();
    let mut old = connect(server.local_addr());
    let session = server.accept().unwrap();
    block_the_reader(&mut old, &session);
    let new = connect(session.client().local_addr());
    let peer = new.local_addr().unwrap();
    assert_eq!(session.wait_until_over().reason, Reason::Replaced);
    becomes(Some(peer), || control.client().map(|client| client.peer_addr()));
    // The reader delivers its last chunk of the old client. Then it waits for room again, to announce the new one.
    assert_eq!(session.next_chunk().as_deref(), Some(&b"one"[..]));
    thread::sleep(LONG * 2);
    assert_eq!(control.client().map(|client| client.peer_addr()), Some(peer));
    assert_eq!(session.next_chunk().as_deref(), Some(&b"two"[..]));
    assert!(session.next_chunk().is_none());
    drop(session);
    let session = server.accept().unwrap();
    assert_eq!(session.client().peer_addr(), peer);
    assert_eq!(session.wait_until_over().reason, Reason::Idle);
}

#[test]
fn a_slow_application_still_has_time_to_answer() {
    // Depth 1: while the application sleeps, the reader waits for room for the only chunk.
    let server = Options::new().idle_timeout(LONG).depth(1).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    thread::sleep(LONG * 2);
    let end = loop {
        if let Message::End(end) = next_message(&server) {
            break end;
        }
    };
    thread::sleep(LONG / 4);
    end.client().inbox().send("answer").unwrap();
    drop(end);
    assert_eq!(rest(&mut client), b"answer");
}

// Windows reports a reset only to a read or a write.
#[cfg(not(windows))]
#[test]
fn a_reset_frees_the_slot_even_while_the_outbox_is_full() {
    let options = Options::new().idle_timeout(SHORT).buffer_size(1000).depth(1);
    let server = options.bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    write_until_blocked(&mut client); // the outbox is full, and the reader waits for room
    server.inbox().send("unread").unwrap();
    reset(client);
    assert_eq!(next_report(&signals).reason, Reason::Reset);
    assert!(!server.is_busy());
    // The next client is served although the application still reads nothing.
    let mut next = connect(server.local_addr());
    next_connected(&signals);
    server.inbox().send("hello").unwrap();
    finish(&server.control());
    assert_eq!(rest(&mut next), b"hello");
    let mut ends = 0;
    while ends == 0 {
        match next_message(&server) {
            Message::End(end) => {
                assert_eq!(report_of(&end).reason, Reason::Reset);
                ends += 1;
            }
            other => assert!(matches!(other, Message::Data(_)), "{other:?}"),
        }
    }
}

#[test]
fn a_client_that_goes_on_sending_is_disconnected_after_the_session_timeout() {
    let timeout = Duration::from_millis(200);
    let echo = echo(Options::new().idle_timeout(LONG).session_timeout(timeout));
    let mut client = connect(echo.addr);
    while ping(&mut client).is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
    let report = next_report(&echo.signals);
    assert_eq!(report.reason, Reason::TimeUp);
    assert!(report.lasted >= timeout, "{report:?}");
}

// --- clients that have closed ---

#[test]
fn a_client_that_has_closed_is_timed_out_after_the_close_timeout_without_a_byte() {
    let server = Options::new().close_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    for _ in 0..3 {
        let (mut client, end) = leaving(&server);
        let report = next_report(&signals);
        assert_eq!((report.reason, report.received), (Reason::Gone, 8));
        assert!(report.lasted >= SHORT, "{report:?}");
        assert!(!server.is_busy());
        assert!(rest(&mut client).is_empty());
        assert!(end.client().inbox().send("too late").is_err());
        // The application keeps the end, as if it were busy. That does not delay the next client.
    }
    ping_through(&server);
}

/// Is served, and answered by the application.
fn ping_through(server: &SingleServer) {
    let mut client = connect(server.local_addr());
    serve_next(server, &client);
    assert_eq!(rest(&mut client), b"your turn");
}

#[test]
fn each_byte_restarts_the_close_timeout() {
    let server = Options::new().close_timeout(LONG).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let (mut client, end) = leaving(&server);
    let inbox = end.client().inbox();
    let talking = thread::spawn(move || {
        for _ in 0..12 {
            thread::sleep(LONG / 8); // a slow application
            inbox.send("tick").unwrap();
        }
    });
    assert_eq!(rest(&mut client).len(), 48);
    talking.join().unwrap();
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent, report.discarded), (Reason::Gone, 48, 0));
    assert!(report.lasted >= LONG / 8 * 12 + LONG, "{report:?}");
    drop(end);
}

#[test]
fn a_client_that_has_closed_may_read_a_long_answer_slowly() {
    let server = Options::new().close_timeout(LONG).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let answer = pattern(3, 24 << 20);
    let copy = answer.clone();
    let (mut client, end) = leaving(&server);
    end.client().inbox().send(copy).unwrap();
    drop(end);
    let mut received = vec![0; answer.len()];
    for piece in received.chunks_mut(3 << 20) {
        client.read_exact(piece).unwrap();
        thread::sleep(LONG / 4); // a slow client
    }
    assert_same(&received, &answer);
    assert!(rest(&mut client).is_empty());
    assert_eq!(next_report(&signals).reason, Reason::ClientClosed);
}

#[test]
fn a_client_that_has_closed_and_does_not_read_is_timed_out_and_its_answer_counted() {
    let server = Options::new().close_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let answer = vec![b'x'; 30 << 20];
    let (client, end) = leaving(&server);
    end.client().inbox().send(answer).unwrap();
    drop(end);
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent + report.discarded), (Reason::Gone, 30 << 20), "{report:?}");
    assert!(report.discarded > 0, "{report:?}");
    drop(client);
    ping_through(&server);
}

#[test]
fn without_a_close_timeout_a_client_that_has_closed_keeps_the_slot() {
    let options = Options::new().close_timeout(SHORT).close_timeout(None);
    let server = options.bind("127.0.0.1:0").unwrap();
    let (mut client, end) = leaving(&server);
    thread::sleep(4 * SHORT); // a slow application
    assert!(server.is_busy());
    end.client().inbox().send("answer").unwrap();
    drop(end);
    assert_eq!(rest(&mut client), b"answer");
}

#[test]
fn the_close_timeout_does_not_apply_before_the_client_has_closed() {
    let echo = echo(Options::new().close_timeout(SHORT));
    let mut client = connect(echo.addr);
    ping(&mut client).unwrap();
    thread::sleep(4 * SHORT); // a slow client
    ping(&mut client).unwrap();
}

// Windows reports a reset only to a read or a write.
#[cfg(not(windows))]
#[test]
fn a_reset_while_the_outbox_is_full_frees_the_slot_after_the_close_timeout() {
    let options = Options::new().close_timeout(SHORT).buffer_size(1000).depth(1);
    let server = options.bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    write_until_blocked(&mut client);
    server.inbox().send("unread").unwrap();
    reset(client);
    assert_eq!(next_report(&signals).reason, Reason::Reset);
    assert!(!server.is_busy());
}

#[test]
fn the_error_for_a_close_timeout_that_is_too_short_names_it() {
    let error = Options::new().close_timeout(Duration::ZERO).bind("127.0.0.1:0").unwrap_err();
    assert!(error.to_string().contains("close timeout"), "{error}");
}
