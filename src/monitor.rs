//! A mutex combined with a condition variable. Notifying makes a system call only if a thread waits.
//!
//! `std`'s `Condvar` calls the kernel on every notification. Here the number of waiting threads is part of the guarded
//! state, so a thread that has changed the state knows before it unlocks whether it must wake another one.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Locks a mutex, even if a thread panicked while it held it.
///
/// No code of this crate panics under a lock or leaves the guarded state half changed, so poisoning means nothing here.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
pub(crate) struct Monitor<T> {
    state: Mutex<Counted<T>>,
    changed: Condvar,
}

#[derive(Default)]
struct Counted<T> {
    /// Threads inside `wait` or `wait_until`.
    waiting: usize,
    value: T,
}

/// A locked [`Monitor`]; it dereferences to the guarded value.
pub(crate) struct Locked<'a, T> {
    state: MutexGuard<'a, Counted<T>>,
    changed: &'a Condvar,
}

impl<T> Monitor<T> {
    pub(crate) fn new(value: T) -> Monitor<T> {
        Monitor { state: Mutex::new(Counted { waiting: 0, value }), changed: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> Locked<'_, T> {
        Locked { state: lock(&self.state), changed: &self.changed }
    }
}

impl<'a, T> Locked<'a, T> {
    /// Unlocks, waits for a notification, and locks again. May return without one.
    pub(crate) fn wait(self) -> Locked<'a, T> {
        self.wait_until(None)
    }

    /// Like [`wait`](Locked::wait), but only up to the deadline.
    pub(crate) fn wait_until(mut self, deadline: Option<Instant>) -> Locked<'a, T> {
        let changed = self.changed;
        self.state.waiting += 1;
        let mut state = match deadline {
            None => changed.wait(self.state).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                changed.wait_timeout(self.state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.waiting -= 1;
        Locked { state, changed }
    }

    /// Unlocks and wakes all waiting threads.
    pub(crate) fn notify(self) {
        let anybody = self.state.waiting > 0;
        drop(self.state);
        if anybody {
            self.changed.notify_all();
        }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state.value
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state.value
    }
}
