//! The cores on which a check runs.
//!
//! Which threads share a core is chance, and can halve or double a time that depends on threads waking each other. The cost is
//! the same work in each case. Checks of such times are therefore made on one core, or with the threads placed.
//!
//! `std` cannot place a thread, so `taskset` of util-linux does it.

use std::fs;
use std::process::{self, Command};
use std::sync::Mutex;

/// Where the client and the contenders of a check run.
#[derive(Clone, Copy, PartialEq)]
pub enum Cores {
    /// Wherever the system puts them.
    Any,
    /// All on one core: what counts is the processor time of all of them.
    One,
    /// Each thread on the first or the second core. The check places them with [`place`].
    Apart,
}

#[derive(Clone, Copy)]
pub enum Core {
    First,
    Second,
    Any,
}

/// The main thread may use all of its cores again when this is dropped.
pub struct Bound;

impl Cores {
    /// Binds the main thread, and so all that it starts from now on. An error says why the check cannot be made here.
    pub fn bind(self) -> Result<Bound, String> {
        match self {
            Cores::Any => {}
            Cores::One => place(process::id(), Core::First)?,
            Cores::Apart => {
                let allowed = allowed()?;
                if allowed.first == allowed.second {
                    return Err(format!("only one core may be used: {}", allowed.list));
                }
            }
        }
        Ok(Bound)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Fails only where nothing was bound, because there is no taskset.
        let _ = place(process::id(), Core::Any);
    }
}

/// Moves a thread to a core.
pub fn place(thread: u32, core: Core) -> Result<(), String> {
    let allowed = allowed()?;
    let cores = match core {
        Core::First => allowed.first,
        Core::Second => allowed.second,
        Core::Any => allowed.list,
    };
    taskset(&["-cp", &cores, &thread.to_string()]).map(|_| ())
}

/// The number of the calling thread.
pub fn this_thread() -> Result<u32, String> {
    let path = "/proc/thread-self";
    let link = fs::read_link(path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let number = link.file_name().and_then(|name| name.to_str()?.parse().ok());
    number.ok_or_else(|| format!("{path} does not lead to a thread"))
}

/// The cores that this process may use.
#[derive(Clone)]
struct Allowed {
    /// As taskset writes and reads it.
    list: String,
    first: String,
    /// The same one if there is no other.
    second: String,
}

/// Asked once, before this process is bound to one of them.
fn allowed() -> Result<Allowed, String> {
    static ALLOWED: Mutex<Option<Allowed>> = Mutex::new(None);
    let mut allowed = ALLOWED.lock().expect("nobody panics with this lock");
    if allowed.is_none() {
        let answer = taskset(&["-cp", &process::id().to_string()])?;
        let list = answer.rsplit(' ').next().unwrap_or_default().trim().to_string();
        let mut numbers = list.split([',', '-']).map(String::from);
        let first = numbers.next().unwrap_or_default();
        let second = numbers.next().unwrap_or_else(|| first.clone());
        *allowed = Some(Allowed { list, first, second });
    }
    Ok(allowed.clone().expect("it was set above"))
}

fn taskset(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("taskset").args(arguments).output();
    let output = output.map_err(|e| format!("cannot run taskset of util-linux: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("taskset {}: {}", arguments.join(" "), text.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
