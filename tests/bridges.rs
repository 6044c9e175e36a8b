//! `pipe`, `exec` and `forward`, against real programs: nothing is lost, nobody hangs, nothing is left behind.
#![cfg(unix)]

mod visitor;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;

use visitor::*;

const MIB_64: usize = 64 << 20;

// --- exec ---

#[test]
fn exec_cat_gives_64_mib_back() {
    let exec = start(&["exec", "--", "cat"], |_| {});
    let sent = pattern(1, MIB_64);
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
        becomes(5, || status(&exec.id(), "Threads:")); // three of the server, the log, and main
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
