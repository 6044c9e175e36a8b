//! The `single-server` command: reads its arguments, starts a server, and hands each client to what it was asked to
//! do. Everything about the network is the library's; what is here runs on the main thread.

#![forbid(unsafe_code)]

mod command {
    pub mod args;
    pub mod log;
}

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use command::args::{self, Args, Command, Request};
use command::log::Log;

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

fn run(args: Args) -> io::Result<()> {
    let mut server = args.options.bind(&args.listen[..]).map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => io::Error::new(e.kind(), format!("{e}; give another port with --listen")),
        _ => e,
    })?;
    let log = Log::start(&server, args.quiet)?;
    while let Some(mut session) = server.accept() {
        match args.command {
            Command::Echo => {
                let inbox = session.inbox();
                for chunk in session.chunks() {
                    let _ = inbox.send(chunk);
                }
            }
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
