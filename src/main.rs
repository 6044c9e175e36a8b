//! The `single-server` command: reads its arguments, starts a server, and serves one client after the other on the main
//! thread. The library does everything about the network.

#![forbid(unsafe_code)]

mod command {
    pub mod args;
    pub mod buffer;
    pub mod burst;
    pub mod dialer;
    pub mod draft;
    pub mod endpoint;
    pub mod environment;
    pub mod exec;
    pub mod exit;
    pub mod forward;
    pub mod help;
    #[cfg(unix)]
    pub mod inetd;
    pub mod inherited;
    pub mod log;
    pub mod parser;
    pub mod patience;
    pub mod pipe;
    #[cfg(not(unix))]
    pub mod pipes;
    pub mod process;
    pub mod reaper;
    pub mod relay;
    pub mod request;
    #[cfg(unix)]
    pub mod socket_pair;
    pub mod stream;
    pub mod taken;
    // The library and the command both need to recognise the system's error for a timeout.
    #[path = "../net/timeout.rs"]
    pub mod timeout;
    pub mod values;
    pub mod watch;

    /// The outcome of a session.
    pub enum Outcome {
        Served,
        /// The client was served, and there is nothing to serve to another one.
        Last,
        /// The process or the target failed, as the log says. The next client may be served.
        Failed,
        /// No client can be served any more.
        Fatal(String),
    }
}

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use command::args;
use command::dialer::Dialer;
use command::exec::{self, Exec};
use command::forward::Forward;
use command::inherited;
use command::log::{Complaints, Log};
use command::patience;
use command::pipe::Pipe;
use command::reaper::Reaper;
use command::request::{Args, Command, Listen, Request};
use command::Outcome;
use single_server::{Options, Session, SingleServer};

/// How long the last client has to read its last bytes when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let args = match args::parse(env::args_os().skip(1)) {
        Ok(Request::Run(args)) => *args,
        Ok(Request::Print(text)) => {
            return match patience::write_all(&mut io::stdout(), text.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(mistake) => {
            let _ = writeln!(io::stderr(), "single-server: {mistake}");
            return ExitCode::from(2);
        }
    };
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            let _ = writeln!(io::stderr(), "single-server: {e}");
            match e.kind() {
                // Such as a standard input that is not a socket: a restart would not help.
                io::ErrorKind::InvalidInput => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Serves one client.
type Serve = dyn FnMut(&mut Session) -> Outcome;

/// Returns whether all went well; if not, the log says why.
fn run(args: Args) -> io::Result<bool> {
    if let Command::Exec { ref program, .. } = args.command {
        exec::check(program)?;
    }
    if matches!(args.command, Command::Pipe { .. }) && inherited::is_stdout_a_listener() {
        let what = "standard output is a listening socket, too; connect it to something else";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let on_demand = matches!(args.command, Command::Forward { .. } | Command::Exec { inetd: true, .. });
    let mut server = listen(args.options.stop_timeout(STOP_TIMEOUT).read_on_demand(on_demand), args.listen)?;
    let complaints = Complaints::new(args.quiet);
    let log = Log::start(&server, complaints.clone())?;
    let idle_timeout = args.idle_timeout;
    let mut pipe = None;
    let mut serve: Box<Serve> = match args.command {
        Command::Echo => Box::new(echo),
        Command::Pipe { direction, live } => {
            let ends = (server.inbox(), server.control());
            let started = Pipe::start(direction, live, ends, complaints.clone(), STOP_TIMEOUT)?;
            let started = Arc::new(started);
            pipe = Some(started.clone());
            Box::new(move |session| started.serve(session))
        }
        Command::Exec { program, arguments, stderr, inetd, exit_timeout } => {
            let (complaints, control, reaper) = (complaints.clone(), server.control(), Reaper::default());
            let exec = Exec {
                program,
                arguments,
                stderr,
                inetd,
                idle_timeout,
                exit_timeout,
                complaints,
                control,
                reaper,
            };
            Box::new(move |session| exec.serve(session))
        }
        Command::Forward { target, retry } => {
            let (complaints, dialer) = (complaints.clone(), Dialer::new(target, server.control()));
            let forward = Forward { dialer, retry, idle_timeout, complaints };
            Box::new(move |session| forward.serve(session))
        }
    };

    // Stays false if no client is served: if the target cannot be reached for the first one, or standard input fails.
    let mut well = false;
    while let Some(mut session) = server.accept() {
        let outcome = serve(&mut session);
        well = matches!(outcome, Outcome::Served | Outcome::Last);
        if let Outcome::Fatal(ref error) = outcome {
            complaints.add(format!("single-server: {error}"));
            break;
        }
        if args.once || matches!(outcome, Outcome::Last) {
            // Waits for a slow client. `stop` alone would wait no longer than the stop timeout.
            session.close();
            break;
        }
    }
    if let Some(pipe) = pipe {
        well |= pipe.is_drained();
        if let Some(error) = pipe.error() {
            complaints.add(format!("single-server: {error}"));
            well = false;
        }
    }
    // An error means that the acceptor of a shared socket could not be woken. It exits with this process.
    let _ = server.stop();
    log.finish();
    Ok(well)
}

fn echo(session: &mut Session) -> Outcome {
    let inbox = session.inbox();
    // After an error, keep reading, so the server can find out how the session ends.
    session.chunks().for_each(|chunk| drop(inbox.send(chunk)));
    Outcome::Served
}

fn listen(options: Options, listen: Listen) -> io::Result<SingleServer> {
    let addresses = match listen {
        Listen::On(addresses) => addresses,
        Listen::Stdin => return options.listen_on(inherited::listener()?),
    };
    options.bind(&addresses[..]).map_err(|e| {
        let privileged = addresses.iter().any(|addr| (1..1024).contains(&addr.port()));
        let remedy = match e.kind() {
            io::ErrorKind::AddrInUse => "choose another port with --listen",
            io::ErrorKind::AddrNotAvailable => {
                "choose an address of this machine, or 0.0.0.0 for all of them"
            }
            io::ErrorKind::PermissionDenied if privileged => {
                "ports below 1024 need root; choose a higher one with --listen, or pass a socket with --listen stdin"
            }
            _ => return e,
        };
        io::Error::new(e.kind(), format!("{e}; {remedy}"))
    })
}
