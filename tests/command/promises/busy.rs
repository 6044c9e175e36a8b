//! What happens to a second client if a system call of the server is slow.

use std::io::{self, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;

use crate::processes::*;
use crate::visitor::*;

/// Here `bind` takes a tenth of a second. So if the port were reopened after the end, the next client would be refused.
#[test]
fn refuse_reopens_the_port_before_the_client_sees_an_idle_timeout() {
    let mut command = match with_faults("bind:delay_enter=100000") {
        Some(command) => command,
        None => return,
    };
    command.args(["-l", &apart(), "--busy", "refuse", "--idle-timeout", "50ms", "echo"]);
    let echo = started(command);
    for _ in 0..5 {
        assert!(rest(&mut connect(echo.addr)).is_empty());
    }
}

/// Half a second passes between closing the port and beginning the second session. Meanwhile the first client
/// closes its side, so its lingering connection is closed.
#[test]
fn refuse_keeps_the_port_closed_if_a_lingering_client_closes_while_a_session_begins() {
    let mut command = match with_faults("getsockname:delay_enter=500000") {
        Some(command) => command,
        None => return,
    };
    command.args(["-l", &apart(), "--busy", "refuse", "exec", "head", "-n", "1"]);
    let server = started(command);
    let mut lingering = connect(server.addr);
    lingering.write_all(b"bye\n").unwrap();
    assert_eq!(rest(&mut lingering), b"bye\n");
    server.line_with("closed ");
    let served = connect(server.addr);
    let refused = || {
        TcpStream::connect(server.addr)
            .map_or_else(|e| e.kind() == io::ErrorKind::ConnectionRefused, |_| false)
    };
    becomes(true, refused);
    drop(lingering);
    server.line_with(&format!("connected {}", served.local_addr().unwrap()));
    assert!(refused());
}

/// Here half a second passes between shutting down and closing the connection. Meanwhile the reader gets room in the outbox
/// again. If it read until nothing was left, the kernel would send no reset.
#[test]
fn a_replaced_client_is_reset_even_if_the_reader_could_continue() {
    let mut command = match with_faults("shutdown:delay_exit=500000") {
        Some(command) => command,
        None => return,
    };
    command.args(["-l", "0", "--busy", "replace", "pipe"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut pipe = started(command);
    let mut old = connect(pipe.addr);
    write_until_blocked(&mut old); // nobody reads standard output
    let _new = connect(pipe.addr);
    pipe.line_with("closed ");
    let mut stdout = pipe.child.stdout.take().unwrap();
    thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
    old.set_write_timeout(Some(DEADLINE)).unwrap();
    let refused = in_time("a write by the replaced client", move || loop {
        if let Err(e) = old.write(&[1; 1 << 16]) {
            return e;
        }
    });
    let reset = matches!(refused.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    assert!(reset, "{refused}");
}
