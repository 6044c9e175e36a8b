//! Promise 4, *back at once*, and promise 9, *a client that has gone does not keep the slot*: a client that closes and
//! connects again at once is served without a retry, and one that has closed is not waited for without end.
//!
//! Where a second client has to be turned away the handover time is longer than the deadline of the tests, so a
//! server that waits where it must not is found out.

mod visitor;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use single_server::{Busy, End, Message, Options, Reason, Signal, SingleServer};
use visitor::*;

const NEVER: Duration = Duration::from_secs(2 * DEADLINE.as_secs());
const SHORT: Duration = Duration::from_millis(300);
/// For sessions that must not end: long enough that a busy machine does not end them either.
const LONG: Duration = Duration::from_millis(4 * 300);

/// The tests with many visits, and all that start a process, take turns. The server has a few milliseconds to notice that
/// a client has left. One of these tests takes all the processor time that it is given; and a process that is being started
/// holds every connection of this one open until it runs its program, as if it had not been closed.
static TURN: Mutex<()> = Mutex::new(());

/// How a client leaves that has read its answer.
#[derive(Clone, Copy, Debug)]
enum Closing {
    Close,
    ShutdownAndClose,
    /// With something unread, which makes it a RST.
    Reset,
}

const CLOSINGS: [Closing; 3] = [Closing::Close, Closing::ShutdownAndClose, Closing::Reset];

fn policies() -> [Busy; 2] {
    [Busy::Drop, Busy::tell("busy")]
}

/// One visit: connects once, gets its answer, and leaves.
fn visit(addr: SocketAddr, closing: Closing) -> io::Result<()> {
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(DEADLINE))?;
    match closing {
        Closing::Close => ping(&mut client),
        Closing::ShutdownAndClose => ping(&mut client).and_then(|()| client.shutdown(Shutdown::Write)),
        Closing::Reset => {
            client.write_all(b"ping and more")?;
            client.read_exact(&mut [0; 4])?;
            reset(client);
            Ok(())
        }
    }
}

/// A thousand visits in turn, each as soon as the one before has left, and then somebody who is really the second.
fn visit_a_thousand_times(addr: SocketAddr, closing: Closing, told: &[u8]) {
    for number in 0..1000 {
        if let Err(e) = visit(addr, closing) {
            panic!("visit {number}, after {closing:?}, was turned away: {e}");
        }
    }
    be_second(addr, told);
}

/// Is served, by which it knows that it is the first, and sees what happens to a second client.
fn be_second(addr: SocketAddr, told: &[u8]) {
    let mut first = connect(addr);
    ping(&mut first).unwrap();
    assert_eq!(rest(&mut connect(addr)), told, "the second client");
    ping(&mut first).unwrap();
}

#[test]
fn a_client_that_closes_and_connects_again_at_once_is_served_under_drop() {
    let _turn = TURN.lock();
    for closing in CLOSINGS {
        let echo = echo(Options::new().handover(NEVER));
        visit_a_thousand_times(echo.addr, closing, b"");
    }
}

#[test]
fn a_client_that_closes_and_connects_again_at_once_is_served_under_a_message() {
    let _turn = TURN.lock();
    for closing in CLOSINGS {
        let echo = echo(Options::new().busy(Busy::tell("busy")).handover(NEVER));
        visit_a_thousand_times(echo.addr, closing, b"busy");
    }
}

/// Here the kernel decides, and it refuses until the server has read the FIN and listens again, which may take longer
/// than a client on the same machine needs to come back. But whoever it lets in is served.
#[test]
fn a_client_that_closes_and_is_connected_again_is_served_under_refuse() {
    let _turn = TURN.lock();
    for closing in CLOSINGS {
        let echo = echo_on(APART, Options::new().busy(Busy::Refuse).handover(NEVER));
        let addr = echo.addr;
        in_time("1,000 visits", move || {
            for number in 0..1000 {
                while let Err(e) = visit(addr, closing) {
                    let refused = e.kind() == ErrorKind::ConnectionRefused;
                    assert!(refused, "visit {number}, after {closing:?}, was turned away: {e}");
                    thread::yield_now();
                }
            }
        });
        let mut first = connect_until_served(addr);
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        ping(&mut first).unwrap();
    }
}

/// The command, held to one core. Where that is not possible, reports the test as skipped and returns `None`.
#[cfg(target_os = "linux")]
fn on_one_core(arguments: &[&str]) -> Option<Running> {
    let mut program = one_core(env!("CARGO_BIN_EXE_single-server"));
    program.args(arguments);
    if one_core("true").output().map_or(false, |output| output.status.success()) {
        return Some(start_as(program, &[]));
    }
    skipped("a process cannot be held to one core here (taskset)");
    None
}

