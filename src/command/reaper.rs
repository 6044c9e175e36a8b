//! Reaps killed processes that have not exited in time, such as one that is stuck in a device driver.
//!
//! The main thread adds them and continues with the next client. One thread polls all of them, and runs only while there are
//! any.

use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How often the thread checks.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Clone, Default)]
pub struct Reaper {
    /// Not empty as long as the thread runs.
    stuck: Arc<Mutex<Vec<Child>>>,
}

impl Reaper {
    /// Takes over a process. If no thread can be started, the process is reaped when this one exits.
    pub fn add(&self, child: Child) {
        let mut stuck = self.lock();
        if stuck.is_empty() {
            let reaper = self.clone();
            let thread = thread::Builder::new().name("reaper".into());
            if thread.spawn(move || while reaper.look() {}).is_err() {
                return;
            }
        }
        stuck.push(child);
    }

    /// Waits, and then reaps. Returns whether a process is still stuck.
    fn look(&self) -> bool {
        thread::sleep(LOOK);
        let mut stuck = self.lock();
        // The only error is that the system has reaped it already.
        stuck.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        !stuck.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Child>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
