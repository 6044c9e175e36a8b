//! `read_on_demand`: an application prepares something before it asks for the client's bytes, or aborts the session with the
//! bytes unread. However the session ends meanwhile, nothing hangs and the end is delivered once.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use single_server::{Busy, Client, Message, Options, Reason, Report, SingleServer};

use crate::visitor::*;

fn on_demand() -> Options {
    Options::new().read_on_demand(true)
}

/// A server that has announced a client, and the application has not asked for its bytes.
fn announced(options: Options) -> (SingleServer, Client, TcpStream) {
    let server = options.bind("127.0.0.1:0").unwrap();
    let mut stream = connect(server.local_addr());
    stream.write_all(b"unread").unwrap();
    match next_message(&server) {
        Message::Connected(client) => (server, client, stream),
        other => panic!("{other:?}"),
    }
}

/// Receives the end of the session, which must be the next message and the last one.
fn only_end(server: &SingleServer) -> Report {
    let report = match next_message(server) {
        Message::End(end) => report_of(&end),
        other => panic!("{other:?}"),
    };
    let more = server.outbox().recv_timeout(Duration::ZERO);
    assert_eq!(more.unwrap_err(), RecvTimeoutError::Timeout);
    report
}

fn ends_in_good_order(mut stream: TcpStream) {
    let end = stream.read_to_end(&mut Vec::new());
    assert!(end.is_ok(), "{end:?}");
}

#[test]
fn an_abort_before_the_first_read_resets_a_client_that_has_sent_everything() {
    for _ in 0..20 {
        let (server, client, mut stream) = announced(on_demand());
        stream.shutdown(Shutdown::Write).unwrap();
        // Another client is refused at once. Meanwhile the bytes of the first one have arrived.
        assert!(rest(&mut connect(server.local_addr())).is_empty());
        client.abort();
        let end = stream.read(&mut [0]);
        assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
        let report = only_end(&server);
        assert_eq!((report.reason, report.received, report.complete), (Reason::Aborted, 0, false));
    }
}

#[test]
fn nothing_is_read_before_the_application_asks_and_everything_after_that() {
    let mut server = on_demand().bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    let written = write_until_blocked(&mut client);
    assert_eq!(session.client().traffic().received, 0);
    client.shutdown(Shutdown::Write).unwrap();
    let received: usize = session.chunks().map(|chunk| chunk.len()).sum();
    assert_eq!(received, written);
    assert_eq!(session.close().reason, Reason::ClientClosed);
}

#[test]
fn each_receiving_method_asks_for_the_bytes() {
    let ways: [fn(&SingleServer) -> bool; 3] = [
        |server| server.outbox().recv().is_ok(),
        |server| server.outbox().recv_timeout(Duration::ZERO).is_ok(),
        |server| server.outbox().recv_timeout(Duration::from_millis(1)).is_ok(),
    ];
    for way in ways {
        let (server, _, _stream) = announced(on_demand());
        in_time("the first chunk", move || while !way(&server) {});
    }
    let mut server = on_demand().bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"!").unwrap();
    let session = server.accept().unwrap();
    becomes(Some(b'!'), || session.peek().unwrap());
}

#[test]
fn the_time_before_the_application_asks_is_not_counted_as_idle() {
    let idle = Duration::from_millis(50);
    let mut server = on_demand().idle_timeout(idle).bind("127.0.0.1:0").unwrap();
    let _client = connect(server.local_addr());
    let session = server.accept().unwrap();
    thread::sleep(10 * idle); // a slow application
    assert!(!session.inbox().is_closed());
    assert!(session.next_chunk().is_none());
    assert_eq!(session.wait_until_over().reason, Reason::Idle);
}

#[test]
fn a_finish_before_the_first_read_is_an_orderly_end() {
    let (server, client, stream) = announced(on_demand());
    client.finish();
    ends_in_good_order(stream);
    let report = only_end(&server);
    assert_eq!((report.reason, report.received), (Reason::Finished, 0));
}

#[test]
fn a_client_can_be_replaced_before_the_first_read() {
    let (server, _, mut old) = announced(on_demand().busy(Busy::Replace));
    let new = connect(server.local_addr());
    rest(&mut old);
    assert!(matches!(next_message(&server), Message::End(end) if report_of(&end).reason == Reason::Replaced));
    let peer = new.local_addr().unwrap();
    assert!(matches!(next_message(&server), Message::Connected(client) if client.peer_addr() == peer));
}

#[test]
fn a_client_that_resets_before_the_first_read_loses_the_slot() {
    let (server, client, stream) = announced(on_demand().close_timeout(Duration::from_millis(80)));
    client.inbox().send("greeting").unwrap();
    reset(stream);
    becomes(true, || client.inbox().is_closed());
    assert!(!server.is_busy());
    assert!(matches!(next_message(&server), Message::Data(chunk) if chunk == b"unread"[..]));
    assert_eq!(only_end(&server).reason, Reason::Reset);
}

#[test]
fn a_newcomer_finds_that_a_client_has_reset_before_the_first_read_and_is_served() {
    let options = on_demand().close_timeout(None).handover(2 * DEADLINE);
    let (server, client, stream) = announced(options);
    let signals = server.signal();
    client.inbox().send("greeting").unwrap();
    wait_for_bytes(&stream);
    // An application that takes its time. From now on nobody looks at the client but a newcomer.
    thread::sleep(Duration::from_millis(300));
    reset(stream);
    let next = connect(server.local_addr());
    assert_eq!(next_report(&signals).reason, Reason::Reset);
    assert_eq!(next_connected(&signals), next.local_addr().unwrap());
}

