//! Distinguishes a read or write that has timed out from one that has failed. Both crates compile this file.

use std::io::{Error, ErrorKind};

/// The kind of error of a socket's timeout. On Unix, `TimedOut` is an error of the connection itself (`ETIMEDOUT`).
pub(crate) const TIMEOUT: ErrorKind = if cfg!(unix) { ErrorKind::WouldBlock } else { ErrorKind::TimedOut };

pub(crate) fn is_timeout(error: &Error) -> bool {
    error.kind() == TIMEOUT
}
