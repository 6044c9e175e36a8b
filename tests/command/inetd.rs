//! `exec --inetd`: the process has the connection itself, as with inetd's `nowait`, and the server still keeps its promises.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::processes::*;
use crate::visitor::*;

fn inetd(options: &[&str], process: &[&str]) -> Running {
    let arguments = [options, &["exec", "--inetd", "--"], process].concat();
    start(&arguments, |_| {})
}

/// Connects, half-closes without sending anything, and returns the answer.
fn answer(addr: SocketAddr) -> String {
    let mut client = connect(addr);
    client.shutdown(Shutdown::Write).unwrap();
    String::from_utf8(rest(&mut client)).unwrap()
}

#[test]
fn inetd_gives_the_process_the_connection_as_standard_input_and_output() {
    let report = "use Socket; ($p, $a) = sockaddr_in(getpeername(STDIN)); print inet_ntoa($a), qq(:$p )";
    let report = format!(
        "{report}, (stat STDIN)[1] == (stat STDOUT)[1] ? 1 : 0, (stat STDERR)[1] == (stat STDIN)[1] ? 1 : 0"
    );
    if Command::new("perl").arg("-v").output().is_err() {
        return skipped("perl is not installed");
    }
    for (options, same) in [(&[][..], "10"), (&["--stderr"][..], "11")] {
        let server = inetd(options, &["perl", "-e", &report]);
        let mut client = connect(server.addr);
        let expected = format!("{} {same}", client.local_addr().unwrap());
        assert_eq!(String::from_utf8(rest(&mut client)).unwrap(), expected);
    }
}

#[test]
fn inetd_passes_both_addresses_in_the_environment() {
    let server = inetd(&[], &["sh", "-c", "echo $TCPREMOTEIP $TCPREMOTEPORT"]);
    let mut client = connect(server.addr);
    let port = client.local_addr().unwrap().port();
    assert_eq!(String::from_utf8(rest(&mut client)).unwrap(), format!("127.0.0.1 {port}\n"));
}

#[test]
#[cfg(target_os = "linux")]
fn with_inetd_neither_server_nor_process_holds_another_connection() {
    let server = inetd(&[], &["ls", "-l", "/proc/self/fd"]);
    let before = descriptors(&server.id());
    for _ in 0..20 {
        let handles = answer(server.addr);
        assert_eq!(handles.matches("socket:").count(), 2, "{handles}"); // standard input and output
    }
    becomes(before, || descriptors(&server.id()));
}

#[test]
fn inetd_loses_no_bytes_in_either_direction() {
    let server = inetd(&[], &["cat"]);
    let sent = pattern(1, 10_000_000);
    assert_same(&through(&mut connect(server.addr), &sent), &sent);
    let line = server.line_with("closed ");
    assert!(line.contains(": server closed, bytes not counted, "), "{line}");
}

#[test]
fn with_inetd_a_process_may_block_for_as_long_as_its_client_does_not_read() {
    let server = inetd(&[], &["head", "-c", "20000000", "/dev/zero"]);
    let mut client = connect(server.addr);
    thread::sleep(Duration::from_millis(200)); // longer than the server's own write timeout
    assert_eq!(rest(&mut client).len(), 20_000_000);
}

#[test]
fn inetd_serves_a_client_that_closes_and_returns_at_once() {
    let server = inetd(&[], &["cat"]);
    let served = (0..50).filter(|_| ping(&mut connect(server.addr)).is_ok()).count();
    assert_eq!(served, 50);
}

#[test]
fn inetd_answers_a_client_that_half_closes_without_sending_anything() {
    let server = inetd(&["--busy", "wait"], &["echo", "noon"]);
    let addr = server.addr;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || (0..10).for_each(|_| assert_eq!(answer(addr), "noon\n")));
        }
    });
}

#[test]
fn inetd_refuses_a_newcomer_after_the_handover_time_if_the_process_still_runs() {
    let server = inetd(&["--handover", "50ms", "--busy-message", "later"], &["cat"]);
    let mut first = connect(server.addr);
    ping(&mut first).unwrap();
    assert_eq!(rest(&mut connect(server.addr)), b"later\n");
    ping(&mut first).unwrap();
}

#[test]
fn with_inetd_and_replace_a_newcomer_ends_a_process_that_keeps_running() {
    let server = inetd(&["--busy", "replace"], &["sh", "-c", "echo hello; exec sleep 1000"]);
    for _ in 0..2 {
        let mut client = connect(server.addr);
        client.read_exact(&mut [0; 6]).unwrap();
        thread::spawn(move || rest(&mut client));
    }
    server.line_with("closed ");
}

#[test]
fn with_inetd_the_session_timeout_ends_the_process() {
    let server = inetd(&["--session-timeout", "100ms"], &["cat"]);
    let mut client = connect(server.addr);
    assert!(rest(&mut client).is_empty());
    let line = server.line_with("closed ");
    assert!(line.contains(": time up, bytes not counted, "), "{line}");
    ping(&mut connect(server.addr)).unwrap();
}

#[test]
fn with_inetd_the_exit_of_the_process_ends_the_session_and_its_status_is_logged() {
    let mut server = inetd(&["--once"], &["sh", "-c", "read word; echo $word; exit 3"]);
    let mut client = connect(server.addr);
    client.write_all(b"hello\nand more that it does not read\n").unwrap();
    assert_eq!(rest(&mut client), b"hello\n");
    server.line_with("\"sh\" failed: exit status: 3");
    assert_eq!(server.wait(), Some(1));
}

#[test]
fn with_inetd_a_process_that_cannot_be_started_is_logged_and_its_client_is_disconnected() {
    let server = inetd(&[], &["no-such-program"]);
    assert!(rest(&mut connect(server.addr)).is_empty());
    let line = server.line_with("cannot start");
    assert!(line.contains("\"no-such-program\"") && line.contains("in the PATH?"), "{line}");
    assert!(rest(&mut connect(server.addr)).is_empty()); // the server goes on
}

#[test]
#[cfg(target_os = "linux")]
fn with_inetd_a_connection_left_non_blocking_does_not_make_the_server_spin() {
    if Command::new("perl").arg("-v").output().is_err() {
        return skipped("perl is not installed");
    }
    let server = inetd(&[], &["perl", "-e", "use Fcntl; fcntl(STDIN, F_SETFL, O_NONBLOCK); print 1"]);
    let mut client = connect(server.addr);
    assert_eq!(rest(&mut client), b"1");
    // It does not close, so its connection lingers.
    let before = server.ticks();
    thread::sleep(Duration::from_millis(500));
    let used = server.ticks() - before;
    assert!(used < 15, "{used} ticks in half a second");
    drop(client);
}

#[test]
fn with_inetd_buffer_and_byte_timeout_options_are_usage_errors() {
    // If these were no usage errors, the server would fail because the port is in use.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for option in [
        ["--idle-timeout", "5"],
        ["--close-timeout", "5"],
        ["--exit-timeout", "5"],
        ["--buffer-size", "4096"],
        ["--depth", "1"],
    ] {
        let mut command = command();
        command.args(["--listen", &taken]).args(option).args(["exec", "--inetd", "--", "cat"]);
        let output = command.assert().code(2).get_output().clone();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(option[0]) && error.contains("exec --inetd"), "{error}");
    }
    command().args(["--inetd", "echo"]).assert().code(2);
}