#[cfg(target_os = "linux")]
fn one_core(program: &str) -> std::process::Command {
    let mut command = std::process::Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_on_one_core_serves_a_client_that_comes_back_at_once() {
    let _turn = TURN.lock();
    for closing in CLOSINGS {
        let echo = match on_one_core(&["echo"]) {
            Some(echo) => echo,
            None => return,
        };
        visit_a_thousand_times(echo.addr, closing, b"");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_beside_a_busy_process_serves_a_client_that_comes_back_at_once() {
    let _turn = TURN.lock();
    for closing in CLOSINGS {
        let echo = match on_one_core(&["echo"]) {
            Some(echo) => echo,
            None => return,
        };
        let mut busy = one_core("sh");
        let _busy = Killed(busy.args(["-c", "while :; do :; done"]).spawn().unwrap());
        visit_a_thousand_times(echo.addr, closing, b"");
    }
}

#[cfg(unix)]
#[test]
fn clients_of_exec_and_forward_that_close_and_connect_again_at_once_are_served() {
    let _turn = TURN.lock();
    let target = start(&["--busy", "wait", "echo"], |_| {});
    let target = target.addr.to_string();
    for busy in [&[][..], &["--busy-message", "busy"]] {
        for command in [&["exec", "cat"][..], &["forward", &target]] {
            let running = start(&[busy, command].concat(), |_| {});
            for number in 0..100 {
                let mut client = connect(running.addr);
                ping(&mut client).unwrap_or_else(|e| panic!("{command:?}, client {number}: {e}"));
            }
            // A truly concurrent client is told.
            let mut served = connect(running.addr);
            ping(&mut served).unwrap();
            assert_eq!(rest(&mut connect(running.addr)), if busy.is_empty() { &b""[..] } else { b"busy\n" });
        }
    }
}

#[cfg(unix)]
#[test]
fn clients_of_pipe_that_close_and_connect_again_at_once_are_served() {
    use std::os::unix::{io::OwnedFd, net::UnixStream};

    let _turn = TURN.lock();
    let (ours, device) = UnixStream::pair().unwrap();
    let pipe = start(&["pipe"], |command| {
        command.stdin(OwnedFd::from(ours.try_clone().unwrap())).stdout(OwnedFd::from(ours));
    });
    thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok(count @ 1..) = (&device).read(&mut buffer) {
            (&device).write_all(&buffer[..count]).unwrap();
        }
    });
    for _ in 0..100 {
        ping(&mut connect(pipe.addr)).unwrap();
    }
}

/// A client that has asked, sent its FIN and is owed an answer, and the end that the application holds for it.
fn leaving(server: &SingleServer) -> (TcpStream, End) {
    let mut client = connect(server.local_addr());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    loop {
        if let Message::End(end) = next_message(server) {
            return (client, end);
        }
    }
}

/// Asserts that a client is neither served nor turned away for the moment.
fn waits(client: &mut TcpStream) {
    client.set_read_timeout(Some(SHORT)).unwrap();
    let read = client.read(&mut [0]);
    let waiting = matches!(&read, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(waiting, "it does not wait: {read:?}");
    client.set_read_timeout(Some(DEADLINE)).unwrap();
}

fn refusals(signals: &std::sync::mpsc::Receiver<Signal>) -> usize {
    signals.try_iter().filter(|signal| matches!(signal, Signal::Refused { .. })).count()
}

/// Serves whoever is next with a word.
fn serve_next(server: &SingleServer, client: &TcpStream) {
    let peer = client.local_addr().unwrap();
    while !matches!(next_message(server), Message::Connected(client) if client.peer_addr() == peer) {}
    server.inbox().send("your turn").unwrap();
    finish(&server.control());
}

#[test]
fn a_newcomer_that_meets_a_leaving_client_is_served_as_soon_as_the_slot_is_free() {
    for policy in policies() {
        let server = Options::new().busy(policy).handover(NEVER).bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        let (mut old, end) = leaving(&server);
        let mut new = connect(server.local_addr());
        waits(&mut new);
        // The newcomer takes nothing from what the leaving client is still to get, which is more than the kernel
        // holds, and which it reads in its own time.
        let answer = pattern(1, 24 << 20);
        end.client().inbox().send(answer.clone()).unwrap();
        drop(end);
        waits(&mut new);
        assert_same(&rest(&mut old), &answer);
        serve_next(&server, &new);
        assert_eq!(rest(&mut new), b"your turn");
        assert_eq!(refusals(&signals), 0);
    }
}

#[test]
fn under_refuse_the_port_is_open_again_when_the_client_has_closed_although_it_is_still_served() {
    let server = Options::new().busy(Busy::Refuse).handover(NEVER).bind(APART).unwrap();
    for _ in 0..20 {
        let (mut old, end) = leaving(&server);
        let addr = server.local_addr();
        let mut new = in_time("connecting", move || loop {
            if let Ok(client) = TcpStream::connect(addr) {
                return client;
            }
        });
        end.client().inbox().send("answer").unwrap();
        drop(end);
        assert_eq!(rest(&mut old), b"answer");
        new.set_read_timeout(Some(DEADLINE)).unwrap();
        serve_next(&server, &new);
        assert_eq!(rest(&mut new), b"your turn");
        while !matches!(next_message(&server), Message::End(_)) {}
    }
}

#[test]
fn a_newcomer_that_meets_a_session_that_is_being_finished_is_served_after_it() {
    for policy in policies() {
        let server = Options::new().busy(policy).handover(NEVER).bind("127.0.0.1:0").unwrap();
        let signals = server.signal();
        let mut old = connect(server.local_addr());
        assert!(matches!(next_message(&server), Message::Connected(_)));
        let answer = pattern(2, 24 << 20);
        server.inbox().send(answer.clone()).unwrap();
        finish(&server.control());
        let mut new = connect(server.local_addr());
        waits(&mut new);
        assert_same(&rest(&mut old), &answer);
        serve_next(&server, &new);
        assert_eq!(rest(&mut new), b"your turn");
        assert_eq!(refusals(&signals), 0);
    }
}

#[test]
fn a_newcomer_is_turned_away_when_the_handover_time_is_over_and_the_leaving_client_keeps_the_slot() {
    for policy in [Busy::Drop, Busy::tell("busy"), Busy::Refuse] {
        let told: &[u8] = if matches!(policy, Busy::Tell(_)) { b"busy" } else { b"" };
        let server = Options::new().busy(policy.clone()).handover(SHORT).bind(APART).unwrap();
        let signals = server.signal();
        let (mut old, end) = leaving(&server);
        let began = std::time::Instant::now();
        let addr = server.local_addr();
        let mut new = in_time("connecting", move || loop {
            match TcpStream::connect(addr) {
                Ok(client) => return client,
                Err(_) => thread::yield_now(), // under `refuse`, until the FIN has been read
            }
        });
        new.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(rest(&mut new), told, "{policy:?}");
        assert!(began.elapsed() >= SHORT - Duration::from_millis(20), "{policy:?}: {:?}", began.elapsed());
        assert!(server.is_busy());
        if policy != Busy::Refuse {
            assert_eq!(refusals(&signals), 1);
        }
        end.client().inbox().send("answer").unwrap();
        drop(end);
        assert_eq!(rest(&mut old), b"answer");
    }
}

#[test]
fn a_second_newcomer_is_turned_away_once_the_first_one_is_served() {
    let server = Options::new().handover(NEVER).bind("127.0.0.1:0").unwrap();
    let (mut old, end) = leaving(&server);
    let mut new = connect(server.local_addr());
    let mut newer = connect(server.local_addr());
    drop(end);
    assert!(rest(&mut old).is_empty());
    assert!(rest(&mut newer).is_empty());
    serve_next(&server, &new);
    assert_eq!(rest(&mut new), b"your turn");
}

#[test]
fn a_newcomer_takes_the_place_of_a_leaving_client_at_once_under_replace() {
    let server = Options::new().busy(Busy::Replace).handover(NEVER).bind("127.0.0.1:0").unwrap();
    let (mut old, end) = leaving(&server);
    let mut new = connect(server.local_addr());
    serve_next(&server, &new);
    assert_eq!(rest(&mut new), b"your turn");
    assert!(rest(&mut old).is_empty());
    assert_eq!(report_of(&end).reason, Reason::Replaced);
}

#[test]
fn a_stop_waits_for_no_handover() {
    for policy in [Busy::Drop, Busy::tell("busy"), Busy::Refuse] {
        let options = Options::new().busy(policy).handover(NEVER).stop_timeout(SHORT);
        let mut server = options.bind(APART).unwrap();
        let (mut old, end) = leaving(&server);
        let addr = server.local_addr();
        let mut new = in_time("connecting", move || loop {
            if let Ok(client) = TcpStream::connect(addr) {
                return client;
            }
        });
        waits(&mut new);
        in_time("stop", move || server.stop()).unwrap();
        rest(&mut new);
        rest(&mut old);
        drop(end);
    }
}

#[test]
fn a_client_that_has_closed_and_moves_no_byte_is_gone_after_the_close_timeout() {
    let server = Options::new().close_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    for _ in 0..3 {
        let (mut client, end) = leaving(&server);
        let report = next_report(&signals);
        assert_eq!((report.reason, report.received), (Reason::Gone, 8));
        assert!(report.lasted >= SHORT, "{report:?}");
        assert!(!server.is_busy());
        assert!(rest(&mut client).is_empty());
        assert!(end.client().inbox().send("too late").is_err());
        // The end is kept, as by an application that is busy with something else, and costs the next client nothing.
    }
    ping_through(&server);
}

/// Is served, and answered by the application.
fn ping_through(server: &SingleServer) {
    let mut client = connect(server.local_addr());
    serve_next(server, &client);
    assert_eq!(rest(&mut client), b"your turn");
}

#[test]
fn the_close_timeout_begins_anew_with_each_byte() {
    let server = Options::new().close_timeout(LONG).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let (mut client, end) = leaving(&server);
    let inbox = end.client().inbox();
    let talking = thread::spawn(move || {
        for _ in 0..20 {
            thread::sleep(LONG / 6); // an application that takes its time
            inbox.send("tick").unwrap();
        }
    });
    assert_eq!(rest(&mut client).len(), 80);
    talking.join().unwrap();
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent, report.discarded), (Reason::Gone, 80, 0));
    assert!(report.lasted >= LONG / 6 * 20 + LONG, "{report:?}");
    drop(end);
}

