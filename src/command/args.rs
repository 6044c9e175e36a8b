//! Gives the command line its meaning. An error is one sentence that names the argument and what was expected.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use single_server::{Busy, Options};

use super::help::HELP;
use super::parser::{Item, Parser};
use super::values::{self, DURATION, SIZE};

/// What was asked for.
#[allow(clippy::large_enum_variant)] // there is one of it
pub enum Request {
    Run(Args),
    /// Print this on standard output and exit.
    Print(String),
}

pub struct Args {
    pub command: Command,
    pub listen: Listen,
    pub options: Options,
    /// Also in `options`, but the commands need it: how long the other side of a session may take no byte.
    pub idle_timeout: Option<Duration>,
    /// A newcomer replaces the client that is connected.
    pub replace: bool,
    pub once: bool,
    pub quiet: bool,
}

pub enum Command {
    Echo,
    Pipe(Direction),
    Exec {
        program: OsString,
        arguments: Vec<OsString>,
        stderr: bool,
    },
    /// The target is `HOST:PORT`, resolved for each client.
    Forward {
        target: String,
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

pub enum Listen {
    On(Vec<SocketAddr>),
    /// The listening socket is standard input.
    Stdin,
}

/// What has been read so far.
#[derive(Default)]
struct Draft {
    listen: Option<String>,
    busy: Option<Busy>,
    message: Option<String>,
    idle_timeout: Option<Duration>,
    close_timeout: Option<Duration>,
    handover: Option<Duration>,
    retry: Option<Duration>,
    buffer_size: Option<usize>,
    depth: Option<usize>,
    recv_only: bool,
    send_only: bool,
    stderr: bool,
    once: bool,
    quiet: bool,
    /// The command's name, and the words after it.
    words: Vec<OsString>,
}

pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let mut parser = Parser::new(arguments);
    let mut draft = Draft::default();
    let mut options = Options::new();
    while let Some(item) = parser.next()? {
        let option = match item {
            Item::Option(option) => option,
            Item::Word(word) => {
                draft.words.push(word);
                // From its program on, everything belongs to `exec`.
                if draft.words[0] == "exec" && (draft.words.len() == 2 || parser.is_words_only()) {
                    draft.words.extend(parser.rest());
                }
                continue;
            }
        };
        let name = match &option[..] {
            "-l" => "--listen",
            "-b" => "--busy",
            "-a" => "--allow",
            "-1" => "--once",
            "-q" => "--quiet",
            "-h" => "--help",
            "-V" => "--version",
            other => other,
        };
        match name {
            "--listen" => {
                let expected = "a port, or an address and a port, such as 1601 or 0.0.0.0:1601";
                once(name, &mut draft.listen, value(&mut parser, name, expected, |text| Some(text.into()))?)?;
            }
            "--busy" => {
                let policy = |text: &str| match text {
                    "drop" => Some(Busy::Drop),
                    "refuse" => Some(Busy::Refuse),
                    "wait" => Some(Busy::Wait),
                    "replace" => Some(Busy::Replace),
                    _ => None,
                };
                let policy = value(&mut parser, name, "drop, refuse, wait or replace", policy)?;
                once(name, &mut draft.busy, policy)?;
            }
            "--busy-message" => {
                let text = value(&mut parser, name, "a text", |text| Some(text.to_string()))?;
                once(name, &mut draft.message, text)?;
            }
            "--allow" => {
                let expected = "an address such as 192.168.1.7, or a prefix such as 10.0.0.0/8";
                options = options.allow(value(&mut parser, name, expected, |text| text.parse().ok())?);
            }
            "--idle-timeout" => once(name, &mut draft.idle_timeout, timeout(&mut parser, name)?)?,
            "--close-timeout" => once(name, &mut draft.close_timeout, timeout(&mut parser, name)?)?,
            "--handover" => {
                let time = value(&mut parser, name, DURATION, values::duration)?;
                once(name, &mut draft.handover, time)?;
            }
            "--retry" => once(name, &mut draft.retry, value(&mut parser, name, DURATION, values::duration)?)?,
            "--buffer-size" => {
                let size = |text: &str| values::size(text).filter(|size| (1..=1 << 30).contains(size));
                once(name, &mut draft.buffer_size, value(&mut parser, name, SIZE, size)?)?;
            }
            "--depth" => {
                let depth = |text: &str| values::whole(text).filter(|depth| (1..=1 << 16).contains(depth));
                let depth = value(&mut parser, name, "a number from 1 to 65536", depth)?;
                once(name, &mut draft.depth, depth)?;
            }
            "--recv-only" => draft.recv_only = true,
            "--send-only" => draft.send_only = true,
            "--stderr" => draft.stderr = true,
            "--once" => draft.once = true,
            "--quiet" => draft.quiet = true,
            "--help" => return Ok(Request::Print(HELP.to_string())),
            "--version" => {
                // Cargo sets the variable; a build with `rustc` alone does not have it.
                let version = option_env!("CARGO_PKG_VERSION").unwrap_or("0.2.0");
                return Ok(Request::Print(format!("single-server {version}\n")));
            }
            _ => return Err(format!("unknown option '{option}'; see single-server --help")),
        }
        if parser.has_unused_value() {
            return Err(format!("{name} takes no value"));
        }
    }
    draft.check(options).map(Request::Run)
}

/// The value of an option, converted by `convert`.
fn value<T>(
    parser: &mut Parser<impl Iterator<Item = OsString>>,
    option: &str,
    expected: &str,
    convert: impl FnOnce(&str) -> Option<T>,
) -> Result<T, String> {
    let raw = parser.value().ok_or_else(|| format!("missing value for {option}: expected {expected}"))?;
    let text = raw.to_str().ok_or_else(|| format!("invalid value {raw:?} for {option}: not valid UTF-8"))?;
    convert(text).ok_or_else(|| format!("invalid value '{text}' for {option}: expected {expected}"))
}

/// A duration that is long enough to be measured, or 0 for none.
fn timeout(parser: &mut Parser<impl Iterator<Item = OsString>>, option: &str) -> Result<Duration, String> {
    let long_enough = |time: &Duration| time.is_zero() || *time >= Duration::from_millis(10);
    let expected = &format!("{DURATION}; at least 10ms, or 0 for none");
    value(parser, option, expected, |text| values::duration(text).filter(long_enough))
}

/// Stores a value that may be given once only: of two, one would be ignored without a word.
fn once<T>(option: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{option} is given twice; give it once")),
    }
}

