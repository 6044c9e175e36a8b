//! Owns the rules for the command line as a whole: which options can be combined, and which command each belongs to.
//! `args.rs` fills in a `Draft`, one option at a time; `Draft::check` turns it into `Args`.

use std::ffi::OsString;
use std::time::Duration;

use single_server::{Busy, Options};

use super::endpoint::Endpoint;
use super::request::{Args, Command, Direction, Listen};
use super::values;

const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The options and words that have been read so far.
#[derive(Default)]
pub struct Draft {
    pub listen: Option<String>,
    pub busy: Option<Busy>,
    pub message: Option<String>,
    pub idle_timeout: Option<Duration>,
    pub close_timeout: Option<Duration>,
    pub session_timeout: Option<Duration>,
    pub handover: Option<Duration>,
    pub retry: Option<Duration>,
    pub exit_timeout: Option<Duration>,
    pub buffer_size: Option<usize>,
    pub depth: Option<usize>,
    pub recv_only: bool,
    pub send_only: bool,
    pub live: bool,
    pub stderr: bool,
    pub inetd: bool,
    pub once: bool,
    pub quiet: bool,
    /// The command's name, and the words after it.
    pub words: Vec<OsString>,
}

impl Draft {
    /// Returns the arguments if they fit together.
    pub fn check(self, mut options: Options) -> Result<Args, String> {
        let command = self.command()?;
        let listen = match self.listen.as_deref().unwrap_or("1601") {
            "stdin" if !cfg!(unix) => {
                return Err("--listen stdin works on Unix only; give a port".to_string());
            }
            "stdin" if self.busy == Some(Busy::Refuse) => {
                let why = "other processes keep the socket open";
                return Err(format!("--busy refuse cannot be used with --listen stdin: {why}"));
            }
            "stdin" if reads_stdin(&command) => {
                let why = "it would read from the socket; use pipe --recv-only";
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
                Busy::Tell(message.into_bytes())
            }
            (_, Some(_)) => {
                return Err("--busy-message requires --busy drop".to_string());
            }
        };
        let idle_timeout = self.idle_timeout.filter(|time| !time.is_zero());
        options = options.idle_timeout(idle_timeout);
        if let Some(time) = self.close_timeout {
            options = options.close_timeout(Some(time).filter(|time| !time.is_zero()));
        }
        options = options.session_timeout(self.session_timeout.filter(|time| !time.is_zero()));
        if let Some(time) = self.handover {
            options = options.handover(time);
        }
        if let Some(size) = self.buffer_size {
            options = options.buffer_size(size);
        }
        if let Some(depth) = self.depth {
            options = options.depth(depth);
        }
        let options = options.busy(busy);
        options.check().map_err(|e| e.to_string())?;
        Ok(Args { command, listen, options, idle_timeout, once: self.once, quiet: self.quiet })
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
                        return Err("--recv-only and --send-only cannot be combined".to_string());
                    }
                };
                if self.live && self.recv_only {
                    return Err("--recv-only and --live cannot be combined".to_string());
                }
                (Command::Pipe { direction, live: self.live }, 0)
            }
            "exec" => {
                let missing = "missing program for exec: expected a command such as exec -- cat";
                let (program, arguments) = words.split_first().ok_or(missing)?;
                let (program, arguments) = (program.clone(), arguments.to_vec());
                self.check_inetd()?;
                let (stderr, inetd) = (self.stderr, self.inetd);
                let exit_timeout =
                    Some(self.exit_timeout.unwrap_or(EXIT_TIMEOUT)).filter(|time| !time.is_zero());
                (Command::Exec { program, arguments, stderr, inetd, exit_timeout }, words.len())
            }
            "forward" => {
                let expected = "expected HOST:PORT with a port from 1 to 65535, such as printer:9100";
                let text = words.first().ok_or_else(|| format!("missing target for forward: {expected}"))?;
                let text = text.to_string_lossy();
                let target = Endpoint::parse(&text)
                    .and_then(|target| match target.port {
                        0 => Err("port 0 cannot be connected to".to_string()),
                        _ => Ok(target),
                    })
                    .map_err(|e| format!("invalid target '{text}' for forward: {e}; {expected}"))?;
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
            ("--live", self.live, "pipe"),
            ("--stderr", self.stderr, "exec"),
            ("--exit-timeout", self.exit_timeout.is_some(), "exec"),
            ("--inetd", self.inetd, "exec"),
            ("--retry", self.retry.is_some(), "forward"),
        ];
        match of_one_command.iter().find(|(_, given, owner)| *given && *owner != name) {
            Some((option, _, owner)) => Err(format!("{option} works with {owner} only; leave it out")),
            None => Ok(command),
        }
    }

    /// With `--inetd` there are no buffers, and no timeouts for bytes that the server does not see.
    fn check_inetd(&self) -> Result<(), String> {
        let meaningless = [
            ("--idle-timeout", self.idle_timeout.is_some()),
            ("--close-timeout", self.close_timeout.is_some()),
            ("--exit-timeout", self.exit_timeout.is_some()),
            ("--buffer-size", self.buffer_size.is_some()),
            ("--depth", self.depth.is_some()),
        ];
        match meaningless.iter().find(|(_, given)| self.inetd && *given) {
            Some((option, _)) => {
                let why =
                    "the process has the connection itself, so the server sees neither its bytes nor its end";
                Err(format!("{option} cannot be used with exec --inetd: {why}; leave one of them out"))
            }
            None if self.inetd && !cfg!(unix) => {
                Err("exec --inetd works on Unix only; leave --inetd out".into())
            }
            None => Ok(()),
        }
    }
}

fn reads_stdin(command: &Command) -> bool {
    matches!(command, Command::Pipe { direction, .. } if *direction != Direction::RecvOnly)
}