#[test]
fn a_client_that_has_closed_may_take_a_long_answer_slowly() {
    let server = Options::new().close_timeout(2 * LONG).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let answer = pattern(3, 24 << 20);
    let copy = answer.clone();
    let (mut client, end) = leaving(&server);
    end.client().inbox().send(copy).unwrap();
    drop(end);
    let mut received = vec![0; answer.len()];
    for piece in received.chunks_mut(1 << 20) {
        client.read_exact(piece).unwrap();
        thread::sleep(LONG / 4); // a slow client
    }
    assert_same(&received, &answer);
    assert!(rest(&mut client).is_empty());
    assert_eq!(next_report(&signals).reason, Reason::ClientClosed);
}

#[test]
fn a_client_that_has_closed_and_takes_nothing_of_its_answer_is_gone_and_all_of_it_accounted_for() {
    let server = Options::new().close_timeout(SHORT).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let answer = vec![b'x'; 30 << 20];
    let (client, end) = leaving(&server);
    end.client().inbox().send(answer).unwrap();
    drop(end);
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent + report.discarded), (Reason::Gone, 30 << 20), "{report:?}");
    assert!(report.discarded > 0, "{report:?}");
    drop(client);
    ping_through(&server);
}

#[test]
fn without_a_close_timeout_a_client_that_has_closed_is_waited_for() {
    let options = Options::new().close_timeout(SHORT).close_timeout(None);
    let server = options.bind("127.0.0.1:0").unwrap();
    let (mut client, end) = leaving(&server);
    thread::sleep(4 * SHORT); // an application that takes its time
    assert!(server.is_busy());
    end.client().inbox().send("answer").unwrap();
    drop(end);
    assert_eq!(rest(&mut client), b"answer");
}

