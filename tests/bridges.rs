//! `pipe`, `exec` and `forward`, against real programs: nothing is lost, nobody hangs, nothing is left behind.
#![cfg(unix)]

mod visitor;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;

use visitor::*;

const MIB_64: usize = 64 << 20;

fn installed(program: &str) -> bool {
    let found =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("not checked: {program} is not installed");
    }
    found
}

/// A file with these bytes, gone at the end of the test.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Scratch {
        let path = std::env::temp_dir().join(format!("single-server-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Scratch(path)
    }

    fn open(&self) -> std::fs::File {
        std::fs::File::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// --- exec ---

#[test]
fn exec_cat_gives_64_mib_back() {
    let exec = start(&["exec", "--", "cat"], |_| {});
    let sent = pattern(1, MIB_64);
    assert_same(&through(&mut connect(exec.addr), &sent), &sent);
    let line = exec.line_with("finished ");
    assert!(line.contains("client closed, 67108864 bytes in, 67108864 bytes out"), "{line}");
}

#[test]
fn exec_closes_the_input_at_the_half_close_and_the_connection_at_the_exit() {
    let exec = start(&["exec", "sort"], |_| {});
    assert_eq!(through(&mut connect(exec.addr), b"b\nc\na\n"), b"a\nb\nc\n");
    let exec = start(&["exec", "--", "tr", "a-z", "A-Z"], |_| {});
    assert_eq!(through(&mut connect(exec.addr), b"shout"), b"SHOUT");
    // The client does not close, but the process ends.
    let exec = start(&["exec", "--", "sh", "-c", "read line; echo \"you said $line\""], |_| {});
    let mut client = connect(exec.addr);
    client.write_all(b"hello\n").unwrap();
    assert_eq!(rest(&mut client), b"you said hello\n");
    assert!(exec.line_with("finished ").contains("finished by the application"));
}

#[test]
fn exec_loses_nothing_of_a_process_that_does_not_read_what_the_client_goes_on_sending() {
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
        becomes(5 + 1, || status(&exec.id(), "Threads:")); // three of the server, two of the log, and main
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
fn exec_ends_a_process_whose_client_has_left() {
    // It ignores that its input is closed, and everything that can be ignored.
    let exec = start(
        &[
            "--idle-timeout",
            "0.3",
            "exec",
            "--",
            "sh",
            "-c",
            "trap '' TERM HUP; echo hi; while :; do sleep 1; done",
        ],
        |_| {},
    );
    let mut client = connect(exec.addr);
    let mut hi = [0; 3];
    client.read_exact(&mut hi).unwrap();
    assert_ne!(children(&exec), "");
    reset_or_idle(client);
    exec.line_with("finished ");
    becomes(String::new(), || children(&exec));
    // And the next one is served, perhaps after it was idle itself as long as the process was given its grace.
    in_time("being served again", move || while connect(exec.addr).read_exact(&mut hi).is_err() {});
}

/// Leaves without a word that the server could take for a half-close.
fn reset_or_idle(client: TcpStream) {
    thread::spawn(move || rest(&mut { client }));
}

#[test]
fn exec_of_something_that_cannot_start_is_a_line_and_closes_that_client() {
    let exec = start(&["exec", "/nonexistent/command"], |_| {});
    for _ in 0..3 {
        assert!(rest(&mut connect(exec.addr)).is_empty());
        let line = exec.line_with("cannot start ");
        assert!(line.contains("/nonexistent/command") && line.contains("No such file"), "{line}");
        exec.line_with("finished ");
    }
}

#[test]
fn exec_closes_although_a_process_left_behind_holds_the_output_open() {
    let exec = start(&["exec", "--", "sh", "-c", "sleep 30 & echo done"], |_| {});
    let mut client = connect(exec.addr);
    assert_eq!(rest(&mut client), b"done\n");
}

#[test]
fn exec_tells_the_process_who_the_client_is() {
    let exec = start(&["exec", "--", "sh", "-c", "echo $TCPREMOTEIP $TCPREMOTEPORT"], |_| {});
    let mut client = connect(exec.addr);
    let expected = format!("127.0.0.1 {}\n", client.local_addr().unwrap().port());
    assert_eq!(rest(&mut client), expected.as_bytes());
}

// --- pipe ---

#[test]
fn pipe_carries_64_mib_both_ways_and_leaves_with_its_client() {
    let (up, down) = (pattern(2, MIB_64), pattern(3, MIB_64));
    let input = Scratch::new("pipe-in", &down);
    let mut pipe = start(&["--once", "pipe"], |command| {
        command.stdin(input.open()).stdout(Stdio::piped());
    });
    let mut out = pipe.child.stdout.take().unwrap();
    let taking = thread::spawn(move || {
        let mut all = Vec::new();
        out.read_to_end(&mut all).unwrap();
        all
    });
    // Standard input ends, which the client sees as a half-close, although it has not closed itself.
    let mut client = connect(pipe.addr);
    assert_same(&through(&mut client, &up), &down);
    assert_eq!(pipe.wait(), Some(0));
    assert_same(&taking.join().unwrap(), &up);
}

#[test]
fn pipe_lets_standard_input_answer_a_client_that_has_sent_its_last_byte() {
    let mut pipe = start(&["pipe"], |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    });
    let mut stdin = pipe.child.stdin.take().unwrap();
    let mut stdout = pipe.child.stdout.take().unwrap();
    let mut client = connect(pipe.addr);
    client.write_all(b"AT\r").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = [0; 3];
    stdout.read_exact(&mut question).unwrap();
    stdin.write_all(b"OK\r").unwrap();
    assert_eq!(rest(&mut client), b"OK\r");
}

#[test]
fn pipe_keeps_what_comes_while_nobody_is_connected_for_the_next_client() {
    let mut pipe = start(&["pipe"], |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    });
    let mut stdin = pipe.child.stdin.take().unwrap();
    let mut stdout = pipe.child.stdout.take().unwrap();
    stdin.write_all(b"early").unwrap();
    let mut back = [0; 5];
    for round in 0..3 {
        let mut client = connect(pipe.addr);
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"early");
        client.write_all(b"hello").unwrap();
        stdout.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
        drop(client);
        pipe.line_with("finished ");
        if round < 2 {
            stdin.write_all(b"early").unwrap();
        }
    }
    // The end of standard input is passed on to the next client, and to the one after it.
    stdin.write_all(b"last").unwrap();
    drop(stdin);
    for expected in [&b"last"[..], b""] {
        let mut client = connect(pipe.addr);
        assert_eq!(rest(&mut client), expected);
        client.write_all(b"still").unwrap();
        stdout.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"still");
        drop(client);
        pipe.line_with("finished ");
    }
}

