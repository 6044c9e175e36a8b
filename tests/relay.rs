//! `forward` and `pipe` when the other side of a session stalls, vanishes, comes late or never ends.
#![cfg(unix)]

mod visitor;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::io::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use visitor::*;

/// The next connection to a target.
fn accepted(target: &TcpListener) -> TcpStream {
    let target = target.try_clone().unwrap();
    let stream = in_time("forward's connection to the target", move || target.accept().unwrap().0);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn target() -> (TcpListener, String) {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = target.local_addr().unwrap().to_string();
    (target, addr)
}

/// An address of a target that does not listen yet. Nobody else is given its port meanwhile, because other connections of the
/// tests come from 127.0.0.1.
fn absent_target() -> String {
    let host = if cfg!(target_os = "linux") { "127.1.61.1:0" } else { "127.0.0.1:0" };
    TcpListener::bind(host).unwrap().local_addr().unwrap().to_string()
}

/// Threads of a command between two clients: three of the server, the log, and the main thread.
const THREADS: u64 = 5;

fn threads(running: &Running) -> u64 {
    status(&running.id(), "Threads:")
}

// --- the other side stalls ---

#[test]
fn a_target_that_stops_reading_does_not_keep_the_slot() {
    for leave in [Leave::Reset, Leave::Close, Leave::Stay] {
        let (target, addr) = target();
        let forward = start(&["--idle-timeout", "500ms", "forward", &addr], |_| {});
        let client = connect(forward.addr);
        let mut stalled = accepted(&target);
        stalled.write_all(b"unread").unwrap(); // lets the client leave with a reset
        client.peek(&mut [0]).unwrap();
        let _stays = send_and_leave(client, leave);
        forward.line_with("closed ");
        let mut client = connect(forward.addr);
        accepted(&target).write_all(b"hello").unwrap();
        assert_eq!(rest(&mut client), b"hello", "after {leave:?}");
    }
}

#[test]
fn a_stalled_target_is_named_in_the_log() {
    let (target, addr) = target();
    let forward = start(&["--idle-timeout", "500ms", "forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    let _stalled = accepted(&target);
    write_until_held_back(&mut client);
    assert_eq!(forward.line_with("target "), format!("target {addr} has taken no data for 500ms"));
    assert!(forward.line_with("closed ").contains(": aborted, "));
}

/// A listener whose backlog is full does not answer, so dialling it takes until the timeout.
#[cfg(target_os = "linux")]
fn fill_backlog(target: &TcpListener) -> Vec<TcpStream> {
    let addr = target.local_addr().unwrap();
    let mut filling = Vec::new();
    // One attempt may also fail because the machine is busy.
    let mut failures = 0;
    while failures < 3 {
        match TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            Ok(stream) => filling.push(stream),
            Err(_) => failures += 1,
        }
    }
    filling
}

#[cfg(target_os = "linux")]
#[test]
fn clients_that_give_up_on_a_target_that_does_not_answer_leave_no_threads() {
    let (target, addr) = target();
    let _filling = fill_backlog(&target);
    let forward = start(&["forward", &addr], |_| {});
    let mut most = 0;
    for _ in 0..100 {
        // A client that leaves without a word is not worth a dial.
        let _ = connect(forward.addr).write(b"a job");
        most = most.max(threads(&forward));
    }
    assert!(most <= THREADS, "{most} threads");
    // The target was dialled for the first of them, and the others were told that it is busy.
    forward.line_with("cannot connect to ");
    let failed = Instant::now();
    assert!(rest(&mut connect(forward.addr)).is_empty());
    assert!(failed.elapsed() < Duration::from_secs(30), "the target was dialled for clients that had gone");
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_to_the_target_for_a_client_that_was_replaced_meanwhile_goes_to_the_next_client() {
    let (target, addr) = target();
    let filling = fill_backlog(&target);
    let filling: Vec<_> = filling.iter().map(|stream| stream.local_addr().unwrap()).collect();
    let forward = start(&["--busy", "replace", "forward", &addr], |_| {});
    let _old = connect(forward.addr);
    forward.line_with("connected ");
    let mut new = connect(forward.addr);
    assert!(forward.line_with("closed ").contains(": replaced, "));
    new.write_all(b"a job to print").unwrap();
    new.shutdown(Shutdown::Write).unwrap();
    // If the old client's dial came through before it was replaced, its connection is there too, and has ended.
    let job = loop {
        let mut other = accepted(&target);
        if !filling.contains(&other.peer_addr().unwrap()) {
            match rest(&mut other) {
                nothing if nothing.is_empty() => {}
                job => break job,
            }
        }
    };
    assert_eq!(job, b"a job to print");
}

#[test]
fn forward_holds_a_client_back_until_a_late_target_can_be_reached() {
    let addr = absent_target();
    let forward = start(&["--retry", "50s", "forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"a job to print").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(forward.line_with("cannot connect to ").ends_with("; trying for 50s"));
    let target = TcpListener::bind(&addr).unwrap();
    let mut other = accepted(&target);
    assert_eq!(rest(&mut other), b"a job to print");
    other.write_all(b"done").unwrap();
    drop(other);
    assert_eq!(rest(&mut client), b"done");
}

#[test]
fn forward_resets_a_client_that_has_sent_its_whole_job_if_the_target_cannot_be_reached() {
    for retry in ["0", "1"] {
        let closed = target().1;
        // The job is there before the command is.
        let (listener, addr) = target();
        let mut client = connect(addr.parse().unwrap());
        client.write_all(b"a job to print").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let forward = start(&["-l", "stdin", "--retry", retry, "forward", &closed], |command| {
            command.stdin(OwnedFd::from(listener));
        });
        let end = client.read(&mut [0]);
        assert_eq!(end.expect_err("not an orderly end").kind(), ErrorKind::ConnectionReset);
        assert!(forward.line_with("closed ").contains(": aborted, 0 bytes in, "));
    }
}

#[test]
fn a_second_client_is_told_at_once_while_the_first_one_waits_for_the_target() {
    let addr = absent_target();
    let forward = start(&["--busy-message", "busy", "--retry", "1h", "forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"a job to print").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    forward.line_with("cannot connect to ");
    for _ in 0..3 {
        assert_eq!(rest(&mut connect(forward.addr)), b"busy\n");
    }
    let target = TcpListener::bind(&addr).unwrap();
    assert_eq!(rest(&mut accepted(&target)), b"a job to print");
}

#[test]
fn the_target_is_no_longer_tried_for_a_client_that_was_replaced() {
    let addr = absent_target();
    let forward = start(&["--busy", "replace", "--retry", "1h", "forward", &addr], |_| {});
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(connect(forward.addr));
        assert!(forward.line_with("cannot connect to ").ends_with("; trying for 3600s"));
    }
}

#[test]
fn a_reset_by_the_target_aborts_the_session() {
    let (target, addr) = target();
    let forward = start(&["forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"never read").unwrap();
    reset(accepted(&target));
    let begin = format!("target {addr} has broken the connection: Connection reset");
    assert!(forward.line_with("target ").starts_with(&begin));
    assert!(forward.line_with("closed ").contains(": aborted, "));
    rest(&mut client);
}

#[test]
fn an_answer_that_came_before_a_reset_by_the_target_is_delivered() {
    let (target, addr) = target();
    let forward = start(&["forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"never read").unwrap();
    let mut other = accepted(&target);
    other.write_all(b"421 too many connections").unwrap();
    reset(other);
    assert_eq!(rest(&mut client), b"421 too many connections");
    assert!(forward.line_with("closed ").contains(": aborted, "));
}

#[test]
fn forward_closes_its_connection_to_the_target_before_it_makes_the_next_one() {
    let (listener, addr) = target();
    let forward = start(&["--busy", "replace", "forward", &addr], |_| {});
    let mut kept = Vec::new();
    let mut old: Option<TcpStream> = None;
    for _ in 0..20 {
        let mut client = connect(forward.addr);
        let mut new = accepted(&listener);
        if let Some(mut old) = old {
            old.set_nonblocking(true).unwrap();
            assert_eq!(old.read(&mut [0]).expect("the end of the old connection"), 0);
        }
        // Until then the client's connection may still pass to the next client.
        new.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        kept.push(client);
        old = Some(new);
    }
}

// --- back at once ---

#[test]
fn clients_that_connect_again_after_the_target_has_closed_are_served() {
    let (listener, addr) = target();
    let forward = start(&["forward", &addr], |_| {});
    for number in 0..100 {
        let mut client = connect(forward.addr);
        accepted(&listener).write_all(b"bye").unwrap(); // and closes
        assert_eq!(rest(&mut client), b"bye", "client {number}");
    }
}

// --- what can be asked for ---

#[test]
fn pipe_recv_only_never_ends_the_direction_to_the_client() {
    let mut pipe = start(&["-1", "pipe", "--recv-only"], |command| {
        command.stdout(Stdio::piped()); // standard input is at its end
    });
    let mut stdout = pipe.child.stdout.take().unwrap();
    let taking = thread::spawn(move || {
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).map(|_| all).unwrap()
    });
    let sent = pattern(7, 8 << 20);
    let mut client = connect(pipe.addr);
    // A moment in which the server could close its side.
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(client.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(pipe.wait(), Some(0));
    assert_same(&taking.join().unwrap(), &sent);
}

#[test]
fn pipe_send_only_discards_what_the_client_sends_and_closes_at_the_end_of_standard_input() {
    let mut pipe = start(&["-1", "pipe", "--send-only"], |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    });
    let mut stdin = pipe.child.stdin.take().unwrap();
    let mut client = connect(pipe.addr);
    client.write_all(b"not wanted").unwrap();
    stdin.write_all(b"news").unwrap();
    drop(stdin);
    assert_eq!(rest(&mut client), b"news");
    assert_eq!(pipe.wait(), Some(0));
    let mut out = Vec::new();
    pipe.child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert!(out.is_empty(), "{out:?}");
}

#[test]
fn pipe_exits_with_1_if_standard_input_cannot_be_read() {
    let mut pipe = start(&["pipe"], |command| {
        command.stdin(File::open("/").unwrap()); // a directory, in place of a device that is unplugged
    });
    assert!(pipe.line_with("single-server: ").contains("cannot read standard input: "));
    assert_eq!(pipe.wait(), Some(1));
}

#[test]
fn a_listening_socket_can_be_passed_as_standard_input() {
    let (listener, addr) = target();
    let echo = start(&["-l", "stdin", "echo"], |command| {
        command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    });
    assert_eq!(echo.addr.to_string(), addr);
    for _ in 0..3 {
        ping(&mut connect(echo.addr)).unwrap();
    }
    drop(echo);
    // The supervisor still has it, and can pass it on again.
    let mut pipe = start(&["-1", "-l", "stdin", "pipe", "--recv-only"], |command| {
        command.stdin(OwnedFd::from(listener)).stdout(Stdio::piped());
    });
    connect(pipe.addr).write_all(b"hello").unwrap();
    assert_eq!(pipe.wait(), Some(0));
    let mut out = String::new();
    pipe.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "hello");
}

#[test]
fn standard_input_that_is_no_listening_socket_is_an_error_at_the_start() {
    let (listener, _) = target();
    let connected = connect(listener.local_addr().unwrap());
    let (unix, _other) = UnixStream::pair().unwrap();
    let null = Stdio::null();
    for stdin in [null, Stdio::from(OwnedFd::from(connected)), Stdio::from(OwnedFd::from(unix))] {
        let output = Command::new(env!("CARGO_BIN_EXE_single-server"))
            .args(["-l", "stdin", "echo"])
            .stdin(stdin)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("standard input is not a listening TCP socket"), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn once_exits_with_1_if_the_target_cannot_be_reached() {
    let mut forward = start(&["--once", "forward", &absent_target()], |_| {});
    rest(&mut connect(forward.addr));
    forward.line_with("cannot connect to ");
    assert_eq!(forward.wait(), Some(1));
}

#[test]
fn a_blocked_standard_error_does_not_delay_the_end() {
    let addr = absent_target();
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    while (&theirs).write(&[0; 4096]).is_ok() {}
    while (&theirs).write(&[0]).is_ok() {}
    theirs.set_nonblocking(false).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
    let (_, stdout) = UnixStream::pair().unwrap(); // nobody is at the other end
    command.args(["-l", &addr, "pipe"]).stdin(Stdio::piped()).stdout(OwnedFd::from(stdout));
    let mut child = Killed(command.stderr(OwnedFd::from(theirs)).spawn().unwrap());
    let addr = addr.parse().unwrap();
    let mut client = in_time("listening", move || loop {
        if let Ok(client) = TcpStream::connect::<std::net::SocketAddr>(addr) {
            return client;
        }
        thread::yield_now();
    });
    client.write_all(b"hello").unwrap();
    let status = in_time("the end of the command", move || child.0.wait().unwrap());
    assert_eq!(status.code(), Some(1));
    drop(ours);
}
