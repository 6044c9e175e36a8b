//! The pool of read buffers. The reader takes buffers out; a [`Chunk`](crate::Chunk) puts its buffer back when it is
//! dropped, on any thread.
//!
//! One pool per server, shared by the reader and all chunks through an `Arc`. That `Arc` also identifies the server: two
//! chunks belong to the same server if their pools are the same allocation.

use std::io;
use std::sync::Mutex;

use crate::sync::monitor::lock;

pub(crate) struct Pool {
    /// A stack: the buffer returned last is taken first, because its memory is likely to be in a cache.
    free: Mutex<Vec<Vec<u8>>>,
    /// The maximum number of free buffers; further ones are deallocated.
    capacity: usize,
    pub(crate) buffer_size: usize,
}

impl Pool {
    pub(crate) fn new(buffer_size: usize, capacity: usize) -> Pool {
        Pool { free: Mutex::new(Vec::new()), capacity, buffer_size }
    }

    /// A buffer of at least `length` bytes, with arbitrary content and with room for `buffer_size`.
    ///
    /// The room is reserved but not filled, so pages that no read reaches are never touched and take no memory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for another buffer.
    pub(crate) fn take(&self, length: usize) -> io::Result<Vec<u8>> {
        let free = lock(&self.free).pop();
        let mut buffer = free.unwrap_or_default();
        // This does nothing for a pooled buffer, so it can only fail for a new one.
        buffer
            .try_reserve_exact(self.buffer_size.saturating_sub(buffer.len()))
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        Ok(buffer)
    }

    /// Takes a buffer back. A buffer that did not come from this pool, such as that of a cloned chunk, is deallocated.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        let mut free = lock(&self.free);
        if free.len() < self.capacity && buffer.capacity() >= self.buffer_size {
            free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_put_back_is_taken_again() {
        let pool = Pool::new(16, 1);
        let buffer = pool.take(4).unwrap();
        let place = buffer.as_ptr();
        assert_eq!((buffer.len(), buffer.capacity()), (4, 16));
        pool.put(buffer);
        let again = pool.take(8).unwrap();
        assert_eq!((again.as_ptr(), again.len()), (place, 8));
    }

    #[test]
    fn the_pool_keeps_as_many_buffers_as_it_was_made_for_and_none_that_is_too_small() {
        let pool = Pool::new(16, 2);
        let kept = || lock(&pool.free).len();
        pool.put(Vec::with_capacity(15));
        assert_eq!(kept(), 0);
        for expected in [1, 2, 2] {
            pool.put(Vec::with_capacity(16));
            assert_eq!(kept(), expected);
        }
    }
}
