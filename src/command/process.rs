//! One process of `exec`: whether it has ended, and how it is asked or made to.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::log::Complaints;

/// What can send a signal. `std` can only kill. Small containers have a shell and no program `kill`.
const SENDERS: [(&str, &[&str]); 2] = [("kill", &["-s", "TERM"]), ("sh", &["-c", "kill -s TERM \"$0\""])];

pub struct Process {
    program: OsString,
    id: u32,
    complaints: Complaints,
    /// Locked while a signal is sent: nobody may reap the process meanwhile, because its number could be another's then.
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

    /// How it has ended, if it has and that is known. The only error is that the system has reaped it already, which it does
    /// if our parent ignores `SIGCHLD`.
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
    /// This system has nothing to send it with.
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
                // It has sent the signal, unless the process belongs to another user by now. An error of this wait means that
                // our parent ignores `SIGCHLD`.
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
