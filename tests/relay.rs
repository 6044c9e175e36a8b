//! `exec`, `forward` and `pipe` when the other side of a session stalls, vanishes, comes late or never ends.
#![cfg(unix)]

mod visitor;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use visitor::*;

/// How a client leaves a server that has stopped taking its bytes.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Reset,
    Close,
    Stay,
}

/// Sends as much as is taken, and leaves. What is returned keeps a client that stays connected.
fn send_and_leave(mut client: TcpStream, leave: Leave) -> Option<TcpStream> {
    write_until_held_back(&mut client);
    match leave {
        Leave::Reset => {
            reset(client);
            None
        }
        Leave::Close => None,
        Leave::Stay => Some(client),
    }
}

/// Threads of a command between two clients: three of the server, the log, and the main thread.
const THREADS: u64 = 5;

fn threads(running: &Running) -> u64 {
    status(&running.id(), "Threads:")
}

// --- the other side stalls ---

#[test]
fn a_process_that_reads_nothing_does_not_keep_the_slot() {
    for leave in [Leave::Reset, Leave::Close, Leave::Stay] {
        let exec = start(
            &[
                "--idle-timeout",
                "500ms",
                "--busy",
                "wait",
                "exec",
                "--",
                "sh",
                "-c",
                "echo hi; exec sleep 1000",
            ],
            |_| {},
        );
        let client = connect(exec.addr);
        client.peek(&mut [0]).unwrap();
        let _stays = send_and_leave(client, leave);
        exec.line_with("closed ");
        let mut hi = [0; 3];
        in_time("being served again", move || while connect(exec.addr).read_exact(&mut hi).is_err() {});
    }
}

#[test]
fn a_client_whose_process_reads_nothing_can_be_replaced() {
    let script = "echo hi; exec sleep 1000";
    let exec = start(&["--busy", "replace", "exec", "--", "sh", "-c", script], |_| {});
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = connect(exec.addr);
        client.read_exact(&mut [0; 3]).unwrap();
        write_until_held_back(&mut client);
        kept.push(client);
    }
}

#[test]
fn a_process_that_reads_nothing_but_goes_on_writing_is_not_stalled() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.2; echo $i; done";
    let exec = start(&["--idle-timeout", "1", "exec", "--", "sh", "-c", script], |_| {});
    let mut client = connect(exec.addr);
    let mut sending = client.try_clone().unwrap();
    thread::spawn(move || while sending.write_all(&[0; 10_000]).is_ok() {});
    assert_eq!(rest(&mut client), b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_grandchild_that_holds_the_process_s_ends_keeps_no_descriptor_and_no_thread() {
    let exec = start(&["exec", "--", "sh", "-c", "sleep 90 & echo hi"], |_| {});
    let before = descriptors(&exec.id());
    for _ in 0..3 {
        assert_eq!(rest(&mut connect(exec.addr)), b"hi\n");
    }
    becomes((THREADS, before), || (threads(&exec), descriptors(&exec.id())));
}

// --- losses ---

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_reads_late_gets_everything_that_the_process_wrote_before_it_ended() {
    // Writes until all buffers are full, then ends, and tells on standard error how much it wrote.
    // In the foreground `timeout` sends one signal. Otherwise it sends two, and the second kills a `dd` that has not told yet.
    let dd = ["exec", "--", "timeout", "--foreground", "-s", "INT", "1", "dd", "if=/dev/zero", "bs=1000"];
    let exec = start(&dd, |command| {
        command.env("LC_ALL", "C");
    });
    let mut client = connect(exec.addr);
    let written = loop {
        let line = exec.line();
        match line.split_once(" bytes") {
            Some((count, _)) if count.parse::<usize>().is_ok() => break count.parse::<usize>().unwrap(),
            _ => {}
        }
    };
    thread::sleep(Duration::from_secs(3)); // a client that takes its time, longer than the grace of the process
    let got = rest(&mut client).len();
    // The last write may have been interrupted, and is not counted then.
    assert!((written..=written + 1000).contains(&got), "{got} of {written} bytes");
}

#[test]
fn exec_loses_nothing_and_says_nothing_if_its_parent_ignores_sigchld() {
    // Not `sh`: that of Debian does not pass this on.
    let mut command = Command::new("bash");
    let run = "trap '' CHLD; exec \"$0\" -1 -l 0 exec -- head -c 3000000 /dev/zero";
    command.args(["-c", run, env!("CARGO_BIN_EXE_single-server")]).stdin(Stdio::null());
    let mut exec = started(command);
    if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string(format!("/proc/{}/status", exec.id())).unwrap();
        let ignored = status.lines().find(|line| line.starts_with("SigIgn:")).unwrap();
        let mask = u64::from_str_radix(ignored.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_ne!(mask & (1 << 16), 0, "SIGCHLD is not ignored: {ignored}");
    }
    assert_eq!(rest(&mut connect(exec.addr)).len(), 3_000_000);
    assert_eq!(exec.wait(), Some(0));
    let lines: Vec<String> = exec.lines.iter().collect();
    assert!(
        lines.iter().all(|line| line.starts_with("connected ") || line.starts_with("closed ")),
        "{lines:?}"
    );
}

// --- back at once ---

// --- what can be asked for ---

#[test]
fn exec_connects_standard_error_if_told() {
    for arguments in [&["--stderr", "exec"][..], &["exec", "--stderr", "--"]] {
        let script = &["sh", "-c", "echo out; echo err >&2"];
        let exec = start(&[arguments, script].concat(), |_| {});
        assert_eq!(rest(&mut connect(exec.addr)), b"out\nerr\n");
    }
}

#[test]
fn once_exits_with_1_if_the_client_could_not_be_served() {
    let addr = free_address().to_string();
    for (command, said) in [
        (&["exec", "no-such-program"][..], "cannot start "),
        (&["exec", "--", "sh", "-c", "exit 3"], "\"sh\" failed: exit status: 3"),
        (&["exec", "--", "sh", "-c", "kill -9 $$"], "\"sh\" failed: signal: 9"),
        (&["forward", &addr], "cannot connect to "),
    ] {
        let mut running = start(&[&["--once"], command].concat(), |_| {});
        rest(&mut connect(running.addr));
        running.line_with(said);
        assert_eq!(running.wait(), Some(1), "{command:?}");
    }
}

#[test]
fn once_exits_with_0_if_a_process_ends_because_its_client_has_left() {
    let mut exec = start(&["--once", "exec", "cat", "/dev/zero"], |_| {});
    let mut client = connect(exec.addr);
    client.read_exact(&mut [0; 1000]).unwrap();
    reset(client);
    assert_eq!(exec.wait(), Some(0));
}

#[test]
fn exec_of_a_path_that_does_not_exist_is_an_error_at_the_start() {
    for path in ["/no/such/program", "./no-such-program", "/"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
        let output = command.args(["-l", "0", "exec", path]).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("cannot run {path:?}")), "{said}");
        assert_eq!((said.lines().count(), output.status.code()), (1, Some(1)), "{said}");
    }
}
