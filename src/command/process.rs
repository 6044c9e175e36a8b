//! One process of `exec`: its exit status, and the signals that end it.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::log::Complaints;

/// Programs that can send SIGTERM; `std` can only send SIGKILL. Small containers have a shell, but no program `kill`.
const SENDERS: [(&str, &[&str]); 2] = [("kill", &["-s", "TERM"]), ("sh", &["-c", "kill -s TERM \"$0\""])];

pub struct Process {
    program: OsString,
    id: u32,
    complaints: Complaints,
    /// Locked while a signal is sent. If the process were reaped meanwhile, the system could give its id to another process.
    child: Mutex<Child>,
}

impl Process {
    pub fn new(program: OsString, child: Child, complaints: Complaints) -> Process {
        Process { program, id: child.id(), complaints, child: Mutex::new(child) }
    }

    /// Adds a line about it to the log.
    pub fn say(&self, what: &str) {
        self.complaints.add(format!("{:?} (process {}) {what}", self.program, self.id));
    }

    /// The exit status; `None` while the process runs, `Some(None)` if the status is not known. The only error is that the
    /// system has reaped the process already, which it does if our parent ignores `SIGCHLD`.
    pub fn status(&self) -> Option<Option<ExitStatus>> {
        match self.child().try_wait() {
            Ok(None) => None,
            Ok(status) => Some(status),
            Err(_) => Some(None),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.status().is_some()
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    ///
    /// This system has no program to send it with.
    pub fn ask(&self) -> io::Result<()> {
        let mut child = self.child();
        if !matches!(child.try_wait(), Ok(None)) {
            return Ok(());
        }
        let mut result = Err(io::ErrorKind::Unsupported.into());
        for (program, arguments) in SENDERS.iter().filter(|_| cfg!(unix)) {
            let mut sender = Command::new(program);
            sender.args(*arguments).arg(self.id.to_string());
            result = sender.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            if let Ok(mut sender) = result {
                // The signal has been sent, unless the process has changed its user. An error of `wait` means that our parent
                // ignores `SIGCHLD`.
                let _ = sender.wait();
                return Ok(());
            }
        }
        result.map(drop)
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        let _ = self.child().kill();
    }

    pub fn into_child(self) -> Child {
        self.child.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
