//! How many of the client's bytes the other side of a relay has accepted. The relay counts them, and `exec` reads the count
//! when a process ends.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub struct Taken {
    /// Not an atomic: some 32-bit systems have none of 64 bits.
    count: Mutex<u64>,
    /// Whether the other side ended without reading all of them. Not every system reports that.
    pub unread: AtomicBool,
}

impl Taken {
    pub fn count(&self) -> MutexGuard<'_, u64> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
