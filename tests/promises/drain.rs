//! Promise 8, *stop stops*, for `drain`: the server accepts no more clients, lets the current one continue, and stops when
//! it has left or the time is up.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use crate::visitor::*;
use single_server::{Busy, Control, Message, Options, Reason, SendError, Signal, SingleServer};

const SHORT: Duration = Duration::from_millis(50);

fn policies() -> [Busy; 5] {
    [Busy::Drop, Busy::tell("no"), Busy::Refuse, Busy::Wait, Busy::Replace]
}

/// An echo server on its own thread, with a client that is being served.
struct Served {
    addr: SocketAddr,
    control: Control,
    signals: Receiver<Signal>,
    client: TcpStream,
    serving: thread::JoinHandle<()>,
}

fn served(options: Options) -> Served {
    let server = options.bind("127.0.0.1:0").unwrap();
    let (addr, control, signals) = (server.local_addr(), server.control(), server.signal());
    let serving = thread::spawn(move || single_server::echo(&server));
    let mut client = connect(addr);
    ping(&mut client).unwrap();
    Served { addr, control, signals, client, serving }
}

impl Served {
    fn ended(self) {
        in_time("the end of the outbox", move || self.serving.join().unwrap());
        TcpListener::bind(self.addr).expect("the port is free");
    }
}

fn port_is_closed(addr: SocketAddr) -> bool {
    matches!(TcpStream::connect(addr), Err(e) if e.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_drain_closes_the_port_and_serves_the_current_client_until_it_leaves_under_every_policy() {
    for policy in policies() {
        let mut served = served(Options::new().busy(policy));
        served.control.drain(Duration::MAX);
        becomes(true, || port_is_closed(served.addr));
        assert_eq!(through(&mut served.client, &pattern(1, 100_000)).len(), 100_000);
        assert_eq!(next_report(&served.signals).reason, Reason::ClientClosed);
        served.ended();
    }
}

#[test]
fn a_drain_stops_the_server_at_once_if_nobody_is_connected() {
    for policy in policies() {
        let mut server = Options::new().busy(policy).bind("127.0.0.1:0").unwrap();
        let control = server.control();
        let waiting = thread::spawn(move || server.accept().is_none());
        control.drain(Duration::MAX);
        assert!(in_time("accept", move || waiting.join().unwrap()));
    }
}

#[test]
fn a_drain_disconnects_a_client_that_stays_when_its_time_is_up() {
    for policy in policies() {
        let mut served = served(Options::new().busy(policy).stop_timeout(SHORT));
        let start = Instant::now();
        served.control.drain(SHORT);
        assert_eq!(rest(&mut served.client), b"");
        let report = next_report(&served.signals);
        assert_eq!(report.reason, Reason::Stopped);
        assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
        served.ended();
    }
}

#[test]
fn a_drain_ends_after_its_time_and_the_stop_timeout_if_the_client_does_not_read() {
    let server = Options::new().stop_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let (control, signals) = (server.control(), server.signal());
    let _client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    server.inbox().send(vec![0; 30 << 20]).unwrap();
    control.drain(SHORT);
    let report = next_report(&signals);
    assert_eq!(report.reason, Reason::Stopped);
    assert!(report.lasted >= 2 * SHORT, "{report:?}");
}

#[test]
fn the_application_may_answer_during_a_drain_and_not_afterwards() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let (control, inbox) = (server.control(), server.inbox());
    let mut client = connect(server.local_addr());
    let mut session = server.accept().unwrap();
    control.drain(DEADLINE);
    client.write_all(b"?").unwrap();
    session.read_exact(&mut [0]).unwrap();
    session.write_all(b"an answer").unwrap();
    inbox.send(" from elsewhere").unwrap();
    session.close();
    assert_eq!(rest(&mut client), b"an answer from elsewhere");
    assert!(matches!(inbox.send("late"), Err(SendError::Stopped(_))));
    assert!(server.accept().is_none());
}

#[test]
fn a_stop_cuts_a_drain_short() {
    let served = served(Options::new().stop_timeout(SHORT));
    served.control.drain(Duration::MAX);
    served.control.stop();
    served.ended();
}

#[test]
fn a_drain_does_not_extend_a_stop_or_another_drain() {
    let first = served(Options::new().stop_timeout(SHORT));
    first.control.drain(SHORT);
    first.control.drain(Duration::MAX);
    assert_eq!(next_report(&first.signals).reason, Reason::Stopped);
    first.ended();

    let second = served(Options::new().stop_timeout(SHORT));
    second.control.drain(Duration::MAX);
    second.control.drain(SHORT);
    second.ended();

    let third = served(Options::new().stop_timeout(SHORT));
    third.control.stop();
    third.control.drain(Duration::MAX);
    third.ended();
}

#[test]
fn a_drain_refuses_a_newcomer_that_waits_for_the_slot() {
    let mut served = served(Options::new().busy(Busy::Wait));
    let mut newcomer = connect(served.addr);
    served.control.drain(Duration::MAX);
    assert_eq!(rest(&mut newcomer), b"");
    ping(&mut served.client).unwrap();
    drop(served.client.shutdown(std::net::Shutdown::Both));
    served.ended();
}

#[test]
fn a_stop_after_a_drain_leaves_another_server_on_the_port_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut server = Options::new().stop_timeout(SHORT).listen_on(listener).unwrap();
    let control = server.control();
    let _client = connect(addr);
    assert!(matches!(next_message(&server), Message::Connected(_)));
    control.drain(Duration::MAX);
    becomes(true, || port_is_closed(addr));
    let successor = TcpListener::bind(addr).expect("the port is free during the drain");
    control.stop();
    server.stop().unwrap();
    successor.set_nonblocking(true).unwrap();
    assert_eq!(successor.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "a stranger has connected");
}

#[test]
fn drain_returns_at_once() {
    let served = served(Options::new());
    let start = Instant::now();
    served.control.drain(Duration::MAX);
    served.control.drain(Duration::from_secs(1000));
    assert!(start.elapsed() < DEADLINE / 10, "{:?}", start.elapsed());
    drop(served.client.shutdown(std::net::Shutdown::Both));
    served.ended();
}
