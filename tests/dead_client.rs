//! Promise 9, *dead clients are timed out*: a client that has gone does not keep the slot.
//!
//! The tests assert that no session is ended too early. For "not too late" they allow the general deadline, because the
//! machine may be slow.

mod visitor;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Busy, Message, Options, Reason};
use visitor::*;

const IDLE: Duration = Duration::from_millis(400);
/// For sessions that must not end: long enough that a busy machine does not end them either.
const LONG_IDLE: Duration = Duration::from_millis(4 * 400);

#[test]
fn a_client_that_sends_nothing_is_disconnected_after_the_idle_timeout() {
    let echo = echo(Options::new().idle_timeout(IDLE));
    let mut client = connect(echo.addr);
    assert!(rest(&mut client).is_empty());
    let report = next_report(&echo.signals);
    assert_eq!(report.reason, Reason::Idle);
    assert!(report.lasted >= IDLE, "{report:?}");
}

#[test]
fn a_client_that_falls_silent_is_disconnected_an_idle_timeout_after_its_last_byte() {
    let echo = echo(Options::new().idle_timeout(LONG_IDLE));
    let mut client = connect(echo.addr);
    thread::sleep(LONG_IDLE / 2); // within the timeout
    ping(&mut client).unwrap();
    let said = Instant::now();
    assert!(rest(&mut client).is_empty());
    assert!(said.elapsed() >= LONG_IDLE - Duration::from_millis(20), "{:?}", said.elapsed());
    let report = next_report(&echo.signals);
    assert_eq!((report.reason, report.received, report.sent), (Reason::Idle, 4, 4));
}

#[test]
fn bytes_from_the_client_keep_its_session_open() {
    let server = Options::new().idle_timeout(LONG_IDLE).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let talking = thread::spawn(move || {
        for _ in 0..20 {
            thread::sleep(LONG_IDLE / 8);
            client.write_all(b"still here").unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        rest(&mut client)
    });
    loop {
        if let Message::End(end) = next_message(&server) {
            assert_eq!((end.client().report(), end.client().traffic().received), (None, 200));
            break;
        }
    }
    talking.join().unwrap();
}

#[test]
fn bytes_to_the_client_keep_its_session_open() {
    let server = Options::new().idle_timeout(LONG_IDLE).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let inbox = server.inbox();
    let talking = thread::spawn(move || {
        for _ in 0..20 {
            thread::sleep(LONG_IDLE / 8);
            inbox.send("tick").unwrap();
        }
    });
    assert_eq!(rest(&mut client).len(), 80);
    talking.join().unwrap();
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent), (Reason::Idle, 80));
}

#[test]
fn a_half_closed_client_that_gets_no_answer_is_disconnected_as_idle() {
    let server = Options::new().idle_timeout(IDLE).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    client.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let end = next_message(&server); // kept: the application could still answer
    assert!(rest(&mut client).is_empty());
    assert_eq!(next_report(&signals).reason, Reason::Idle);
    drop(end);
}

#[test]
fn a_reset_during_the_answer_frees_the_slot() {
    let server = Options::new().bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let end = loop {
        if let Message::End(end) = next_message(&server) {
            break end;
        }
    };
    end.client().inbox().send("answer").unwrap();
    client.peek(&mut [0]).unwrap();
    drop(client); // with unread bytes, so the kernel sends a RST
    let inbox = end.client().inbox();
    in_time("sending to a client that has reset", move || while inbox.send("and another thing").is_ok() {});
    assert_eq!(report_of(&end).reason, Reason::Reset);
    assert!(!server.is_busy());
}

#[test]
fn a_reset_found_by_a_write_ends_the_session_once_the_received_bytes_have_been_read() {
    let mut server = Options::new().buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    client.write_all(&pattern(4, 60_000)).unwrap();
    drop(client);
    let session = server.accept().unwrap();
    // The client's kernel answers the first write with a RST, and the second write fails.
    session.inbox().send("a piece").unwrap();
    becomes(7, || session.client().traffic().sent);
    session.inbox().send("another").unwrap();
    let received: usize = session.chunks().map(|chunk| chunk.len()).sum();
    assert_eq!(received, 60_000);
    // The session ends although the application neither writes nor closes it.
    assert_eq!(next_report(&signals).reason, Reason::Reset);
}

#[test]
fn a_client_that_does_not_read_bytes_queued_before_it_connected_is_disconnected_as_stalled() {
    let server = Options::new().idle_timeout(IDLE).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    server.inbox().send(vec![b'x'; 30 << 20]).unwrap();
    let _client = connect(server.local_addr());
    let report = next_report(&signals);
    assert_eq!((report.reason, report.sent + report.discarded), (Reason::Stalled, 30 << 20), "{report:?}");
}

