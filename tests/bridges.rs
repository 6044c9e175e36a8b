//! `pipe` and `forward`, against real programs: nothing is lost, nobody hangs, nothing is left behind.
#![cfg(unix)]

mod visitor;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use visitor::*;

const MIB_64: usize = 64 << 20;

fn installed(program: &str) -> bool {
    let found =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skipped(&format!("{program} is not installed"));
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

// --- pipe ---

#[test]
fn pipe_carries_64_mib_both_ways_and_exits_after_its_client_with_once() {
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
fn pipe_delivers_an_answer_that_comes_after_the_clients_half_close() {
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
fn pipe_keeps_input_for_the_next_client_while_nobody_is_connected() {
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
        pipe.line_with("closed ");
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
        pipe.line_with("closed ");
    }
}

#[test]
fn pipe_half_closes_the_connected_client_at_the_end_of_standard_input() {
    let mut pipe = start(&["pipe"], |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    });
    let mut stdout = pipe.child.stdout.take().unwrap();
    let mut client = connect(pipe.addr);
    client.write_all(b"x").unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    drop(pipe.child.stdin.take());
    assert!(rest(&mut client).is_empty());
    client.write_all(b"y").unwrap(); // a half-close: the other way is still open
    let mut more = [0];
    stdout.read_exact(&mut more).unwrap();
    assert_eq!(&more, b"y");
}

#[test]
fn pipe_serves_the_next_client_after_a_reset_by_one_that_had_stopped_reading() {
    let pipe = start(&["pipe"], |command| {
        command.stdin(std::fs::File::open("/dev/zero").unwrap()).stdout(Stdio::null());
    });
    for _ in 0..3 {
        let mut client = connect(pipe.addr);
        client.read_exact(&mut vec![0; 4 << 20]).unwrap();
        thread::sleep(Duration::from_millis(300)); // a client that stops reading
        reset(client);
        pipe.line_with("closed ");
    }
}

#[test]
fn pipe_waits_for_a_slow_reader() {
    let bytes = pattern(1, 24 << 20);
    let input = Scratch::new("late-reader", &bytes);
    let pipe = start(&["pipe"], |command| {
        command.stdin(input.open()).stdout(Stdio::null());
    });
    let mut client = connect(pipe.addr);
    client.shutdown(Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(1200)); // a client that takes its time
    assert_same(&rest(&mut client), &bytes);
}

#[test]
fn pipe_waits_for_an_answer_in_pieces() {
    // The pieces come much more often than twice a second, unless the machine is so busy that they do not: then tries again.
    for _ in 0..20 {
        let mut pipe = start(&["pipe"], |command| {
            command.stdin(Stdio::piped()).stdout(Stdio::null());
        });
        let mut stdin = pipe.child.stdin.take().unwrap();
        let mut client = connect(pipe.addr);
        client.shutdown(Shutdown::Write).unwrap();
        let (mut last, mut late) = (Instant::now(), Duration::ZERO);
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(100)); // a device that takes its time
            stdin.write_all(b"OK").unwrap();
            late = late.max(last.elapsed());
            last = Instant::now();
        }
        let answer = rest(&mut client);
        if answer == b"OK".repeat(10) {
            return;
        }
        assert!(
            late > Duration::from_millis(200),
            "only {answer:?}, although a piece came after {late:?} at most"
        );
    }
    skipped("the device gets too little processor time to answer every 200 ms");
}

/// When the client reads on after a pause, the inbox can run empty before the thread of standard input, which waits for
/// room, gets processor time again.
#[cfg(target_os = "linux")]
#[test]
fn pipe_does_not_end_a_session_while_it_holds_bytes_for_the_client() {
    let bytes = pattern(1, 24 << 20);
    let input = Scratch::new("in-hand", &bytes);
    let pipe = start(&["pipe"], |command| {
        command.stdin(input.open()).stdout(Stdio::null());
    });
    let mut client = connect(pipe.addr);
    client.shutdown(Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(1200)); // a client that takes its time
    let late = match trace(&thread_named(&pipe, "stdin"), "futex:delay_exit=300000") {
        Some(late) => late,
        None => return,
    };
    let mut received = vec![0; 3 << 20];
    client.read_exact(&mut received).unwrap();
    thread::sleep(Duration::from_millis(200)); // within the delay
    drop(late);
    received.append(&mut rest(&mut client));
    assert_same(&received, &bytes);
}

