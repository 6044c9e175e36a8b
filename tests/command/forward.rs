//! `forward`, with targets that stall, vanish, start late or never start.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::io::OwnedFd;
use std::process::{Command, Stdio};
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use crate::processes::*;
use crate::visitor::*;

const MIB_64: usize = 64 << 20;

/// The next connection to a target.
fn accepted(target: &TcpListener) -> TcpStream {
    let target = target.try_clone().unwrap();
    let stream = in_time("forward's connection to the target", move || target.accept().unwrap().0);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn target() -> (TcpListener, String) {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = target.local_addr().unwrap().to_string();
    (target, addr)
}

/// Threads of a command while it dials: three of the server, the log, the main thread, and the one that dials.
#[cfg(target_os = "linux")]
const THREADS: u64 = 6;

#[cfg(target_os = "linux")]
fn threads(running: &Running) -> u64 {
    status(&running.id(), "Threads:")
}

/// A listener whose backlog is full does not answer, so dialling it times out.
#[cfg(target_os = "linux")]
fn fill_backlog(target: &TcpListener) -> Vec<TcpStream> {
    let addr = target.local_addr().unwrap();
    let mut filling = Vec::new();
    // One attempt may also fail because the machine is busy.
    let mut failures = 0;
    while failures < 3 {
        match TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            Ok(stream) => filling.push(stream),
            Err(_) => failures += 1,
        }
    }
    filling
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
    let _socat = Killed::start(Command::new("socat").args(["-t", "60", &listen, "EXEC:cat"]));
    becomes(true, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let forward = start(&["forward", &format!("127.0.0.1:{port}")], |_| {});
    let (host, port) = (forward.addr.ip().to_string(), forward.addr.port().to_string());
    let input = Scratch::new("forward-in", &sent);
    let mut ncat = Command::new("ncat");
    let mut ncat = Killed::start(ncat.args([host, port]).stdin(input.open()).stdout(Stdio::piped()));
    let mut out = ncat.0.stdout.take().unwrap();
    let back = in_time("ncat", move || {
        let mut back = Vec::new();
        out.read_to_end(&mut back).map(|_| back).unwrap()
    });
    assert_same(&back, &sent);
}

#[test]
fn forward_resets_a_client_if_the_target_cannot_be_reached() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let forward = start(&["forward", &closed.to_string()], |_| {});
    for _ in 0..3 {
        let mut client = connect(forward.addr);
        // The bytes may arrive before the drop or after it. In both cases the client sees a reset, because they are unread.
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
        // The client resets, while the target is silent.
        let client = connect(forward.addr);
        let mut other = accepted(&target);
        other.write_all(b"never read").unwrap();
        reset(client);
        assert!(rest(&mut other).is_empty());
        forward.line_with("closed ");
    }
}

