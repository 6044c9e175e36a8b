//! `exec`: a process for each client.
//!
//! Its standard input and output are one end of a socket pair, as with inetd and socat. Shutting down our end frees both
//! directions, even if a grandchild holds the other one. (Systems without socket pairs use pipes, see `pipes.rs`.) The
//! relay's second thread watches the process during the session. After the session the main thread waits for the process,
//! and kills it if necessary, before it serves the next client.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use single_server::Session;

use super::log::Complaints;
#[cfg(not(unix))]
use super::pipes::spawn;
use super::reaper::Reaper;
use super::relay::{AtEnd, End, Relay};
#[cfg(unix)]
use super::socket_pair::spawn;
use super::stream::{Stream, PATIENCE};
use super::Outcome;

/// How long a process may go on without its client before it is killed, and how long others that hold its output may be
/// silent after its own end before the session is finished.
const GRACE: Duration = Duration::from_secs(2);
/// How long the end of a killed process is waited for. Later, the reaper sees to it.
const REAP: Duration = Duration::from_secs(1);

pub struct Exec {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// Connect the client to standard error, too.
    pub stderr: bool,
    /// Give the process the connection itself.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub inetd: bool,
    pub idle_timeout: Option<Duration>,
    pub complaints: Complaints,
    pub reaper: Reaper,
}

impl Exec {
    pub fn serve(&self, session: &mut Session) -> Outcome {
        if session.inbox().is_closed() {
            return Outcome::Served; // the client has come and gone: not worth a process
        }
        #[cfg(unix)]
        if self.inetd {
            return self.hand_over(session);
        }
        match self.start(session) {
            Ok((child, stream)) => self.connect(session, child, &stream),
            Err(e) => self.cannot_start(session, &e),
        }
    }

    pub fn cannot_start(&self, session: &Session, error: &io::Error) -> Outcome {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "; is it installed and in the PATH?",
            _ => "",
        };
        self.complaints.add(format!("cannot start {:?}: {error}{hint}", self.program));
        session.abort();
        Outcome::Failed
    }

    fn start(&self, session: &Session) -> io::Result<(Child, impl Stream)> {
        spawn(self.command(session), self.stderr)
    }

    pub fn command(&self, session: &Session) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        // The names that tcpserver gives them.
        command.env("TCPREMOTEIP", session.peer_addr().ip().to_string());
        command.env("TCPREMOTEPORT", session.peer_addr().port().to_string());
        command
    }

    fn connect(&self, session: &mut Session, mut child: Child, stream: &impl Stream) -> Outcome {
        let (complaints, program) = (&self.complaints, &self.program);
        let complain = |what: &str| complaints.add(format!("process {program:?} {what}"));
        let relay =
            Relay { stream, at_end: AtEnd::Finish, idle_timeout: self.idle_timeout, complain: &complain };
        // Asked when there is nothing to read, so a client that reads slowly costs none of this time.
        let mut silent = Duration::ZERO;
        let result = relay.run(session, &mut || {
            if ended(&mut child).is_some() {
                silent += PATIENCE;
            }
            silent >= GRACE
        });
        let end = result.unwrap_or_else(|e| {
            complaints.add(format!("cannot start a thread for {program:?}: {e}"));
            session.abort();
            stream.shutdown(std::net::Shutdown::Both);
            End::Stalled
        });
        let status = self.end(child);
        match end {
            // A process whose client has left is not blamed for how it ends.
            End::Session => Outcome::Served,
            End::Stream => self.judge(status),
            End::Reset | End::Stalled => Outcome::Failed,
        }
    }

    /// How it went with a client whose process has ended by itself.
    pub fn judge(&self, status: Option<ExitStatus>) -> Outcome {
        match status {
            Some(status) if !status.success() => {
                self.complaints.add(format!("{:?} failed: {status}", self.program));
                Outcome::Failed
            }
            _ => Outcome::Served,
        }
    }

    /// Waits for a process whose session is over, and kills it if it does not end by itself.
    pub fn end(&self, mut child: Child) -> Option<ExitStatus> {
        if let Some(status) = wait(&mut child, GRACE) {
            return status;
        }
        let _ = child.kill();
        if let Some(status) = wait(&mut child, REAP) {
            return status;
        }
        let (program, id) = (&self.program, child.id());
        self.complaints
            .add(format!("{program:?} (process {id}) was killed and has not ended after {REAP:?}"));
        self.reaper.add(child);
        None
    }
}

/// Waits up to `time`. There is nothing in `std` to wait for a process with a timeout, so this polls, at first often.
fn wait(child: &mut Child, time: Duration) -> Option<Option<ExitStatus>> {
    let give_up = Instant::now() + time;
    let mut pause = Duration::from_micros(100);
    loop {
        match ended(child) {
            None if Instant::now() < give_up => {}
            status => return status,
        }
        thread::sleep(pause);
        pause = Duration::from_millis(20).min(pause * 2);
    }
}

/// Whether a process has ended and, if that is known, how. The only error is that the system has reaped it already, which
/// it does if our parent ignores `SIGCHLD`.
pub fn ended(child: &mut Child) -> Option<Option<ExitStatus>> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(status) => Some(status),
        Err(_) => Some(None),
    }
}

/// At the start of the server: a program that is given by its path must exist. Others are looked up in the PATH, as it is
/// when a client comes.
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
