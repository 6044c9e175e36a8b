//! A look at the live connection, before a clock or a newcomer decides: the acceptor's and the writer's.
//!
//! The machine must be told what it has shown, since the kernel reports a reset only once.

use std::sync::Arc;

use super::slot::State;
use crate::net::connection::Connection;
use crate::values::seen::Seen;

/// The live connection, to be looked at once.
pub(crate) struct View {
    connection: Option<Arc<Connection>>,
    is_unread: bool,
    is_open: bool,
}

impl View {
    pub(super) fn look(&self) -> Seen {
        match &self.connection {
            // A reset that lies behind unread bytes cannot be seen by a peek.
            Some(connection) if self.is_unread && connection.is_dead() => Seen::Broken,
            Some(connection) if self.is_open => connection.look(),
            _ => Seen::Nothing,
        }
    }
}

impl State {
    /// Looks at the live connection. The machine must be told.
    pub(super) fn look(&self) -> Seen {
        self.view().look()
    }

    /// What a look needs, also without the lock.
    pub(super) fn view(&self) -> View {
        let connection = self.session.as_ref().and_then(|session| session.connection.clone());
        View { connection, is_unread: self.machine.is_unread(), is_open: self.machine.is_open() }
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
