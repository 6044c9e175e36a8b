//! `Session::stream`: the application lends the connection to a process or another library. From then on the server does not
//! touch it, and still keeps its promises: *one*, *free first* and *stop stops*.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::io::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::processes::*;
use crate::visitor::*;
use single_server::{Busy, Options, Reason, SendError, Session, SingleServer};

const SHORT: Duration = Duration::from_millis(50);

fn on_demand() -> Options {
    Options::new().read_on_demand(true)
}

/// Serves one client with a session whose connection is lent.
fn lend<R>(options: Options, run: impl FnOnce(&mut TcpStream, Session<'_>, TcpStream) -> R) -> R {
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    let stream = session.stream().unwrap();
    run(&mut client, session, stream)
}

fn process(program: &str, stream: TcpStream) -> Killed {
    let stdin = Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
    Killed::start(Command::new(program).stdin(stdin).stdout(Stdio::from(OwnedFd::from(stream))))
}

#[test]
fn a_process_can_use_a_lent_connection_as_standard_input_and_output() {
    lend(on_demand(), |client, session, stream| {
        let mut child = process("cat", stream);
        let sent = pattern(1, 3_000_000);
        let mut sending = client.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                sending.write_all(&sent).unwrap();
                sending.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(|| assert_same(&rest(client), &sent));
            // The client sees the end of its answer once the session has ended.
            assert!(child.0.wait().unwrap().success());
            let report = session.close();
            assert_eq!((report.reason, report.lent), (Reason::Finished, true));
            assert_eq!((report.received, report.sent, report.complete), (0, 0, false));
            assert!(report.to_string().contains("bytes not counted"), "{report}");
        });
    });
}

#[test]
fn a_connection_in_use_is_not_lent_and_the_error_changes_nothing() {
    let kind = |session: &Session<'_>| session.stream().unwrap_err().kind();
    let answered = |server: &mut SingleServer, used: &mut dyn FnMut(&mut Session<'_>, &mut TcpStream)| {
        let mut client = connect(server.local_addr());
        client.write_all(b"hi").unwrap();
        let mut session = server.accept().unwrap();
        used(&mut session, &mut client);
        assert_eq!(kind(&session), ErrorKind::InvalidInput);
        session.write_all(b"!").unwrap();
        session.close();
        assert!(rest(&mut client).ends_with(b"!"));
    };
    let mut always = SingleServer::bind("127.0.0.1:0").unwrap();
    answered(&mut always, &mut |_, _| {});
    let mut server = on_demand().bind("127.0.0.1:0").unwrap();
    answered(&mut server, &mut |session, _| session.read_exact(&mut [0]).unwrap());
    answered(&mut server, &mut |session, _| assert!(session.peek().is_ok()));
    answered(&mut server, &mut |session, client| {
        session.write_all(b"!").unwrap();
        client.read_exact(&mut [0]).unwrap(); // it has been written
    });

    let _twice = connect(server.local_addr());
    let session = server.accept().unwrap();
    let _stream = session.stream().unwrap();
    assert_eq!(kind(&session), ErrorKind::InvalidInput);
    session.client().abort();
    assert_eq!(kind(&session), ErrorKind::NotConnected);
}

#[test]
fn the_holder_of_a_lent_connection_can_block_in_a_write() {
    lend(on_demand(), |client, session, mut stream| {
        let writing = thread::spawn(move || stream.write_all(&pattern(1, 20 << 20)));
        thread::sleep(4 * SHORT); // longer than the server's own write timeout
        let mut got = vec![0; 20 << 20];
        client.read_exact(&mut got).unwrap();
        writing.join().unwrap().expect("no timeout");
        assert_same(&got, &pattern(1, 20 << 20));
        session.close();
    });
}

