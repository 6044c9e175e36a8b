//! Connects to the target, on a thread of its own, at most one attempt at a time.
//!
//! A name server or a target that does not answer blocks this thread for many seconds, and `std` cannot interrupt
//! it. So the main thread stops waiting when its client has left, and the next client takes over the running attempt.

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use single_server::Control;

use super::endpoint::Endpoint;
use super::stream::PATIENCE;

/// How long each address of the target may take to answer.
const DIAL: Duration = Duration::from_secs(5);
/// How often to check meanwhile whether the client has left.
pub const LOOK: Duration = Duration::from_millis(50);

pub struct Dialer(Arc<Shared>);

struct Shared {
    target: Endpoint,
    control: Control,
    attempt: Mutex<Attempt>,
    done: Condvar,
}

enum Attempt {
    None,
    Running,
    /// The result, for the client that is connected.
    Done(io::Result<TcpStream>),
}

impl Dialer {
    pub fn new(target: Endpoint, control: Control) -> Dialer {
        Dialer(Arc::new(Shared { target, control, attempt: Mutex::new(Attempt::None), done: Condvar::new() }))
    }

    pub fn target(&self) -> &Endpoint {
        &self.0.target
    }

    /// Returns the result of the running attempt, or else of a new one; `None` as soon as `has_left` returns true.
    pub fn dial(&self, has_left: &mut dyn FnMut() -> bool) -> Option<io::Result<TcpStream>> {
        let shared = &self.0;
        let mut attempt = shared.lock();
        if matches!(*attempt, Attempt::None) {
            let dialling = shared.clone();
            match thread::Builder::new().name("dial".into()).spawn(move || dialling.run()) {
                Ok(_) => *attempt = Attempt::Running,
                Err(e) => return Some(Err(e)),
            }
        }
        while !has_left() {
            match std::mem::replace(&mut *attempt, Attempt::None) {
                Attempt::Done(result) => return Some(result),
                unfinished => *attempt = unfinished,
            }
            attempt = shared.done.wait_timeout(attempt, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// Called after each client: drops a result that it has not taken, unless the next client is connected and will take it.
    pub fn release(&self) {
        let mut attempt = self.0.lock();
        let unwanted = match *attempt {
            Attempt::Done(Ok(_)) => self.0.control.client().is_none(),
            Attempt::Done(Err(_)) => true,
            Attempt::None | Attempt::Running => false,
        };
        if unwanted {
            *attempt = Attempt::None;
        }
    }
}

impl Shared {
    /// The thread.
    fn run(&self) {
        let result = self.connect();
        let mut attempt = self.lock();
        // Under the lock: either `release` comes later and sees the result, or it saw a running attempt and left the decision
        // to this thread.
        *attempt = match result {
            Ok(_) if self.control.client().is_none() => Attempt::None,
            result => Attempt::Done(result),
        };
        self.done.notify_all();
    }

    /// Connects to the first address of the target that answers.
    fn connect(&self) -> io::Result<TcpStream> {
        let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for addr in self.target.resolve()? {
            result = TcpStream::connect_timeout(&addr, DIAL).and_then(refuse_itself);
            if result.is_ok() || self.control.client().is_none() {
                break;
            }
        }
        let stream = result?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn lock(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// If nobody listens on a local port in the ephemeral range, the kernel may choose that port for the socket, and connect the
/// socket to itself.
fn refuse_itself(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens there"));
    }
    Ok(stream)
}