#[test]
fn forward_serves_the_next_client_even_if_the_target_keeps_the_old_connection_open() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = start(&["forward", &target.local_addr().unwrap().to_string()], |_| {});
    let mut kept = Vec::new();
    for _ in 0..3 {
        let client = connect(forward.addr);
        let mut other = accepted(&target);
        other.write_all(b"never read").unwrap();
        reset(client);
        forward.line_with("closed ");
        kept.push(other); // the target's end stays open and silent
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

#[test]
fn a_target_that_stops_reading_does_not_keep_the_slot() {
    for leave in [Leave::Reset, Leave::Close, Leave::Stay] {
        let (target, addr) = target();
        let forward = start(&["--idle-timeout", "300ms", "forward", &addr], |_| {});
        let client = connect(forward.addr);
        let mut stalled = accepted(&target);
        stalled.write_all(b"unread").unwrap(); // lets the client leave with a reset
        wait_for_bytes(&client);
        let _stays = send_and_leave(client, leave);
        forward.line_with("closed ");
        let mut client = connect(forward.addr);
        accepted(&target).write_all(b"hello").unwrap();
        assert_eq!(rest(&mut client), b"hello", "after {leave:?}");
    }
}

#[test]
fn a_stalled_target_is_named_in_the_log() {
    let (target, addr) = target();
    let forward = start(&["--idle-timeout", "300ms", "forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    let _stalled = accepted(&target);
    write_until_blocked(&mut client);
    assert_eq!(forward.line_with("target "), format!("target {addr} has taken no data for 300ms"));
    assert!(forward.line_with("closed ").contains(": aborted, "));
}

#[cfg(target_os = "linux")]
#[test]
fn clients_that_give_up_on_a_target_that_does_not_answer_leave_no_threads() {
    let (target, addr) = target();
    let _filling = fill_backlog(&target);
    let forward = start(&["forward", &addr], |_| {});
    let mut most = 0;
    for _ in 0..100 {
        // No dial for a client that leaves without sending anything.
        let _ = connect(forward.addr).write(b"a job");
        most = most.max(threads(&forward));
    }
    assert!(most <= THREADS, "{most} threads");
    // The target was dialled for the first client, and the others were refused.
    forward.line_with("cannot connect to ");
    becomes(THREADS - 1, || threads(&forward));
}

#[cfg(target_os = "linux")]
#[test]
fn a_target_connection_dialled_for_a_replaced_client_is_used_for_the_next_one() {
    let (target, addr) = target();
    let filling = fill_backlog(&target);
    let filling: Vec<_> = filling.iter().map(|stream| stream.local_addr().unwrap()).collect();
    let forward = start(&["--busy", "replace", "forward", &addr], |_| {});
    let _old = connect(forward.addr);
    forward.line_with("connected ");
    let mut new = connect(forward.addr);
    assert!(forward.line_with("closed ").contains(": replaced, "));
    new.write_all(b"a job to print").unwrap();
    new.shutdown(Shutdown::Write).unwrap();
    // If the dial succeeded before the old client was replaced, that connection is in the backlog, too, and has ended.
    let job = loop {
        let mut other = accepted(&target);
        if !filling.contains(&other.peer_addr().unwrap()) {
            match rest(&mut other) {
                nothing if nothing.is_empty() => {}
                job => break job,
            }
        }
    };
    assert_eq!(job, b"a job to print");
}

#[test]
fn forward_keeps_a_client_waiting_until_a_late_target_can_be_reached() {
    let addr = free_address().to_string();
    let forward = start(&["--retry", "50s", "forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"a job to print").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(forward.line_with("cannot connect to ").ends_with("; retrying for 50s"));
    let target = TcpListener::bind(&addr).unwrap();
    let mut other = accepted(&target);
    assert_eq!(rest(&mut other), b"a job to print");
    other.write_all(b"done").unwrap();
    drop(other);
    assert_eq!(rest(&mut client), b"done");
}

#[test]
fn forward_resets_a_client_that_has_sent_its_whole_job_if_the_target_cannot_be_reached() {
    for retry in ["0", "1"] {
        let closed = target().1;
        // The job is in the backlog before the command accepts.
        let (listener, addr) = target();
        let mut client = connect(addr.parse().unwrap());
        client.write_all(b"a job to print").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let forward = start(&["-l", "stdin", "--retry", retry, "forward", &closed], |command| {
            command.stdin(OwnedFd::from(listener));
        });
        let end = client.read(&mut [0]);
        assert_eq!(end.expect_err("not an orderly end").kind(), ErrorKind::ConnectionReset);
        assert!(forward.line_with("closed ").contains(": aborted, 0 bytes in, "));
    }
}

#[test]
fn a_second_client_is_refused_at_once_while_the_first_one_waits_for_the_target() {
    let addr = free_address().to_string();
    let forward = start(&["--busy-message", "busy", "--retry", "1h", "forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"a job to print").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    forward.line_with("cannot connect to ");
    for _ in 0..3 {
        assert_eq!(rest(&mut connect(forward.addr)), b"busy\n");
    }
    let target = TcpListener::bind(&addr).unwrap();
    assert_eq!(rest(&mut accepted(&target)), b"a job to print");
}

#[test]
fn retries_end_when_the_client_is_replaced() {
    let addr = free_address().to_string();
    let forward = start(&["--busy", "replace", "--retry", "1h", "forward", &addr], |_| {});
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(connect(forward.addr));
        assert!(forward.line_with("cannot connect to ").ends_with("; retrying for 3600s"));
    }
}

#[test]
fn a_reset_by_the_target_aborts_the_session() {
    let (target, addr) = target();
    let forward = start(&["forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"never read").unwrap();
    reset(accepted(&target));
    let begin = format!("target {addr} has broken the connection: Connection reset");
    assert!(forward.line_with("target ").starts_with(&begin));
    assert!(forward.line_with("closed ").contains(": aborted, "));
    rest(&mut client);
}

#[test]
fn an_answer_received_before_a_reset_by_the_target_is_delivered() {
    let (target, addr) = target();
    let forward = start(&["forward", &addr], |_| {});
    let mut client = connect(forward.addr);
    client.write_all(b"never read").unwrap();
    let mut other = accepted(&target);
    other.write_all(b"421 too many connections").unwrap();
    reset(other);
    assert_eq!(rest(&mut client), b"421 too many connections");
    assert!(forward.line_with("closed ").contains(": aborted, "));
}

#[test]
fn forward_closes_its_connection_to_the_target_before_it_dials_again() {
    let (listener, addr) = target();
    let forward = start(&["--busy", "replace", "forward", &addr], |_| {});
    let mut kept = Vec::new();
    let mut old: Option<TcpStream> = None;
    for _ in 0..20 {
        let mut client = connect(forward.addr);
        let mut new = accepted(&listener);
        if let Some(mut old) = old {
            old.set_nonblocking(true).unwrap();
            assert_eq!(old.read(&mut [0]).expect("the end of the old connection"), 0);
        }
        // Until then, the next client may still get this connection.
        new.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        kept.push(client);
        old = Some(new);
    }
}

#[test]
fn once_exits_with_1_if_the_target_cannot_be_reached() {
    let mut forward = start(&["--once", "forward", &free_address().to_string()], |_| {});
    rest(&mut connect(forward.addr));
    forward.line_with("cannot connect to ");
    assert_eq!(forward.wait(), Some(1));
}

#[test]
fn clients_that_connect_again_after_the_target_has_closed_are_served() {
    // Alone: other tests start processes, which briefly inherit a client's connection.
    if !is_alone() {
        return;
    }
    let (listener, addr) = target();
    let forward = start(&["forward", &addr], |_| {});
    for number in 0..100 {
        let mut client = connect(forward.addr);
        accepted(&listener).write_all(b"bye").unwrap(); // and closes
        assert_eq!(rest(&mut client), b"bye", "client {number}");
    }
}

// --- names and addresses ---

#[cfg(target_os = "linux")]
#[test]
fn a_link_local_address_with_its_interface_works_as_target_and_for_listening() {
    let target = "[fe80::77%eth0]:9100";
    let setup = format!(
        "ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up;
         ip addr add fe80::77/64 dev eth0 nodad;
         timeout 60 \"$0\" --once -q -l '{target}' echo &"
    );
    let mut command = match network::alone_in_network(&setup) {
        Some(command) => command,
        None => return,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    command.args(["-l", "stdin", "forward", "--retry", "50s", target]).stdin(OwnedFd::from(listener));
    let _forward = started(command);
    assert_eq!(through(&mut connect(addr), b"six"), b"six");
}

/// If nobody listens on a local port in the ephemeral range, the kernel may connect the socket to itself. Here that range has
/// only this port.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_that_connects_to_itself_is_not_taken_for_the_target() {
    let setup = "echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range";
    let mut command = match network::alone_in_network(setup) {
        Some(command) => command,
        None => return,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    command.args(["-l", "stdin", "forward", "127.0.0.1:40000"]).stdin(OwnedFd::from(listener));
    let forward = started(command);
    // Only the first attempt: afterwards the port is in TIME_WAIT.
    let mut client = connect(addr);
    client.write_all(b"a job to print").unwrap();
    assert_eq!(rest(&mut client), b"");
    let line = forward.line_with("cannot connect to ");
    assert_eq!(line, "cannot connect to 127.0.0.1:40000: nobody listens there");
    assert!(forward.line_with("closed ").contains(": aborted, 0 bytes in, "));
}

/// Starts the command with a name server that does not answer for a minute.
#[cfg(target_os = "linux")]
fn without_name_server(arguments: &[&str]) -> Option<Running> {
    let setup = "ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up;
        ip addr add 10.9.9.1/24 dev eth0; ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:02 dev eth0;
        f=$(mktemp); printf 'nameserver 10.9.9.2\noptions timeout:30 attempts:2\n' >$f;
        mount --bind $f /etc/resolv.conf; rm $f";
    let mut command = network::alone_in_network(setup)?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    command.args(["-l", "stdin"]).args(arguments).stdin(OwnedFd::from(listener));
    Some(started(command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_server_that_does_not_answer_does_not_block_the_command_after_its_client_has_left() {
    let mut forward =
        match without_name_server(&["--once", "--close-timeout", "200ms", "forward", "printer.test:9100"]) {
            Some(forward) => forward,
            None => return,
        };
    let client = connect(forward.addr);
    becomes(1, || threads_named(&forward, "dial").len());
    let began = Instant::now();
    drop(client);
    assert_eq!(forward.wait(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(20), "after {:?}", began.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn clients_that_come_and_go_share_one_attempt_to_reach_the_target() {
    let forward = match without_name_server(&["--close-timeout", "200ms", "forward", "printer.test:9100"]) {
        Some(forward) => forward,
        None => return,
    };
    let dials = || threads_named(&forward, "dial").len();
    let first = connect(forward.addr);
    becomes(1, dials);
    drop(first);
    for _ in 0..10 {
        forward.line_with("closed ");
        drop(connect(forward.addr));
        forward.line_with("connected ");
        assert_eq!(dials(), 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_resets_loses_the_slot_while_the_target_is_dialled() {
    let addr = free_address().to_string();
    let forward = start(&["--close-timeout", "200ms", "--retry", "1h", "forward", &addr], |_| {});
    if !installed("socat") {
        return;
    }
    // `std` cannot reset a connection at will.
    let to = format!("TCP:{},linger=0", forward.addr);
    let mut socat = Command::new("socat");
    let mut socat = Killed::start(socat.args(["-u", "-", &to]).stdin(Stdio::piped()));
    socat.0.stdin.as_ref().unwrap().write_all(b"a job to print").unwrap();
    forward.line_with("cannot connect to ");
    drop(socat.0.stdin.take());
    assert!(forward.line_with("closed ").contains(": connection reset, "));
}
