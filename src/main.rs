//! The `single-server` command: reads its arguments, starts a server, and hands each client to what it was asked to
//! do. Everything about the network is the library's; what is here runs on the main thread.

#![forbid(unsafe_code)]

mod command {
    pub mod args;
    pub mod bridge;
    pub mod exec;
    pub mod forward;
    pub mod log;
    pub mod pipe;
}

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use command::args::{self, Args, Command, Request};
use command::log::Log;
use command::pipe::Pipe;
use command::{exec, forward};
use single_server::Session;

fn main() -> ExitCode {
    let args = match args::parse(env::args_os().skip(1)) {
        Ok(Request::Run(args)) => args,
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
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "single-server: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What is done with a client.
type Serve = dyn FnMut(&mut Session) -> io::Result<()>;

fn run(args: Args) -> io::Result<()> {
    // Time for the last client to take what is on its way, with --once; otherwise a signal ends it, without any.
    let options = args.options.linger(Duration::from_secs(5));
    let mut server = options.bind(&args.listen[..]).map_err(|e| {
        let remedy = match e.kind() {
            io::ErrorKind::AddrInUse => "give another port with --listen",
            io::ErrorKind::AddrNotAvailable => "give an address of this machine, or 0.0.0.0 for all of them",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 are for root; give a higher one with --listen"
            }
            _ => return e,
        };
        io::Error::new(e.kind(), format!("{e}; {remedy}"))
    })?;
    let log = Log::start(&server, args.quiet)?;
    // Only a broken standard output leaves nothing to go on for.
    let fatal = matches!(args.command, Command::Pipe);
    let mut serve: Box<Serve> = match args.command {
        Command::Echo => Box::new(|session| {
            let inbox = session.inbox();
            session.chunks().for_each(|chunk| drop(inbox.send(chunk)));
            Ok(())
        }),
        Command::Pipe => {
            let pipe = Pipe::start(server.inbox(), log.complaints.clone())?;
            Box::new(move |session| pipe.serve(session))
        }
        Command::Exec(program, arguments) => {
            Box::new(move |session| exec::serve(session, &program, &arguments))
        }
        Command::Forward(target) => Box::new(move |session| forward::serve(session, &target)),
    };
    while let Some(mut session) = server.accept() {
        // Who has come and gone while the client before was seen off is not worth a process any more.
        let missed = !fatal && session.inbox().is_closed();
        let served = if missed { Ok(()) } else { serve(&mut session) };
        match served {
            Err(e) if fatal => return Err(e),
            Err(e) => log.complaints.say(e.to_string()),
            Ok(()) => {}
        }
        if args.once {
            // Not only dropped: stopping would not wait longer than the linger time for a slow client.
            session.close();
            break;
        }
    }
    let stopped = server.stop();
    log.finish();
    stopped
}
