//! A separate process for a test that counts or limits the resources of its process.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;

use super::Killed;
use crate::visitor::in_time;

/// Runs this test in a separate process, while other tests run here.
///
/// Returns true in that process: the test does its work there. Returns false in the original process once the other has
/// exited, and panics if the test failed there.
pub fn is_alone() -> bool {
    is_alone_by(Command::new("env"))
}

/// The same, in a process that `launcher` starts.
pub fn is_alone_by(mut launcher: Command) -> bool {
    const ALONE: &str = "SINGLE_SERVER_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let test = thread::current().name().expect("the test harness names its threads").to_string();
    launcher.arg(std::env::current_exe().unwrap());
    // That process reports failures on standard error.
    launcher.args(["--exact", &test, "--nocapture"]).env(ALONE, "1").stdout(Stdio::piped());
    let mut process = Killed::start(&mut launcher);
    let mut said = process.0.stdout.take().unwrap();
    let said = in_time(&test, move || {
        let mut all = String::new();
        said.read_to_string(&mut all).map(|_| all).unwrap()
    });
    assert!(process.0.wait().unwrap().success() && said.contains(" 1 passed"), "{said}");
    false
}
