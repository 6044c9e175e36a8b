//! `exec`: a process for each client. Nothing is lost, nobody hangs, nothing is left behind.
#![cfg(unix)]

mod visitor;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use visitor::*;

/// Threads of a command between two clients: three of the server, the log, and the main thread.
const THREADS: u64 = 5;

fn threads(running: &Running) -> u64 {
    status(&running.id(), "Threads:")
}

#[test]
fn exec_cat_gives_64_mib_back() {
    let exec = start(&["exec", "--", "cat"], |_| {});
    let sent = pattern(1, 64 << 20);
    assert_same(&through(&mut connect(exec.addr), &sent), &sent);
    let line = exec.line_with("closed ");
    assert!(line.contains("client closed, 67108864 bytes in, 67108864 bytes out"), "{line}");
}

#[test]
fn exec_passes_on_a_half_close_and_closes_when_the_process_exits() {
    let exec = start(&["exec", "sort"], |_| {});
    assert_eq!(through(&mut connect(exec.addr), b"b\nc\na\n"), b"a\nb\nc\n");
    let exec = start(&["exec", "--", "tr", "a-z", "A-Z"], |_| {});
    assert_eq!(through(&mut connect(exec.addr), b"shout"), b"SHOUT");
    // The client does not close, but the process ends.
    let exec = start(&["exec", "--", "sh", "-c", "read line; echo \"you said $line\""], |_| {});
    let mut client = connect(exec.addr);
    client.write_all(b"hello\n").unwrap();
    assert_eq!(rest(&mut client), b"you said hello\n");
    assert!(exec.line_with("closed ").contains("by the application"));
}

#[test]
fn exec_delivers_all_output_of_a_process_that_ignores_its_input() {
    let exec = start(&["exec", "--", "head", "-c", "20000000", "/dev/zero"], |_| {});
    for _ in 0..3 {
        let mut client = connect(exec.addr);
        let mut sending = client.try_clone().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let (has_all, done) = (done.clone(), done);
        let sending =
            thread::spawn(
                move || {
                    while !done.load(Ordering::Relaxed) && sending.write_all(&[1; 10_000]).is_ok() {}
                },
            );
        assert_eq!(rest(&mut client).len(), 20_000_000);
        has_all.store(true, Ordering::Relaxed);
        sending.join().unwrap();
    }
}

#[test]
fn exec_runs_a_process_for_each_of_a_thousand_clients_and_leaves_none() {
    let exec = start(&["exec", "--", "cat"], |_| {});
    for number in 0..1000 {
        let line = format!("client {number}");
        assert_eq!(through(&mut connect(exec.addr), line.as_bytes()), line.as_bytes());
    }
    becomes(String::new(), || children(&exec));
    if cfg!(target_os = "linux") {
        becomes(THREADS, || threads(&exec));
    }
}

