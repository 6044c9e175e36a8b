//! `pipe`: no byte is lost and nothing hangs, whatever is at the other ends of standard input and output.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::io::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::processes::*;
use crate::visitor::*;

const MIB_64: usize = 64 << 20;

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
fn pipe_delivers_an_answer_after_the_clients_half_close() {
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
fn pipe_serves_the_next_client_after_a_reset_by_a_client_that_had_stopped_reading() {
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
    thread::sleep(Duration::from_millis(1200)); // a slow client
    assert_same(&rest(&mut client), &bytes);
}

#[test]
fn pipe_waits_for_an_answer_in_pieces() {
    // The pieces come much more often than twice a second. If the machine is too busy for that, the test tries again.
    for _ in 0..20 {
        let mut pipe = start(&["pipe"], |command| {
            command.stdin(Stdio::piped()).stdout(Stdio::null());
        });
        let mut stdin = pipe.child.stdin.take().unwrap();
        let mut client = connect(pipe.addr);
        client.shutdown(Shutdown::Write).unwrap();
        let (mut last, mut late) = (Instant::now(), Duration::ZERO);
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(100)); // a slow device
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

/// When the client resumes reading, the inbox can run empty before the thread of standard input, which waits for room, gets
/// processor time again.
#[cfg(target_os = "linux")]
#[test]
fn pipe_does_not_end_a_session_while_bytes_are_queued_for_the_client() {
    let bytes = pattern(1, 24 << 20);
    let input = Scratch::new("in-hand", &bytes);
    let pipe = start(&["pipe"], |command| {
        command.stdin(input.open()).stdout(Stdio::null());
    });
    let mut client = connect(pipe.addr);
    client.shutdown(Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(1200)); // a slow client
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
    let _socat = Killed::start(Command::new("socat").args([pty(&line), pty(&device)]));
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

#[test]
fn pipe_recv_only_never_half_closes_the_connection() {
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
    // Time in which the server could close its side.
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

// --- standard input that ends ---

/// Starts `pipe --send-only`; the test is the producer.
fn send_only() -> (Running, std::process::ChildStdin) {
    let mut pipe = start(&["pipe", "--send-only"], |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
    });
    let stdin = pipe.child.stdin.take().unwrap();
    (pipe, stdin)
}

#[test]
fn pipe_send_only_exits_with_0_at_the_end_of_standard_input_if_nothing_is_left() {
    // Nobody has ever connected.
    let (mut pipe, stdin) = send_only();
    drop(stdin);
    assert!(pipe.line().starts_with("standard input has ended"));
    assert_eq!(pipe.wait(), Some(0));
    // The connected client has received everything.
    let (mut pipe, mut stdin) = send_only();
    stdin.write_all(b"news").unwrap();
    let mut client = connect(pipe.addr);
    client.read_exact(&mut [0; 4]).unwrap();
    drop(stdin);
    assert_eq!(rest(&mut client), b"");
    assert_eq!(pipe.wait(), Some(0));
    // So has a client that has left.
    let (mut pipe, mut stdin) = send_only();
    stdin.write_all(b"news").unwrap();
    let mut client = connect(pipe.addr);
    client.read_exact(&mut [0; 4]).unwrap();
    drop(client);
    pipe.line_with("closed ");
    drop(stdin);
    assert_eq!(pipe.wait(), Some(0));
}

#[test]
fn pipe_send_only_delivers_the_rest_after_the_end_of_standard_input_and_exits_with_0() {
    let all = pattern(9, 3 << 20);
    for earlier_clients in [0, 1, 5] {
        let (mut pipe, mut stdin) = send_only();
        for _ in 0..earlier_clients {
            stdin.write_all(b"news").unwrap();
            let mut client = connect(pipe.addr);
            client.read_exact(&mut [0; 4]).unwrap();
            drop(client);
            pipe.line_with("closed ");
        }
        // More than the inbox holds, so the producer can end only when the last client has read a part of it.
        let left = all[..if earlier_clients == 5 { 9 } else { all.len() }].to_vec();
        let producer = thread::spawn(move || stdin.write_all(&left).map(|()| left).unwrap());
        if earlier_clients == 5 {
            pipe.line_with("standard input has ended");
        }
        let mut client = connect(pipe.addr);
        assert_same(&rest(&mut client), &producer.join().unwrap());
        assert_eq!(pipe.wait(), Some(0));
    }
}

#[test]
fn the_end_of_standard_input_is_logged() {
    let pipe = start(&["pipe"], |_| {});
    assert_eq!(pipe.line(), "standard input has ended; clients can still send");
    // It is not an error.
    command().args(["-q", "-l", "0", "pipe", "--send-only"]).assert().success().stderr("");
}

// --- live ---

#[test]
fn pipe_live_discards_input_while_nobody_is_connected() {
    let mut pipe = start(&["pipe", "--live"], |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
    });
    let mut stdin = pipe.child.stdin.take().unwrap();
    for _ in 0..3 {
        // Several times what the inbox holds. The producer is not blocked.
        stdin =
            in_time("the producer", move || stdin.write_all(&vec![b'o'; 4 << 20]).map(|()| stdin).unwrap());
        let mut client = connect(pipe.addr);
        pipe.line_with("connected ");
        stdin.write_all(b"new").unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"new") {
            let mut piece = [0; 4096];
            let count = client.read(&mut piece).unwrap();
            assert_ne!(count, 0, "the connection has ended");
            got.extend_from_slice(&piece[..count]);
        }
        // At most what was in the pipe and being read when the client connected.
        assert!(got.len() <= 2 * 64 * 1024 + 3, "{} bytes", got.len());
        drop(client);
        pipe.line_with("closed ");
    }
}

// --- non-blocking standard input and output ---

#[test]
fn pipe_loses_nothing_if_its_standard_streams_are_non_blocking() {
    let (mut producer, stdin) = UnixStream::pair().unwrap();
    let (stdout, mut consumer) = UnixStream::pair().unwrap();
    stdin.set_nonblocking(true).unwrap();
    stdout.set_nonblocking(true).unwrap();
    let mut pipe = start(&["--once", "pipe"], |command| {
        command.stdin(OwnedFd::from(stdin)).stdout(OwnedFd::from(stdout));
    });
    let mut client = connect(pipe.addr);
    pipe.line_with("connected ");
    // Nothing to read yet: it waits without spinning. A tick is 10 ms.
    let before = pipe.ticks();
    thread::sleep(Duration::from_millis(300));
    let ticks = pipe.ticks() - before;
    assert!(ticks < 10, "{ticks} ticks in 0.3 s");
    let (up, down) = (pattern(10, 4 << 20), pattern(11, 4 << 20));
    let sent = down.clone();
    let producing = thread::spawn(move || producer.write_all(&sent).unwrap());
    let consuming = thread::spawn(move || {
        let mut all = vec![0; 4 << 20];
        for piece in all.chunks_mut(100_000) {
            consumer.read_exact(piece).unwrap();
            thread::sleep(Duration::from_millis(2)); // a slow reader, so the socket is full again and again
        }
        all
    });
    assert_same(&through(&mut client, &up), &down);
    producing.join().unwrap();
    assert_same(&consuming.join().unwrap(), &up);
    assert_eq!(pipe.wait(), Some(0));
}