#[test]
fn newcomers_do_not_change_the_blocking_mode_of_a_lent_connection() {
    lend(on_demand().handover(Duration::ZERO), |client, session, mut stream| {
        let addr = client.peer_addr().unwrap();
        stream.set_nonblocking(true).unwrap();
        for _ in 0..20 {
            assert!(rest(&mut connect(addr)).is_empty());
            assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        stream.set_nonblocking(false).unwrap();
        let reading = thread::spawn(move || stream.read_exact(&mut [0; 200]));
        for _ in 0..200 {
            assert!(rest(&mut connect(addr)).is_empty());
            client.write_all(b"x").unwrap();
        }
        reading.join().unwrap().expect("the reads block");
        session.close();
    });
}

#[test]
fn only_the_session_timeout_applies_to_a_lent_connection() {
    let options = on_demand().idle_timeout(SHORT / 5).close_timeout(SHORT / 5).session_timeout(3 * SHORT);
    lend(options, |client, session, mut stream| {
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        let report = session.wait_until_over();
        assert_eq!(report.reason, Reason::TimeUp);
        assert!(report.lasted >= 3 * SHORT, "{report:?}");
    });
}

#[test]
fn an_abort_ends_a_lent_connection_for_its_holder_and_for_the_client() {
    lend(on_demand(), |client, session, mut stream| {
        session.client().abort();
        assert!(rest(client).is_empty());
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        assert!(stream.write_all(b"late").is_err());
        assert_eq!(session.wait_until_over().reason, Reason::Aborted);
    });
}

#[test]
fn a_stop_returns_while_a_connection_is_lent_and_ends_the_reads_of_its_holder() {
    let mut server = on_demand().stop_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let _client = connect(addr);
    let mut stream = server.accept().map(|session| {
        let stream = session.stream().unwrap();
        std::mem::forget(session); // dropping it would end it
        stream
    });
    let reading = thread::spawn(move || stream.as_mut().unwrap().read(&mut [0]).unwrap_or(0));
    in_time("stop", move || server.stop().unwrap());
    assert_eq!(in_time("read", move || reading.join().unwrap()), 0);
    std::net::TcpListener::bind(addr).expect("the port is free");
}

#[test]
fn a_drain_lets_the_holder_of_a_lent_connection_continue() {
    let mut server = on_demand().stop_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let control = server.control();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    let mut stream = session.stream().unwrap();
    control.drain(DEADLINE);
    client.write_all(b"?").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream.write_all(b"!").unwrap();
    assert_eq!(session.close().reason, Reason::Finished);
    assert_eq!(rest(&mut client), b"!");
    assert!(server.accept().is_none());
}

#[test]
fn a_newcomer_under_replace_ends_a_lent_session_and_is_served() {
    let mut server = on_demand().busy(Busy::Replace).bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let mut first = connect(addr);
    let session = server.accept().unwrap();
    let mut stream = session.stream().unwrap();
    let reading = thread::spawn(move || stream.read(&mut [0]).unwrap_or(0));
    let mut second = connect(addr);
    assert_eq!(session.wait_until_over().reason, Reason::Replaced);
    assert_eq!(in_time("read", move || reading.join().unwrap()), 0);
    assert!(rest(&mut first).is_empty());
    drop(session);
    let session = server.accept().unwrap();
    session.stream().unwrap().write_all(b"welcome").unwrap();
    session.close();
    assert_eq!(rest(&mut second), b"welcome");
}

#[test]
fn a_newcomer_waits_for_the_end_of_a_lent_session_for_at_most_the_handover_time() {
    let mut server = on_demand().handover(DEADLINE).bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let first = connect(addr);
    let session = server.accept().unwrap();
    let _stream = session.stream().unwrap();
    drop(first); // the server does not see that
    let mut second = connect(addr);
    becomes(true, || session.client().is_awaited());
    drop(session);
    let session = server.accept().unwrap();
    session.stream().unwrap().write_all(b"welcome").unwrap();
    session.close();
    assert_eq!(rest(&mut second), b"welcome");

    lend(on_demand().handover(SHORT), |client, session, _stream| {
        let start = std::time::Instant::now();
        assert!(rest(&mut connect(client.peer_addr().unwrap())).is_empty());
        assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
        assert!(!session.inbox().is_closed());
    });
}

#[test]
fn the_slot_is_free_when_the_client_of_a_lent_session_sees_the_end() {
    let mut server = on_demand().handover(Duration::ZERO).bind("127.0.0.1:0").unwrap();
    let (addr, control) = (server.local_addr(), server.control());
    let serving = thread::spawn(move || {
        while let Some(session) = server.accept() {
            let mut child = process("cat", session.stream().unwrap());
            child.0.wait().unwrap();
        }
    });
    for _ in 0..100 {
        let mut client = connect(addr);
        assert_eq!(through(&mut client, b"hello"), b"hello");
    }
    control.stop();
    in_time("the end", move || serving.join().unwrap());
}

#[test]
fn the_inbox_accepts_nothing_while_the_connection_is_lent() {
    let mut server = on_demand().bind("127.0.0.1:0").unwrap();
    let anybody = server.inbox();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    let mut stream = session.stream().unwrap();
    assert!(matches!(session.inbox().send("x"), Err(SendError::Over(_))));
    assert!(matches!(anybody.try_send("x"), Err(SendError::Over(_))));
    session.client().half_close();
    stream.write_all(b"whole").unwrap();
    assert_eq!(session.close().discarded, 0);
    assert_eq!(rest(&mut client), b"whole");
}

#[test]
fn an_answer_of_the_holder_arrives_even_if_it_has_not_read_everything() {
    for _ in 0..5 {
        lend(on_demand(), |client, session, mut stream| {
            client.write_all(&vec![b'?'; 100_000]).unwrap();
            // More than the client's kernel takes, so a part is still to be sent when the session ends.
            let answer = flood(&mut stream, &vec![b'!'; 100 << 20]);
            stream.set_nonblocking(true).unwrap(); // and left so
            drop(stream);
            session.close();
            let _ = client.write_all(&vec![b'?'; 100_000]);
            assert_eq!(rest(client).len(), answer);
        });
    }
}

#[test]
fn a_read_from_a_lent_session_waits_for_its_end() {
    lend(on_demand(), |client, session, _stream| {
        client.write_all(b"for the holder").unwrap();
        assert!(session.next_chunk_timeout(SHORT).is_err());
        session.client().abort();
        assert!(session.next_chunk().is_none());
    });
}
