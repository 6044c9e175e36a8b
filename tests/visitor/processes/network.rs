//! Network namespaces, for failures that cannot happen on loopback: three in a row, server – router – client, or one for a
//! single process.

use std::process::{Command, Output, Stdio};

use super::Killed;
use crate::visitor::skipped;

/// Deleted with all that is in it on drop. The server's address is 10.9.1.1, the client's 10.9.2.1.
pub struct Network {
    /// Distinguishes the namespaces of tests that run at the same time.
    id: String,
}

impl Network {
    /// If the machine does not allow that, reports the test as skipped and returns `None`.
    pub fn new() -> Option<Network> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let network = Network { id: format!("{}-{number}", std::process::id()) };
        let (server, router, client) = (network.name("s"), network.name("r"), network.name("c"));
        let steps = [
            format!("netns add {server}"),
            format!("netns add {router}"),
            format!("netns add {client}"),
            format!("-n {server} link add eth0 type veth peer name s netns {router}"),
            format!("-n {client} link add eth0 type veth peer name c netns {router}"),
            format!("-n {server} addr add 10.9.1.1/24 dev eth0"),
            format!("-n {router} addr add 10.9.1.2/24 dev s"),
            format!("-n {router} addr add 10.9.2.2/24 dev c"),
            format!("-n {client} addr add 10.9.2.1/24 dev eth0"),
            format!("-n {server} link set eth0 up"),
            format!("-n {router} link set s up"),
            format!("-n {router} link set c up"),
            format!("-n {client} link set eth0 up"),
            format!("-n {server} route add default via 10.9.1.2"),
            format!("-n {client} route add default via 10.9.2.2"),
        ];
        let forwards = |network: &Network| {
            let settings = "cd /proc/sys/net/ipv4 && echo 1 >ip_forward && echo 0 >icmp_ratelimit";
            let status = network.command("r", "sh").args(["-c", settings]).status();
            status.map_or(false, |status| status.success())
        };
        if steps.iter().all(|step| ip(step).map_or(false, |output| output.status.success()))
            && forwards(&network)
        {
            return Some(network);
        }
        skipped("network namespaces cannot be made: ip is not installed, or this is not root");
        None
    }

    fn name(&self, place: &str) -> String {
        format!("single-server-{}-{place}", self.id)
    }

    /// A program in the namespace of the server (`s`), the router (`r`) or the client (`c`).
    pub fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(place), program]);
        command
    }

    /// The router answers packets for the client with "host unreachable" until the result is dropped.
    pub fn cut(&self) -> Cut<'_> {
        self.route("add");
        Cut(self)
    }

    fn route(&self, what: &str) {
        let output = ip(&format!("-n {} route {what} unreachable 10.9.2.1/32", self.name("r"))).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// How often the router has answered so.
    pub fn unreachable(&self) -> u64 {
        let output = self.command("r", "cat").arg("/proc/net/snmp").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines().filter(|line| line.starts_with("Icmp:"));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let at = names.split(' ').position(|name| name == "OutDestUnreachs").unwrap();
        values.split(' ').nth(at).unwrap().parse().unwrap()
    }

    /// Starts a program whose output can be read.
    pub fn start(mut command: Command) -> Killed {
        Killed::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))
    }
}

/// The command in a network and a mount namespace of its own, after these shell commands, in which `$0` is the command.
///
/// If the machine does not allow that, reports the test as skipped and returns `None`.
pub fn alone_in_network(setup: &str) -> Option<Command> {
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "-n", "sh", "-ec", script, env!("CARGO_BIN_EXE_single-server")]);
        command
    };
    if unshared("ip link set lo up").output().map_or(false, |output| output.status.success()) {
        return Some(unshared(&format!("ip link set lo up\n{setup}\nexec \"$0\" \"$@\"")));
    }
    skipped("no network namespace can be made: unshare or ip is not installed, or this is not root");
    None
}

pub struct Cut<'a>(&'a Network);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.0.route("del");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in ["s", "r", "c"] {
            let _ = ip(&format!("netns del {}", self.name(place)));
        }
    }
}

fn ip(arguments: &str) -> std::io::Result<Output> {
    Command::new("ip").args(arguments.split(' ')).output()
}
