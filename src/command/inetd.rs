//! `exec --inetd`: a process for each client, which has the connection itself as its standard input and output, as with
//! inetd's `nowait` and tcpserver.
//!
//! The server sees nothing of what moves. The session ends when the process has, or when the server ends it, as for a newcomer
//! under `--busy replace`: the connection is then shut down, and the process is asked to end.

use std::io;
use std::os::unix::io::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use single_server::Session;

use super::exec::Exec;
use super::exit::Exit;
use super::watch::Watch;
use super::Outcome;

/// How often it is checked whether the process has ended: after an eighth of the time that it has taken, within these bounds.
/// There is nothing in `std` that waits for a process and a session.
const OFTEN: Duration = Duration::from_micros(100);
const SELDOM: Duration = Duration::from_millis(20);

impl Exec {
    /// One client, whose bytes have not been asked for.
    pub fn hand_over(&self, session: &mut Session) -> Outcome {
        let process = match self.start_with_connection(session) {
            Ok(child) => self.process(child),
            Err(e) if e.kind() == io::ErrorKind::NotConnected => return Outcome::Served, // the client has come and gone
            Err(e) => return self.cannot_start(session, &e),
        };
        let start = Instant::now();
        while !process.has_ended() {
            let pause = (start.elapsed() / 8).clamp(OFTEN, SELDOM);
            // Nothing comes from a lent connection but its end.
            if let Ok(None) = session.next_chunk_timeout(pause) {
                Exit::new(&process, self.exit_timeout, &self.control).wait(&session.wait_until_over());
                self.status(process);
                return Outcome::Served; // a process is not blamed for how it ends then
            }
        }
        self.judge(self.status(process))
    }

    fn start_with_connection(&self, session: &Session) -> io::Result<Child> {
        let stream = OwnedFd::from(session.stream()?);
        let mut command = self.command(session);
        if self.stderr {
            command.stderr(Stdio::from(stream.try_clone()?));
        }
        command.stdin(Stdio::from(stream.try_clone()?)).stdout(Stdio::from(stream));
        // The command holds these handles until it is dropped on return; then only the process does, and the server.
        command.spawn()
    }
}