#[test]
fn a_client_that_sends_but_does_not_read_is_disconnected_as_stalled() {
    let server = Options::new().idle_timeout(IDLE).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let inbox = server.inbox();
    let sending = thread::spawn(move || {
        let mut sent = 0;
        while inbox.send(vec![b'x'; 100_000]).is_ok() {
            sent += 100_000;
        }
        sent
    });
    // The client sends, but does not read.
    let mut talking = client.try_clone().unwrap();
    thread::spawn(move || {
        while talking.write_all(b"la la la").is_ok() {
            thread::sleep(IDLE / 10)
        }
    });
    let report = next_report(&signals);
    assert_eq!(report.reason, Reason::Stalled);
    let sent: u64 = in_time("send", move || sending.join().unwrap());
    assert_eq!(report.sent + report.discarded, sent);
    // The slot is free.
    let _next = connect(server.local_addr());
    next_connected(&signals);
    let mut scrap = [0; 1 << 16];
    while let Ok(1..) = client.read(&mut scrap) {}
}

#[test]
fn a_client_that_reads_slowly_is_not_disconnected() {
    // One message whose write takes much longer than the timeout.
    let sent = pattern(1, 24 << 20);
    let server = Options::new().idle_timeout(LONG_IDLE).bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    let inbox = server.inbox();
    let copy = sent.clone();
    let sending = thread::spawn(move || inbox.send(copy).unwrap());
    let mut received = vec![0; sent.len()];
    for piece in received.chunks_mut(1 << 20) {
        if let Err(e) = client.read_exact(piece) {
            panic!("{e}: {:?}", next_report(&signals));
        }
        thread::sleep(LONG_IDLE / 4); // a quarter of the timeout, long enough for a busy machine
    }
    sending.join().unwrap();
    assert_same(&received, &sent);
}

#[test]
fn a_slow_application_does_not_make_its_client_idle() {
    let mut server =
        Options::new().idle_timeout(LONG_IDLE).buffer_size(1000).depth(1).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let sent = pattern(2, 100_000);
    client.write_all(&sent).unwrap();
    let mut session = server.accept().unwrap();
    thread::sleep(LONG_IDLE * 2);
    let mut received = vec![0; sent.len()];
    session.read_exact(&mut received).unwrap();
    assert_same(&received, &sent);
    client.write_all(b"and more").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut more = String::new();
    session.read_to_string(&mut more).unwrap();
    assert_eq!(more, "and more");
}

#[test]
fn no_time_is_counted_against_a_client_before_the_reader_reaches_it() {
    let options = Options::new().busy(Busy::Replace).idle_timeout(LONG_IDLE).depth(1);
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let control = server.control();
    let mut old = connect(server.local_addr());
    let session = server.accept().unwrap();
    block_the_reader(&mut old, &session);
    let new = connect(session.client().local_addr());
    let peer = new.local_addr().unwrap();
    assert_eq!(session.wait_until_over().reason, Reason::Replaced);
    becomes(Some(peer), || control.client().map(|client| client.peer_addr()));
    // The reader delivers its last chunk of the old client. Then it waits for room again, to announce the new one.
    assert_eq!(session.next_chunk().as_deref(), Some(&b"one"[..]));
    thread::sleep(LONG_IDLE * 2);
    assert_eq!(control.client().map(|client| client.peer_addr()), Some(peer));
    assert_eq!(session.next_chunk().as_deref(), Some(&b"two"[..]));
    assert!(session.next_chunk().is_none());
    drop(session);
    let session = server.accept().unwrap();
    assert_eq!(session.client().peer_addr(), peer);
    assert_eq!(session.wait_until_over().reason, Reason::Idle);
}

#[test]
fn a_slow_application_still_has_time_to_answer() {
    // Depth 1: while the application sleeps, the reader waits for room for the only chunk.
    let server = Options::new().idle_timeout(LONG_IDLE).depth(1).bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    thread::sleep(LONG_IDLE * 2);
    let end = loop {
        if let Message::End(end) = next_message(&server) {
            break end;
        }
    };
    thread::sleep(LONG_IDLE / 4);
    end.client().inbox().send("answer").unwrap();
    drop(end);
    assert_eq!(rest(&mut client), b"answer");
}

/// Two hosts in network namespaces. The link between them goes down, so neither FIN nor RST arrives.
#[cfg(target_os = "linux")]
#[test]
fn a_link_that_goes_dead_without_a_fin_frees_the_slot() {
    let ip = |arguments: &str| {
        let done = std::process::Command::new("ip").args(arguments.split(' ')).output();
        done.map_or(false, |output| output.status.success())
    };
    let id = std::process::id() % 100_000;
    let (here, there) = (format!("ssh{id}"), format!("sst{id}"));
    struct Namespaces<'a>(&'a dyn Fn(&str) -> bool, [String; 2]);
    impl Drop for Namespaces<'_> {
        fn drop(&mut self) {
            for name in &self.1 {
                (self.0)(&format!("netns del {name}"));
            }
        }
    }
    if !ip(&format!("netns add {here}")) {
        skipped("no permission to create network namespaces (ip netns add)");
        return;
    }
    let _namespaces = Namespaces(&ip, [here.clone(), there.clone()]);
    let steps = [
        format!("netns add {there}"),
        format!("-n {here} link add wire type veth peer name wire netns {there}"),
        format!("-n {here} addr add 192.0.2.1/24 dev wire"),
        format!("-n {there} addr add 192.0.2.2/24 dev wire"),
        format!("-n {here} link set wire up"),
        format!("-n {there} link set wire up"),
    ];
    for step in &steps {
        assert!(ip(step), "ip {step}");
    }
    let mut server = std::process::Command::new("ip");
    server.args(["netns", "exec", &here, env!("CARGO_BIN_EXE_single-server")]);
    server.args(["-l", "192.0.2.1:0", "--idle-timeout", "1", "echo"]);
    server.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let server = start(&[], move |command| *command = server);
    let client = format!(
        "exec 3<>/dev/tcp/192.0.2.1/{}; echo hello >&3; read line <&3; echo $line; sleep 100",
        server.addr.port()
    );
    let client = std::process::Command::new("ip")
        .args(["netns", "exec", &there, "bash", "-c", &client])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut client = Killed(client.unwrap());
    let mut out = client.0.stdout.take().unwrap();
    let hello = in_time("the other host", move || {
        let mut hello = [0; 6];
        out.read_exact(&mut hello).map(|()| hello).unwrap()
    });
    assert_eq!(&hello, b"hello\n");
    server.line_with("connected 192.0.2.2:");
    assert!(ip(&format!("-n {there} link set wire down")));
    let line = server.line_with("closed 192.0.2.2:");
    assert!(line.contains(": idle, 6 bytes in, 6 bytes out"), "{line}");
}

