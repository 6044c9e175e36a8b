//! Promise 2, *whole*: every byte sent before the client's FIN comes out of the outbox, in order. Every byte that the
//! inbox accepted for a live client is written, in order, before the close.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use single_server::{
    Busy, Chunk, Client, Message, Options, Reason, SendError, Session, Signal, SingleServer,
};

use crate::visitor::*;

#[test]
fn sixty_four_mebibytes_are_echoed_whole_after_a_half_close() {
    let echo = echo(Options::new());
    let sent = pattern(1, 64 << 20);
    let mut client = connect(echo.addr);
    assert_same(&through(&mut client, &sent), &sent);
    let report = next_report(&echo.signals);
    assert_eq!((report.received, report.sent, report.discarded), (64 << 20, 64 << 20, 0));
    assert_eq!(report.reason, Reason::ClientClosed);
}

#[test]
fn the_smallest_buffers_and_queues_lose_nothing() {
    let echo = echo(Options::new().buffer_size(1).depth(1));
    let sent = pattern(2, 20_000);
    let mut client = connect(echo.addr);
    assert_same(&through(&mut client, &sent), &sent);
}

#[test]
fn a_slow_client_receives_everything_before_the_close() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let sent = pattern(3, 16 << 20);
    let mut client = connect(server.local_addr());
    let inbox = server.inbox();
    let expected = sent.clone();
    let reading = thread::spawn(move || {
        let mut all = Vec::new();
        let mut piece = [0; 1000];
        loop {
            match client.read(&mut piece).unwrap() {
                0 => return assert_same(&all, &expected),
                count => all.extend_from_slice(&piece[..count]),
            }
            if all.len() % 64 == 0 {
                thread::yield_now();
            }
        }
    });
    assert!(matches!(next_message(&server), Message::Connected(_)));
    for piece in sent.chunks(70_001) {
        inbox.send(piece).unwrap();
    }
    finish(&server.control());
    reading.join().unwrap();
}

#[test]
fn a_hundred_thousand_small_messages_arrive_in_order() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let (inbox, receiving) = (server.inbox(), server.client().unwrap());
    let sending = thread::spawn(move || {
        for number in 0..100_000 {
            inbox.send(format!("{number}\n")).unwrap();
        }
        receiving.half_close();
        assert!(matches!(inbox.send("too late"), Err(SendError::Over(bytes)) if &bytes[..] == b"too late"));
    });
    let mut number = 0;
    for line in BufReader::new(client).lines() {
        assert_eq!(line.unwrap(), number.to_string());
        number += 1;
    }
    assert_eq!(number, 100_000);
    sending.join().unwrap();
}

