//! `pipe`: the client speaks to the standard input and output of this process, one client after the other.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;

use single_server::{Inbox, Session};

use super::bridge;
use super::log::Complaints;

/// The direction from standard input, which belongs to no client and so has one thread for all of them.
pub struct Pipe {
    /// Standard input has ended: clients who come now are told at once.
    ended: Arc<AtomicBool>,
}

impl Pipe {
    /// Starts to read standard input; what comes while nobody is connected waits for the next client.
    pub fn start(inbox: Inbox, complaints: Complaints) -> io::Result<Pipe> {
        let ended = Arc::new(AtomicBool::new(false));
        let pipe = Pipe { ended: ended.clone() };
        thread::Builder::new().name("stdin".into()).spawn(move || {
            if let Err(e) = bridge::to_client(io::stdin(), &inbox) {
                complaints.say(format!("cannot read standard input: {e}"));
            }
            // In this order: who connects in between is told twice, which does no harm.
            ended.store(true, Ordering::SeqCst);
            inbox.half_close();
        })?;
        Ok(pipe)
    }

    /// One client. An error of standard output is the end of all this is for.
    pub fn serve(&self, session: &mut Session) -> io::Result<()> {
        if self.ended.load(Ordering::SeqCst) {
            session.half_close();
        }
        bridge::from_client(session, io::stdout().lock())
            .map_err(|e| io::Error::new(e.kind(), format!("cannot write to standard output: {e}")))
    }
}
