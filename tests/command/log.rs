//! The lines on standard error: refusals are summarised, and a blocked standard error never stalls the server.

use std::io::Write;
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::time::Instant;

use single_server::{Refusal, Signal, SingleServer};

use crate::processes::*;
use crate::visitor::*;

#[test]
fn refusals_are_summarised_once_a_second() {
    let echo = start(&["echo"], |_| {});
    let mut served = connect(echo.addr);
    ping(&mut served).unwrap();
    let began = Instant::now();
    for _ in 0..3000 {
        rest(&mut connect(echo.addr));
    }
    served.shutdown(Shutdown::Write).unwrap();
    rest(&mut served);
    echo.line_with("connected ");
    let (mut lines, mut count) = (0, 0);
    while count < 3000 {
        let line = echo.line();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["refused", peer, "busy"] if peer.ends_with(':') => count += 1,
            ["refused", more, "more,", "the", "last", _, "busy"] => count += more.parse::<u64>().unwrap(),
            // The log could not keep up with the burst, and prints how many events it missed.
            ["missed", missed, "events"] => count += missed.parse::<u64>().unwrap(),
            ["closed", ..] => continue,
            _ => panic!("{line}"),
        }
        lines += 1;
    }
    let seconds = began.elapsed().as_secs();
    // Missed events are also summarised in one line a second.
    assert!(lines <= 2 * (seconds + 3), "{lines} lines in {seconds} s");
}

#[test]
fn a_burst_of_clients_is_summarised_once_a_second() {
    const CLIENTS: u64 = 2000;
    let echo = start(&["--busy", "replace", "echo"], |_| {});
    let began = Instant::now();
    let mut last = None;
    for _ in 0..CLIENTS {
        let mut client = connect(echo.addr);
        ping(&mut client).unwrap();
        last = Some(client); // the one before has been replaced
    }
    drop(last);
    let (mut connected, mut closed, mut missed, mut lines) = (0, 0, 0, 0);
    while connected + closed + missed < 2 * CLIENTS {
        let line = echo.line();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["connected", more, "more,", "the", "last", _] => connected += more.parse::<u64>().unwrap(),
            ["connected", _] => connected += 1,
            ["closed", more, "more,", "the", "last", ..] => closed += more.parse::<u64>().unwrap(),
            ["closed", ..] => closed += 1,
            // The log could not keep up with the burst, and prints how many events it missed.
            ["missed", number, "events"] => missed += number.parse::<u64>().unwrap(),
            _ => panic!("{line}"),
        }
        lines += 1;
    }
    assert_eq!(connected + closed + missed, 2 * CLIENTS);
    let seconds = began.elapsed().as_secs();
    // The first lines of the burst in full, then a line of each kind a second.
    assert!(lines <= 40 + 3 * (seconds + 3), "{lines} lines in {seconds} s");
}

#[test]
fn without_a_burst_every_event_has_a_line() {
    let echo = start(&["echo"], |_| {});
    for _ in 0..10 {
        let client = connect(echo.addr);
        let peer = client.local_addr().unwrap();
        drop(client);
        assert_eq!(echo.line(), format!("connected {peer}"));
        assert!(echo.line().starts_with(&format!("closed {peer}: client closed, ")));
    }
}

#[test]
fn complaints_in_a_burst_of_clients_are_summarised() {
    let target = free_address().to_string();
    let forward = start(&["forward", &target], |_| {});
    const CLIENTS: u64 = 200;
    for _ in 0..CLIENTS {
        let mut client = connect(forward.addr);
        let _ = client.write_all(b"a job");
        rest(&mut client);
    }
    let began = Instant::now();
    let (mut complaints, mut lines) = (0, 0);
    while complaints < CLIENTS {
        let line = forward.line();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [more, "more", "such", "lines,", ..] => complaints += more.parse::<u64>().unwrap(),
            ["cannot", "connect", ..] => complaints += 1,
            ["connected" | "closed" | "missed", ..] => {}
            _ => panic!("{line}"),
        }
        lines += 1;
    }
    let seconds = began.elapsed().as_secs();
    assert!(lines <= 60 + 3 * (seconds + 3), "{lines} lines in {seconds} s");
}

/// O_NONBLOCK belongs to the open file, so any process that shares standard error can set it.
#[cfg(unix)]
#[test]
fn no_line_is_lost_if_standard_error_is_non_blocking_and_full() {
    use std::os::unix::io::OwnedFd;
    use std::os::unix::net::UnixStream;
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(DEADLINE)).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut filled = 0;
    while let Ok(count) = (&theirs).write(&[b'.'; 4096]) {
        filled += count;
    }
    while (&theirs).write(b".").is_ok() {
        filled += 1;
    }
    let addr = free_address();
    let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
    command.args(["--once", "-l", &addr.to_string(), "echo"]).stderr(OwnedFd::from(theirs));
    let mut child = Killed::start(&mut command);
    drop(command); // it holds the other end, too
    let client = connect_until_served(addr);
    let peer = client.local_addr().unwrap();
    let mut errors = std::io::BufReader::new(ours);
    std::io::Read::read_exact(&mut errors, &mut vec![0; filled]).unwrap();
    drop(client);
    let lines: Vec<String> = in_time("the command", move || {
        child.0.wait().unwrap();
        std::io::BufRead::lines(errors).map(Result::unwrap).collect()
    });
    assert_eq!(lines[..2], [format!("listening on {addr}"), format!("connected {peer}")]);
    assert!(lines[2].starts_with(&format!("closed {peer}: ")) && lines.len() == 3, "{lines:?}");
}

