//! Promise 4, *back at once*: a client that closes and connects again at once is served without a retry.
//!
//! Where a second client must be refused, the handover time is longer than the deadline of the tests. So a server that
//! waits although it must not fails the test.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use single_server::{Busy, Message, Options, Reason, Signal};

use crate::visitor::*;

const NEVER: Duration = Duration::from_secs(2 * DEADLINE.as_secs());
const SHORT: Duration = Duration::from_millis(60);

fn policies() -> [Busy; 2] {
    [Busy::Drop, Busy::tell("busy")]
}

#[test]
fn a_client_that_closes_and_connects_again_at_once_is_served_under_drop() {
    for closing in CLOSINGS {
        let echo = echo(Options::new().handover(NEVER));
        visit_a_thousand_times(echo.addr, closing, b"");
    }
}

#[test]
fn a_client_that_closes_and_connects_again_at_once_is_served_under_tell() {
    for closing in CLOSINGS {
        let echo = echo(Options::new().busy(Busy::tell("busy")).handover(NEVER));
        visit_a_thousand_times(echo.addr, closing, b"busy");
    }
}

/// Here the kernel decides, and it refuses until the server has read the FIN and listens again, which may take longer
/// than a client on the same machine needs to return. But every client that gets connected is served.
#[test]
fn a_client_that_closes_and_gets_connected_again_is_served_under_refuse() {
    for closing in CLOSINGS {
        let echo = echo_on(&apart(), Options::new().busy(Busy::Refuse).handover(NEVER));
        let addr = echo.addr;
        in_time("1,000 visits", move || {
            for number in 0..1000 {
                while let Err(e) = visit(addr, closing) {
                    let refused = e.kind() == ErrorKind::ConnectionRefused;
                    assert!(refused, "visit {number}, after {closing:?}, was refused: {e}");
                    thread::yield_now();
                }
            }
        });
        let mut first = connect_until_served(addr);
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        ping(&mut first).unwrap();
    }
}

