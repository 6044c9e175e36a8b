//! Reads the command line. A mistake is told as a sentence that names the argument and says what would be right.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use single_server::{Busy, Options};

const HELP: &str = "\
single-server: a TCP server that serves one client at a time

Usage: single-server [OPTIONS] COMMAND

Commands:
  echo                       send every byte back
  pipe                       the client speaks to standard input and output of this process
  exec [--] CMD [ARG...]     each client speaks to a new process
  forward HOST:PORT          each client speaks to that TCP server

Options:
  -l, --listen [ADDR:]PORT   listen there; default 127.0.0.1:1601, port 0: any free one
  -b, --busy POLICY          what a second client meets: drop (default), refuse, wait, replace
      --busy-message TEXT    what a dropped client is told (with drop only)
  -a, --allow IP[/PREFIX]    serve only these, repeatable; default: whoever can reach the address
      --idle-timeout SECONDS end a session in which nothing moves; default: none
  -1, --once                 leave after the first client
  -q, --quiet                print nothing but errors
  -h, --help                 print this
  -V, --version              print the version

Examples:
  single-server echo
  single-server -l 0.0.0.0:7000 -a 192.168.1.0/24 pipe </dev/ttyUSB0 >/dev/ttyUSB0
  single-server --busy-message 'one at a time' exec -- bash -i
  single-server --busy wait --idle-timeout 60 forward printer:9100

It runs until a signal ends it, or the first client with --once. It has no handler for signals, so
that SIGTERM and SIGINT end it at once. Exit codes: 1 if it failed, 2 for a mistake in arguments.
";

/// What was asked for.
#[allow(clippy::large_enum_variant)] // there is one of it
pub enum Request {
    Run(Args),
    /// Print this on standard output and leave.
    Print(String),
}

pub struct Args {
    pub command: Command,
    pub listen: Vec<SocketAddr>,
    pub options: Options,
    pub once: bool,
    pub quiet: bool,
}

pub enum Command {
    Echo,
    Pipe,
    Exec(OsString, Vec<OsString>),
    /// `HOST:PORT`, resolved for each client.
    Forward(String),
}

/// The arguments that are left.
struct Arguments<I> {
    left: I,
    /// The value that was glued to the last option (`--listen=1601`, `-l1601`).
    glued: Option<OsString>,
    /// The options that followed the last one in the same argument (`-1q`).
    bundled: Option<OsString>,
}

pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let mut arguments = Arguments { left: arguments, glued: None, bundled: None };
    let mut command = None;
    let mut listen = "1601".to_string();
    let mut options = Options::new();
    let mut busy = Busy::Drop;
    let mut message = None;
    let mut once = false;
    let mut quiet = false;

    while let Some(argument) = arguments.next()? {
        match argument.as_str() {
            "-l" | "--listen" => {
                listen = arguments.value(&argument, "a port such as 1601 or 0.0.0.0:1601")?
            }
            "-b" | "--busy" => {
                let policy = arguments.value(&argument, "drop, refuse, wait or replace")?;
                busy = match policy.as_str() {
                    "drop" => Busy::Drop,
                    "refuse" => Busy::Refuse,
                    "wait" => Busy::Wait,
                    "replace" => Busy::Replace,
                    _ => {
                        return Err(format!(
                            "{argument} {policy}: not a policy; give drop, refuse, wait or replace"
                        ))
                    }
                };
            }
            "--busy-message" => message = Some(arguments.value(&argument, "a text")?),
            "-a" | "--allow" => {
                let prefix =
                    arguments.value(&argument, "an address such as 192.168.1.7 or 192.168.1.0/24")?;
                let prefix = prefix.parse().map_err(|e| format!("{argument} {prefix}: {e}"))?;
                options = options.allow(prefix);
            }
            "--idle-timeout" => {
                let text = arguments.value(&argument, "a number of seconds such as 60")?;
                let time = seconds(&text).ok_or_else(|| {
                    format!("{argument} {text}: not a time; give seconds, 0.01 or more, such as 60")
                })?;
                options = options.idle_timeout(time);
            }
            "-1" | "--once" => once = true,
            "-q" | "--quiet" => quiet = true,
            "-h" | "--help" => return Ok(Request::Print(HELP.to_string())),
            "-V" | "--version" => {
                let version = option_env!("CARGO_PKG_VERSION").unwrap_or("0.1.0");
                return Ok(Request::Print(format!("single-server {version}\n")));
            }
            option if option.starts_with('-') && option != "-" => {
                return Err(format!("unknown option {option}; see single-server --help"));
            }
            "echo" if command.is_none() => command = Some(Command::Echo),
            "pipe" if command.is_none() => command = Some(Command::Pipe),
            "exec" if command.is_none() => {
                // From here on everything is the process's own.
                let mut rest = arguments.left.by_ref().skip_while({
                    let mut first = true;
                    move |argument| std::mem::replace(&mut first, false) && argument == "--"
                });
                let program = rest.next().ok_or("exec needs a command, such as exec -- cat -n")?;
                command = Some(Command::Exec(program, rest.collect()));
            }
            "forward" if command.is_none() => {
                let target = arguments.value("forward", "a HOST:PORT such as printer:9100")?;
                command = Some(Command::Forward(host_and_port(&target)?));
            }
            other if command.is_none() => {
                return Err(format!("unknown command {other}; give echo, pipe, exec or forward"));
            }
            other => return Err(format!("unexpected argument {other}; there is a command already")),
        }
        if arguments.glued.is_some() {
            return Err(format!("{argument} takes no value"));
        }
    }

    let busy = match (busy, message) {
        (busy, None) => busy,
        (Busy::Drop, Some(message)) if message.len() > 4096 => {
            return Err("--busy-message: over 4,096 bytes; give a shorter text".to_string());
        }
        (Busy::Drop, Some(message)) => Busy::Tell(message.into_bytes()),
        (_, Some(_)) => {
            return Err("--busy-message goes with --busy drop only; leave one of them out".to_string())
        }
    };
    Ok(Request::Run(Args {
        command: command
            .ok_or("no command; give echo, pipe, exec or forward, or see single-server --help")?,
        listen: addresses(&listen).map_err(|what| format!("--listen {listen}: {what}"))?,
        options: options.busy(busy),
        once,
        quiet,
    }))
}

