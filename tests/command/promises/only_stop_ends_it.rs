//! Promise 7, *only stop ends it*, if no descriptor is left.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::processes::*;
use crate::visitor::*;

/// The process may open only one descriptor more than it needs to listen: that of the served client.
#[test]
fn running_out_of_descriptors_pauses_the_acceptor_and_does_not_stop_the_server() {
    let probe = start(&["echo"], |_| {});
    let taken = |number: &u32| std::path::Path::new(&format!("/proc/{}/fd/{number}", probe.id())).exists();
    let next = (0..).find(|number| !taken(number)).unwrap(); // the one for the served client
    let limit = next + 1;
    drop(probe);
    let command = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
    let program = env!("CARGO_BIN_EXE_single-server");
    let echo = {
        let mut shell = Command::new("sh");
        shell.args(["-c", &command, program, "-l", "0", "echo"]);
        start(&[], move |command| *command = with_pipes(shell))
    };
    let mut served = connect(echo.addr);
    ping(&mut served).unwrap();
    // The kernel completes these connections, but the process cannot accept them.
    let waiting: Vec<_> = (0..5).map(|_| connect(echo.addr)).collect();
    let line = echo.line_with("cannot accept a connection: ");
    let emfile = std::io::Error::from_raw_os_error(24).to_string(); // the message differs between C libraries
    assert!(line.contains(&emfile), "{line}");
    // The pauses grow from 1 ms to 1 s: several more errors follow, and hardly any processor time is used.
    echo.line_with("cannot accept a connection: ");
    let before = echo.ticks();
    let began = std::time::Instant::now();
    for _ in 0..7 {
        echo.line_with("cannot accept a connection: ");
    }
    assert!(began.elapsed() >= Duration::from_millis(100), "no pause before the next attempt");
    let used = echo.ticks() - before;
    assert!(used <= 10, "{used} ticks of processor time while nothing could be accepted");
    // Meanwhile the connected client is served.
    ping(&mut served).unwrap();
    drop(served);
    drop(waiting);
    ping(&mut connect_until_served(echo.addr)).unwrap();
}

fn with_pipes(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}
