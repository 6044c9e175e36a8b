//! `forward`: each client is connected to another TCP server, the target.
//!
//! All on the main thread: it dials the target before it asks for the client's bytes. If the target cannot be reached, the
//! session is aborted with these bytes unread, and the client's kernel reports a reset instead of success. Meanwhile the
//! server turns other clients away as usual. One dial is made at a time, after the previous connection has been closed:
//! many devices accept only one.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Control, Session};

use super::log::Complaints;
use super::relay::{AtEnd, End, Relay};
use super::stream::PATIENCE;
use super::Outcome;

/// How long each address of the target may take to answer.
const DIAL: Duration = Duration::from_secs(5);
/// The time between two attempts of `--retry`.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is checked meanwhile that the client is still there.
const LOOK: Duration = Duration::from_millis(50);

pub struct Forward {
    pub target: String,
    pub retry: Duration,
    pub idle_timeout: Option<Duration>,
    pub complaints: Complaints,
    pub control: Control,
    /// A connection that was made for a client which has gone meanwhile. The next client is already connected and gets it.
    pub spare: Option<TcpStream>,
}

impl Forward {
    /// One client, whose bytes have not been asked for.
    pub fn serve(&mut self, session: &mut Session) -> Outcome {
        if session.client().is_closed() {
            return Outcome::Served; // the client has come and gone: not worth a dial
        }
        let dialled = match self.spare.take() {
            Some(spare) => Ok(Some(spare)),
            None => self.dial_until(Instant::now() + self.retry, session),
        };
        match dialled {
            Ok(Some(stream)) if session.client().is_closed() => {
                // If the server is busy, it is with the next client.
                self.spare = Some(stream).filter(|_| self.control.client().is_some());
                Outcome::Served
            }
            Ok(Some(stream)) => self.connect(session, &stream),
            Ok(None) => Outcome::Failed,
            Err(e) => {
                self.complaints.add(format!("cannot connect to {}: {e}", self.target));
                session.client().abort();
                Outcome::Failed
            }
        }
    }

    /// Dials until the target answers, or the time is up, or the session has ended (`None`).
    fn dial_until(&self, give_up: Instant, session: &Session) -> io::Result<Option<TcpStream>> {
        let mut told = false;
        loop {
            let error = match self.dial(session) {
                Ok(stream) => return Ok(Some(stream)),
                Err(e) if Instant::now() + AGAIN > give_up => return Err(e),
                Err(e) => e,
            };
            if !told {
                let (target, retry) = (&self.target, self.retry);
                self.complaints.add(format!("cannot connect to {target}: {error}; trying for {retry:?}"));
                told = true;
            }
            let again = Instant::now() + AGAIN;
            while Instant::now() < again {
                if session.client().is_closed() {
                    return Ok(None);
                }
                session.client().extend(); // the client may have sent all of its job and closed
                thread::sleep(LOOK);
            }
        }
    }

    /// Connects to the first address of the target that answers.
    fn dial(&self, session: &Session) -> io::Result<TcpStream> {
        let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for addr in self.target.to_socket_addrs()? {
            result = TcpStream::connect_timeout(&addr, DIAL);
            if result.is_ok() || session.client().is_closed() {
                break;
            }
        }
        let stream = result?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn connect(&self, session: &mut Session, stream: &TcpStream) -> Outcome {
        let complain = |what: &str| self.complaints.add(format!("target {} {what}", self.target));
        let relay =
            Relay { stream, at_end: AtEnd::HalfClose, idle_timeout: self.idle_timeout, complain: &complain };
        match relay.run(session, &mut || false) {
            Ok(End::Stream | End::Session) => Outcome::Served,
            Ok(End::Reset | End::Stalled) => Outcome::Failed,
            Err(e) => {
                self.complaints.add(format!("cannot start a thread for {}: {e}", self.target));
                session.client().abort();
                Outcome::Failed
            }
        }
    }
}
