//! Promise 7, *only stop ends it*: no accept error, reset or misuse by the application takes the server down or makes
//! it spin.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use single_server::{Busy, Message, Options, Signal, SingleServer};

use crate::visitor::*;

#[test]
fn resets_do_not_stop_the_server() {
    let echo = echo(Options::new());
    let bytes = pattern(3, 1 << 20);
    for round in 0..300 {
        let mut client = connect(echo.addr);
        let _ = client.write(&bytes[..1 + round * 1000]);
        if round % 3 == 0 {
            let _ = client.shutdown(Shutdown::Write);
        }
        if round % 2 == 0 {
            let _ = client.peek(&mut [0]);
        }
    }
    let mut client = connect_until_served(echo.addr);
    assert_same(&through(&mut client, &bytes), &bytes);
}

#[test]
fn misuse_by_the_application_does_not_stop_the_server() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let signals = server.signal();
    let control = server.control();
    finish(&control); // nobody is connected

    // The application panics in the middle of a session.
    let client = connect(addr);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _session = server.accept().unwrap();
        std::panic::resume_unwind(Box::new("in the middle of a session"));
    }));
    assert!(panicked.is_err());
    next_report(&signals);
    drop(client);

    // It keeps every message, and half-closes and finishes each session many times.
    let mut kept: Vec<Message> = Vec::new();
    for _ in 0..100 {
        let before = kept.len();
        let mut client = connect(addr);
        next_connected(&signals);
        let _ = client.write_all(b"keep this");
        for _ in 0..100 {
            if let Some(client) = control.client() {
                client.half_close();
                client.finish();
            }
        }
        next_report(&signals);
        while !matches!(kept.last(), Some(Message::End(_))) || kept.len() == before {
            kept.push(next_message(&server));
        }
    }
    // It answers departed clients, and drops sessions without reading them.
    for message in kept {
        match message {
            Message::Connected(client) => assert!(client.inbox().send("are you there?").is_err()),
            Message::Data(chunk) => assert!(server.inbox().send(chunk).is_err()),
            Message::End(end) => end.client().half_close(),
            other => panic!("{other:?}"),
        }
    }
    for _ in 0..10 {
        let mut client = connect(addr);
        client.write_all(&pattern(1, 100_000)).unwrap();
        drop(server.accept().unwrap());
        rest(&mut client);
        next_report(&signals);
    }
    let mut client = connect(addr);
    let mut session = server.accept().unwrap();
    session.write_all(b"still here").unwrap();
    drop(session);
    assert_eq!(rest(&mut client), b"still here");
}

#[test]
fn a_non_blocking_listener_is_made_blocking() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = Options::new().listen_on(listener).unwrap();
    let signals = server.signal();
    for _ in 0..3 {
        let client = connect(server.local_addr());
        match signals.recv_timeout(DEADLINE).unwrap() {
            Signal::Connected(peer) => assert_eq!(peer, client.local_addr().unwrap()),
            other => panic!("{other}"),
        }
        drop(client);
        while !matches!(next_message(&server), Message::End(_)) {}
        next_report(&signals);
    }
}

#[test]
fn a_listener_that_another_process_makes_non_blocking_keeps_working() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other_holder = listener.try_clone().unwrap();
    let server = Options::new().listen_on(listener).unwrap();
    let signals = server.signal();
    for _ in 0..20 {
        other_holder.set_nonblocking(true).unwrap();
        let client = connect(server.local_addr());
        match signals.recv_timeout(DEADLINE).unwrap() {
            Signal::Connected(peer) => assert_eq!(peer, client.local_addr().unwrap()),
            other => panic!("{other}"), // a fault, and a pause
        }
        drop(client);
        while !matches!(next_message(&server), Message::End(_)) {}
        let end = signals.recv_timeout(DEADLINE).unwrap();
        assert!(matches!(end, Signal::ProducerFinished(_)), "{end}");
    }
}

#[test]
fn a_server_with_the_largest_settings_works() {
    let options = Options::new().stop_timeout(Duration::MAX).idle_timeout(Duration::MAX).depth(1 << 16);
    let echo = echo(options.yield_time(Duration::from_millis(10)));
    assert_eq!(through(&mut connect(echo.addr), b"hello"), b"hello");
    echo.stop();
}

#[test]
fn errors_of_bind_name_the_invalid_setting_or_the_address() {
    let name = |options: Options| options.bind("127.0.0.1:0").unwrap_err().to_string();
    assert!(name(Options::new().buffer_size(0)).contains("buffer size"));
    assert!(name(Options::new().buffer_size(usize::MAX)).contains("buffer size"));
    assert!(name(Options::new().depth(0)).contains("depth"));
    assert!(name(Options::new().depth(usize::MAX)).contains("depth"));
    assert!(name(Options::new().idle_timeout(Duration::ZERO)).contains("idle timeout"));
    assert!(name(Options::new().busy(Busy::Tell(vec![b'x'; 4097]))).contains("4,096"));
    let taken = SingleServer::bind("127.0.0.1:0").unwrap();
    let error = SingleServer::bind(taken.local_addr()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&taken.local_addr().to_string()), "{error}");
}

#[test]
fn a_setting_is_accepted_up_to_its_limit_and_not_beyond() {
    let millis = Duration::from_millis;
    let within = [
        Options::new().buffer_size(1).depth(1),
        Options::new().buffer_size(1 << 30),
        Options::new().depth(1 << 16),
        Options::new().yield_time(millis(10)),
        Options::new().idle_timeout(millis(8)).close_timeout(millis(8)).session_timeout(millis(8)),
        Options::new().busy(Busy::Tell(vec![b'x'; 4096])),
    ];
    for options in within {
        options.check().unwrap();
    }
    let beyond = [
        ("buffer size", Options::new().buffer_size((1 << 30) + 1)),
        ("depth", Options::new().depth((1 << 16) + 1)),
        ("yield time", Options::new().yield_time(millis(11))),
        ("idle timeout", Options::new().idle_timeout(millis(7))),
        ("close timeout", Options::new().close_timeout(millis(7))),
        ("session timeout", Options::new().session_timeout(millis(7))),
        ("busy message", Options::new().busy(Busy::Tell(vec![b'x'; 4097]))),
    ];
    for (name, options) in beyond {
        let error = options.check().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(name), "{error}");
    }
}
