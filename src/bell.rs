//! A condition variable that costs no system call as long as nobody waits for it, which is nearly always.
//!
//! `std`'s own wakes the kernel each time. The count is changed under the lock of what is waited for, and so is that
//! itself: who rings after a change either finds the waiter counted, or the waiter has found the change.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Bell {
    condition: Condvar,
    waiting: AtomicUsize,
}

impl Bell {
    pub(crate) fn wait<'a, T>(&self, state: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let state = self.condition.wait(state).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        state
    }

    pub(crate) fn wait_for<'a, T>(&self, state: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (state, _) = self.condition.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        state
    }

    /// Wakes everybody who waits. For who has changed the state, under its lock, and has let go of it.
    pub(crate) fn ring(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.condition.notify_all();
        }
    }
}
