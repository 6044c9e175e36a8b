//! Promise 12, *facts before verdicts*: no timeout ends a session if bytes have arrived in time.

use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::processes::*;
use crate::visitor::*;

/// A paused container, a debugger or a sleeping laptop: the clock advances while the process does not run.
#[test]
fn a_client_whose_bytes_arrived_while_the_process_was_paused_is_not_idle() {
    let timeout = Duration::from_millis(200);
    let echo = start(&["--idle-timeout", "200ms", "echo"], |_| {});
    let signal = |name: &str| {
        assert!(Command::new("kill").args(["-s", name, &echo.id()]).status().unwrap().success());
    };
    // The server's threads, and how long all of them together had no processor although they were ready to run.
    let threads = threads(&echo);
    let mut paused = 0;
    for _ in 0..100 {
        // Before the client's last byte, from which its idle time counts.
        let before = Instant::now();
        let mut client = connect_until_served(echo.addr);
        signal("STOP");
        // On a busy machine the client may be idle before the process is paused; then the test tries again.
        let in_time = before.elapsed() < timeout / 2;
        client.write_all(b"pong").unwrap();
        thread::sleep(timeout + timeout / 4);
        let waited = kept_waiting(&echo, &threads);
        signal("CONT");
        if in_time {
            let mut back = [0; 4];
            match client.read_exact(&mut back) {
                Ok(()) => {
                    assert_eq!(&back, b"pong");
                    paused += 1;
                }
                // The bytes were read, but their echo took longer than the idle timeout.
                Err(_) if kept_waiting(&echo, &threads) - waited > timeout / 2 => {}
                Err(e) => panic!("the session does not go on: {e}"),
            }
        }
        if paused == 20 {
            return;
        }
    }
    skipped("the process cannot be paused within 100 ms: too little processor time");
}
