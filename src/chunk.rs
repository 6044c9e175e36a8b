//! A run of bytes on its way: what the reader puts in the outbox and what the application puts in the inbox.
//!
//! Belongs to whoever holds it, on any thread. A chunk that came from a client remembers its session, which is
//! how an answer made of it cannot reach anybody else (promise 3), and gives its buffer back to the reader when it
//! is dropped, which is how a server runs on a handful of buffers (promise 5).

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use crate::record::Record;

/// A run of bytes, received or to be sent; it dereferences to `[u8]`.
///
/// What a client sent arrives as chunks of 1 byte up to [`Options::buffer_size`](crate::Options::buffer_size);
/// where one ends and the next begins means nothing, as always with TCP. Dropping a chunk, on whatever thread,
/// gives its buffer back to the reader. A chunk that is kept is never taken away: the reader then makes another
/// buffer, so keeping very many of them costs the memory they hold.
///
/// Anything that is or copies into a `Vec<u8>` converts into a chunk; a `Vec<u8>` or `String` is not copied.
///
/// ```
/// use single_server::Chunk;
///
/// let chunk = Chunk::from("hello");
/// assert_eq!(chunk.len(), 5);
/// assert_eq!(chunk.to_vec(), b"hello");
/// assert_eq!(format!("{chunk:?}"), "Chunk(5 bytes)");
///
/// // To read from it, as from anything of bytes:
/// let mut text = String::new();
/// std::io::Read::read_to_string(&mut std::io::Cursor::new(chunk), &mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Chunk {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The session it came from; `None` for what the application made itself.
    from: Option<Arc<Record>>,
}

impl Chunk {
    pub(crate) fn received(buffer: Vec<u8>, length: usize, from: Arc<Record>) -> Chunk {
        Chunk { buffer, start: 0, end: length, from: Some(from) }
    }

    pub(crate) fn origin(&self) -> Option<&Arc<Record>> {
        self.from.as_ref()
    }

    /// The memory it holds on to, which is what the inbox counts: a byte can keep a whole buffer.
    pub(crate) fn weight(&self) -> usize {
        self.buffer.capacity()
    }

    /// Forgets the first `count` bytes, which have been dealt with.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
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

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(record) = self.from.take() {
            record.pool.put(mem::take(&mut self.buffer));
        }
    }
}

/// From a `Vec<u8>` or `String` without a copy, from `&str`, `&[u8]` or an array with one.
impl<T: Into<Vec<u8>>> From<T> for Chunk {
    fn from(bytes: T) -> Chunk {
        let buffer = bytes.into();
        Chunk { start: 0, end: buffer.len(), buffer, from: None }
    }
}