#[test]
fn a_blocked_standard_error_does_not_stall_the_server() {
    // The pipe is not read after the first line. It holds 64 KiB, and the events fill far more.
    let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
    command.args(["-l", "0", "-a", "127.0.0.1", "echo"]).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = Killed::start(&mut command);
    let mut errors = std::io::BufReader::with_capacity(128, child.0.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut errors, &mut line).unwrap();
    let addr = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    let id = child.0.id().to_string();
    let mut memory = 0;
    for number in 0..4000 {
        let mut client = connect(addr);
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut client), b"hello", "client {number}");
        if number == 1000 {
            memory = status(&id, "VmRSS:");
        }
    }
    let grown = status(&id, "VmRSS:") - memory;
    assert!(grown < 1024, "{grown} KiB");
}

#[test]
fn each_signal_prints_as_one_line() {
    let peer = "192.0.2.1:40000".parse().unwrap();
    let refused = Signal::Refused { peer, why: Refusal::NotAllowed };
    assert_eq!(refused.to_string(), "refused 192.0.2.1:40000: not allowed");
    assert_eq!(Signal::Missed(7).to_string(), "missed 7 events");
    assert_eq!(Signal::Connected(peer).to_string(), "connected 192.0.2.1:40000");
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let client = connect(server.local_addr());
    let peer = next_connected(&signals);
    server.stop().unwrap();
    let last = signals.recv_timeout(DEADLINE).unwrap().to_string();
    assert!(last.starts_with(&format!("closed {peer}: server stopped, 0 bytes in, 0 bytes out, ")), "{last}");
    drop(client);
}

#[test]
fn the_line_of_a_closed_session_gives_the_reason() {
    let closed = |echo: &Running| echo.line_with("closed ").split(": ").nth(1).unwrap().to_string();
    let echo = start(&["--busy", "replace", "--idle-timeout", "1", "echo"], |_| {});
    // Bytes in transit when a connection is cut may count as sent or as discarded, so those are not compared.
    let mut client = connect(echo.addr);
    ping(&mut client).unwrap();
    let mut newer = connect(echo.addr);
    ping(&mut newer).unwrap();
    assert!(closed(&echo).starts_with("replaced, 4 bytes in, "));
    rest(&mut newer);
    assert!(closed(&echo).starts_with("idle, 4 bytes in, 4 bytes out, "));
    let mut client = connect(echo.addr);
    client.write_all(b"unread").unwrap();
    reset(client);
    assert!(closed(&echo).starts_with("connection reset, 6 bytes in, "));
    let mut client = connect(echo.addr);
    let _ = client.write_all(&vec![0; 40 << 20]); // until it is cut
    let line = closed(&echo);
    assert!(line.starts_with("stalled, ") && line.contains(" discarded, "), "{line}");
}

#[test]
fn the_last_refusals_are_summarised_before_the_command_exits() {
    let echo = start(&["--once", "echo"], |_| {});
    let mut served = connect(echo.addr);
    ping(&mut served).unwrap();
    for _ in 0..3 {
        rest(&mut connect(echo.addr));
    }
    drop(served);
    let mut count = 0;
    while count < 3 {
        let line = echo.line_with("refused ");
        let words: Vec<&str> = line.split(' ').collect();
        count += words[1].parse().unwrap_or(1);
    }
}

#[cfg(unix)]
#[test]
fn a_blocked_standard_error_does_not_delay_the_exit() {
    use std::os::unix::io::OwnedFd;
    use std::os::unix::net::UnixStream;
    let addr = free_address();
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    while (&theirs).write(&[0; 4096]).is_ok() {}
    while (&theirs).write(&[0]).is_ok() {}
    theirs.set_nonblocking(false).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
    let (_, stdout) = UnixStream::pair().unwrap(); // nobody is at the other end
    command.args(["-l", &addr.to_string(), "pipe"]).stdin(Stdio::piped()).stdout(OwnedFd::from(stdout));
    let mut child = Killed::start(command.stderr(OwnedFd::from(theirs)));
    let mut client = in_time("listening", move || loop {
        if let Ok(client) = std::net::TcpStream::connect(addr) {
            return client;
        }
        std::thread::yield_now();
    });
    client.write_all(b"hello").unwrap();
    let status = in_time("the end of the command", move || child.0.wait().unwrap());
    assert_eq!(status.code(), Some(1));
    drop(ours);
}
