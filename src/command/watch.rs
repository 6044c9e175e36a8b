//! What a relay must know about the other side of a session, beyond what its stream shows.

use std::thread;
use std::time::Duration;

use single_server::Report;

/// The first pause while waiting for the end of the other side. Each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Watches the other side of a session. By default, there is nothing to know.
pub trait Watch: Sync {
    /// Called when the stream has sent nothing for [`PATIENCE`](super::stream::PATIENCE). `moved`: the stream has sent or
    /// accepted something since the last call. Returns whether this counts as the end of the stream.
    fn gives_up(&self, _moved: bool) -> bool {
        false
    }

    /// The session is over, and some of its client's bytes are left. Returns whether to write them to the stream. Called ten
    /// times a second while the stream accepts none.
    fn takes_the_rest(&self, _report: &Report) -> bool {
        false
    }

    /// The session is over. Returns whether its stream is still needed.
    fn goes_on(&self, _report: &Report) -> bool {
        false
    }

    /// Waits until the stream is no longer needed. `std` cannot wait for a process with a timeout, so this polls, at first
    /// often.
    fn wait(&self, report: &Report) {
        let mut pause = FIRST_PAUSE;
        while self.goes_on(report) {
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

impl Watch for () {}
