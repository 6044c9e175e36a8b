//! The items of the two channels.
//!
//! The *inbox* leads from the application to the writer, the *outbox* from the reader to the application. The sending ends are
//! in the slot.

use std::sync::Arc;

use super::account::MESSAGES;
use super::record::Record;
use crate::values::chunk::Chunk;

/// An item of the inbox.
pub(crate) enum Parcel {
    /// Bytes, and the number of the session they are for.
    Bytes(u64, Chunk),
    /// Makes a writer that waits for an item ask the slot what to do.
    Wake,
}

/// The length of the inbox: there is room for all messages that are accepted, and for one wake-up.
pub(crate) const PARCELS: usize = MESSAGES + 1;

/// An item of the outbox.
pub(crate) enum Item {
    Connected(Arc<Record>),
    Data(Chunk),
    /// Makes an application that waits for an item ask the slot.
    Wake,
}
