//! How the server stops: every waiting thread is woken, the last client is served for at most the stop timeout, and the
//! threads exit. Before that the server may drain: the port is closed, and the last client is served as before for a while.
//!
//! `stop` and `drain` run on the calling thread and do not wait. The acceptor closes the port at once; the writer
//! serves the last client and keeps the time (promise 8).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::machine::{Life, Machine};
use super::slot::{Acceptor, Slot};
use crate::values::options::Busy;

/// The timeout of a connection to our own port. On the local machine it takes some microseconds.
const CONNECT: Duration = Duration::from_millis(10);

/// The steps, pure.
impl Machine {
    /// Begins a stop. Wakes the reader and the writer if they wait for a session or a message, senders that wait for
    /// room, and the acceptor in a pause. If the server is already stopping, the time of the first stop counts.
    pub(crate) fn stop(&mut self, now: Instant) {
        if !self.is_stopping() {
            self.life = Life::Stopping(now + self.stop_timeout);
        }
        self.wake_writer();
        self.effects.room = true;
        self.effects.turn = true;
        self.effects.change = true;
    }

    /// Begins a drain. The live client may go on until then, or until the end of an earlier drain if that comes first.
    /// The server stops when that client leaves: at once if there is none.
    pub(crate) fn drain(&mut self, until: Instant, now: Instant) {
        if !self.is_busy() {
            return self.stop(now);
        }
        self.life = match self.life {
            Life::Running => Life::Draining(until),
            Life::Draining(before) => Life::Draining(before.min(until)),
            stopping => stopping,
        };
        self.wake_writer(); // because the writer keeps the time
        self.effects.change = true;
    }

    /// Stops if the time of a drain is up.
    pub(super) fn end_drain(&mut self, now: Instant) {
        match self.life {
            Life::Draining(until) if until <= now => self.stop(now),
            _ => {}
        }
    }
}

/// The steps, under the lock.
impl Slot {
    /// Starts to stop the server.
    pub(crate) fn stop(&self) {
        self.close_port(Machine::stop);
    }

    /// Starts to drain the server.
    pub(crate) fn drain(&self, time: Duration) {
        self.close_port(|machine, now| machine.drain(now + time, now));
    }

    /// Takes a step after which no more clients are accepted, and wakes the acceptor in `accept`.
    fn close_port(&self, step: impl FnOnce(&mut Machine, Instant)) {
        let mut state = self.lock();
        step(&mut state.machine, Instant::now());
        state.listener = None;
        // Under the lock: close this handle before the acceptor is `Done`, which means that the port is free.
        let woken = state.waker.take().map_or(false, |listener| self.owns_listener && shut_down(listener));
        // Once the port is closed, another server may own it.
        let accepts = state.acceptor == Acceptor::Running;
        if accepts && woken {
            state.acceptor = Acceptor::Woken;
        }
        self.carry_out(state);
        if accepts && !woken {
            // An error can mean that the acceptor is not in `accept`. If it is, `wait_for_acceptor` retries.
            let _ = self.connect_to_acceptor();
        }
    }

    /// Makes a blocked `accept` return; the acceptor then finds the server stopping.
    fn connect_to_acceptor(&self) -> io::Result<()> {
        let mut addr = self.local_addr;
        if addr.ip().is_unspecified() {
            if addr.is_ipv6() {
                addr.set_ip(Ipv6Addr::LOCALHOST.into());
                if TcpStream::connect_timeout(&addr, CONNECT).is_ok() {
                    return Ok(());
                }
                // IPv6 may be disabled on this machine, and a listener on `[::]` accepts IPv4 clients, too.
            }
            addr.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        TcpStream::connect_timeout(&addr, CONNECT).map(drop)
    }

    /// The acceptor is about to close its listener.
    pub(crate) fn acceptor_leaves(&self) {
        self.lock().acceptor = Acceptor::Leaving;
    }

    /// The acceptor has closed its listener.
    pub(crate) fn acceptor_done(&self) {
        self.lock().acceptor = Acceptor::Done;
        self.change.notify_all();
    }

    /// After `stop`: waits until the acceptor has closed its listener. Keeps trying to wake it by a connection if it may still be
    /// in `accept`; otherwise it is certain to close the listener, however long it waits for a processor or for the lock.
    ///
    /// # Errors
    ///
    /// Why the acceptor could not be woken within a second. If nobody listens on the address, fails at once: then the listener
    /// was passed in and belongs to another network namespace.
    pub(crate) fn wait_for_acceptor(&self) -> io::Result<()> {
        let give_up = Instant::now() + Duration::from_secs(1);
        let mut failure = io::Error::from(io::ErrorKind::TimedOut);
        loop {
            let soon = Instant::now() + Duration::from_millis(20);
            let mut state = self.lock();
            loop {
                state = match state.acceptor {
                    Acceptor::Done => return Ok(()),
                    Acceptor::Woken | Acceptor::Leaving => self.change.wait(state, None),
                    Acceptor::Running if Instant::now() < soon => self.change.wait(state, Some(soon)),
                    Acceptor::Running => break,
                };
            }
            drop(state);
            // The acceptor listens, but the connection is refused: the listener is in another network namespace. This cannot be
            // concluded under `Busy::Refuse`, when there may be no listener.
            let listens = self.options.busy != Busy::Refuse && !self.owns_listener;
            let refused = failure.kind() == io::ErrorKind::ConnectionRefused;
            if (listens && refused) || Instant::now() > give_up {
                return Err(failure);
            }
            if let Err(e) = self.connect_to_acceptor() {
                failure = e;
            }
        }
    }
}

/// Shuts a listener down, which makes a blocked `accept` on it return; `false` where the system does not do that.
///
/// The shutdown affects every process that holds the listener, so a listener that was passed in must not be shut down.
fn shut_down(listener: TcpListener) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::net::Shutdown;
        use std::os::unix::io::OwnedFd;
        // The system call is the same for both types of sockets.
        TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both).is_ok()
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        drop(listener);
        false
    }
}
