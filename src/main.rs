//! The `single-server` command: reads its arguments, starts a server, and serves one client after the other on the main
//! thread. The library does everything about the network.

#![forbid(unsafe_code)]

mod command {
    pub mod args;
    pub mod draft;
    pub mod exec;
    pub mod forward;
    pub mod help;
    #[cfg(unix)]
    pub mod inetd;
    pub mod log;
    pub mod parser;
    pub mod pipe;
    #[cfg(not(unix))]
    pub mod pipes;
    pub mod reaper;
    pub mod relay;
    pub mod request;
    #[cfg(unix)]
    pub mod socket_pair;
    pub mod stream;
    // How a timeout is reported is a fact of the system, which the library and the command both need.
    #[path = "../net/timeout.rs"]
    pub mod timeout;
    pub mod values;

    /// How it went with a client.
    pub enum Outcome {
        Served,
        /// The process or the target failed. The log says how; the next client may be served.
        Failed,
        /// No client can be served any more.
        Fatal(String),
    }
}

use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use command::args;
use command::exec::{self, Exec};
use command::forward::Forward;
use command::log::{Complaints, Log};
use command::pipe::Pipe;
use command::reaper::Reaper;
use command::request::{Args, Command, Listen, Request};
use command::Outcome;
use single_server::{Options, Session, SingleServer};

/// How long the last client has to read its last bytes when the server stops.
const LINGER: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let args = match args::parse(env::args_os().skip(1)) {
        Ok(Request::Run(args)) => *args,
        Ok(Request::Print(text)) => {
            return match io::stdout().write_all(text.as_bytes()) {
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
            ExitCode::FAILURE
        }
    }
}

/// What serves a client.
type Serve = dyn FnMut(&mut Session) -> Outcome;

/// Returns whether all went well; if not, the log has said why.
fn run(args: Args) -> io::Result<bool> {
    if let Command::Exec { ref program, .. } = args.command {
        exec::check(program)?;
    }
    let on_demand = matches!(args.command, Command::Forward { .. } | Command::Exec { inetd: true, .. });
    let mut server = listen(args.options.linger(LINGER).read_on_demand(on_demand), args.listen)?;
    let complaints = Complaints::default();
    let log = Log::start(&server, complaints.clone(), args.quiet)?;
    let idle_timeout = args.idle_timeout;
    let mut pipe = None;
    let mut serve: Box<Serve> = match args.command {
        Command::Echo => Box::new(echo),
        Command::Pipe(direction) => {
            let started = Pipe::start(direction, server.inbox(), server.control(), LINGER)?;
            let started = Arc::new(started);
            pipe = Some(started.clone());
            Box::new(move |session| started.serve(session))
        }
        Command::Exec { program, arguments, stderr, inetd } => {
            let (complaints, reaper) = (complaints.clone(), Reaper::default());
            let exec = Exec { program, arguments, stderr, inetd, idle_timeout, complaints, reaper };
            Box::new(move |session| exec.serve(session))
        }
        Command::Forward { target, retry } => {
            let (complaints, control, spare) = (complaints.clone(), server.control(), None);
            let mut forward = Forward { target, retry, idle_timeout, complaints, control, spare };
            Box::new(move |session| forward.serve(session))
        }
    };

    // Stays false if no client is served: the target could not be reached for the first one, or standard input has failed.
    let mut well = false;
    while let Some(mut session) = server.accept() {
        let outcome = serve(&mut session);
        well = matches!(outcome, Outcome::Served);
        if let Outcome::Fatal(error) = outcome {
            complaints.add(format!("single-server: {error}"));
            break;
        }
        if args.once {
            // `stop` would give a slow client no longer than the linger time.
            session.close();
            break;
        }
    }
    if let Some(error) = pipe.and_then(|pipe| pipe.error()) {
        complaints.add(format!("single-server: {error}"));
        well = false;
    }
    // An error means that the acceptor of a shared socket could not be woken. It ends with this process.
    let _ = server.stop();
    log.finish();
    Ok(well)
}

fn echo(session: &mut Session) -> Outcome {
    let inbox = session.inbox();
    // After an error the rest is still read, so the server can find out how the session ends.
    session.chunks().for_each(|chunk| drop(inbox.send(chunk)));
    Outcome::Served
}

fn listen(options: Options, listen: Listen) -> io::Result<SingleServer> {
    let addresses = match listen {
        Listen::On(addresses) => addresses,
        Listen::Stdin => return options.listen_on(inherited()?),
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

/// The listening socket that a supervisor has passed as standard input.
#[cfg(unix)]
fn inherited() -> io::Result<TcpListener> {
    use std::net::TcpStream;
    use std::os::unix::io::AsFd;

    let cannot =
        |e: io::Error| io::Error::new(e.kind(), format!("cannot use standard input as a socket: {e}"));
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(cannot)?;
    let listener = TcpListener::from(socket);
    let listening = match listener.local_addr() {
        // A socket that is connected is not listening; inetd passes such a one with `nowait`.
        Ok(addr) => {
            addr.port() != 0
                && TcpStream::from(std::os::unix::io::OwnedFd::from(listener.try_clone()?))
                    .peer_addr()
                    .is_err()
        }
        Err(_) => false,
    };
    if !listening {
        let what = "standard input is not a listening TCP socket; pass one, or give --listen a port";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(listener)
}

#[cfg(not(unix))]
fn inherited() -> io::Result<TcpListener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "--listen stdin works on Unix only"))
}