#[test]
fn bytes_sent_before_a_close_are_delivered_even_if_the_answer_cannot_be_written() {
    // The first answer reaches a closed socket, so the client's kernel sends a RST. Bytes in the server's receive buffer
    // stay readable, so the client sends no more than that buffer holds.
    let server = Options::new().buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let sent = pattern(4, 60_000);
    let mut client = connect(server.local_addr());
    client.write_all(&sent).unwrap();
    drop(client); // before an answer comes: closing with unread bytes would be a RST
    let mut received = Vec::new();
    let inbox = server.inbox();
    loop {
        match next_message(&server) {
            Message::Connected(_) => {}
            Message::Data(chunk) => {
                received.extend_from_slice(&chunk);
                let _ = inbox.send("a piece of yours has arrived");
            }
            Message::End(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_same(&received, &sent);
}

#[test]
fn a_session_can_read_after_its_own_half_close() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let mut session = server.accept().unwrap();
    session.write_all(b"my last word").unwrap();
    session.client().half_close();
    assert_eq!(session.write(b"more").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(rest(&mut client), b"my last word");
    let answer = pattern(5, 300_000);
    client.write_all(&answer).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    session.read_to_end(&mut received).unwrap();
    assert_same(&received, &answer);
}

#[test]
fn reading_a_session_that_was_cut_short_is_an_error_and_not_the_end_of_the_stream() {
    let read = |session: &mut Session| {
        let mut read = || session.read(&mut [0; 10]).map_err(|e| (e.kind(), e.to_string()));
        let (first, second) = (read(), read());
        assert_eq!(first, second);
        assert_eq!(session.read(&mut []).unwrap(), 0);
        first.map_err(|(kind, _)| kind)
    };
    let mut server = Options::new()
        .busy(Busy::Replace)
        .idle_timeout(Duration::from_millis(500))
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = server.local_addr();

    drop(connect(addr));
    assert_eq!(read(&mut server.accept().unwrap()), Ok(0));

    let silent = connect(addr);
    assert_eq!(read(&mut server.accept().unwrap()), Err(ErrorKind::TimedOut));
    drop(silent);

    let broken = connect(addr);
    let mut session = server.accept().unwrap();
    session.write_all(b"unread").unwrap();
    session.flush().unwrap();
    wait_for_bytes(&broken);
    drop(broken); // with unread bytes, so the kernel sends a RST
    assert_eq!(read(&mut session), Err(ErrorKind::ConnectionReset));
    drop(session);

    let old = connect(addr);
    let mut session = server.accept().unwrap();
    let new = connect(addr);
    assert_eq!(read(&mut session), Err(ErrorKind::ConnectionAborted));
    drop((session, old));

    let control = server.control();
    let mut session = server.accept().unwrap();
    control.stop();
    assert_eq!(read(&mut session), Err(ErrorKind::ConnectionAborted));
    drop((session, new));
    assert!(server.accept().is_none());
    assert!(server.inbox().is_closed());
}

#[test]
fn a_session_can_write_after_the_half_close_of_its_client() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut session = server.accept().unwrap();
    let mut question = String::new();
    session.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    let answer = pattern(6, 3 << 20);
    let inbox = session.inbox();
    let copy = answer.clone();
    let writing = thread::spawn(move || copy.chunks(10_000).for_each(|piece| inbox.send(piece).unwrap()));
    let reading = thread::spawn(move || rest(&mut client));
    writing.join().unwrap();
    let report = session.close();
    assert_same(&reading.join().unwrap(), &answer);
    assert_eq!((report.sent, report.discarded), (3 << 20, 0));
    assert_eq!(report.reason, Reason::ClientClosed);
}

#[test]
fn a_client_that_keeps_sending_and_reads_slowly_receives_the_whole_answer() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let answer = pattern(7, 8 << 20);
    for _ in 0..5 {
        let mut client = connect(server.local_addr());
        let mut sending = client.try_clone().unwrap();
        let sending = thread::spawn(move || while sending.write_all(&[b'x'; 10_000]).is_ok() {});
        let mut session = server.accept().unwrap();
        assert!(session.next_chunk().is_some());
        let reading = thread::spawn(move || {
            let mut all = vec![0; 1 << 20];
            client.read_exact(&mut all).unwrap();
            // Read slowly, so much of the answer is still in the server's kernel long after the application has closed.
            let mut piece = [0; 50_000];
            loop {
                match client.read(&mut piece).unwrap() {
                    0 => {
                        let _ = client.shutdown(Shutdown::Both); // ends the sending thread
                        return all;
                    }
                    count => all.extend_from_slice(&piece[..count]),
                }
                thread::yield_now();
            }
        });
        session.write_all(&answer).unwrap();
        assert_eq!(session.close().reason, Reason::Finished);
        assert_same(&reading.join().unwrap(), &answer);
        sending.join().unwrap();
    }
}

#[test]
fn a_client_that_pauses_and_then_sends_again_receives_the_whole_answer() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let answer = pattern(8, 8 << 20);
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    let reading = thread::spawn(move || {
        let mut all = Vec::new();
        let mut piece = vec![0; 100_000];
        loop {
            match client.read(&mut piece).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&piece[..count]),
            }
            // The client is silent until the answer has begun, then sends a few bytes now and then.
            thread::sleep(std::time::Duration::from_millis(3));
            let _ = client.write(b"and another thing");
        }
    });
    // The application reads them while it answers, so the reader blocks in `read` when the application closes.
    let (mut inbox, copy) = (session.inbox(), answer.clone());
    let writing = thread::spawn(move || inbox.write_all(&copy).unwrap());
    while !writing.is_finished() {
        assert!(session.next_chunk().is_some());
    }
    session.close();
    assert_same(&reading.join().unwrap(), &answer);
}

