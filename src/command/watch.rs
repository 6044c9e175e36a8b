//! What a relay asks about the other side of a session, beyond what its stream shows.

use std::thread;
use std::time::Duration;

use single_server::Report;

/// How long the first and the longest pause is while the end of the other side is waited for.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Knows more of the other side than its stream shows. By default, nothing.
pub trait Watch: Sync {
    /// Asked when the stream has sent nothing for [`PATIENCE`](super::stream::PATIENCE); `moved` tells whether it has sent or
    /// taken anything since it was asked last. Returns whether this is the end of the stream.
    fn gives_up(&self, _moved: bool) -> bool {
        false
    }

    /// The session is over, and there is more of its client's bytes. Returns whether the stream is to have them. Asked ten
    /// times a second while it takes none.
    fn takes_the_rest(&self, _report: &Report) -> bool {
        false
    }

    /// The session is over. Returns whether its stream is still needed.
    fn goes_on(&self, _report: &Report) -> bool {
        false
    }

    /// Returns as soon as it does not go on. Nothing in `std` waits for a process with a timeout, so this polls, at first
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