impl<I: Iterator<Item = OsString>> Arguments<I> {
    /// The next argument; an option is separated from the value that is glued to it.
    fn next(&mut self) -> Result<Option<String>, String> {
        let argument = match self.bundled.take().or_else(|| self.left.next()) {
            Some(argument) => argument
                .into_string()
                .map_err(|raw| format!("argument {raw:?} is not UTF-8; only what follows exec may be"))?,
            None => return Ok(None),
        };
        if argument.starts_with("--") {
            if let Some((option, value)) = argument.split_once('=') {
                self.glued = Some(value.into());
                return Ok(Some(option.to_string()));
            }
        } else if argument.starts_with('-') && argument.is_char_boundary(2) && argument.len() > 2 {
            let (option, rest) = argument.split_at(2);
            if matches!(option, "-l" | "-b" | "-a") {
                self.glued = Some(rest.into());
            } else {
                self.bundled = Some(format!("-{rest}").into());
            }
            return Ok(Some(option.to_string()));
        }
        Ok(Some(argument))
    }

    fn value(&mut self, option: &str, what: &str) -> Result<String, String> {
        let value = self.glued.take().or_else(|| self.left.next());
        let value = value.ok_or_else(|| format!("{option} needs a value: {what}"))?;
        value.into_string().map_err(|raw| format!("{option} {raw:?}: not UTF-8; give {what}"))
    }
}

/// Seconds, with a fraction of up to three digits; as integers, since floating-point numbers take much code.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let seconds = whole.parse::<u32>().ok()?;
    let millis = format!("{fraction:0<3}").parse::<u64>().ok()?;
    let time = Duration::from_secs(seconds.into()) + Duration::from_millis(millis);
    Some(time).filter(|time| *time >= Duration::from_millis(10))
}

fn host_and_port(target: &str) -> Result<String, String> {
    let right = match target.rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && port.parse().map_or(false, |port: u16| port != 0),
        None => false,
    };
    if right {
        Ok(target.to_string())
    } else {
        Err(format!("forward {target}: not a HOST:PORT with a port from 1 to 65535, such as printer:9100"))
    }
}

/// `PORT`, `ADDR:PORT` or `[V6]:PORT`; a name may stand for the address.
fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let remedy = "give a port from 0 to 65535, as in 1601, 0.0.0.0:1601 or [::1]:1601";
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let port: u16 = match port.parse() {
        Ok(number) if port.bytes().all(|b| b.is_ascii_digit()) => number,
        _ => return Err(format!("{port:?} is not a port; {remedy}")),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if host.is_empty() || (host.contains(':') && bracketed.is_none()) {
        return Err(format!("{host:?} is not an address; {remedy}"));
    }
    let resolved = (bracketed.unwrap_or(host), port).to_socket_addrs();
    let resolved = resolved.map_err(|e| format!("cannot find the address {host:?} ({e}); {remedy}"))?;
    Ok(resolved.collect())
}
