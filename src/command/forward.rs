//! `forward`: each client is connected to another TCP server, the target.
//!
//! The target is dialled before anything is read from the client. If the target cannot be reached, the session is aborted with
//! the client's bytes unread, so the client sees a reset instead of success. Meanwhile the busy policy applies to other
//! clients. The previous connection to the target is closed before the next dial: many devices accept only one.

use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use single_server::Session;

use super::dialer::{Dialer, LOOK};
use super::log::Complaints;
use super::relay::{AtEnd, End, Relay};
use super::taken::Taken;
use super::Outcome;

/// The time between two attempts of `--retry`.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Forward {
    pub dialer: Dialer,
    pub retry: Duration,
    pub idle_timeout: Option<Duration>,
    pub complaints: Complaints,
}

impl Forward {
    /// Serves one client, before anything is read from it.
    pub fn serve(&self, session: &mut Session) -> Outcome {
        let outcome = if session.client().is_closed() {
            Outcome::Served // the client has already left: do not dial
        } else {
            match self.dial_until(Instant::now() + self.retry, session) {
                Ok(Some(stream)) => self.connect(session, &stream),
                Ok(None) => Outcome::Failed,
                Err(e) => {
                    self.complaints.add(format!("cannot connect to {}: {e}", self.dialer.target()));
                    session.client().abort();
                    Outcome::Failed
                }
            }
        };
        self.dialer.release();
        outcome
    }

    /// Dials until the target answers, or the time is up, or the session has ended (`None`).
    fn dial_until(&self, give_up: Instant, session: &Session) -> io::Result<Option<TcpStream>> {
        let mut has_left = || {
            session.client().extend(); // the client may have sent its whole job and closed
            session.client().is_closed()
        };
        let mut reported = false;
        loop {
            let error = match self.dialer.dial(&mut has_left) {
                None => return Ok(None),
                Some(Ok(stream)) => return Ok(Some(stream)),
                Some(Err(e)) if Instant::now() + AGAIN > give_up => return Err(e),
                Some(Err(e)) => e,
            };
            if !reported {
                let (target, retry) = (self.dialer.target(), self.retry);
                self.complaints.add(format!("cannot connect to {target}: {error}; retrying for {retry:?}"));
                reported = true;
            }
            let again = Instant::now() + AGAIN;
            while Instant::now() < again {
                if has_left() {
                    return Ok(None);
                }
                thread::sleep(LOOK);
            }
        }
    }

    fn connect(&self, session: &mut Session, stream: &TcpStream) -> Outcome {
        let complain = |what: &str| self.complaints.add(format!("target {} {what}", self.dialer.target()));
        let relay = Relay {
            stream,
            at_end: AtEnd::HalfClose,
            idle_timeout: self.idle_timeout,
            complain: &complain,
            taken: Taken::default(),
        };
        match relay.run(session, &()) {
            Ok(End::Stream | End::Session) => Outcome::Served,
            Ok(End::Reset | End::Failed) => Outcome::Failed,
            Err(e) => {
                self.complaints.add(format!("cannot start a thread for {}: {e}", self.dialer.target()));
                session.client().abort();
                Outcome::Failed
            }
        }
    }
}
