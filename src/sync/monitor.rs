//! Locking that ignores poisoning, and condition variables that call the kernel only if a thread waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Locks a mutex, even if a thread panicked while it held it.
///
/// No code of this crate panics under a lock or leaves the guarded state half changed, so poisoning means nothing here.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A condition variable that counts its waiters; `std`'s calls the kernel on every notification.
///
/// It belongs to one mutex. A thread that has changed the guarded state calls [`is_awaited`](Condition::is_awaited) under the
/// lock, unlocks, and only then notifies: a thread woken earlier would only wait for the lock.
#[derive(Default)]
pub(crate) struct Condition {
    changed: Condvar,
    /// The number of threads in `wait`. Changed and read under the lock, which orders these accesses.
    waiting: AtomicUsize,
}

impl Condition {
    /// Unlocks, waits for a notification or the deadline, and locks again. May wake up spuriously.
    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = match deadline {
            None => self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Whether a thread waits. Call it under the lock.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Wakes all threads that wait.
    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