#[test]
fn pipe_to_a_closed_output_or_a_full_disk_is_a_line_and_exit_code_1() {
    for target in ["closed", "/dev/full"] {
        let mut pipe = start(&["pipe"], |command| {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            if target == "/dev/full" {
                command.stdout(std::fs::OpenOptions::new().write(true).open(target).unwrap());
            }
        });
        drop(pipe.child.stdout.take());
        let mut client = connect(pipe.addr);
        client.write_all(b"hello").unwrap();
        let line = pipe.line_with("single-server: ");
        assert!(line.contains("standard output"), "{line}");
        assert_eq!(pipe.wait(), Some(1));
        assert!(rest(&mut client).is_empty());
    }
}

#[test]
fn pipe_is_a_serial_console() {
    if !installed("socat") {
        return;
    }
    // Two ends of a pseudo-terminal in place of a serial line and the device behind it.
    let name = |end: &str| std::env::temp_dir().join(format!("single-server-{}-{end}", std::process::id()));
    let (line, device) = (name("line"), name("device"));
    let pty = |path: &std::path::Path| format!("PTY,raw,echo=0,link={}", path.display());
    let mut socat = Command::new("socat").args([pty(&line), pty(&device)]).spawn().unwrap();
    becomes(true, || line.exists() && device.exists());
    let open = |path| std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let pipe = start(&["pipe"], |command| {
        command.stdin(open(&line)).stdout(open(&line));
    });
    let mut device = open(&device);
    for _ in 0..3 {
        let mut client = connect(pipe.addr);
        client.write_all(b"AT\r").unwrap();
        let mut command = [0; 3];
        device.read_exact(&mut command).unwrap();
        assert_eq!(&command, b"AT\r");
        device.write_all(b"OK\r").unwrap();
        let mut answer = [0; 3];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"OK\r");
        drop(client);
        pipe.line_with("finished ");
    }
    drop(pipe);
    socat.kill().unwrap();
    socat.wait().unwrap();
}