/// Asserts that for now a client is neither served nor refused.
fn waits(client: &mut TcpStream) {
    client.set_read_timeout(Some(SHORT)).unwrap();
    let read = client.read(&mut [0]);
    let waiting = matches!(&read, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(waiting, "it does not wait: {read:?}");
    client.set_read_timeout(Some(DEADLINE)).unwrap();
}

fn refusals(signals: &std::sync::mpsc::Receiver<Signal>) -> usize {
    signals.try_iter().filter(|signal| matches!(signal, Signal::Refused { .. })).count()
}

#[test]
fn a_newcomer_is_served_as_soon_as_a_leaving_client_frees_the_slot() {
    for policy in policies() {
        let server = Options::new().busy(policy).handover(NEVER).bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        let (mut old, end) = leaving(&server);
        let mut new = connect(server.local_addr());
        waits(&mut new);
        // The leaving client still receives its whole answer, although it reads slowly and the kernel cannot hold all of it.
        let answer = pattern(1, 24 << 20);
        end.client().inbox().send(answer.clone()).unwrap();
        drop(end);
        waits(&mut new);
        assert_same(&rest(&mut old), &answer);
        serve_next(&server, &new);
        assert_eq!(rest(&mut new), b"your turn");
        assert_eq!(refusals(&signals), 0);
    }
}

#[test]
fn refuse_reopens_the_port_when_the_client_has_closed_even_if_it_is_still_served() {
    let server = Options::new().busy(Busy::Refuse).handover(NEVER).bind(apart()).unwrap();
    for _ in 0..20 {
        let (mut old, end) = leaving(&server);
        let addr = server.local_addr();
        let mut new = in_time("connecting", move || loop {
            if let Ok(client) = TcpStream::connect(addr) {
                return client;
            }
        });
        end.client().inbox().send("answer").unwrap();
        drop(end);
        assert_eq!(rest(&mut old), b"answer");
        new.set_read_timeout(Some(DEADLINE)).unwrap();
        serve_next(&server, &new);
        assert_eq!(rest(&mut new), b"your turn");
        while !matches!(next_message(&server), Message::End(_)) {}
    }
}

#[test]
fn a_newcomer_is_served_after_a_session_that_is_being_finished() {
    for policy in policies() {
        let server = Options::new().busy(policy).handover(NEVER).bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        let mut old = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        let answer = pattern(2, 24 << 20);
        server.inbox().send(answer.clone()).unwrap();
        finish(&server.control());
        let mut new = connect(server.local_addr());
        waits(&mut new);
        assert_same(&rest(&mut old), &answer);
        serve_next(&server, &new);
        assert_eq!(rest(&mut new), b"your turn");
        assert_eq!(refusals(&signals), 0);
    }
}

#[test]
fn a_newcomer_is_refused_if_the_leaving_client_keeps_the_slot_beyond_the_handover_time() {
    for policy in [Busy::Drop, Busy::tell("busy"), Busy::Refuse] {
        let message: &[u8] = if matches!(policy, Busy::Tell(_)) { b"busy" } else { b"" };
        let server = Options::new().busy(policy.clone()).handover(SHORT).bind(apart()).unwrap();
        let signals = server.signal();
        let (mut old, end) = leaving(&server);
        let began = std::time::Instant::now();
        let addr = server.local_addr();
        let mut new = in_time("connecting", move || loop {
            match TcpStream::connect(addr) {
                Ok(client) => return client,
                Err(_) => thread::yield_now(), // under `refuse`, until the FIN has been read
            }
        });
        new.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(rest(&mut new), message, "{policy:?}");
        assert!(began.elapsed() >= SHORT - Duration::from_millis(20), "{policy:?}: {:?}", began.elapsed());
        assert!(server.is_busy());
        if policy != Busy::Refuse {
            assert_eq!(refusals(&signals), 1);
        }
        end.client().inbox().send("answer").unwrap();
        drop(end);
        assert_eq!(rest(&mut old), b"answer");
    }
}

#[test]
fn a_second_newcomer_is_refused_once_the_first_one_is_served() {
    let server = Options::new().handover(NEVER).bind("127.0.0.1:0").unwrap();
    let (mut old, end) = leaving(&server);
    let mut new = connect(server.local_addr());
    let mut newer = connect(server.local_addr());
    drop(end);
    assert!(rest(&mut old).is_empty());
    assert!(rest(&mut newer).is_empty());
    serve_next(&server, &new);
    assert_eq!(rest(&mut new), b"your turn");
}

#[test]
fn a_newcomer_takes_the_place_of_a_leaving_client_at_once_under_replace() {
    let server = Options::new().busy(Busy::Replace).handover(NEVER).bind("127.0.0.1:0").unwrap();
    let (mut old, end) = leaving(&server);
    let mut new = connect(server.local_addr());
    serve_next(&server, &new);
    assert_eq!(rest(&mut new), b"your turn");
    assert!(rest(&mut old).is_empty());
    assert_eq!(report_of(&end).reason, Reason::Replaced);
}

#[test]
fn a_stop_does_not_wait_for_a_handover() {
    for policy in [Busy::Drop, Busy::tell("busy"), Busy::Refuse] {
        let options = Options::new().busy(policy).handover(NEVER).stop_timeout(SHORT);
        let mut server = options.bind(apart()).unwrap();
        let (mut old, end) = leaving(&server);
        let addr = server.local_addr();
        let mut new = in_time("connecting", move || loop {
            if let Ok(client) = TcpStream::connect(addr) {
                return client;
            }
        });
        waits(&mut new);
        in_time("stop", move || server.stop()).unwrap();
        rest(&mut new);
        rest(&mut old);
        drop(end);
    }
}

#[test]
fn a_client_that_returns_at_once_is_served_while_others_are_refused() {
    let echo = echo(Options::new());
    for _ in 0..500 {
        let mut client = connect(echo.addr);
        ping(&mut client).unwrap();
        assert!(rest(&mut connect(echo.addr)).is_empty());
        drop(client);
        let mut again = connect(echo.addr);
        ping(&mut again).expect("it is served");
        drop(again);
    }
}
