//! `pipe`: the client speaks to the standard input and output of this process, one client after the other.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Inbox, Session};

use super::bridge;
use super::log::Complaints;

/// How long standard input may say nothing to a client that has sent its last byte.
const QUIET: Duration = Duration::from_millis(500);

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
            .map_err(|e| io::Error::new(e.kind(), format!("cannot write to standard output: {e}")))?;
        self.let_answer(session);
        Ok(())
    }

    /// The client has sent its last byte, and may be waiting for an answer, as in `echo AT | ncat ...`; or it has gone.
    /// TCP does not tell these apart. So what comes from standard input still goes to the client, until that ends or
    /// says nothing for a while, or the client turns out to have gone.
    fn let_answer(&self, session: &Session) {
        let mut before = session.report();
        let mut quiet_since = Instant::now();
        while !self.ended.load(Ordering::SeqCst)
            && !session.inbox().is_closed()
            && quiet_since.elapsed() < QUIET
        {
            thread::sleep(QUIET / 10);
            let now = session.report();
            if now.sent != before.sent || now.discarded > 0 {
                quiet_since = Instant::now();
                before = now;
            }
        }
    }
}
