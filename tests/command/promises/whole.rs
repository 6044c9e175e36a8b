//! Promise 2, *whole*, even if system calls and routes fail.

use std::process::Command;

use crate::processes::*;
use crate::visitor::*;

/// If a host cannot be reached for a while, TCP reports an error, but the connection survives (RFC 1122, section 4.2.3.9).
#[test]
fn an_answer_survives_a_temporary_loss_of_the_route() {
    use std::io::BufRead;

    let network = match network::Network::new() {
        Some(network) => network,
        None => return,
    };
    if Command::new("ncat").arg("--version").output().is_err() {
        return skipped("ncat is not installed");
    }
    let mut command = network.command("s", env!("CARGO_BIN_EXE_single-server"));
    let count = "for i in $(seq 40); do echo line $i; sleep 0.05; done";
    command.args(["-l", "10.9.1.1:7000", "exec", "--", "sh", "-c", count]);
    let server = started(command);
    // Its standard input is empty, so it half-closes at once: the reader is done and sees no error.
    let mut command = network.command("c", "ncat");
    command.args(["10.9.1.1", "7000"]);
    let mut client = network::Network::start(command);
    let mut lines = std::io::BufReader::new(client.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "line 1");
    let cut = network.cut();
    becomes(true, || network.unreachable() >= 3);
    drop(cut);
    assert_eq!(lines.last().unwrap(), "line 40");
    let line = server.line_with("closed ");
    assert!(line.contains(": client closed, "), "{line}");
}

#[test]
fn everything_is_written_even_if_some_writes_fail() {
    let echo = match start_with_faults("writev,sendto:error=ENOBUFS:when=4+10", &["echo"]) {
        Some(echo) => echo,
        None => return,
    };
    let sent = pattern(9, 4 << 20);
    assert_same(&through(&mut connect(echo.addr), &sent), &sent);
}

#[test]
fn everything_is_received_even_if_some_reads_fail() {
    let echo = match start_with_faults("recvfrom:error=ENOBUFS:when=4+10", &["echo"]) {
        Some(echo) => echo,
        None => return,
    };
    let sent = pattern(10, 4 << 20);
    assert_same(&through(&mut connect(echo.addr), &sent), &sent);
}

#[test]
fn nothing_is_written_after_a_failed_write() {
    let echo = match start_with_faults("writev,sendto:error=ENOBUFS:when=4+", &["echo"]) {
        Some(echo) => echo,
        None => return,
    };
    let sent = pattern(9, 20 << 20);
    let got = through(&mut connect(echo.addr), &sent);
    assert!(got.len() < sent.len(), "no write failed");
    assert_same(&got, &sent[..got.len()]);
    let line = echo.line_with("closed ");
    assert!(line.contains(": connection reset, ") && line.contains(" discarded, "), "{line}");
}