/// The processes that a command has started and not reaped.
fn children(running: &Running) -> String {
    let path = format!("/proc/{0}/task/{0}/children", running.id());
    // Of whichever thread started them: all are looked at.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.id()));
    let paths = tasks.into_iter().flatten().flatten().map(|task| task.path().join("children"));
    paths.chain([path.into()]).filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[test]
fn exec_kills_a_process_that_ignores_the_end_of_its_session() {
    // It ignores that its input is closed, and everything that can be ignored.
    let exec = start(
        &["--idle-timeout", "1", "exec", "--", "sh", "-c", "trap '' TERM HUP; echo hi; exec sleep 100"],
        |_| {},
    );
    let mut client = connect(exec.addr);
    let mut hi = [0; 3];
    client.read_exact(&mut hi).unwrap();
    assert_ne!(children(&exec), "");
    reset_or_idle(client);
    exec.line_with("closed ");
    becomes(String::new(), || children(&exec));
    // And the next one is served, perhaps after it was idle itself as long as the process was given its grace.
    in_time("being served again", move || while connect(exec.addr).read_exact(&mut hi).is_err() {});
}

#[test]
fn exec_kills_a_process_that_has_closed_its_input_when_the_client_resets() {
    let exec = start(
        &["--close-timeout", "1", "exec", "--", "sh", "-c", "exec <&-; echo hi; exec sleep 100"],
        |_| {},
    );
    let mut client = connect(exec.addr);
    client.peek(&mut [0]).unwrap();
    write_until_held_back(&mut client);
    reset(client);
    exec.line_with("closed ");
    becomes(String::new(), || children(&exec));
}

/// A process that was killed can be slow to end. Here a stopped tracer keeps its end to itself.
#[cfg(target_os = "linux")]
#[test]
fn exec_reaps_a_process_that_ends_late_although_nobody_connects_again() {
    let exec = start(
        &["--close-timeout", "300ms", "exec", "--", "sh", "-c", "trap '' TERM HUP; echo $$; exec sleep 100"],
        |_| {},
    );
    let mut client = connect(exec.addr);
    let mut id = [0; 32];
    let count = client.read(&mut id).unwrap();
    let id = std::str::from_utf8(&id[..count]).unwrap().trim();
    let tracer = match trace(id, "none:error=EPERM") {
        Some(tracer) => tracer,
        None => return,
    };
    assert!(Command::new("kill").args(["-STOP", &tracer.0.id().to_string()]).status().unwrap().success());
    drop(client);
    let line = exec.line_with("\"sh\" (process ");
    assert!(line.contains(id) && line.ends_with("was killed and has not ended after 1s"), "{line}");
    // The next client is served meanwhile.
    connect(exec.addr).read_exact(&mut [0]).unwrap();
    assert!(children(&exec).contains(id));
    drop(tracer);
    becomes(false, || children(&exec).contains(id));
}

/// Leaves without a word that the server could take for a half-close.
fn reset_or_idle(client: TcpStream) {
    thread::spawn(move || rest(&mut { client }));
}

#[test]
fn exec_of_a_program_that_cannot_be_started_is_logged_and_ends_that_session() {
    let exec = start(&["exec", "no-such-program"], |_| {});
    for _ in 0..3 {
        assert!(rest(&mut connect(exec.addr)).is_empty());
        let line = exec.line_with("cannot start ");
        assert!(line.contains("no-such-program") && line.contains("No such file"), "{line}");
        exec.line_with("closed ");
    }
}

#[test]
fn exec_closes_although_a_background_process_holds_the_output_open() {
    let exec = start(&["exec", "--", "sh", "-c", "sleep 90 & echo done"], |_| {});
    let mut client = connect(exec.addr);
    assert_eq!(rest(&mut client), b"done\n");
}

#[test]
fn exec_passes_the_peer_address_in_the_environment() {
    let exec = start(&["exec", "--", "sh", "-c", "echo $TCPREMOTEIP $TCPREMOTEPORT"], |_| {});
    let mut client = connect(exec.addr);
    let expected = format!("127.0.0.1 {}\n", client.local_addr().unwrap().port());
    assert_eq!(rest(&mut client), expected.as_bytes());
}

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

#[test]
fn exec_connects_standard_error_if_told() {
    for arguments in [&["--stderr", "exec"][..], &["exec", "--stderr", "--"]] {
        let script = &["sh", "-c", "echo out; echo err >&2"];
        let exec = start(&[arguments, script].concat(), |_| {});
        assert_eq!(rest(&mut connect(exec.addr)), b"out\nerr\n");
    }
}

#[test]
fn once_exits_with_1_if_the_process_fails() {
    for (command, said) in [
        (&["exec", "no-such-program"][..], "cannot start "),
        (&["exec", "--", "sh", "-c", "exit 3"], "\"sh\" failed: exit status: 3"),
        (&["exec", "--", "sh", "-c", "kill -9 $$"], "\"sh\" failed: signal: 9"),
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
