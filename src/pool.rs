//! The pool of read buffers. The reader takes buffers out; a [`Chunk`](crate::Chunk) puts its buffer back when it is
//! dropped, on whatever thread.
//!
//! One pool per server, shared by the reader and all chunks through an `Arc`. That `Arc` also identifies the server: two
//! chunks belong to the same server if their pools are the same allocation.

use std::io;
use std::sync::Mutex;

use crate::monitor::lock;

pub(crate) struct Pool {
    /// The most recently returned buffer is last and is taken first: its memory is likely to be in a cache.
    free: Mutex<Vec<Vec<u8>>>,
    /// How many free buffers are kept; further ones are freed.
    capacity: usize,
    pub(crate) buffer_size: usize,
}

impl Pool {
    pub(crate) fn new(buffer_size: usize, capacity: usize) -> Pool {
        Pool { free: Mutex::new(Vec::new()), capacity, buffer_size }
    }

    /// A buffer of at least `length` bytes, with arbitrary content and with room for `buffer_size`.
    ///
    /// The room is reserved but not filled: pages that nothing is read into are never touched, so they take no memory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for another buffer.
    pub(crate) fn take(&self, length: usize) -> io::Result<Vec<u8>> {
        let free = lock(&self.free).pop();
        let mut buffer = free.unwrap_or_default();
        // For a buffer of the pool this does nothing, so only a new one can fail.
        buffer
            .try_reserve_exact(self.buffer_size.saturating_sub(buffer.len()))
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        Ok(buffer)
    }

    /// Takes a buffer back. One that is not of this pool (a copied chunk has such a one) is freed.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        let mut free = lock(&self.free);
        if free.len() < self.capacity && buffer.capacity() >= self.buffer_size {
            free.push(buffer);
        }
    }
}
