//! The command line: its output, its errors and its exit codes.

use std::io::{BufRead, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::process::Stdio;

use crate::processes::*;
use crate::visitor::*;

#[test]
fn help_and_version_are_printed_on_standard_output() {
    let version = concat!("single-server ", env!("CARGO_PKG_VERSION"), "\n");
    command().arg("--version").assert().success().stdout(version).stderr("");
    command().arg("-V").assert().success().stdout(version);
    let help = command().arg("--help").assert().success().stderr("").get_output().stdout.clone();
    assert_eq!(command().arg("-h").assert().success().get_output().stdout, help);
    let help = String::from_utf8(help).unwrap();
    for command in ["echo", "pipe", "exec", "forward"] {
        let example = |line: &str| line.contains("single-server ") && line.contains(&format!(" {command}"));
        assert!(help.lines().any(example), "no example of {command}");
    }
    // As in the README: the device is opened once, and locked.
    assert!(help.contains("flock -n 0") && help.matches("/dev/tty").count() == 1, "the serial recipe");
    let wide: Vec<&str> = help.lines().filter(|line| line.len() > 80).collect();
    assert!(wide.is_empty(), "wider than 80 columns: {wide:#?}");
}

#[test]
fn a_usage_error_names_the_argument_and_what_was_expected_and_exits_with_2() {
    // The arguments, and what the message must name.
    let mistakes: &[(&[&str], &[&str])] = &[
        (&[], &["missing command", "echo, pipe, exec or forward"]),
        (&["ecoh"], &["unknown command 'ecoh'", "echo"]),
        (&["echo", "echo"], &["unexpected argument 'echo' after echo"]),
        (&["--", "--once", "echo"], &["unknown command '--once'"]),
        (&["--lisen", "1601", "echo"], &["unknown option '--lisen'", "--help"]),
        (&["-x", "echo"], &["'-x'", "--help"]),
        (&["echo", "--listen"], &["missing value for --listen", "1601"]),
        (&["echo", "--once=yes"], &["--once takes no value"]),
        (&["-1x", "echo"], &["'-x'", "--help"]),
        (&["-é", "echo"], &["'-é'", "--help"]),
        (&["-l", "http", "echo"], &["invalid value 'http' for --listen", "0 to 65535"]),
        (&["-l", "localhost", "echo"], &["'localhost'", "a host needs one, as in localhost:1601"]),
        (&["-l", "0.0.0.0", "echo"], &["a host needs one, as in 0.0.0.0:1601"]),
        (&["-l", "65536", "echo"], &["65536", "0 to 65535"]),
        (&["-l", "+1", "echo"], &["+1", "0 to 65535"]),
        (&["-l", "127.0.0.1:", "echo"], &["127.0.0.1:", "0 to 65535"]),
        (&["-l", ":1601", "echo"], &["the address is missing", "0.0.0.0:1601"]),
        (&["-l", "::1:1601", "echo"], &["brackets", "[::1]:1601"]),
        (&["-l", "[::1]", "echo"], &["'[::1]'", "the port is missing"]),
        (&["-l", "300.0.0.1:1601", "echo"], &["300.0.0.1", "0.0.0.0:1601"]),
        (&["-l", "1601", "--listen", "1602", "echo"], &["--listen is given twice"]),
        (&["-l", "stdin", "-b", "refuse", "echo"], &["--busy refuse", "--listen stdin"]),
        (&["-l", "stdin", "pipe"], &["pipe", "--listen stdin"]),
        (&["--busy", "hang", "echo"], &["'hang' for --busy", "drop, refuse, wait or replace"]),
        (&["--busy", "wait", "--busy-message", "no", "echo"], &["--busy-message", "--busy drop"]),
        (&["--busy-message", &"x".repeat(4096), "echo"], &["busy message has 4097 bytes", "4,096"]),
        (&["--allow", "10.0.0.0/33", "echo"], &["10.0.0.0/33", "10.0.0.0/8"]),
        (&["--allow", "localhost", "echo"], &["localhost", "10.0.0.0/8"]),
        (
            &["--idle-timeout", "1x", "echo"],
            &["invalid value '1x' for --idle-timeout: expected a duration such as 60, 500ms or 2m"],
        ),
        (&["--idle-timeout", "soon", "echo"], &["soon", "a duration"]),
        (&["--idle-timeout", "1e3", "echo"], &["1e3", "a duration"]),
        (&["--idle-timeout", "0.007", "echo"], &["idle timeout is 7ms", "at least 8ms"]),
        (&["--close-timeout", "7ms", "echo"], &["close timeout is 7ms", "at least 8ms"]),
        (&["--close-timeout", "ms", "echo"], &["'ms' for --close-timeout", "a duration"]),
        (&["--handover", "-1", "echo"], &["'-1' for --handover", "a duration"]),
        (&["--idle-timeout", "99999999999", "echo"], &["99999999999", "a duration"]),
        (&["--buffer-size", "0", "echo"], &["buffer size is 0", "from 1 to 1,073,741,824"]),
        (&["--buffer-size", "2000M", "echo"], &["buffer size is 2097152000", "from 1 to 1,073,741,824"]),
        (&["--depth", "0", "echo"], &["depth is 0", "from 1 to 65,536"]),
        (&["exec"], &["missing program for exec", "exec -- cat"]),
        (&["exec", "--"], &["missing program for exec", "exec -- cat"]),
        (&["exec", "--stdout", "cat"], &["unknown option '--stdout'"]),
        (&["forward"], &["missing target", "printer:9100"]),
        (&["forward", "printer"], &["invalid target 'printer'", "the port is missing", "HOST:PORT"]),
        (&["forward", "printer:0"], &["printer:0", "1 to 65535"]),
        (&["forward", ":9100"], &[":9100", "HOST:PORT"]),
        (&["forward", "::1:9100"], &["::1:9100", "brackets", "HOST:PORT"]),
        (&["forward", "[fe80::1%eth0]"], &["'[fe80::1%eth0]'", "the port is missing"]),
        (&["pipe", "/dev/ttyUSB0"], &["'/dev/ttyUSB0' after pipe"]),
        (&["pipe", "--recv-only", "--send-only"], &["--recv-only", "--send-only"]),
        (&["pipe", "--recv-only", "--live"], &["--recv-only", "--live"]),
        (&["echo", "--live"], &["--live", "pipe only"]),
        (&["--stderr", "pipe"], &["--stderr", "exec only"]),
        (&["--exit-timeout", "1", "echo"], &["--exit-timeout", "exec only"]),
        (&["exec", "--exit-timeout", "1x", "cat"], &["'1x'", "--exit-timeout", "0 for none"]),
        (&["echo", "--retry", "1"], &["--retry", "forward only"]),
        (&["echo", "--recv-only"], &["--recv-only", "pipe only"]),
    ];
    for (arguments, named) in mistakes {
        let output = command().args(*arguments).assert().code(2).stdout("").get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        for name in *named {
            assert!(said.contains(name), "{arguments:?} does not name {name}: {said}");
        }
    }
}

#[test]
fn an_address_that_cannot_be_bound_is_named_with_a_remedy_and_exits_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (addr, remedy) in [(&taken[..], "--listen"), ("192.0.2.1:1601", "0.0.0.0")] {
        let why = TcpListener::bind(addr).unwrap_err().to_string(); // in the words of this system
        let output = command().args(["-l", addr, "echo"]).assert().code(1).stdout("").get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(addr) && said.contains(&why) && said.contains(remedy), "{said}");
    }
}

