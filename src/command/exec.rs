//! `exec`: a process for each client.
//!
//! Its standard input and output are one end of a socket pair, as with socat. Shutting down our end ends both
//! directions, even if a grandchild holds the other end. (Systems without socket pairs use pipes, see `pipes.rs`.) The
//! relay's second thread watches the process during the session. After the session the main thread waits for the process
//! (see `exit.rs`) before it serves the next client.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use single_server::{Control, Report, Session};

use super::environment;
use super::exit::{Exit, KILLED};
use super::inherited;
use super::log::Complaints;
#[cfg(not(unix))]
use super::pipes::spawn;
use super::process::Process;
use super::reaper::Reaper;
use super::relay::{AtEnd, End, Relay};
#[cfg(unix)]
use super::socket_pair::spawn;
use super::stream::Stream;
use super::taken::Taken;
use super::watch::Watch;
use super::Outcome;

pub struct Exec {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// Connect the client to standard error, too.
    pub stderr: bool,
    /// Give the process the connection itself.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub inetd: bool,
    pub idle_timeout: Option<Duration>,
    /// How long a process may run on after its session; `None` for no limit.
    pub exit_timeout: Option<Duration>,
    pub complaints: Complaints,
    pub control: Control,
    pub reaper: Reaper,
}

impl Exec {
    pub fn serve(&self, session: &mut Session) -> Outcome {
        if session.client().is_closed() {
            return Outcome::Served; // the client has already left: do not start a process
        }
        #[cfg(unix)]
        if self.inetd {
            return self.hand_over(session);
        }
        match self.start(session) {
            Ok((child, stream)) => self.connect(session, self.process(child), &stream),
            Err(e) => self.cannot_start(session, &e),
        }
    }

    pub fn cannot_start(&self, session: &Session, error: &io::Error) -> Outcome {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "; is it installed and in the PATH?",
            _ => "",
        };
        self.complaints.add(format!("cannot start {:?}: {error}{hint}", self.program));
        session.client().abort();
        Outcome::Failed
    }

    fn start(&self, session: &Session) -> io::Result<(Child, impl Stream)> {
        spawn(self.command(session), self.stderr)
    }

    pub fn command(&self, session: &Session) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        environment::describe(session, &mut command);
        if inherited::is_stderr_a_listener() {
            command.stderr(Stdio::null());
        }
        command
    }

    fn connect(&self, session: &mut Session, process: Process, stream: &impl Stream) -> Outcome {
        let complain = |what: &str| process.say(what);
        let relay = Relay {
            stream,
            at_end: AtEnd::Finish,
            idle_timeout: self.idle_timeout,
            complain: &complain,
            taken: Taken::default(),
        };
        let exit = Exit::new(&process, self.exit_timeout, &self.control);
        let end = relay.run(session, &exit).unwrap_or_else(|e| {
            process.say(&format!("is stopped: cannot start a thread for it: {e}"));
            session.client().abort();
            stream.shutdown(std::net::Shutdown::Both);
            exit.wait(&session.wait_until_over());
            End::Failed
        });
        let lost = exit.was_forced() && lost(&process, &relay.taken, &session.wait_until_over());
        match (end, self.status(process)) {
            // If the client has left, the exit status of its process does not matter.
            (End::Session, _) if !lost => Outcome::Served,
            (End::Stream, status) => self.check_status(status),
            (End::Session | End::Reset | End::Failed, _) => Outcome::Failed,
        }
    }

    pub fn process(&self, child: Child) -> Process {
        Process::new(self.program.clone(), child, self.complaints.clone())
    }

    /// The outcome for a process that has exited by itself.
    pub fn check_status(&self, status: Option<ExitStatus>) -> Outcome {
        match status {
            Some(status) if !status.success() => {
                self.complaints.add(format!("{:?} failed: {status}", self.program));
                Outcome::Failed
            }
            _ => Outcome::Served,
        }
    }

    /// Returns the exit status of a process, if known. A killed process that has not exited yet is left to the reaper.
    pub fn status(&self, process: Process) -> Option<ExitStatus> {
        process.status().unwrap_or_else(|| {
            process.say(&format!("was killed and has not ended after {KILLED:?}"));
            self.reaper.add(process.into_child());
            None
        })
    }
}

/// Logs how many of its client's bytes a process that was made to exit has not read. Returns whether any are known.
fn lost(process: &Process, taken: &Taken, report: &Report) -> bool {
    let (sent, count) = (report.received, *taken.count());
    if count < sent {
        process.say(&format!("was given only {count} of the {sent} bytes from its client"));
        return true;
    }
    let unread = taken.unread.load(Ordering::SeqCst);
    if unread {
        process.say(&format!("has not read all of the {sent} bytes from its client"));
    }
    unread
}

/// Called at the start of the server: a program given by its path must exist. Other programs are looked up in the PATH for each
/// client.
pub fn check(program: &OsString) -> io::Result<()> {
    if !cfg!(unix) || !program.to_string_lossy().contains('/') {
        return Ok(());
    }
    let cannot =
        |what| Err(io::Error::new(io::ErrorKind::NotFound, format!("cannot run {program:?}: {what}")));
    match std::fs::metadata(program) {
        Ok(found) if found.is_dir() => cannot("it is a directory".to_string()),
        Ok(_) => Ok(()),
        Err(e) => cannot(e.to_string()),
    }
}
