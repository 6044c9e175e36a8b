//! Promise 1, *one*: at any moment, at most one connection exchanges bytes with the application.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use single_server::{Message, Options, Refusal, Signal, SingleServer};

use crate::visitor::*;

#[test]
fn two_thousand_clients_are_refused_while_one_is_served() {
    let echo = echo(Options::new());
    let mut served = connect(echo.addr);
    ping(&mut served).unwrap();
    let done = AtomicBool::new(false);
    let trips = 1000;
    let attempts = thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let mut attempts = 0;
            while attempts < 2000 || !done.load(Ordering::Acquire) {
                let mut second = connect(echo.addr);
                if attempts % 2 == 0 {
                    let _ = second.write_all(b"let me in");
                }
                assert!(rest(&mut second).is_empty(), "a refused client received bytes");
                attempts += 1;
            }
            attempts
        });
        for _ in 0..trips {
            ping(&mut served).unwrap();
        }
        done.store(true, Ordering::Release);
        connecting.join().unwrap()
    });
    // A subscription holds 1,024 signals. This one has not been read, so the next signal tells how many were dropped.
    let mut signalled = 0;
    for signal in echo.signals.try_iter() {
        match signal {
            Signal::Refused { why, .. } => {
                assert_eq!(why, Refusal::Busy);
                signalled += 1;
            }
            other => assert!(matches!(other, Signal::Connected(_))),
        }
    }
    drop(served);
    let missed = match echo.signals.recv_timeout(DEADLINE).unwrap() {
        Signal::Missed(count) => count,
        other => panic!("{other}"),
    };
    let report = next_report(&echo.signals);
    assert_eq!(report.received, 4 + 4 * trips);
    assert_eq!(signalled + missed, attempts);
}

#[test]
fn the_outbox_never_mixes_the_bytes_of_two_clients() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let control = server.control();
    // Eight clients at a time, each sending its own letter. A refused client tries again.
    let clients = thread::spawn(move || {
        thread::scope(|scope| {
            for letter in b'a'..b'i' {
                scope.spawn(move || {
                    let mut served = 0;
                    while served < 20 {
                        let mut stream = TcpStream::connect(addr).unwrap();
                        let _ = stream.write_all(&[letter; 3000]);
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                        served += rest(&mut stream).len();
                    }
                });
            }
        });
        control.stop();
    });
    let mut now = None;
    let mut letter = None;
    let mut served = 0;
    for message in server.outbox() {
        match message {
            Message::Connected(client) => {
                assert_eq!(now, None, "a session began before the previous one had ended");
                now = Some(client.peer_addr());
                letter = None;
            }
            Message::Data(chunk) => {
                assert!(now.is_some(), "bytes outside a session");
                let of_this_client = *letter.get_or_insert(chunk[0]);
                assert!(
                    chunk.iter().all(|byte| *byte == of_this_client),
                    "bytes of two clients in one session"
                );
            }
            Message::End(end) => {
                end.client().inbox().send("!").unwrap();
                assert_eq!(now.take(), Some(end.client().peer_addr()));
                served += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    clients.join().unwrap();
    assert!(served >= 160, "only {served} were served");
}
