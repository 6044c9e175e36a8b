//! `exec --inetd`: a process for each client, which has the connection itself as its standard input and output, as with
//! inetd's `nowait` and tcpserver.
//!
//! The server does not see the bytes. The session ends when the process exits, or when the server ends it, as for a newcomer
//! under `--busy replace`: the connection is then shut down, and the process gets SIGTERM.

use std::io;
use std::os::unix::io::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use single_server::Session;

use super::exec::Exec;
use super::exit::Exit;
use super::watch::Watch;
use super::Outcome;

/// Bounds of the pause between two checks of the process, which is an eighth of the time that the process has run. `std`
/// cannot wait for a process and a session at once.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl Exec {
    /// Serves one client, before anything is read from it.
    pub fn hand_over(&self, session: &mut Session) -> Outcome {
        let process = match self.start_with_connection(session) {
            Ok(child) => self.process(child),
            Err(e) if e.kind() == io::ErrorKind::NotConnected => return Outcome::Served, // the client has already left
            Err(e) => return self.cannot_start(session, &e),
        };
        let start = Instant::now();
        while !process.has_ended() {
            let pause = (start.elapsed() / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            // The session of a lent connection delivers only its end.
            if let Ok(None) = session.next_chunk_timeout(pause) {
                Exit::new(&process, self.exit_timeout, &self.control).wait(&session.wait_until_over());
                self.status(process);
                return Outcome::Served; // the exit status does not matter then
            }
        }
        self.check_status(self.status(process))
    }

    fn start_with_connection(&self, session: &Session) -> io::Result<Child> {
        let stream = OwnedFd::from(session.stream()?);
        let mut command = self.command(session);
        if self.stderr {
            command.stderr(Stdio::from(stream.try_clone()?));
        }
        command.stdin(Stdio::from(stream.try_clone()?)).stdout(Stdio::from(stream));
        // The command holds these handles until it is dropped on return; then only the process and the server hold them.
        command.spawn()
    }
}