// --- forward ---

#[test]
fn forward_carries_64_mib_both_ways_through_a_half_close() {
    let target = start(&["echo"], |_| {});
    let forward = start(&["forward", &target.addr.to_string()], |_| {});
    let sent = pattern(4, MIB_64);
    for _ in 0..2 {
        assert_same(&through(&mut connect(forward.addr), &sent), &sent);
        target.line_with("finished ");
    }
}

#[test]
fn forward_passes_half_closes_on_in_both_directions() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = start(&["forward", &target.local_addr().unwrap().to_string()], |_| {});
    // The client first.
    let mut client = connect(forward.addr);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (mut other, _) = target.accept().unwrap();
    assert_eq!(rest(&mut other), b"question");
    other.write_all(b"answer").unwrap();
    drop(other);
    assert_eq!(rest(&mut client), b"answer");
    forward.line_with("finished ");
    // The target first.
    let mut client = connect(forward.addr);
    let (mut other, _) = target.accept().unwrap();
    other.write_all(b"greeting").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"greeting");
    client.write_all(b"thanks").unwrap();
    drop(client);
    assert_eq!(rest(&mut other), b"thanks");
    forward.line_with("finished ");
}

#[test]
fn forward_to_real_programs() {
    let sent = pattern(5, MIB_64);
    if !installed("socat") || !installed("ncat") {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
    let mut socat = Command::new("socat").args(["-t", "60", &listen, "EXEC:cat"]).spawn().unwrap();
    becomes(true, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let forward = start(&["forward", &format!("127.0.0.1:{port}")], |_| {});
    let (host, port) = (forward.addr.ip().to_string(), forward.addr.port().to_string());
    let input = Scratch::new("forward-in", &sent);
    let mut ncat =
        Command::new("ncat").args([host, port]).stdin(input.open()).stdout(Stdio::piped()).spawn().unwrap();
    let mut back = Vec::new();
    ncat.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    ncat.wait().unwrap();
    socat.kill().unwrap();
    socat.wait().unwrap();
    assert_same(&back, &sent);
}

#[test]
fn forward_to_a_target_that_is_down_is_a_line_and_closes_that_client() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let forward = start(&["forward", &closed.to_string()], |_| {});
    for _ in 0..3 {
        assert!(rest(&mut connect(forward.addr)).is_empty());
        let line = forward.line_with("cannot connect to ");
        assert!(line.contains(&closed.to_string()), "{line}");
        forward.line_with("finished ");
    }
    let forward = start(&["forward", "no.such.host.invalid:1"], |_| {});
    assert!(rest(&mut connect(forward.addr)).is_empty());
    assert!(forward.line_with("cannot connect to ").contains("no.such.host.invalid:1"));
}

#[test]
fn forward_gives_up_a_target_that_breaks_and_a_client_that_does() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = start(&["forward", &target.local_addr().unwrap().to_string()], |_| {});
    for _ in 0..3 {
        // The target resets.
        let mut client = connect(forward.addr);
        client.write_all(b"never read").unwrap();
        reset(target.accept().unwrap().0);
        assert!(rest(&mut client).is_empty());
        forward.line_with("finished ");
        // The client resets, while the target says nothing.
        let client = connect(forward.addr);
        let (mut other, _) = target.accept().unwrap();
        other.write_all(b"never read").unwrap();
        reset(client);
        assert!(rest(&mut other).is_empty());
        forward.line_with("finished ");
    }
}

/// A listener whose backlog is full does not answer, so that dialling it takes until the time-out.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_leaves_while_it_is_dialled_frees_the_slot() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = target.local_addr().unwrap();
    let quick = std::time::Duration::from_millis(100);
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, quick) {
        filling.push(stream);
    }
    let forward = start(&["--idle-timeout", "0.3", "forward", &addr.to_string()], |_| {});
    for _ in 0..3 {
        // It is silent, and so found to be idle long before the dialling comes to its end.
        assert!(rest(&mut connect(forward.addr)).is_empty());
        assert!(forward.line_with("finished ").contains(": idle, "));
    }
    drop(filling);
}
