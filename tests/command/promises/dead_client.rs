//! Promise 9, *a vanished client does not keep the slot*, when TCP gives up the connection or no packet arrives.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};

use crate::processes::*;
use crate::visitor::*;

/// Two hosts in network namespaces. The link between them goes down, so neither FIN nor RST arrives.
#[test]
fn a_link_that_goes_dead_without_a_fin_frees_the_slot() {
    let ip = |arguments: &str| {
        let done = Command::new("ip").args(arguments.split(' ')).output();
        done.map_or(false, |output| output.status.success())
    };
    let id = std::process::id() % 100_000;
    let (here, there) = (format!("ssh{id}"), format!("sst{id}"));
    struct Namespaces<'a>(&'a dyn Fn(&str) -> bool, [String; 2]);
    impl Drop for Namespaces<'_> {
        fn drop(&mut self) {
            for name in &self.1 {
                (self.0)(&format!("netns del {name}"));
            }
        }
    }
    if !ip(&format!("netns add {here}")) {
        skipped("no permission to create network namespaces (ip netns add)");
        return;
    }
    let _namespaces = Namespaces(&ip, [here.clone(), there.clone()]);
    let steps = [
        format!("netns add {there}"),
        format!("-n {here} link add wire type veth peer name wire netns {there}"),
        format!("-n {here} addr add 192.0.2.1/24 dev wire"),
        format!("-n {there} addr add 192.0.2.2/24 dev wire"),
        format!("-n {here} link set wire up"),
        format!("-n {there} link set wire up"),
    ];
    for step in &steps {
        assert!(ip(step), "ip {step}");
    }
    let mut server = Command::new("ip");
    server.args(["netns", "exec", &here, env!("CARGO_BIN_EXE_single-server")]);
    server.args(["-l", "192.0.2.1:0", "--idle-timeout", "1", "echo"]);
    server.stdin(Stdio::null()).stderr(Stdio::piped());
    let server = start(&[], move |command| *command = server);
    let client = format!(
        "exec 3<>/dev/tcp/192.0.2.1/{}; echo hello >&3; read line <&3; echo $line; sleep 100",
        server.addr.port()
    );
    let mut bash = Command::new("ip");
    bash.args(["netns", "exec", &there, "bash", "-c", &client]).stdout(Stdio::piped());
    let mut client = Killed::start(&mut bash);
    let mut out = client.0.stdout.take().unwrap();
    let hello = in_time("the other host", move || {
        let mut hello = [0; 6];
        out.read_exact(&mut hello).map(|()| hello).unwrap()
    });
    assert_eq!(&hello, b"hello\n");
    server.line_with("connected 192.0.2.2:");
    assert!(ip(&format!("-n {there} link set wire down")));
    let line = server.line_with("closed 192.0.2.2:");
    assert!(line.contains(": idle, 6 bytes in, 6 bytes out"), "{line}");
}

/// `ETIMEDOUT` means that the peer's host stopped acknowledging. It must not be taken for a timeout of our own.
#[test]
fn etimedout_from_tcp_ends_the_session_as_a_reset() {
    // The kernel reports this error once: here to the second read, or to the second write.
    for fault in ["recvfrom:error=ETIMEDOUT:when=2", "sendto:error=ETIMEDOUT:when=2"] {
        for options in [&["echo"][..], &["--idle-timeout", "100", "echo"]] {
            let echo = match start_with_faults(fault, options) {
                Some(echo) => echo,
                None => return,
            };
            let mut client = connect(echo.addr);
            client.write_all(b"ping").unwrap();
            if fault.starts_with("sendto") {
                let mut back = [0; 4];
                client.read_exact(&mut back).unwrap();
                client.write_all(b"this cannot be written back").unwrap();
            }
            let _ = client.shutdown(Shutdown::Write); // only the error prevents an orderly end
            let got = rest(&mut client);
            let line = echo.line_with("closed ");
            assert!(line.contains(": connection reset, "), "{fault} {options:?}: {line}");
            assert!(b"ping".starts_with(&got), "{fault} {options:?}: {got:?}");
        }
    }
}