#[test]
fn finish_ends_the_session_of_a_silent_client_at_once() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect(server.local_addr()));
        assert!(matches!(next_message(&server), Message::Connected(_)));
        finish(&server.control());
        match next_message(&server) {
            Message::End(end) => assert_eq!(report_of(&end).reason, Reason::Finished),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_whose_bytes_were_not_read_receives_the_whole_answer() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    for round in 0..20 {
        let mut client = connect(server.local_addr());
        flood(&mut client, &pattern(round, 200_000));
        let mut session = server.accept().unwrap();
        session.write_all(b"enough of that").unwrap();
        drop(session);
        assert_eq!(rest(&mut client), b"enough of that");
    }
}

#[test]
fn one_write_accepts_at_most_buffer_size_bytes() {
    let server = Options::new().buffer_size(1000).bind("127.0.0.1:0").unwrap();
    assert_eq!(server.inbox().write(&[0; 5000]).unwrap(), 1000);
}

#[test]
fn recv_timeout_returns_an_end_that_did_not_fit_into_the_outbox() {
    let server = Options::new().depth(1).bind("127.0.0.1:0").unwrap();
    for _ in 0..50 {
        let mut client = connect(server.local_addr());
        let served = next_client(&server, &client);
        // In some rounds the word fills the outbox before the end comes, and the reader blocks in `read`.
        client.write_all(b"word").unwrap();
        served.finish();
        assert!(rest(&mut client).is_empty());
        let mut next = next_message(&server);
        if matches!(next, Message::Data(_)) {
            next = next_message(&server);
        }
        assert!(matches!(next, Message::End(_)), "{next:?}");
    }
}

#[test]
fn an_end_that_does_not_fit_into_the_outbox_follows_the_data_in_it() {
    in_time("the ends", || (1..5).for_each(finish_with_a_full_outbox));
}

fn finish_with_a_full_outbox(depth: usize) {
    let mut server = Options::new().depth(depth).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    // Fill the outbox with one message a word. Then nothing more comes, and the reader blocks in `read`.
    for word in 0..depth as u64 {
        client.write_all(b"word").unwrap();
        becomes(4 * (word + 1), || session.client().traffic().received);
    }
    session.inbox().send("good-bye").unwrap();
    session.client().finish();
    assert_eq!(session.wait_until_over().reason, Reason::Finished);
    let mut last_words = [0; 8];
    client.read_exact(&mut last_words).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    for _ in 0..depth {
        assert_eq!(session.next_chunk().as_deref(), Some(&b"word"[..]));
    }
    assert!(session.next_chunk().is_none());
}

#[test]
fn a_chunk_that_waits_for_room_in_the_outbox_is_received_before_the_end() {
    for end in [Client::finish, Client::abort] {
        for _ in 0..100 {
            let mut server = Options::new().depth(1).bind("127.0.0.1:0").unwrap();
            let mut client = connect(server.local_addr());
            let session = server.accept().unwrap();
            block_the_reader(&mut client, &session);
            end(session.client());
            assert_eq!(session.wait_until_over().received, 6);
            // Received at once, so often before the reader has delivered the chunk.
            let chunks = [session.next_chunk(), session.next_chunk(), session.next_chunk()];
            assert_eq!(chunks, [Some(Chunk::from("one")), Some(Chunk::from("two")), None]);
        }
    }
}

#[test]
fn a_session_that_ends_before_the_reader_reaches_it_is_announced_and_ended() {
    for end in [Client::finish, Client::abort] {
        let mut server = Options::new().depth(1).bind("127.0.0.1:0").unwrap();
        let control = server.control();
        let mut first = connect(server.local_addr());
        let session = server.accept().unwrap();
        block_the_reader(&mut first, &session);
        session.client().abort();
        session.wait_until_over();

        let second = connect(session.client().local_addr());
        let peer = second.local_addr().unwrap();
        becomes(Some(peer), || control.client().map(|client| client.peer_addr()));
        end(&control.client().unwrap());
        becomes(false, || control.client().is_some());

        assert_eq!(session.chunks().count(), 2);
        drop(session);
        let next = next_message(&server);
        assert!(matches!(&next, Message::Connected(client) if client.peer_addr() == peer), "{next:?}");
        let next = next_message(&server);
        assert!(matches!(&next, Message::End(end) if report_of(end).peer == peer), "{next:?}");
    }
}

