//! The effects of a step outside the machine, as a plain value. The slot carries them out, in the order given there.

use crate::values::signal::Report;

/// Collected by the steps of the machine, and carried out by `Slot::carry_out`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Effects {
    /// Make sure that there is a listener: the session is about to end, or has ended.
    pub(super) reopen: bool,
    /// The session has ended: store the report, clear the busy flag and send the signal.
    pub(super) ended: Option<Report>,
    /// Put a wake-up into the inbox. There is room for it.
    pub(super) wake_writer: bool,
    /// Put a wake-up into the outbox. If the outbox is full, the application is not waiting, and the wake-up is dropped.
    pub(super) wake_application: bool,
    /// Wake the senders that wait for room.
    pub(super) room: bool,
    /// Wake the reader and the writer, if they wait for a session.
    pub(super) turn: bool,
    /// Wake all others that wait: the acceptor, a reader that must be asked, and applications that wait for an end.
    pub(super) change: bool,
    /// After everything else, without the lock: shut the connection down.
    pub(super) close: Option<Close>,
}

/// How to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Close {
    /// Send a FIN, and keep reading.
    Half,
    /// Close both directions, and give up the descriptor.
    Whole,
    /// Give up the descriptor without a FIN of ours: if data is unread, the kernel sends a RST.
    Abort,
}