#[test]
fn echo_logs_one_line_per_event_and_exits_after_the_first_client_with_once() {
    let mut echo = start(&["--once", "echo"], |command| {
        command.stdout(Stdio::piped());
    });
    let mut client = connect(echo.addr);
    let peer = client.local_addr().unwrap();
    assert_eq!(echo.line(), format!("connected {peer}"));
    let mut second = connect(echo.addr);
    let refused = second.local_addr().unwrap();
    assert!(rest(&mut second).is_empty());
    assert_eq!(echo.line(), format!("refused {refused}: busy"));
    client.write_all(b"hello, world").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"hello, world");
    let line = echo.line();
    let begin = format!("closed {peer}: client closed, 12 bytes in, 12 bytes out, ");
    assert!(line.starts_with(&begin) && line.ends_with(" s"), "{line}");
    assert_eq!(echo.wait(), Some(0));
    let mut out = String::new();
    std::io::Read::read_to_string(&mut echo.child.stdout.take().unwrap(), &mut out).unwrap();
    assert_eq!(out, "", "standard output carries data only");
}

#[test]
fn a_refused_client_is_sent_the_busy_message_and_a_newline() {
    let echo = start(&["--busy-message", "one at a time", "echo"], |_| {});
    let mut served = connect(echo.addr);
    ping(&mut served).unwrap();
    assert_eq!(rest(&mut connect(echo.addr)), b"one at a time\n");
    ping(&mut served).unwrap();
    // A newline that is there already is enough.
    let echo = start(&["--busy-message", "one at a time\n", "echo"], |_| {});
    let mut served = connect(echo.addr);
    ping(&mut served).unwrap();
    assert_eq!(rest(&mut connect(echo.addr)), b"one at a time\n");
}