#[test]
fn pipe_exits_with_1_if_standard_output_cannot_be_written() {
    for target in ["closed", "/dev/full"] {
        if target == "/dev/full" && !std::path::Path::new(target).exists() {
            return skipped("no /dev/full");
        }
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
fn pipe_connects_clients_to_a_serial_device() {
    if !installed("socat") {
        return;
    }
    // Two ends of a pseudo-terminal in place of a serial line and the device behind it.
    let name = |end: &str| std::env::temp_dir().join(format!("single-server-{}-{end}", std::process::id()));
    let (line, device) = (name("line"), name("device"));
    let pty = |path: &std::path::Path| format!("PTY,raw,echo=0,link={}", path.display());
    let _socat = Killed(Command::new("socat").args([pty(&line), pty(&device)]).spawn().unwrap());
    becomes(true, || line.exists() && device.exists());
    let open = |path| std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let pipe = start(&["pipe"], |command| {
        command.stdin(open(&line)).stdout(open(&line));
    });
    let mut device = open(&device);
    for _ in 0..3 {
        let mut client = connect(pipe.addr);
        client.write_all(b"AT\r").unwrap();
        let mut listening = device.try_clone().unwrap();
        let command = in_time("the device", move || {
            let mut command = [0; 3];
            listening.read_exact(&mut command).map(|()| command).unwrap()
        });
        assert_eq!(&command, b"AT\r");
        device.write_all(b"OK\r").unwrap();
        let mut answer = [0; 3];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"OK\r");
        drop(client);
        pipe.line_with("closed ");
    }
}

// --- forward ---

/// What the target is connected with.
fn accepted(target: &TcpListener) -> TcpStream {
    let target = target.try_clone().unwrap();
    let stream = in_time("forward's dialling", move || target.accept().unwrap().0);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn forward_carries_64_mib_both_ways_through_a_half_close() {
    let target = start(&["echo"], |_| {});
    let forward = start(&["forward", &target.addr.to_string()], |_| {});
    let sent = pattern(4, MIB_64);
    for _ in 0..2 {
        assert_same(&through(&mut connect(forward.addr), &sent), &sent);
        target.line_with("closed ");
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
    let mut other = accepted(&target);
    assert_eq!(rest(&mut other), b"question");
    other.write_all(b"answer").unwrap();
    drop(other);
    assert_eq!(rest(&mut client), b"answer");
    forward.line_with("closed ");
    // The target first.
    let mut client = connect(forward.addr);
    let mut other = accepted(&target);
    other.write_all(b"greeting").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"greeting");
    client.write_all(b"thanks").unwrap();
    drop(client);
    assert_eq!(rest(&mut other), b"thanks");
    forward.line_with("closed ");
}

#[test]
fn forward_connects_ncat_to_socat() {
    let sent = pattern(5, MIB_64);
    if !installed("socat") || !installed("ncat") {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
    let _socat = Killed(Command::new("socat").args(["-t", "60", &listen, "EXEC:cat"]).spawn().unwrap());
    becomes(true, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let forward = start(&["forward", &format!("127.0.0.1:{port}")], |_| {});
    let (host, port) = (forward.addr.ip().to_string(), forward.addr.port().to_string());
    let input = Scratch::new("forward-in", &sent);
    let ncat = Command::new("ncat").args([host, port]).stdin(input.open()).stdout(Stdio::piped()).spawn();
    let mut ncat = Killed(ncat.unwrap());
    let mut out = ncat.0.stdout.take().unwrap();
    let back = in_time("ncat", move || {
        let mut back = Vec::new();
        out.read_to_end(&mut back).map(|_| back).unwrap()
    });
    assert_same(&back, &sent);
}

#[test]
fn forward_drops_a_client_with_a_reset_if_the_target_cannot_be_reached() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let forward = start(&["forward", &closed.to_string()], |_| {});
    for _ in 0..3 {
        let mut client = connect(forward.addr);
        // Whether the bytes arrive before the drop or after it, the client's system is told that nobody has read them.
        let sent = client.write_all(b"a job to print").and_then(|()| {
            let mut all = Vec::new();
            client.read_to_end(&mut all)?;
            client.write_all(b"more")?;
            client.read_to_end(&mut all)
        });
        let kind = sent.expect_err("an error, not an orderly end").kind();
        use std::io::ErrorKind::*;
        assert!(matches!(kind, ConnectionReset | BrokenPipe | ConnectionAborted), "{kind:?}");
        forward.line_with("connected ");
        let line = forward.line_with("cannot connect to ");
        assert!(line.contains(&closed.to_string()), "{line}");
        assert!(forward.line_with("closed ").contains(": aborted, 0 bytes in, "));
    }
    let forward = start(&["forward", "no.such.host.invalid:1"], |_| {});
    assert!(rest(&mut connect(forward.addr)).is_empty());
    assert!(forward.line_with("cannot connect to ").contains("no.such.host.invalid:1"));
}

#[test]
fn forward_ends_the_session_when_either_side_resets() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = start(&["forward", &target.local_addr().unwrap().to_string()], |_| {});
    for _ in 0..3 {
        // The target resets.
        let mut client = connect(forward.addr);
        client.write_all(b"never read").unwrap();
        reset(accepted(&target));
        assert!(rest(&mut client).is_empty());
        forward.line_with("closed ");
        // The client resets, while the target says nothing.
        let client = connect(forward.addr);
        let mut other = accepted(&target);
        other.write_all(b"never read").unwrap();
        reset(client);
        assert!(rest(&mut other).is_empty());
        forward.line_with("closed ");
    }
}

#[test]
fn forward_serves_the_next_client_although_the_target_keeps_the_old_connection_open() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = start(&["forward", &target.local_addr().unwrap().to_string()], |_| {});
    let mut kept = Vec::new();
    for _ in 0..3 {
        let client = connect(forward.addr);
        let mut other = accepted(&target);
        other.write_all(b"never read").unwrap();
        reset(client);
        forward.line_with("closed ");
        kept.push(other); // its end stays open, and says nothing
    }
}

#[test]
fn forward_connects_to_an_ipv6_address() {
    let target = match TcpListener::bind("[::1]:0") {
        Ok(target) => target,
        Err(_) => return skipped("no IPv6"),
    };
    let forward = start(&["forward", &target.local_addr().unwrap().to_string()], |_| {});
    let mut client = connect(forward.addr);
    accepted(&target).write_all(b"six").unwrap();
    assert_eq!(rest(&mut client), b"six");
}
