//! Promise 11: non-blocking calls never block, however many there are, and neither does dropping a handle.

use std::thread;

use single_server::{Message, SingleServer};

use crate::visitor::*;

/// Makes 5,000 non-blocking calls, then a `try_send` and a stop. Everything must return in time, including drops.
fn after_many_calls(of: fn(&SingleServer), connected: bool) {
    in_time("5,000 calls, a try_send and a stop", move || {
        let server = quick().bind(apart()).unwrap();
        let _client = Some(()).filter(|_| connected).map(|_| {
            let client = connect(server.local_addr());
            assert!(matches!(next_message(&server), Message::Connected(_)));
            // More than the kernel takes for a client that does not read, so the writer blocks in `write`.
            server.inbox().send(vec![b'x'; 30 << 20]).unwrap();
            client
        });
        (0..5000).for_each(|_| of(&server));
        let _ = server.inbox().try_send("accepted or not");
        stop(server);
    });
}

#[test]
fn stop_returns_after_five_thousand_finishes() {
    after_many_calls(|server| finish(&server.control()), true);
    after_many_calls(|server| finish(&server.control()), false);
}

#[test]
fn stop_returns_after_five_thousand_half_closes() {
    after_many_calls(|server| server.client().expect("it is connected").half_close(), true);
}

#[test]
fn dropping_an_end_does_not_block_after_five_thousand_finishes() {
    in_time("5,000 calls, a stop and a drop", || {
        let server = quick().bind(apart()).unwrap();
        let client = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        server.inbox().send(vec![b'x'; 30 << 20]).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let end = next_message(&server);
        match &end {
            Message::End(end) => (0..5000).for_each(|_| end.client().finish()),
            other => panic!("{other:?}"),
        }
        // The end is dropped while the server may still run, on another thread than the one that stops it.
        let dropping = thread::spawn(move || drop(end));
        stop(server);
        dropping.join().unwrap();
    });
}