#[test]
fn the_close_timeout_is_not_for_a_client_that_has_not_closed() {
    let echo = echo(Options::new().close_timeout(SHORT));
    let mut client = connect(echo.addr);
    ping(&mut client).unwrap();
    thread::sleep(4 * SHORT); // a client that takes its time
    ping(&mut client).unwrap();
}

#[test]
fn a_reset_that_meets_a_full_outbox_frees_the_slot_after_the_close_timeout() {
    let options = Options::new().close_timeout(SHORT).buffer_size(1000).depth(1);
    let server = options.bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    write_until_held_back(&mut client);
    server.inbox().send("unread").unwrap();
    reset(client);
    assert_eq!(next_report(&signals).reason, Reason::Reset);
    assert!(!server.is_busy());
}

#[test]
fn a_close_timeout_that_is_too_short_is_an_error_that_names_it() {
    let error = Options::new().close_timeout(Duration::ZERO).bind("127.0.0.1:0").unwrap_err();
    assert!(error.to_string().contains("close timeout"), "{error}");
}

#[test]
fn a_client_that_returns_at_once_is_served_while_others_are_refused() {
    let _turn = TURN.lock();
    let echo = echo(Options::new());
    for _ in 0..500 {
        let mut client = connect(echo.addr);
        ping(&mut client).unwrap();
        assert!(rest(&mut connect(echo.addr)).is_empty());
        drop(client);
        let mut again = connect(echo.addr);
        ping(&mut again).expect("it is served");
        drop(again);
    }
}

#[test]
fn a_client_that_leaves_with_something_unread_and_returns_is_served_while_others_are_refused() {
    let _turn = TURN.lock();
    let echo = echo(Options::new());
    for _ in 0..500 {
        let mut client = connect(echo.addr);
        ping(&mut client).unwrap();
        assert!(rest(&mut connect(echo.addr)).is_empty());
        client.write_all(b"the last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut again = connect(echo.addr);
        ping(&mut again).expect("it is served");
        drop((client, again));
    }
}
