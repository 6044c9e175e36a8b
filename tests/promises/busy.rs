//! What happens to a second client under each policy, seen from the client's side.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Busy, Client, Message, Options, Reason, Signal};

use crate::visitor::*;

fn with(policy: Busy) -> Echo {
    echo_on(&address_for(&policy), Options::new().busy(policy))
}

#[test]
fn drop_closes_the_second_connection_at_once() {
    let echo = with(Busy::Drop);
    let mut first = connect(echo.addr);
    ping(&mut first).unwrap();
    assert!(rest(&mut connect(echo.addr)).is_empty());
    ping(&mut first).unwrap();
}

#[test]
fn tell_sends_the_whole_message_even_to_clients_that_send_first() {
    let message = pattern(1, 4096);
    let echo = with(Busy::Tell(message.clone()));
    let mut first = connect(echo.addr);
    ping(&mut first).unwrap();
    let addr = echo.addr;
    let connecting = thread::spawn(move || {
        let talk = pattern(2, 20_000);
        for attempt in 0..2000 {
            let mut second = connect(addr);
            if attempt % 2 == 0 {
                // The server may have closed by now, but its message can still be read.
                let _ = second.write(&talk[..1 + attempt * 10]);
            }
            assert_same(&rest(&mut second), &message);
        }
    });
    let mut trips = 0;
    while trips < 1000 || !connecting.is_finished() {
        ping(&mut first).unwrap();
        trips += 1;
    }
    connecting.join().unwrap();
}

#[test]
fn refuse_closes_the_port_during_a_session_and_reopens_it_before_the_client_sees_the_end() {
    let echo = with(Busy::Refuse);
    for number in 0..2000 {
        let mut first = connect(echo.addr); // without a retry
        ping(&mut first).unwrap();
        if number % 20 == 0 {
            let refused = TcpStream::connect(echo.addr).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        first.shutdown(Shutdown::Write).unwrap();
        assert!(rest(&mut first).is_empty());
    }
}

#[test]
fn refuse_reopens_the_port_before_the_client_sees_an_end_by_the_application() {
    for end in [Client::finish, Client::abort] {
        let server = Options::new().busy(Busy::Refuse).handover(Duration::ZERO).bind(apart()).unwrap();
        let mut clients = Vec::new(); // they keep their side open
        for _ in 0..100 {
            let mut client = connect(server.local_addr()); // without a retry
            end(&next_client(&server, &client));
            assert!(rest(&mut client).is_empty());
            clients.push(client);
        }
    }
}

#[test]
fn refuse_keeps_the_port_closed_when_a_new_session_closes_a_lingering_connection() {
    let server = Options::new().busy(Busy::Refuse).bind(apart()).unwrap();
    for _ in 0..20 {
        let mut lingering = connect(server.local_addr());
        next_client(&server, &lingering);
        finish(&server.control());
        assert!(rest(&mut lingering).is_empty());
        let mut served = connect(server.local_addr());
        next_client(&server, &served);
        let refused = TcpStream::connect(server.local_addr()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        finish(&server.control());
        assert!(rest(&mut served).is_empty());
    }
}

#[test]
fn refuse_resets_clients_caught_in_the_backlog() {
    let echo = with(Busy::Refuse);
    for _ in 0..200 {
        // They connect at once: one is served, some are refused, some are in the backlog when the listener closes.
        let clients: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn({
                    let addr = echo.addr;
                    move || TcpStream::connect(addr)
                })
            })
            .collect();
        let clients: Vec<TcpStream> =
            clients.into_iter().filter_map(|client| client.join().unwrap().ok()).collect();
        let mut served = 0;
        for mut client in clients {
            client.set_read_timeout(Some(DEADLINE)).unwrap();
            match ping(&mut client) {
                Ok(()) => {
                    served += 1;
                    client.shutdown(Shutdown::Write).unwrap();
                    assert!(rest(&mut client).is_empty());
                }
                Err(e) => assert_ne!(e.kind(), io::ErrorKind::WouldBlock, "a client hangs unserved"),
            }
        }
        assert!(served >= 1);
    }
}

#[test]
fn refuse_retries_with_growing_pauses_while_its_port_is_taken() {
    let echo = with(Busy::Refuse);
    let mut first = connect(echo.addr);
    ping(&mut first).unwrap();
    let thief = TcpListener::bind(echo.addr).unwrap();
    let start = Instant::now();
    first.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut first).is_empty());
    let mut pauses = Vec::new();
    while pauses.len() < 5 {
        if let Signal::Fault { doing, kind, retry_in, .. } = echo.signals.recv_timeout(DEADLINE).unwrap() {
            assert_eq!((doing, kind), ("listen again", io::ErrorKind::AddrInUse));
            pauses.push(retry_in);
        }
    }
    assert!(pauses.windows(2).all(|pair| pair[1] == 2 * pair[0]), "{pauses:?}");
    let paused: Duration = pauses[..4].iter().sum(); // each of them before the next fault
    assert!(start.elapsed() >= paused, "{:?} instead of {paused:?}", start.elapsed());
    drop(thief);
    let mut second = connect_until_served(echo.addr);
    // A new failure starts again with the shortest pause.
    while echo.signals.try_recv().is_ok() {}
    let _thief = TcpListener::bind(echo.addr).unwrap();
    second.shutdown(Shutdown::Write).unwrap();
    rest(&mut second);
    let again = loop {
        if let Signal::Fault { retry_in, .. } = echo.signals.recv_timeout(DEADLINE).unwrap() {
            break retry_in;
        }
    };
    assert_eq!(again, pauses[0]);
}

