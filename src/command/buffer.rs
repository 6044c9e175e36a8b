//! The relay's buffers. They are allocated fallibly: if there is no memory, only the session ends.

use std::io::{self, ErrorKind};

/// The maximum length of one read.
pub const PIECE: usize = 64 * 1024;

/// A buffer of [`PIECE`] zeros.
///
/// # Errors
///
/// `OutOfMemory`.
pub fn piece() -> io::Result<Vec<u8>> {
    let mut buffer = reserve(PIECE)?;
    buffer.resize(PIECE, 0);
    Ok(buffer)
}

/// # Errors
///
/// `OutOfMemory`.
pub fn copy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut buffer = reserve(bytes.len())?;
    buffer.extend_from_slice(bytes);
    Ok(buffer)
}

fn reserve(length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
    Ok(buffer)
}
