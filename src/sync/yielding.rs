//! Receiving from a channel with a short polling phase before the caller blocks.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

/// Polls the channel for up to `patience`, yielding between attempts, before the caller blocks.
///
/// A busy thread is likely to get its next message sooner than the kernel could wake it.
pub(crate) fn receive<T>(channel: &Receiver<T>, patience: Duration) -> Result<T, TryRecvError> {
    let mut received = channel.try_recv();
    if patience.is_zero() || !matches!(received, Err(TryRecvError::Empty)) {
        return received;
    }
    let until = Instant::now() + patience;
    while matches!(received, Err(TryRecvError::Empty)) && Instant::now() < until {
        thread::yield_now();
        received = channel.try_recv();
    }
    received
}