#[test]
fn the_listen_address_is_a_port_or_an_address_and_a_port() {
    for listen in ["0", "127.0.0.1:0", "localhost:0", "[::1]:0"] {
        if listen.starts_with('[') && TcpListener::bind("[::1]:0").is_err() {
            skipped("no IPv6");
            continue;
        }
        for form in [vec!["-l", listen], vec!["--listen", listen]] {
            let echo = start(&[&form[..], &["echo"]].concat(), |_| {});
            assert!(echo.addr.ip().is_loopback());
            ping(&mut connect(echo.addr)).unwrap();
        }
        start(&[&format!("--listen={listen}"), "echo"], |_| {});
        start(&["echo", &format!("-l{listen}")], |_| {});
    }
}

#[test]
fn options_may_precede_or_follow_the_name_of_the_command() {
    for arguments in [
        &["-1", "echo"][..],
        &["echo", "-1"],
        &["-1", "--", "echo"],
        &["exec", "-1", "cat"],
        &["exec", "-1", "--", "cat"],
        &["-1", "--", "exec", "cat"],
        &["-1", "exec", "cat", "-"],
    ] {
        let mut running = start(arguments, |_| {});
        ping(&mut connect(running.addr)).unwrap();
        assert_eq!(running.wait(), Some(0), "{arguments:?}");
    }
    // After the program, options belong to the program.
    let exec = start(&["exec", "echo", "--once", "-q"], |_| {});
    assert_eq!(rest(&mut connect(exec.addr)), b"--once -q\n");
    exec.line_with("closed ");
    assert_eq!(rest(&mut connect(exec.addr)), b"--once -q\n");
}

#[test]
fn durations_may_have_a_unit() {
    for time in ["300ms", "0.3", "0.005m", "0.3s"] {
        let echo = start(&["--idle-timeout", time, "echo"], |_| {});
        assert!(rest(&mut connect(echo.addr)).is_empty());
        assert!(echo.line_with("closed ").contains(": idle, "));
    }
    let echo = start(&["--close-timeout", "300ms", "exec", "sleep", "1000"], |_| {});
    let client = connect(echo.addr);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(echo.line_with("closed ").contains(": client vanished, "));
}

#[test]
fn quiet_prints_no_events() {
    for options in [&["-q", "-1", "-l"][..], &["-1ql"]] {
        let addr = free_address();
        let served = std::thread::spawn(move || ping(&mut connect_until_served(addr)));
        command().args(options).args([&addr.to_string(), "echo"]).assert().success().stdout("").stderr("");
        served.join().unwrap().unwrap();
    }
}

#[test]
fn quiet_still_prints_errors() {
    let addr = free_address();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_single-server"));
    command.args(["-q", "-b", "refuse", "-l", &addr.to_string(), "echo"]).stderr(Stdio::piped());
    let mut child = Killed::start(&mut command);
    let first = connect_until_served(addr);
    let _thief = TcpListener::bind(addr).unwrap();
    drop(first);
    let errors = std::io::BufReader::new(child.0.stderr.take().unwrap());
    let line = in_time("a line", move || errors.lines().next().unwrap().unwrap());
    assert!(line.starts_with("cannot listen again"), "{line}");
}

