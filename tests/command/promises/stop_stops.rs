//! Promise 8, *stop stops*, if the server cannot connect to itself or has no descriptor left.

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use single_server::Busy;

use crate::processes::*;
use crate::visitor::*;

/// Runs in a network namespace whose loopback interface is down, so no connection can wake the acceptor.
#[test]
fn stop_returns_where_the_server_cannot_connect_to_itself() {
    let unshare = |options: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options);
        command
    };
    // In a container, root may be unable to create a user namespace; on a host, only root can do without one.
    let works = |options: &&[&str]| {
        let done = unshare(options).arg("true").output();
        done.map_or(false, |output| output.status.success())
    };
    let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    let way = match ways.iter().copied().find(works) {
        Some(way) => way,
        None => return skipped("no permission to create a network namespace (unshare)"),
    };
    if !is_alone_by(unshare(way)) {
        return;
    }
    for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
        for policy in [Busy::Drop, Busy::Refuse, Busy::Wait] {
            let server = quick().busy(policy).bind(addr).unwrap();
            TcpStream::connect(("127.0.0.1", server.local_addr().port())).expect_err("loopback is down");
            all_asleep("single-acceptor", 1);
            stop(server);
        }
    }
}

#[test]
fn stop_returns_without_a_free_descriptor() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    if !is_alone_by(shell) {
        return;
    }
    for policy in [Busy::Drop, Busy::Refuse, Busy::Wait] {
        let mut server = quick().busy(policy).bind(apart()).unwrap();
        let mut every: Vec<std::fs::File> = Vec::new();
        all_asleep("single-acceptor", 1);
        while let Ok(file) = std::fs::File::open("/dev/null") {
            every.push(file);
        }
        let server = in_time("stop", move || server.stop().map(|()| server)).unwrap();
        drop(every);
        stop(server);
    }
}

/// As with systemd and `PrivateNetwork=yes`: the server cannot reach its own listener.
#[test]
fn a_command_whose_socket_is_in_another_network_namespace_exits_cleanly() {
    let network = match network::Network::new() {
        Some(network) => network,
        None => return,
    };
    let listener = TcpListener::bind(apart()).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut command = network.command("s", env!("CARGO_BIN_EXE_single-server"));
    command.args(["-l", "stdin", "--once", "echo"]);
    command.stdin(std::os::unix::io::OwnedFd::from(listener));
    let mut once = started(command);
    assert_eq!(through(&mut connect(addr), b"hello"), b"hello");
    assert_eq!(once.wait(), Some(0));
}
