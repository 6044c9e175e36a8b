//! Owns the table of options: their names, what kind of value each one takes, and how often it may be given. `parse` reads
//! the whole command line into a `Draft` and has it checked. An error is one sentence that names the argument and what was
//! expected.

use std::ffi::OsString;
use std::time::Duration;

use single_server::{Busy, Options};

use super::draft::Draft;
use super::help::HELP;
use super::parser::{Item, Parser};
use super::request::Request;
use super::values::{self, DURATION, SIZE};

pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let mut parser = Parser::new(arguments);
    let mut draft = Draft::default();
    let mut options = Options::new();
    while let Some(item) = parser.next()? {
        let option = match item {
            Item::Option(option) => option,
            Item::Word(word) => {
                draft.words.push(word);
                // From the program of `exec` on, everything belongs to that program.
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
            "--session-timeout" => once(name, &mut draft.session_timeout, timeout(&mut parser, name)?)?,
            "--handover" => {
                let time = value(&mut parser, name, DURATION, values::duration)?;
                once(name, &mut draft.handover, time)?;
            }
            "--exit-timeout" => once(name, &mut draft.exit_timeout, timeout(&mut parser, name)?)?,
            "--retry" => once(name, &mut draft.retry, value(&mut parser, name, DURATION, values::duration)?)?,
            "--buffer-size" => {
                once(name, &mut draft.buffer_size, value(&mut parser, name, SIZE, values::size)?)?;
            }
            "--depth" => {
                once(name, &mut draft.depth, value(&mut parser, name, "a number such as 4", values::whole)?)?;
            }
            "--recv-only" => draft.recv_only = true,
            "--send-only" => draft.send_only = true,
            "--live" => draft.live = true,
            "--stderr" => draft.stderr = true,
            "--inetd" => draft.inetd = true,
            "--once" => draft.once = true,
            "--quiet" => draft.quiet = true,
            "--help" => return Ok(Request::Print(HELP.to_string())),
            "--version" => {
                // Cargo sets the variable; a build with `rustc` alone does not have it.
                let version = option_env!("CARGO_PKG_VERSION").unwrap_or("0.3.0");
                return Ok(Request::Print(format!("single-server {version}\n")));
            }
            _ => return Err(format!("unknown option '{option}'; see single-server --help")),
        }
        if parser.has_unused_value() {
            return Err(format!("{name} takes no value"));
        }
    }
    draft.check(options).map(|args| Request::Run(Box::new(args)))
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

/// A duration, or 0 for none.
fn timeout(parser: &mut Parser<impl Iterator<Item = OsString>>, option: &str) -> Result<Duration, String> {
    value(parser, option, &format!("{DURATION}; 0 for none"), values::duration)
}

/// Stores the value of an option that may be given only once. If it were given twice, one value would be silently ignored.
fn once<T>(option: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{option} is given twice; give it once")),
    }
}