impl Draft {
    fn check(self, mut options: Options) -> Result<Args, String> {
        let command = self.command()?;
        let listen = match self.listen.as_deref().unwrap_or("1601") {
            "stdin" if !cfg!(unix) => {
                return Err("--listen stdin works on Unix only; give a port".to_string());
            }
            "stdin" if self.busy == Some(Busy::Refuse) => {
                let why = "its other holders keep the socket open";
                return Err(format!("--busy refuse cannot be used with --listen stdin: {why}"));
            }
            "stdin" if matches!(command, Command::Pipe(_)) => {
                let why = "standard input is the listening socket";
                return Err(format!("pipe cannot be used with --listen stdin: {why}"));
            }
            "stdin" => Listen::Stdin,
            text => Listen::On(
                values::addresses(text).map_err(|e| format!("invalid value '{text}' for --listen: {e}"))?,
            ),
        };
        let busy = match (self.busy.unwrap_or(Busy::Drop), self.message) {
            (busy, None) => busy,
            (Busy::Drop, Some(mut message)) => {
                if !message.ends_with('\n') {
                    message.push('\n');
                }
                if message.len() > 4096 {
                    return Err("--busy-message has over 4,096 bytes; give a shorter text".to_string());
                }
                Busy::Tell(message.into_bytes())
            }
            (_, Some(_)) => {
                return Err("--busy-message works with --busy drop only; leave one of them out".to_string());
            }
        };
        let idle_timeout = self.idle_timeout.filter(|time| !time.is_zero());
        options = options.idle_timeout(idle_timeout);
        if let Some(time) = self.close_timeout {
            options = options.close_timeout(Some(time).filter(|time| !time.is_zero()));
        }
        if let Some(time) = self.handover {
            options = options.handover(time);
        }
        if let Some(size) = self.buffer_size {
            options = options.buffer_size(size);
        }
        if let Some(depth) = self.depth {
            options = options.depth(depth);
        }
        let replace = busy == Busy::Replace;
        let options = options.busy(busy);
        Ok(Args { command, listen, options, idle_timeout, replace, once: self.once, quiet: self.quiet })
    }

    fn command(&self) -> Result<Command, String> {
        let expected = "expected echo, pipe, exec or forward";
        let (name, words) = match self.words.split_first() {
            Some((name, words)) => (name.to_string_lossy(), words),
            None => return Err(format!("missing command: {expected}; see single-server --help")),
        };
        let (command, used) = match &name[..] {
            "echo" => (Command::Echo, 0),
            "pipe" => {
                let direction = match (self.recv_only, self.send_only) {
                    (false, false) => Direction::Both,
                    (true, false) => Direction::RecvOnly,
                    (false, true) => Direction::SendOnly,
                    (true, true) => {
                        return Err("--recv-only and --send-only exclude each other; give one".to_string());
                    }
                };
                (Command::Pipe(direction), 0)
            }
            "exec" => {
                let missing = "missing program for exec: expected a command such as exec -- cat";
                let (program, arguments) = words.split_first().ok_or(missing)?;
                let (program, arguments) = (program.clone(), arguments.to_vec());
                (Command::Exec { program, arguments, stderr: self.stderr }, words.len())
            }
            "forward" => {
                let expected = "expected HOST:PORT with a port from 1 to 65535, such as printer:9100";
                let target =
                    words.first().ok_or_else(|| format!("missing target for forward: {expected}"))?;
                let target = target.to_string_lossy().into_owned();
                if !values::is_target(&target) {
                    return Err(format!("invalid target '{target}' for forward: {expected}"));
                }
                (Command::Forward { target, retry: self.retry.unwrap_or_default() }, 1)
            }
            other => return Err(format!("unknown command '{other}': {expected}")),
        };
        if let Some(word) = words.get(used) {
            let word = word.to_string_lossy();
            return Err(format!("unexpected argument '{word}' after {name}; see single-server --help"));
        }
        let of_one_command = [
            ("--recv-only", self.recv_only, "pipe"),
            ("--send-only", self.send_only, "pipe"),
            ("--stderr", self.stderr, "exec"),
            ("--retry", self.retry.is_some(), "forward"),
        ];
        match of_one_command.iter().find(|(_, given, owner)| *given && *owner != name) {
            Some((option, _, owner)) => Err(format!("{option} works with {owner} only; leave it out")),
            None => Ok(command),
        }
    }
}
