//! Promise 12, *facts before verdicts*: bytes that have arrived are no reason to end a session, whatever the clock says.

use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::processes::*;
use crate::visitor::*;

/// A container that is paused, a debugger, a laptop that sleeps: the clock goes on while the process does not.
#[test]
fn a_client_whose_bytes_have_arrived_while_the_process_was_paused_is_not_idle() {
    let echo = start(&["--idle-timeout", "150ms", "echo"], |_| {});
    let signal = |name: &str| {
        let mut shell = Command::new("sh");
        assert!(shell.args(["-c", &format!("kill {name} {}", echo.id())]).status().unwrap().success());
    };
    for _ in 0..8 {
        let mut client = connect_until_served(echo.addr);
        signal("-STOP");
        client.write_all(b"pong").unwrap();
        thread::sleep(Duration::from_millis(180)); // longer than the timeout
        signal("-CONT");
        let mut back = [0; 4];
        client.read_exact(&mut back).expect("the session goes on");
        assert_eq!(&back, b"pong");
    }
}
