//! Promise 4, *free before told*: when a client sees its connection end, the slot is already free.

mod visitor;

use std::io::Write;
use std::net::Shutdown;

use single_server::{Options, SingleServer};
use visitor::*;

#[test]
fn ten_thousand_consecutive_clients_are_served_without_a_retry() {
    let echo = echo(Options::new());
    for number in 0..10_000 {
        let mut client = connect(echo.addr);
        let line = format!("client {number}");
        client.write_all(line.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut client), line.as_bytes(), "client {number}");
    }
}

#[test]
fn consecutive_clients_closed_by_the_application_are_served_without_a_retry() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let control = server.control();
    let clients = std::thread::spawn(move || {
        for number in 0..3000 {
            assert_eq!(rest(&mut connect(addr)), b"bye", "client {number}");
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
