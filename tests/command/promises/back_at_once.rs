//! Promise 4, *back at once*, for the command: a client that closes and connects again at once is served without a retry.
//! Between `fork` and `exec`, a child process holds all connections of these clients, so closing one would take effect late.
//! So these tests run in their own process, which starts no other meanwhile.

use std::io::{Read, Write};
use std::net::Shutdown;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::processes::*;
use crate::visitor::*;

/// Starts the command on one core. If that is not possible, reports the test as skipped and returns `None`.
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
fn one_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

#[cfg(target_os = "linux")]
#[test]
fn on_one_core_a_client_that_closes_and_returns_at_once_is_served() {
    if !is_alone() {
        return;
    }
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
fn beside_a_busy_process_a_client_that_closes_and_returns_at_once_is_served() {
    if !is_alone() {
        return;
    }
    for closing in CLOSINGS {
        let echo = match on_one_core(&["echo"]) {
            Some(echo) => echo,
            None => return,
        };
        let mut busy = one_core("sh");
        let _busy = Killed::start(busy.args(["-c", "while :; do :; done"]));
        visit_a_thousand_times(echo.addr, closing, b"");
    }
}

#[cfg(unix)]
#[test]
fn clients_of_exec_and_forward_that_close_and_connect_again_at_once_are_served() {
    if !is_alone() {
        return;
    }
    let target = start(&["--busy", "wait", "echo"], |_| {});
    let target = target.addr.to_string();
    for busy in [&[][..], &["--busy-message", "busy"]] {
        for command in [&["exec", "cat"][..], &["forward", &target]] {
            let running = start(&[busy, command].concat(), |_| {});
            for number in 0..100 {
                let mut client = connect(running.addr);
                ping(&mut client).unwrap_or_else(|e| panic!("{command:?}, client {number}: {e}"));
            }
            // A truly concurrent client is refused.
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

    if !is_alone() {
        return;
    }
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

#[test]
fn a_client_that_leaves_unread_data_and_returns_is_served_while_others_are_refused() {
    if !is_alone() {
        return;
    }
    let echo = start(&["echo"], |_| {});
    let mut served = 0;
    for _ in 0..2000 {
        let readers = threads_named(&echo, "single-reader");
        let waited = kept_waiting(&echo, &readers);
        let mut client = connect_until_served(echo.addr);
        assert!(rest(&mut connect(echo.addr)).is_empty());
        client.write_all(b"the last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut again = connect(echo.addr);
        let is_served = ping(&mut again).is_ok();
        drop((client, again));
        if is_served {
            served += 1;
        } else {
            // The reader has 5 ms to reach the FIN. Once the next client is served, the reader has reached it.
            drop(connect_until_served(echo.addr));
            let waited = kept_waiting(&echo, &readers) - waited;
            assert!(
                waited > Duration::from_millis(3),
                "refused, and the reader was kept waiting for {waited:?} only"
            );
        }
        if served == 500 {
            return;
        }
    }
    skipped("the reader gets no processor for 3 ms at a time: too little processor time");
}