#[test]
fn a_stop_before_the_first_read_returns_and_the_client_sees_an_orderly_end() {
    let (mut server, _, stream) = announced(on_demand());
    in_time("stop", move || server.stop().unwrap());
    ends_in_good_order(stream);

    let (server, _, stream) = announced(on_demand());
    server.control().stop();
    ends_in_good_order(stream);
    in_time("the end of the outbox", move || server.outbox().iter().for_each(drop));
}

#[test]
fn a_session_that_is_dropped_before_the_first_read_delivers_its_answer_to_a_client_that_is_still_sending() {
    let answer = pattern(3, 16 << 20);
    let mut server = on_demand().bind("127.0.0.1:0").unwrap();
    let (addr, control, answering) = (server.local_addr(), server.control(), answer.clone());
    let serving = thread::spawn(move || {
        server.serve(|session| session.inbox().send(answering.clone()));
    });
    let mut client = connect(addr);
    client.write_all(&vec![0; 32 << 20]).expect("the server reads");
    assert_same(&rest(&mut client), &answer);
    control.stop();
    in_time("the application", move || serving.join().unwrap());
}

#[test]
fn a_client_that_leaves_without_sending_anything_before_the_first_read_frees_the_slot_for_the_next() {
    let leave = || {
        let server = on_demand().close_timeout(None).bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        let leaving = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        next_connected(&signals);
        drop(leaving);
        // Nobody asks for its bytes. The newcomer is served without a retry.
        let next = connect(server.local_addr());
        let report = next_report(&signals);
        assert_eq!((report.reason, report.received, report.complete), (Reason::ClientClosed, 0, true));
        assert_eq!(next_connected(&signals), next.local_addr().unwrap());
    };
    // Side by side, because each time the application has a quarter of a second to ask for the client.
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..5).for_each(|_| leave()));
        }
    });
}

#[test]
fn a_client_that_leaves_without_sending_anything_before_it_is_announced_frees_the_slot() {
    for policy in [Busy::Drop, Busy::Wait] {
        let options = on_demand().busy(policy).depth(1).close_timeout(None);
        let server = options.bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        // The application receives nothing: the outbox is full, and the reader waits.
        for _ in 0..4 {
            let client = connect(server.local_addr());
            assert_eq!(next_connected(&signals), client.local_addr().unwrap());
        }
    }
}

#[test]
fn a_client_that_leaves_before_it_is_announced_frees_the_slot_after_the_close_timeout() {
    for demand in [false, true] {
        let options = Options::new().read_on_demand(demand).depth(1).close_timeout(Duration::from_millis(80));
        let server = options.bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        // The application receives nothing: the outbox is full, and the reader waits.
        for _ in 0..4 {
            drop(connect_when_free(&server));
            next_report(&signals);
        }
    }
}

/// Connects once the slot is free.
fn connect_when_free(server: &SingleServer) -> TcpStream {
    becomes(false, || server.is_busy());
    connect(server.local_addr())
}

#[test]
fn a_client_that_leaves_without_sending_anything_is_noticed_even_without_a_newcomer() {
    let server = on_demand().close_timeout(Duration::from_millis(80)).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    drop(connect(server.local_addr()));
    assert_eq!(next_report(&signals).reason, Reason::ClientClosed);
    assert!(matches!(next_message(&server), Message::Connected(_)));
    assert_eq!(only_end(&server).received, 0);
}

#[test]
#[cfg(windows)]
fn a_connection_cannot_be_lent_on_windows_and_the_session_goes_on() {
    let mut server = on_demand().bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let mut session = server.accept().unwrap();
    assert_eq!(session.stream().unwrap_err().kind(), ErrorKind::Unsupported);
    session.write_all(b"here").unwrap();
    session.close();
    assert_eq!(rest(&mut client), b"here");
}

#[test]
fn a_client_that_half_closes_without_sending_anything_is_served_if_the_application_asks_soon() {
    let mut server = on_demand().busy(Busy::Wait).bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let asking = || {
        let client = connect(addr);
        client.shutdown(Shutdown::Write).unwrap();
        client
    };
    let mut first = asking();
    for _ in 0..50 {
        let next = asking(); // its FIN is there when its session begins
        let mut session = server.accept().unwrap();
        session.write_all(b"what time it is").unwrap();
        assert!(session.next_chunk().is_none());
        session.close();
        assert_eq!(rest(&mut first), b"what time it is");
        first = next;
    }
}

#[test]
fn a_client_that_sends_and_leaves_before_the_first_read_is_timed_out_after_the_close_timeout() {
    let (server, client, stream) = announced(on_demand().close_timeout(Duration::from_millis(80)));
    drop(stream);
    becomes(true, || client.inbox().is_closed());
    assert!(!server.is_busy());
    assert_eq!(only_end(&server).reason, Reason::Gone);
}

#[test]
fn extend_keeps_the_bytes_of_a_client_that_has_left() {
    let close = Duration::from_millis(320);
    let mut server = on_demand().close_timeout(close).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"a job").unwrap();
    drop(client);
    let mut session = server.accept().unwrap();
    for _ in 0..40 {
        thread::sleep(close / 16);
        session.client().extend();
    }
    let mut job = Vec::new();
    session.read_to_end(&mut job).unwrap();
    assert_eq!(job, b"a job");
    assert_eq!(session.close().reason, Reason::ClientClosed);
}

#[test]
fn a_connected_client_is_not_timed_out_before_the_first_read() {
    // The timeout begins with the client's bytes, because a FIN may be behind them.
    let close = Duration::from_millis(200);
    let mut server = on_demand().close_timeout(close).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    thread::sleep(3 * close); // a slow application
    client.write_all(b"late").unwrap();
    let chunk = session.next_chunk();
    assert_eq!(chunk.as_deref(), Some(&b"late"[..]), "{:?}", session.client().report());
}