/// `--listen stdin`: the listener is standard input.
#[cfg(unix)]
mod listener {
    use std::io::Read;
    use std::net::{TcpStream, UdpSocket};
    use std::os::unix::io::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_listening_socket_can_be_passed_as_standard_input() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let echo = start(&["-l", "stdin", "echo"], |command| {
            command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
        });
        assert_eq!(echo.addr, addr);
        for _ in 0..3 {
            assert_eq!(through(&mut connect(echo.addr), b"hello"), b"hello");
        }
        drop(echo);
        // The supervisor still holds it, and can pass it on again.
        let mut pipe = start(&["-1", "-l", "stdin", "pipe", "--recv-only"], |command| {
            command.stdin(OwnedFd::from(listener)).stdout(Stdio::piped());
        });
        connect(pipe.addr).write_all(b"hello").unwrap();
        assert_eq!(pipe.wait(), Some(0));
        let mut out = String::new();
        pipe.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "hello");
    }

    #[test]
    fn standard_input_that_is_not_a_listening_socket_is_a_usage_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = connect(listener.local_addr().unwrap());
        let (unix, _other) = UnixStream::pair().unwrap();
        let mut stdins = vec![
            ("/dev/null", Stdio::null()),
            ("a connected socket", OwnedFd::from(connected).into()),
            ("a Unix socket", OwnedFd::from(unix).into()),
            ("UDP", OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()).into()),
        ];
        if let Ok(socket) = UdpSocket::bind("[::1]:0") {
            stdins.push(("UDP over IPv6", OwnedFd::from(socket).into()));
        }
        if cfg!(target_os = "linux") {
            stdins.push(("a bound socket", bound(&free_address().to_string()).into()));
            let six = TcpListener::bind("[::1]:0").and_then(|listener| listener.local_addr());
            if let Ok(six) = six {
                stdins.push(("a bound IPv6 socket", bound(&six.to_string()).into()));
            }
        }
        for (what, stdin) in stdins {
            let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
            command.args(["-l", "stdin", "echo"]).stdin(stdin).stderr(Stdio::piped());
            let mut child = Killed::start(&mut command);
            let mut errors = child.0.stderr.take().unwrap();
            let (status, said) = in_time("the command", move || {
                let mut said = String::new();
                // Fails if the server retries forever.
                let status = child.0.wait().unwrap();
                errors.read_to_string(&mut said).map(|_| (status, said)).unwrap()
            });
            assert!(said.contains("standard input is not a listening TCP socket"), "{what}: {said}");
            assert_eq!((said.lines().count(), status.code()), (1, Some(2)), "{what}: {said}");
        }
    }

    /// A socket that is bound but does not listen. On Linux, shutting down a listener makes one.
    fn bound(addr: &str) -> OwnedFd {
        let stream = TcpStream::from(OwnedFd::from(TcpListener::bind(addr).unwrap()));
        stream.shutdown(Shutdown::Read).unwrap();
        assert_ne!(stream.local_addr().unwrap().port(), 0);
        OwnedFd::from(stream)
    }

    #[test]
    fn a_listener_of_either_family_is_accepted_even_if_it_is_non_blocking() {
        for addr in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = match TcpListener::bind(addr) {
                Ok(listener) => listener,
                Err(_) => return skipped("no IPv6"),
            };
            listener.set_nonblocking(true).unwrap();
            let port = listener.local_addr().unwrap().port();
            let echo = start(&["-l", "stdin", "echo"], |command| {
                command.stdin(OwnedFd::from(listener));
            });
            assert_eq!(echo.addr.port(), port);
            let ip = if echo.addr.is_ipv4() { "127.0.0.1" } else { "::1" };
            ping(&mut connect(SocketAddr::new(ip.parse().unwrap(), port))).unwrap();
        }
    }

    /// inetd's `wait`, and systemd's `StandardInput=socket` alone.
    #[test]
    fn a_process_survives_writing_to_a_standard_error_that_is_the_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let passed = || OwnedFd::from(listener.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
        command.args(["-l", "stdin", "exec", "--", "sh", "-c", "echo trouble >&2; echo answer"]);
        let _exec = Killed::start(command.stdin(passed()).stdout(passed()).stderr(passed()));
        for _ in 0..2 {
            assert_eq!(rest(&mut connect(addr)), b"answer\n");
        }
    }

    #[test]
    fn pipe_with_the_listener_as_standard_output_is_a_usage_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let passed = || OwnedFd::from(listener.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
        command.args(["-l", "stdin", "pipe", "--recv-only"]).stdin(passed()).stdout(passed());
        let mut child = Killed::start(command.stderr(Stdio::piped()));
        let mut errors = child.0.stderr.take().unwrap();
        let status = in_time("the command", move || child.0.wait().unwrap());
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert!(said.contains("standard output is a listening socket"), "{said}");
        assert_eq!(status.code(), Some(2));
    }
}
