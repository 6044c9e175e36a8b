//! A look at the live connection, before a clock or a newcomer decides: the acceptor's and the writer's.
//!
//! The machine must be told what it has shown, since the kernel reports a reset only once. That happens under the lock under
//! which the look was taken: a reader that finds nothing behind a reset which somebody else has taken would take that for the
//! client's FIN. And a connection can be lent, when looks must end, only between two looks.

use super::slot::State;
use crate::values::seen::Seen;

impl State {
    /// Looks at the live connection. The machine must be told.
    pub(super) fn look(&self) -> Seen {
        match self.connection() {
            // A reset that lies behind unread bytes cannot be seen by a peek.
            Some(connection) if self.machine.is_unread() && connection.is_dead() => Seen::Broken,
            Some(connection) if self.machine.is_open() => connection.look(),
            _ => Seen::Nothing,
        }
    }

    /// For the writer: looks for what the reader of a session would not notice now. The machine must be told.
    pub(super) fn look_for_the_reader(&self, session: u64) -> Option<Seen> {
        match self.connection().filter(|_| self.machine.is_latest(session)) {
            Some(_) if self.machine.is_unasked() => Some(self.look()),
            Some(connection) if self.machine.is_unread() && connection.is_dead() => Some(Seen::Broken),
            _ => None,
        }
    }
}
