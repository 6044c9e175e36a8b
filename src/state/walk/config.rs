//! The settings of one walk: the clients and their behaviour, the options of the server, and the actions of the application.

use std::time::{Duration, Instant};

use super::breaks::Break;
use crate::values::options::Options;
use crate::values::signal::Reason;

/// What happens to a second client. `Busy::Tell` differs from `Drop` only outside the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Drop,
    Wait,
    Replace,
    Refuse,
}

/// What the application's threads may do besides receiving messages and dropping the `End`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Send a message to the open session, by `try_send` or by `send`.
    TryReply,
    Reply,
    /// Send a message to the current client or, if nobody is connected, to the next one.
    TrySend,
    Send,
    HalfClose,
    Finish,
    Abort,
    /// Drop a `Session`: ignore the rest of the client's bytes, and finish.
    Leave,
    /// `Client::extend`: it is still working.
    Extend,
    /// `Session::close`: finish, and wait for the end.
    Close,
    /// `Session::stream`: lends the connection. Its holder reads a byte, or leaves; then the application drops the session.
    Lend,
    HolderReads,
    /// `SingleServer::stop`.
    StopServer,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// It closes its side, and still reads.
    HalfCloses,
    /// It closes its connection: further bytes sent to it are answered by a reset.
    Closes,
    /// It resets its connection.
    Resets,
}

/// The settings of one walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    pub(super) name: &'static str,
    /// The number of clients, each of which connects once, and how many bytes each may send.
    pub(super) clients: usize,
    pub(super) bytes: u8,
    pub(super) manners: &'static [Manners],
    /// The kernel takes one byte for a client; the next one must wait until the client has read it.
    pub(super) slow_clients: bool,
    pub(super) policy: Policy,
    /// A newcomer waits for a sign that the client is leaving.
    pub(super) grace: bool,
    pub(super) read_on_demand: bool,
    /// Whether there is an idle timeout, a close timeout and a session timeout.
    pub(super) idle: bool,
    pub(super) close: bool,
    pub(super) session: bool,
    /// The application may be paused. Its clients still leave.
    pub(super) stalls: bool,
    /// What the application may do, and how often in total.
    pub(super) acts: &'static [Act],
    pub(super) times: u8,
    /// The same for a second thread, which sends; it does all of this.
    pub(super) sender: &'static [Act],
    /// How often `Control::drain`, `Control::stop` and `Control::wake` are called.
    pub(super) drains: u8,
    pub(super) stops: u8,
    pub(super) wakes: u8,
    /// The walk must see sessions that ended for each of these reasons.
    pub(super) reasons: &'static [Reason],
    /// The minimum number of states. If the walk sees fewer, it has missed some.
    pub(super) at_least: usize,
}

/// One client under the default policy.
pub(super) const ONE_CLIENT: Config = Config {
    name: "one client",
    clients: 1,
    bytes: 2,
    manners: &[Manners::HalfCloses, Manners::Closes, Manners::Resets],
    slow_clients: false,
    policy: Policy::Drop,
    grace: true,
    read_on_demand: false,
    idle: false,
    close: false,
    session: false,
    stalls: false,
    acts: &[],
    times: 0,
    sender: &[],
    drains: 0,
    stops: 0,
    wakes: 0,
    reasons: &[],
    at_least: 0,
};

/// The settings of a walk, and values derived from them.
pub(super) struct Rules {
    pub(super) config: Config,
    pub(super) broken: Option<Break>,
    pub(super) options: Options,
    /// The time. It stands still, but a step may also happen long after the others.
    pub(super) base: Instant,
}

/// The close timeout, and the idle timeout, which is longer.
const CLOSE: Duration = Duration::from_secs(60);
pub(super) const IDLE: Duration = Duration::from_secs(61);
/// The session timeout, after which the others have passed as well.
const SESSION: Duration = Duration::from_secs(2000 * 3600);
/// The room in the inbox, in messages, each of which has a weight of 1.
pub(super) const ROOM: usize = 2;
/// The length of the outbox.
pub(super) const DEPTH: usize = 1;
/// How long the last client is served after a drain, and after a stop.
pub(super) const DRAIN: Duration = Duration::from_secs(10);
pub(super) const LINGER: Duration = Duration::from_secs(1);

impl Rules {
    pub(super) fn new(config: Config, broken: Option<Break>) -> Rules {
        let mut options = Options::new().stop_timeout(LINGER);
        options.buffer_size = 1;
        options.depth = ROOM;
        options.read_on_demand = config.read_on_demand;
        options.idle_timeout = Some(IDLE).filter(|_| config.idle);
        options.close_timeout = Some(CLOSE).filter(|_| config.close);
        options.session_timeout = Some(SESSION).filter(|_| config.session);
        Rules { config, broken, options, base: Instant::now() + Duration::from_secs(3600) }
    }

    /// Whether a timeout may end a session.
    pub(super) fn has_timeouts(&self) -> bool {
        self.config.idle || self.config.close || self.config.session
    }

    pub(super) fn breaks(&self, what: Break) -> bool {
        self.broken == Some(what)
    }

    /// Whether the server is stopped sooner or later.
    pub(super) fn must_stop(&self) -> bool {
        self.config.stops > 0 || self.config.drains > 0 || self.config.acts.contains(&Act::StopServer)
    }

    /// Whether a client may stay silent forever. Then a stop or a timeout must end the session; the close timeout alone does not.
    pub(super) fn may_be_silent(&self) -> bool {
        (self.config.idle && !self.config.stalls) || self.config.session || self.must_stop()
    }
}
