//! Peeking at the live connection, which acceptor and writer do before a newcomer or a timeout ends a wait or a session.
//!
//! The result must be passed to the machine under the same lock, because the kernel reports a reset only once. If the reader ran
//! between the two, its read would return 0, and it would take the reset for the client's FIN. The lock also keeps a connection
//! from being lent during a look; afterwards it is not looked at any more.

use super::slot::State;
use crate::values::seen::Seen;

impl State {
    /// Looks at the live connection. Pass the result to the machine before the lock is released.
    pub(super) fn look(&self) -> Seen {
        match self.connection() {
            // A reset that lies behind unread bytes cannot be seen by a peek.
            Some(connection) if self.machine.is_unread() && connection.is_dead() => Seen::Broken,
            Some(connection) if self.machine.is_open() => connection.look(),
            _ => Seen::Nothing,
        }
    }

    /// For the writer: looks for what the reader of a session would not notice now. Pass the result to the machine before the
    /// lock is released.
    pub(super) fn look_for_the_reader(&self, session: u64) -> Option<Seen> {
        match self.connection().filter(|_| self.machine.is_latest(session)) {
            Some(_) if self.machine.is_unasked() => Some(self.look()),
            Some(connection) if self.machine.is_unread() && connection.is_dead() => Some(Seen::Broken),
            _ => None,
        }
    }
}
