//! A run of bytes: what the reader puts into the outbox, and what the application puts into the inbox.
//!
//! A plain value, used on any thread. A chunk that came from a client remembers its session, so sending it on cannot reach
//! another client (promise 3). Dropping it returns its buffer to the pool, so a server needs only a few buffers
//! (promise 5).

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use super::pool::Pool;

/// A run of bytes, received or to be sent. It dereferences to `[u8]`.
///
/// A client's bytes arrive in chunks of 1 byte up to [`Options::buffer_size`](crate::Options::buffer_size). TCP is a byte
/// stream, so the boundaries between chunks carry no meaning. Dropping a chunk, on any thread, returns its buffer to the
/// reader. An application may keep chunks; the reader then allocates further buffers. A kept chunk occupies a whole buffer,
/// however few bytes it holds.
///
/// A chunk can be made of anything that holds bytes. A `Vec<u8>` or a `String` is not copied.
///
/// # Examples
///
/// ```
/// use single_server::Chunk;
///
/// let chunk = Chunk::from("hello");
/// assert_eq!(chunk.len(), 5);
/// assert_eq!(chunk, b"hello"[..]);
/// assert_eq!(format!("{chunk:?}"), "Chunk(5 bytes)");
/// assert_eq!(Vec::from(chunk), b"hello");
/// ```
pub struct Chunk {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// `None` if the application made it.
    from: Option<Origin>,
}

/// Where a chunk came from.
#[derive(Clone)]
struct Origin {
    /// The number of the client's session.
    session: u64,
    /// The pool of the server that has received it. The buffer is returned there.
    pool: Arc<Pool>,
}

impl Chunk {
    pub(crate) fn received(buffer: Vec<u8>, length: usize, session: u64, pool: &Arc<Pool>) -> Chunk {
        Chunk { buffer, start: 0, end: length, from: Some(Origin { session, pool: pool.clone() }) }
    }

    /// The session that it came from, if that was one of the server with this pool.
    pub(crate) fn origin(&self, pool: &Arc<Pool>) -> Option<u64> {
        let from = self.from.as_ref().filter(|from| Arc::ptr_eq(&from.pool, pool));
        from.map(|from| from.session)
    }

    /// The memory that it occupies. The inbox counts this, not the length: one byte can occupy a whole buffer.
    pub(crate) fn weight(&self) -> usize {
        self.buffer.capacity()
    }

    /// Removes the first `count` bytes, at most all.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A copy of the bytes. If the original came from a client, the copy can be sent to that client only, too.
impl Clone for Chunk {
    fn clone(&self) -> Chunk {
        Chunk { buffer: self.to_vec(), start: 0, end: self.len(), from: self.from.clone() }
    }
}

/// Only the bytes are compared.
impl PartialEq for Chunk {
    fn eq(&self, other: &Chunk) -> bool {
        **self == **other
    }
}

impl Eq for Chunk {}

impl PartialEq<[u8]> for Chunk {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(from) = self.from.take() {
            from.pool.put(mem::take(&mut self.buffer));
        }
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(buffer: Vec<u8>) -> Chunk {
        Chunk { start: 0, end: buffer.len(), buffer, from: None }
    }
}

/// Without a copy, unless the chunk came from a client: then its buffer goes back to the reader.
impl From<Chunk> for Vec<u8> {
    fn from(mut chunk: Chunk) -> Vec<u8> {
        if chunk.from.is_some() || chunk.start > 0 {
            return chunk.to_vec();
        }
        mem::take(&mut chunk.buffer)
    }
}

macro_rules! from_bytes {
    ($($type:ty),*) => { $(
        impl From<$type> for Chunk {
            fn from(bytes: $type) -> Chunk {
                Chunk::from(Vec::from(bytes))
            }
        }
    )* };
}

from_bytes!(&[u8], &mut [u8], Box<[u8]>, String, &str, std::borrow::Cow<'_, [u8]>);

impl<const N: usize> From<[u8; N]> for Chunk {
    fn from(bytes: [u8; N]) -> Chunk {
        Chunk::from(Vec::from(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Chunk {
    fn from(bytes: &[u8; N]) -> Chunk {
        Chunk::from(&bytes[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's chunk, in a buffer that is longer, of which some bytes have been taken.
    fn received(taken: usize) -> Chunk {
        let mut chunk = Chunk::received(b"hello, who".to_vec(), 5, 1, &Arc::new(Pool::new(10, 1)));
        chunk.advance(taken);
        chunk
    }

    #[test]
    fn a_chunk_holds_the_same_bytes_whatever_it_is_turned_into() {
        for (taken, bytes) in [(0, &b"hello"[..]), (1, b"ello")] {
            assert_eq!(received(taken).as_ref(), bytes);
            assert_eq!(received(taken).clone(), *bytes);
            assert_eq!(format!("{:?}", received(taken)), format!("Chunk({} bytes)", bytes.len()));
            assert_eq!(Vec::from(received(taken)), bytes);
        }
    }

    #[test]
    fn a_vector_becomes_a_chunk_and_a_vector_again_without_a_copy() {
        let bytes = b"hello".to_vec();
        let place = bytes.as_ptr();
        let again = Vec::from(Chunk::from(bytes));
        assert_eq!((again.as_ptr(), &again[..]), (place, &b"hello"[..]));
    }

    #[test]
    fn chunks_are_equal_if_their_bytes_are() {
        assert_eq!(Chunk::from("abc"), Chunk::from(vec![b'a', b'b', b'c']));
        assert_ne!(Chunk::from("abc"), Chunk::from("abd"));
        assert_eq!(Chunk::from("abc"), b"abc"[..]);
        assert_ne!(Chunk::from("abc"), b"ab"[..]);
    }

    #[test]
    fn the_buffer_of_a_dropped_chunk_is_taken_again() {
        let pool = Arc::new(Pool::new(16, 1));
        let buffer = pool.take(16).unwrap();
        let address = buffer.as_ptr();
        drop(Chunk::received(buffer, 1, 1, &pool));
        let again = pool.take(16).unwrap();
        assert_eq!(again.as_ptr(), address);
    }
}
