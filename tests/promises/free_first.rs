//! Promise 4, *free first*: when a client sees its connection end, the slot is already free.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use single_server::{Client, Options};

use crate::visitor::*;

/// Without a handover time, a newcomer that connected before the slot is free would be refused.
fn without_handover() -> Options {
    Options::new().handover(Duration::ZERO)
}

#[test]
fn ten_thousand_consecutive_clients_are_served_without_a_retry() {
    let echo = echo(without_handover());
    for number in 0..10_000 {
        let mut client = connect(echo.addr);
        let line = format!("client {number}");
        client.write_all(line.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut client), line.as_bytes(), "client {number}");
        assert!(echo.control.client().is_none(), "client {number}");
    }
}

#[test]
fn consecutive_clients_closed_by_the_application_are_served_without_a_retry() {
    let mut server = without_handover().bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let control = server.control();
    let clients = std::thread::spawn(move || {
        for number in 0..3000 {
            assert_eq!(rest(&mut connect(addr)), b"bye", "client {number}");
            assert!(control.client().is_none(), "client {number}");
        }
        control.stop();
    });
    let serving = std::thread::spawn(move || {
        while let Some(mut session) = server.accept() {
            let _ = session.write_all(b"bye");
        }
    });
    clients.join().unwrap(); // fails here if a client was not served
    in_time("the server", move || serving.join().unwrap());
}

/// How a session ends while the client still reads.
const ENDS: [fn(&TcpStream, &Client); 3] = [
    |_, client| client.finish(),
    |_, client| client.abort(),
    |stream, client| {
        stream.shutdown(Shutdown::Write).unwrap();
        client.finish();
    },
];

#[test]
fn the_slot_is_free_when_the_client_sees_the_end() {
    let server = without_handover().bind("127.0.0.1:0").unwrap();
    for end in ENDS {
        for _ in 0..300 {
            let mut stream = connect(server.local_addr());
            end(&stream, &next_client(&server, &stream));
            assert!(rest(&mut stream).is_empty());
            assert!(!server.is_busy());
        }
    }
}

#[test]
fn the_slot_is_free_when_the_end_is_signalled() {
    let server = without_handover().bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    for end in ENDS {
        for _ in 0..300 {
            let stream = connect(server.local_addr());
            end(&stream, &next_client(&server, &stream));
            next_report(&signals);
            assert!(!server.is_busy());
        }
    }
}

/// Not under wine, which may report a reset as the end of the stream.
#[cfg(not(windows))]
#[test]
fn the_slot_is_free_when_the_end_by_a_reset_is_signalled() {
    let server = without_handover().bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    for _ in 0..300 {
        let stream = connect(server.local_addr());
        next_client(&server, &stream).inbox().send("unread").unwrap();
        reset(stream);
        next_report(&signals);
        assert!(!server.is_busy());
    }
}
