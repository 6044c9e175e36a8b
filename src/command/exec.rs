//! `exec`: each client speaks to a process of its own.
//!
//! Three threads share a client: the main thread carries what it sends to the process, `output` carries what the
//! process prints to the client, and `watch` waits for the end of either of them. `watch` alone owns the process, and
//! returns when that has been reaped, so that there is never an orphan or a zombie.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Inbox, Session};

use super::bridge;

/// How long a process may live on without its client, and its output without the process.
const GRACE: Duration = Duration::from_secs(2);
/// `std` cannot wait for a process and for something else, so `watch` looks at both again and again, at first very
/// soon and then twenty times a second, which is next to no work.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// One client. An error is about the command; the client is then gone, and the next one may come.
pub fn serve(session: &mut Session, program: &OsString, arguments: &[OsString]) -> io::Result<()> {
    let cannot =
        |what: &str, e: io::Error| io::Error::new(e.kind(), format!("cannot {what} {program:?}: {e}"));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    // Under the names that tcpserver gives them.
    command.env("TCPREMOTEIP", session.peer_addr().ip().to_string());
    command.env("TCPREMOTEPORT", session.peer_addr().port().to_string());
    let mut child = command.spawn().map_err(|e| {
        let hint =
            if e.kind() == io::ErrorKind::NotFound { "; is it installed, and in the PATH?" } else { "" };
        io::Error::new(e.kind(), format!("cannot start {program:?}: {e}{hint}"))
    })?;
    let stdin = child.stdin.take();
    let inbox = session.inbox();
    let watched = thread::Builder::new().name("watch".into()).spawn(move || {
        let ended = watch(child, &inbox);
        inbox.finish();
        ended
    });
    let watched = watched.map_err(|e| cannot("start a thread for", e))?;
    if let Some(stdin) = stdin {
        if bridge::from_client(session, stdin).is_err() {
            // The process does not read any more, but may print; and the client's end is still to be seen.
            session.chunks().for_each(drop);
        }
    }
    watched.join().unwrap_or(Ok(())).map_err(|e| cannot("wait for", e))
}

/// Has the output carried to the client, and waits until the process has ended, by itself or, if the client has gone, in
/// the end by force; and then until its output has been taken, unless a process that it has left behind holds that open.
fn watch(mut child: Child, client: &Inbox) -> io::Result<()> {
    let printed = Arc::new(AtomicBool::new(false));
    if let Some(stdout) = child.stdout.take() {
        let (printed, client, watcher) = (printed.clone(), client.clone(), thread::current());
        let output = thread::Builder::new().name("output".into()).spawn(move || {
            let _ = bridge::to_client(stdout, &client);
            printed.store(true, Ordering::Release);
            // Most likely the process has ended too.
            watcher.unpark();
        });
        if let Err(e) = output {
            child.kill()?;
            child.wait()?;
            return Err(e);
        }
    }
    let mut pause = FIRST_PAUSE;
    let mut soon = false;
    let mut gone = None;
    while child.try_wait()?.is_none() {
        if client.is_closed() && gone.get_or_insert_with(Instant::now).elapsed() >= GRACE {
            child.kill()?;
            child.wait()?;
            break;
        }
        thread::park_timeout(pause);
        let output_ended = !soon && printed.load(Ordering::Acquire);
        soon |= output_ended;
        pause = if output_ended { FIRST_PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
    }
    let ended = Instant::now();
    while !printed.load(Ordering::Acquire) && ended.elapsed() < GRACE {
        thread::park_timeout(LONGEST_PAUSE);
    }
    Ok(())
}
