//! `forward`: each client is connected to another TCP server, the target.
//!
//! The target is dialled before a client is admitted, on the acceptor thread and before anything is read from the client:
//! if it cannot be reached, the client's connection is dropped with its bytes unread, and the client's kernel reports a
//! reset instead of success. The dialled connection waits in `State` for the main thread, which serves the session. One
//! dial is made at a time, and the target has at most one connection of ours.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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
/// How long a new connection waits for the previous one to be closed. Many devices accept only one.
const RELEASE: Duration = Duration::from_secs(1);
/// A failure after a long dial also answers the clients that waited in the backlog meanwhile. They are accepted one
/// right after the other, so one that comes within this time of the last refusal is taken for one of them.
const BACKLOG: Duration = Duration::from_millis(20);

pub struct Forward {
    pub target: String,
    pub retry: Duration,
    pub idle_timeout: Option<Duration>,
    /// A newcomer replaces the client that is connected.
    pub replace: bool,
    /// Serve one client; if the target cannot be reached for it, stop the server.
    pub once: bool,
    pub complaints: Complaints,
    pub state: Mutex<State>,
    pub changed: Condvar,
}

#[derive(Default)]
pub struct State {
    /// The server's, from soon after its start.
    control: Option<Control>,
    /// The client that the target is connected for.
    client: Option<SocketAddr>,
    /// That connection, until the session takes it.
    stream: Option<TcpStream>,
    /// When a client was last refused after a long dial.
    refused: Option<Instant>,
    /// With `once`: a client has been admitted or refused.
    done: bool,
}

impl Forward {
    /// Hands over the server's control. The acceptor admits nobody before.
    pub fn start(&self, control: Control) {
        self.lock().control = Some(control);
        self.changed.notify_all();
    }

    /// On the acceptor thread: dials the target for this client. Returns whether that succeeded.
    pub fn admit(&self, client: SocketAddr) -> bool {
        let mut state = self.lock();
        while state.control.is_none() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let now = Instant::now();
        if self.once && state.done || state.refused.map_or(false, |last| now - last < BACKLOG) {
            state.refused = state.refused.map(|_| now);
            return false;
        }
        if self.replace && state.client.is_some() {
            // The target may accept only one connection, so the old client goes first.
            state.control.iter().for_each(Control::abort);
        }
        while state.client.is_some() && now.elapsed() < RELEASE {
            state = self.changed.wait_timeout(state, RELEASE).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        let dialled = self.dial_until(now + self.retry);
        let mut state = self.lock();
        state.done = true;
        match dialled {
            Ok(stream) => {
                state.client = Some(client);
                state.stream = Some(stream);
                true
            }
            Err(e) => {
                state.refused = Some(Instant::now()).filter(|end| *end - now >= AGAIN);
                self.complaints.add(format!("cannot connect to {}: {e}", self.target));
                if self.once {
                    state.control.iter().for_each(Control::stop);
                }
                false
            }
        }
    }

    fn dial_until(&self, give_up: Instant) -> io::Result<TcpStream> {
        let mut told = false;
        loop {
            match self.dial() {
                Err(e) if Instant::now() + AGAIN <= give_up => {
                    if !told {
                        let retry = self.retry;
                        self.complaints
                            .add(format!("cannot connect to {}: {e}; trying for {retry:?}", self.target));
                    }
                    told = true;
                    thread::sleep(AGAIN);
                }
                result => return result,
            }
        }
    }

    /// Connects to the first address of the target that answers.
    fn dial(&self) -> io::Result<TcpStream> {
        let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for addr in self.target.to_socket_addrs()? {
            result = TcpStream::connect_timeout(&addr, DIAL);
            if result.is_ok() {
                break;
            }
        }
        let stream = result?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// On the main thread: one client, which has been admitted.
    pub fn serve(&self, session: &mut Session) -> Outcome {
        let client = session.peer_addr();
        let mut state = self.lock();
        if state.client != Some(client) {
            return Outcome::Served; // it was replaced before its turn
        }
        let stream = state.stream.take();
        drop(state);
        let outcome = stream.map_or(Outcome::Served, |stream| self.connect(session, &stream));
        let mut state = self.lock();
        if state.client == Some(client) {
            state.client = None;
            self.changed.notify_all();
        }
        outcome
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
                session.abort();
                Outcome::Failed
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
