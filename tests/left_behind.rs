//! Promise 6, *three threads*, for descriptors: every connection is closed, however its session ended.
#![cfg(target_os = "linux")]

mod visitor;

use std::io::Write;
use std::net::Shutdown;
use std::sync::Mutex;

use single_server::{Message, Options, SingleServer};
use visitor::*;

/// The tests here count the descriptors of the process, so they run one at a time.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn the_descriptor_of_a_reset_connection_is_closed_even_while_the_outbox_is_full() {
    let _turn = TURN.lock();
    let server = Options::new().depth(1).bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    for _ in 0..20 {
        let mut client = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        client.write_all(b"this fills the outbox").unwrap();
        server.inbox().send("unread").unwrap();
        reset(client);
        becomes(false, || server.is_busy());
        becomes(before, || descriptors("self"));
        while !matches!(next_message(&server), Message::End(_)) {}
    }
}

#[test]
fn a_lingering_connection_is_closed_when_the_client_closes() {
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
        becomes(before + 1, || descriptors("self")); // the client's own descriptor
    }
}

#[test]
fn a_lingering_connection_is_closed_even_if_the_client_never_closes() {
    let _turn = TURN.lock();
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let before = descriptors("self");
    let mut client = connect(server.local_addr());
    let mut session = server.accept().unwrap();
    session.write_all(b"good-bye").unwrap();
    session.close();
    assert_eq!(rest(&mut client), b"good-bye");
    // The client keeps its end open and sends nothing.
    becomes(before + 1, || descriptors("self"));
}
