//! Promise 6, *three threads*, its other half: no session leaves a descriptor behind, whatever its end waits for.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::Write;
use std::net::Shutdown;
use std::sync::Mutex;

use single_server::{Message, Options, SingleServer};
use visitor::*;

/// The tests here count the descriptors of the process, and take turns.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_broken_connection_is_closed_although_its_end_waits_for_room_in_the_outbox() {
    let _turn = TURN.lock();
    let server = Options::new().depth(1).bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    for _ in 0..20 {
        let mut client = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        client.write_all(b"in the outbox, which is full by that").unwrap();
        server.inbox().send("unread").unwrap();
        reset(client);
        becomes(false, || server.is_busy());
        becomes(before, || descriptors("self"));
        while !matches!(next_message(&server), Message::ProducerFinished(_)) {}
    }
}

#[test]
fn a_client_that_lingers_is_let_go_when_it_is_done() {
    let _turn = TURN.lock();
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    for _ in 0..20 {
        let mut client = connect(server.local_addr());
        let mut session = server.accept().unwrap();
        session.write_all(b"good-bye").unwrap();
        session.close();
        assert_eq!(rest(&mut client), b"good-bye");
        client.shutdown(Shutdown::Write).unwrap();
        becomes(before + 1, || descriptors("self")); // the client's own
    }
}

#[test]
fn the_descriptor_of_a_silent_client_is_closed_although_the_client_never_closes() {
    let _turn = TURN.lock();
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    let mut client = connect(server.local_addr());
    let mut session = server.accept().unwrap();
    session.write_all(b"good-bye").unwrap();
    session.close();
    assert_eq!(rest(&mut client), b"good-bye");
    // The client keeps its own end, and says nothing.
    becomes(before + 1, || descriptors("self"));
}
