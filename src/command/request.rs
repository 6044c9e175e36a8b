//! The result of reading the command line, as plain types without code. `args.rs` and `draft.rs` create them; `main.rs` and
//! the commands use them. This file imports neither of these.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use single_server::Options;

use super::endpoint::Endpoint;

/// What the user asked for.
#[allow(clippy::large_enum_variant)] // only one is ever created
pub enum Request {
    Run(Box<Args>),
    /// Print this on standard output and exit.
    Print(String),
}

/// All that `main` needs to run the server. Every value has been checked.
pub struct Args {
    pub command: Command,
    pub listen: Listen,
    pub options: Options,
    /// Also in `options`. `exec` and `forward` apply it to the process or the target, too.
    pub idle_timeout: Option<Duration>,
    pub once: bool,
    pub quiet: bool,
}

/// The command, with its own options and arguments.
pub enum Command {
    Echo,
    Pipe {
        direction: Direction,
        /// Discard standard input while nobody is connected.
        live: bool,
    },
    Exec {
        program: OsString,
        arguments: Vec<OsString>,
        stderr: bool,
        inetd: bool,
        /// `None` for no limit.
        exit_timeout: Option<Duration>,
    },
    /// The target is resolved for each client.
    Forward {
        target: Endpoint,
        retry: Duration,
    },
}

/// Which way `pipe` carries bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Both,
    RecvOnly,
    SendOnly,
}

/// Where the server listens.
pub enum Listen {
    On(Vec<SocketAddr>),
    /// The listening socket is standard input.
    Stdin,
}