#[test]
fn wait_serves_clients_in_the_order_in_which_they_connected() {
    // They wait for as long as it takes, and not just for the handover.
    let echo = echo(Options::new().busy(Busy::Wait).handover(Duration::ZERO));
    let mut first = connect(echo.addr);
    ping(&mut first).unwrap();
    let waiting: Vec<TcpStream> = (0..5)
        .map(|number| {
            let mut client = connect(echo.addr);
            client.write_all(&[b'0' + number]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            client
        })
        .collect();
    ping(&mut first).unwrap();
    assert_eq!(next_connected(&echo.signals), first.local_addr().unwrap());
    drop(first);
    for (number, mut client) in waiting.into_iter().enumerate() {
        assert_eq!(next_connected(&echo.signals), client.local_addr().unwrap());
        assert_eq!(rest(&mut client), [b'0' + number as u8]);
    }
}

#[test]
fn replace_ends_the_old_session_before_it_serves_the_new_client() {
    let server = Options::new().busy(Busy::Replace).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut old = connect(server.local_addr());
    old.write_all(b"old").unwrap();
    let client = match next_message(&server) {
        Message::Connected(client) => client,
        other => panic!("{other:?}"),
    };
    // Fill everything up to the old client, which does not read.
    let mut taken = 0;
    while client.inbox().try_send(vec![b'o'; 100_000]).is_ok() && taken < 100_000_000 {
        taken += 100_000;
        thread::yield_now();
    }
    let mut new = connect(server.local_addr());
    new.write_all(b"new").unwrap();
    let report = next_report(&signals);
    assert_eq!((report.peer, report.reason), (old.local_addr().unwrap(), Reason::Replaced));
    assert_eq!(report.sent + report.discarded, taken);
    assert!(client.inbox().send("too late").is_err());
    drop(rest(&mut old)); // the old connection ends

    let mut order = Vec::new();
    while order.last().map_or(true, |last| last != "data of new") {
        order.push(match next_message(&server) {
            Message::Connected(client) if client.peer_addr() == new.local_addr().unwrap() => {
                "new".to_string()
            }
            Message::Connected(_) => "another".to_string(),
            Message::Data(chunk) => format!("data of {}", String::from_utf8_lossy(&chunk)),
            Message::End(end) => report_of(&end).reason.to_string(),
            other => panic!("{other:?}"),
        });
    }
    order.retain(|what| what != "data of old"); // it may or may not have been read before the cut
    assert_eq!(order, ["replaced", "new", "data of new"]);
    server.inbox().send("hello, new").unwrap();
    finish(&server.control());
    assert_eq!(rest(&mut new), b"hello, new");
}

#[test]
fn replace_serves_the_last_of_a_hundred_newcomers() {
    let echo = with(Busy::Replace);
    for _ in 0..20 {
        let mut clients: Vec<TcpStream> = (0..100).map(|_| connect(echo.addr)).collect();
        let mut last = clients.pop().unwrap();
        ping(&mut last).unwrap();
        for client in &mut clients {
            assert!(rest(client).is_empty());
        }
        ping(&mut last).unwrap();
    }
}

#[test]
fn replace_frees_the_slot_while_reader_writer_and_application_are_blocked() {
    let echo = with(Busy::Replace);
    for _ in 0..3 {
        let mut stuck = connect(echo.addr);
        write_until_blocked(&mut stuck); // the writer blocks in `write`, and the reader waits for room
        let mut new = connect(echo.addr);
        ping(&mut new).unwrap();
        let mut scrap = [0; 1 << 16];
        while let Ok(1..) = stuck.read(&mut scrap) {}
    }
}

#[test]
fn a_replaced_client_that_is_still_sending_is_reset() {
    // Otherwise both kernels would keep the connection for minutes, each with megabytes of unread data.
    let server = Options::new().buffer_size(1024).busy(Busy::Replace).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut old = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_))); // else it could be cut unannounced
    flood(&mut old, &vec![1; 30 << 20]); // more than the outbox and the kernel's buffer hold
    let new = connect(server.local_addr());
    assert_eq!(next_report(&signals).reason, Reason::Replaced);
    while !matches!(next_message(&server), Message::End(_)) {}
    let refused = in_time("a write by the replaced client", move || loop {
        if let Err(e) = old.write(&[1; 1 << 16]) {
            return e;
        }
    });
    let reset = matches!(refused.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    assert!(reset, "{refused}");
    drop(new);
}

#[test]
fn every_policy_serves_consecutive_clients_without_a_retry() {
    for policy in [Busy::Drop, Busy::tell("busy"), Busy::Refuse, Busy::Wait, Busy::Replace] {
        let addr = &address_for(&policy);
        // A client that connected before the slot is free would be refused.
        let echo = echo_on(addr, Options::new().busy(policy.clone()).handover(Duration::ZERO));
        for _ in 0..300 {
            let mut client = connect(echo.addr);
            assert_eq!(through(&mut client, b"my own bytes"), b"my own bytes", "{policy:?}");
            assert!(echo.control.client().is_none(), "{policy:?}");
        }
        echo.stop();
    }
}
