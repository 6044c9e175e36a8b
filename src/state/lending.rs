//! Lending a client's connection to the application, which passes it to a process or another library.
//!
//! From then on the session is *Lent*: no thread of the server reads from the connection, writes to it or peeks at it.
//! All handles of a socket share O_NONBLOCK and the write timeout, so a change would affect the other holder. So a
//! connection can be lent only while no thread uses it: its client's bytes have not been asked for, and nothing has been sent
//! to the client. Threads peek at such a connection only under the lock.

use std::io;
use std::net::TcpStream;
use std::time::Instant;

use super::account::Output;
use super::machine::Machine;
use super::phase::{Event, Phase};
use super::slot::Slot;

/// Why a connection is not lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NotLent {
    /// The session has ended, or the connection is broken.
    Over,
    NotOnDemand,
    Asked,
    InboxUsed,
    AlreadyLent,
}

/// The steps, pure.
impl Machine {
    /// Whether a session's connection can be lent now. The event `Lend` then does it.
    pub(crate) fn may_lend(&self, session: u64) -> Result<(), NotLent> {
        if !self.is_live(session) || self.latest.phase == Phase::WriteFailed {
            Err(NotLent::Over)
        } else if !self.read_on_demand {
            Err(NotLent::NotOnDemand)
        } else if self.is_lent() {
            Err(NotLent::AlreadyLent)
        } else if self.account.accepted > 0 || self.account.output != Output::Open {
            Err(NotLent::InboxUsed)
        } else if !self.is_unasked() {
            Err(NotLent::Asked)
        } else {
            Ok(())
        }
    }
}

/// The steps, under the lock.
impl Slot {
    /// Lends the connection of a session.
    ///
    /// # Errors
    ///
    /// The connection cannot be lent, or there is no descriptor for a second handle. Then nothing has changed.
    pub(crate) fn lend(&self, session: u64) -> io::Result<TcpStream> {
        let mut state = self.lock();
        state.machine.may_lend(session)?;
        let stream = state.connection().ok_or(NotLent::Over)?.lend()?;
        state.machine.apply(session, Event::Lend, Instant::now());
        self.carry_out(state);
        Ok(stream)
    }
}

impl From<NotLent> for io::Error {
    fn from(why: NotLent) -> io::Error {
        let (kind, text) = match why {
            NotLent::Over => (io::ErrorKind::NotConnected, "the session is over"),
            NotLent::NotOnDemand => {
                (io::ErrorKind::InvalidInput, "a connection is lent only with `Options::read_on_demand`")
            }
            NotLent::Asked => {
                let text = "the client's bytes have been asked for; call `stream` before anything is read";
                (io::ErrorKind::InvalidInput, text)
            }
            NotLent::InboxUsed => {
                let text = "the session's inbox has been used; write to the stream instead";
                (io::ErrorKind::InvalidInput, text)
            }
            NotLent::AlreadyLent => (
                io::ErrorKind::InvalidInput,
                "the connection is lent already; clone the stream that you have",
            ),
        };
        io::Error::new(kind, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::account::{Message, Offer, Refused};
    use crate::values::options::Options;

    #[test]
    fn a_sender_that_waits_for_room_is_woken_and_refused_when_the_connection_is_lent() {
        let options = Options::new().read_on_demand(true).buffer_size(1).depth(1);
        let (nobody, now) = (([127, 0, 0, 1], 1).into(), Instant::now());
        let mut machine = Machine::new(&options, nobody, now);
        // What has been accepted for an earlier client still takes all the room.
        machine.begin(nobody, now);
        assert_eq!(machine.offer(&mut Message::new(1, 1, 1), false), Offer::Accepted);
        machine.apply(1, Event::Abort, now);
        machine.begin(nobody, now);
        machine.attend(1);
        let mut message = Message::new(2, 1, 1);
        assert_eq!(machine.offer(&mut message, true), Offer::Wait);
        machine.take_effects();
        assert_eq!(machine.may_lend(2), Ok(()));
        machine.apply(2, Event::Lend, now);
        assert!(machine.take_effects().room);
        assert_eq!(machine.offer(&mut message, true), Offer::Refused(Refused::Over));
    }
}