// Windows reports a reset only to a read or a write.
#[cfg(not(windows))]
#[test]
fn a_reset_frees_the_slot_even_while_the_outbox_is_full() {
    let options = Options::new().idle_timeout(IDLE).buffer_size(1000).depth(1);
    let server = options.bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let mut client = connect(server.local_addr());
    assert!(matches!(next_message(&server), Message::Connected(_)));
    write_until_held_back(&mut client); // the outbox is full, and the reader waits for room
    server.inbox().send("unread").unwrap();
    reset(client);
    assert_eq!(next_report(&signals).reason, Reason::Reset);
    assert!(!server.is_busy());
    // The next client is served although the application still reads nothing.
    let mut next = connect(server.local_addr());
    next_connected(&signals);
    server.inbox().send("hello").unwrap();
    finish(&server.control());
    assert_eq!(rest(&mut next), b"hello");
    let mut ends = 0;
    while ends == 0 {
        match next_message(&server) {
            Message::End(end) => {
                assert_eq!(report_of(&end).reason, Reason::Reset);
                ends += 1;
            }
            other => assert!(matches!(other, Message::Data(_)), "{other:?}"),
        }
    }
}

/// `ETIMEDOUT` means that the peer's host stopped acknowledging. It must not be taken for a timeout of our own.
#[cfg(target_os = "linux")]
#[test]
fn etimedout_from_tcp_ends_the_session_as_a_reset() {
    // The kernel reports this error once: here to the second read, or to the second write.
    for fault in ["recvfrom:error=ETIMEDOUT:when=2", "sendto:error=ETIMEDOUT:when=2"] {
        for options in [&["echo"][..], &["--idle-timeout", "100", "echo"]] {
            let echo = match start_with_faults(fault, options) {
                Some(echo) => echo,
                None => return,
            };
            let mut client = connect(echo.addr);
            client.write_all(b"ping").unwrap();
            if fault.starts_with("sendto") {
                let mut back = [0; 4];
                client.read_exact(&mut back).unwrap();
                client.write_all(b"this cannot be written back").unwrap();
            }
            let _ = client.shutdown(Shutdown::Write); // only the error prevents an orderly end
            let got = rest(&mut client);
            let line = echo.line_with("closed ");
            assert!(line.contains(": connection reset, "), "{fault} {options:?}: {line}");
            assert!(b"ping".starts_with(&got), "{fault} {options:?}: {got:?}");
        }
    }
}

#[test]
fn a_client_that_goes_on_sending_is_disconnected_after_the_session_timeout() {
    let timeout = Duration::from_millis(200);
    let echo = echo(Options::new().idle_timeout(LONG_IDLE).session_timeout(timeout));
    let mut client = connect(echo.addr);
    while ping(&mut client).is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
    let report = next_report(&echo.signals);
    assert_eq!(report.reason, Reason::TimeUp);
    assert!(report.lasted >= timeout, "{report:?}");
}

/// A container that is paused, a debugger, a laptop that sleeps: the clock goes on while the process does not.
#[cfg(target_os = "linux")]
#[test]
fn a_client_whose_bytes_have_arrived_while_the_process_was_paused_is_not_idle() {
    let echo = start(&["--idle-timeout", "200ms", "echo"], |_| {});
    let signal = |name: &str| {
        let mut shell = std::process::Command::new("sh");
        assert!(shell.args(["-c", &format!("kill {name} {}", echo.id())]).status().unwrap().success());
    };
    for _ in 0..20 {
        let mut client = connect_until_served(echo.addr);
        signal("-STOP");
        client.write_all(b"pong").unwrap();
        thread::sleep(Duration::from_millis(250)); // longer than the timeout
        signal("-CONT");
        let mut back = [0; 4];
        client.read_exact(&mut back).expect("the session goes on");
        assert_eq!(&back, b"pong");
    }
}