#[test]
fn an_unfinished_line_is_returned_after_a_fin_and_is_an_error_after_any_other_end() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let control = server.control();
    for stop in [false, true] {
        let mut client = connect(addr);
        client.write_all(b"list\ndelete /tmp/a").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let lines: Result<Vec<String>, _> = BufReader::new(server.accept().unwrap()).lines().collect();
        assert_eq!(lines.unwrap(), ["list", "delete /tmp/a"]);
        rest(&mut client);

        let mut client = connect(addr);
        client.write_all(b"list\ndelete /tmp/a").unwrap();
        let session = server.accept().unwrap();
        becomes(18, || session.client().traffic().received);
        if stop {
            control.stop();
        } else {
            finish(&control);
        }
        let mut lines = BufReader::new(session).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "list");
        let error = lines.next().unwrap().expect_err("the server cut off this line");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        drop((lines, client));
    }
}

/// `std` cannot force a reset, so this client sends more than the server reads before the error.
#[test]
fn an_answer_cut_short_by_an_application_error_does_not_look_complete() {
    let mut server = Options::new().buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let (addr, control, signals) = (server.local_addr(), server.control(), server.signal());
    let client = thread::spawn(move || {
        let mut client = connect(addr);
        client.write_all(&[b'?'; 100_000]).unwrap();
        let end = client.read_to_end(&mut Vec::new());
        control.stop();
        (client.local_addr().unwrap(), end)
    });
    server.serve(|session| -> Result<(), String> {
        session.next_chunk();
        session.write_all(b"half of the ans").map_err(|e| e.to_string())?;
        Err("the disk is full".into())
    });
    let (peer, end) = client.join().unwrap();
    assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    // The error is signalled before the end that it causes.
    let all: Vec<Signal> = signals.iter().collect();
    let failed = Signal::Failed { peer, text: "the disk is full".to_string() };
    assert_eq!(all[..2], [Signal::Connected(peer), failed], "{all:?}");
    assert!(
        matches!(all[2], Signal::ProducerFinished(report) if report.reason == Reason::Aborted),
        "{all:?}"
    );
}

#[test]
fn an_application_error_after_the_end_of_its_session_is_signalled_and_aborts_nobody() {
    let mut server = Options::new().busy(Busy::Replace).bind("127.0.0.1:0").unwrap();
    let (addr, control, signals) = (server.local_addr(), server.control(), server.signal());
    let first = connect(addr);
    let mut clients = Some(());
    let mut second = None;
    server.serve(|session| {
        if clients.take().is_none() {
            let written = session.write_all(b"served").map_err(|e| e.to_string());
            control.stop();
            return written;
        }
        second = Some(connect(addr));
        assert_eq!(session.wait_until_over().reason, Reason::Replaced);
        Err("too late".to_string())
    });
    assert_eq!(rest(&mut second.unwrap()), b"served");
    let failed = Signal::Failed { peer: first.local_addr().unwrap(), text: "too late".to_string() };
    let all: Vec<Signal> = signals.iter().collect();
    assert!(all.contains(&failed), "{all:?}");
    assert!(!all.iter().any(|s| matches!(s, Signal::ProducerFinished(r) if r.reason == Reason::Aborted)));
}

#[test]
fn bytes_queued_for_a_client_count_as_discarded_after_an_abort() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let stream = connect(server.local_addr());
    let client = next_client(&server, &stream);
    client.inbox().send(vec![b'x'; 30 << 20]).unwrap(); // more than the kernel takes for a client that does not read
    let traffic = client.traffic();
    assert_eq!((client.report(), traffic.sent + traffic.queued), (None, 30 << 20));
    client.abort();
    let report = client.report().expect("the session has ended");
    let traffic = client.traffic();
    assert_eq!((traffic.sent, traffic.queued), (report.sent, 0));
    assert!(report.discarded > 0);
    assert_eq!(report.sent + report.discarded, 30 << 20);
}

#[test]
fn a_session_that_is_finished_twice_is_reported_once() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut silent = Vec::new();
    for _ in 0..200 {
        let client = connect(server.local_addr());
        let peer = client.local_addr().unwrap();
        silent.push(client);
        let next = next_message(&server);
        assert!(matches!(&next, Message::Connected(client) if client.peer_addr() == peer), "{next:?}");
        finish(&server.control());
        finish(&server.control());
        let end = next_message(&server);
        assert!(matches!(&end, Message::End(end) if report_of(end).peer == peer), "{end:?}");
        becomes(false, || server.is_busy());
    }
}

#[test]
fn bytes_sent_after_a_half_close_are_refused_and_not_kept_for_the_next_client() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let (inbox, signals) = (server.inbox(), server.signal());
    inbox.send("before").unwrap();
    let mut client = connect(server.local_addr());
    next_client(&server, &client).half_close();
    assert!(matches!(inbox.send("behind"), Err(SendError::Over(bytes)) if &bytes[..] == b"behind"));
    assert!(matches!(inbox.try_send("behind"), Err(SendError::Over(bytes)) if &bytes[..] == b"behind"));
    assert_eq!(rest(&mut client), b"before");
    drop(client);
    while !matches!(next_message(&server), Message::End(_)) {}
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent, report.discarded), (Reason::ClientClosed, 6, 0));
    // The half-close was for that client only.
    let mut next = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    inbox.send("again").unwrap();
    finish(&server.control());
    assert_eq!(rest(&mut next), b"again");
}

#[test]
fn all_bytes_accepted_before_a_half_close_on_another_thread_arrive() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    for round in 0..300 {
        let mut client = connect(server.local_addr());
        let half_closing = next_client(&server, &client);
        let inbox = half_closing.inbox();
        let sending = thread::spawn(move || {
            let mut accepted = 0;
            while inbox.send("0123456789").is_ok() {
                accepted += 10;
            }
            accepted
        });
        client.read_exact(&mut vec![0; 10 + 10 * round]).unwrap();
        half_closing.half_close();
        let read = 10 + 10 * round + rest(&mut client).len();
        drop(client);
        let accepted = in_time("send", move || sending.join().unwrap());
        while !matches!(next_message(&server), Message::End(_)) {}
        let report = next_report(&signals);
        assert_eq!((read, report.discarded), (accepted, 0), "round {round}: {report:?}");
        assert_eq!(report.reason, Reason::ClientClosed);
    }
}

#[test]
fn a_sender_that_waits_for_room_is_woken_by_a_half_close() {
    let server = Options::new().stop_timeout(Duration::ZERO).bind("127.0.0.1:0").unwrap();
    let stream = connect(server.local_addr());
    let client = next_client(&server, &stream);
    // More than the kernel takes for a client that does not read; the next message then finds no room.
    server.inbox().send(vec![b'x'; 30 << 20]).unwrap();
    let inbox = server.inbox();
    let (result, results) = std::sync::mpsc::channel();
    let sending = thread::spawn(move || result.send(inbox.send("y")));
    assert!(results.recv_timeout(Duration::from_millis(200)).is_err(), "the sender does not wait");
    client.half_close();
    let sent = results.recv_timeout(DEADLINE).expect("the sender is woken");
    assert!(matches!(sent, Err(SendError::Over(_))), "{sent:?}");
    sending.join().unwrap().unwrap();
}

#[test]
fn an_answer_arrives_whole_even_if_its_session_ends_before_the_reader_starts() {
    let server = Options::new().buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    for round in 0..10 {
        let mut first = connect(server.local_addr());
        let peer = first.local_addr().unwrap();
        while !matches!(next_message(&server), Message::Connected(client) if client.peer_addr() == peer) {}
        // The outbox holds a quarter of this, so the reader waits for room.
        first.write_all(&[b'x'; 4000]).unwrap();
        finish(&server.control());
        assert!(rest(&mut first).is_empty());

        let mut second = connect(server.local_addr());
        second.write_all(b"a question that nobody reads").unwrap();
        becomes(true, || server.is_busy());
        let answer = pattern(round, 2 << 20);
        server.inbox().send(answer.clone()).unwrap();
        finish(&server.control());
        becomes(false, || server.is_busy());
        let mut got = Vec::new();
        let read = second.read_to_end(&mut got);
        assert!(read.is_ok(), "round {round}: {read:?} after {} bytes", got.len());
        assert_same(&got, &answer);
    }
}

#[test]
fn a_session_can_be_written_to_through_a_shared_reference() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    let (mut one, mut other) = (&session, &session);
    one.write_all(b"one and ").unwrap();
    other.write_all(b"the other").unwrap();
    drop(session);
    assert_eq!(rest(&mut client), b"one and the other");
}
