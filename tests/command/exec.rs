//! `exec`: a process for each client. No byte is lost, nothing hangs, and no process or thread is left behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::processes::*;
use crate::visitor::*;

/// Threads of a command between two clients: three of the server, the log, and the main thread.
const THREADS: u64 = 5;

fn threads(running: &Running) -> u64 {
    status(&running.id(), "Threads:")
}

/// A file that a process writes; deleted at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("single-server-exec-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Scratch(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0).or_else(|_| std::fs::remove_dir_all(&self.0));
    }
}

/// Runs `exec` with a shell and this script, in which `$0` is the file.
fn shell(options: &[&str], script: &str, file: &Scratch) -> Running {
    start(&[options, &["exec", "--", "sh", "-c", script, file.path()]].concat(), |_| {})
}

/// A client whose process has sent `hi`. The client has not read it, so closing resets the connection.
fn greeted(addr: SocketAddr) -> TcpStream {
    let client = connect(addr);
    wait_for_bytes(&client);
    client
}

#[cfg(target_os = "linux")]
fn signal(name: &str, id: &str) {
    assert!(Command::new("kill").args(["-s", name, id]).status().unwrap().success());
}

/// The number that precedes these words in a line of the log.
fn figure(line: &str, words: &str) -> usize {
    let before = line.split(words).next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn exec_cat_echoes_64_mib() {
    let exec = start(&["exec", "--", "cat"], |_| {});
    let sent = pattern(1, 64 << 20);
    assert_same(&through(&mut connect(exec.addr), &sent), &sent);
    let line = exec.line_with("closed ");
    assert!(line.contains("client closed, 67108864 bytes in, 67108864 bytes out"), "{line}");
}

#[test]
fn exec_passes_on_a_half_close_and_closes_when_the_process_exits() {
    let exec = start(&["exec", "sort"], |_| {});
    assert_eq!(through(&mut connect(exec.addr), b"b\nc\na\n"), b"a\nb\nc\n");
    let exec = start(&["exec", "--", "tr", "a-z", "A-Z"], |_| {});
    assert_eq!(through(&mut connect(exec.addr), b"shout"), b"SHOUT");
    // The process exits while the client is still connected.
    let exec = start(&["exec", "--", "sh", "-c", "read line; echo \"you said $line\""], |_| {});
    let mut client = connect(exec.addr);
    client.write_all(b"hello\n").unwrap();
    assert_eq!(rest(&mut client), b"you said hello\n");
    assert!(exec.line_with("closed ").contains(": server closed, "));
}

#[test]
fn exec_delivers_all_output_of_a_process_that_ignores_its_input() {
    let exec = start(&["exec", "--", "head", "-c", "20000000", "/dev/zero"], |_| {});
    for _ in 0..3 {
        let mut client = connect(exec.addr);
        let mut sending = client.try_clone().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let (has_all, done) = (done.clone(), done);
        let sending =
            thread::spawn(
                move || {
                    while !done.load(Ordering::Relaxed) && sending.write_all(&[1; 10_000]).is_ok() {}
                },
            );
        assert_eq!(rest(&mut client).len(), 20_000_000);
        has_all.store(true, Ordering::Relaxed);
        sending.join().unwrap();
    }
}

#[test]
fn exec_runs_a_process_for_each_of_a_thousand_clients_and_leaves_no_zombie() {
    let exec = start(&["exec", "--", "cat"], |_| {});
    for number in 0..1000 {
        let line = format!("client {number}");
        assert_eq!(through(&mut connect(exec.addr), line.as_bytes()), line.as_bytes());
    }
    becomes(String::new(), || children(&exec));
    if cfg!(target_os = "linux") {
        becomes(THREADS, || threads(&exec));
    }
}

/// The processes that a command has started and not reaped.
fn children(running: &Running) -> String {
    let path = format!("/proc/{0}/task/{0}/children", running.id());
    // Any thread may have started them, so check all of them.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.id()));
    let paths = tasks.into_iter().flatten().flatten().map(|task| task.path().join("children"));
    paths.chain([path.into()]).filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_and_both_signals_are_logged() {
    // SIGTERM is sent by the program `kill`, or by a shell, or cannot be sent.
    let shell_only = Scratch::new("path");
    std::fs::create_dir(&shell_only.0).unwrap();
    std::os::unix::fs::symlink("/bin/sh", shell_only.0.join("sh")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let paths = [(&path[..], true), (shell_only.path(), true), ("/nonexistent", false)];
    let all = paths.map(|(path, sent)| {
        let script = "trap '' TERM; echo hi; while :; do /bin/sleep 1; done";
        let exec = start(&["--exit-timeout", "50ms", "exec", "--", "/bin/sh", "-c", script], |command| {
            command.env("PATH", path);
        });
        let client = greeted(exec.addr);
        let id = children(&exec).split_whitespace().next().unwrap().to_string();
        reset(client);
        (exec, id, sent)
    });
    for (exec, id, sent) in all {
        exec.line_with("closed ");
        let still = format!("\"/bin/sh\" (process {id}) still runs");
        let asked = format!("{still} 50ms after the end of its session (--exit-timeout)");
        let line = exec.line();
        match sent {
            true => assert_eq!(line, format!("{asked}: sent SIGTERM")),
            false => assert!(line.starts_with(&format!("{asked}, and SIGTERM cannot be sent: ")), "{line}"),
        }
        assert_eq!(exec.line(), format!("{still} 2s after that (--exit-timeout): killed"));
        becomes(String::new(), || children(&exec));
        // The next client is served.
        greeted(exec.addr);
    }
}

#[test]
fn exec_kills_a_process_that_has_closed_its_input_when_the_client_resets() {
    let exec = start(
        &[
            "--close-timeout",
            "1",
            "--exit-timeout",
            "100ms",
            "exec",
            "--",
            "sh",
            "-c",
            "exec <&-; echo hi; exec sleep 100",
        ],
        |_| {},
    );
    let mut client = connect(exec.addr);
    wait_for_bytes(&client);
    write_until_blocked(&mut client);
    reset(client);
    exec.line_with("closed ");
    becomes(String::new(), || children(&exec));
}

/// A killed process can be slow to exit. Here a stopped tracer delays its exit status.
#[cfg(target_os = "linux")]
#[test]
fn exec_reaps_a_process_that_ends_late_even_if_nobody_connects_again() {
    let script = "trap '' TERM HUP; echo $$; exec sleep 100";
    let times = ["--close-timeout", "300ms", "--exit-timeout", "300ms"];
    let exec = start(&[&times[..], &["exec", "--", "sh", "-c", script]].concat(), |_| {});
    let mut client = connect(exec.addr);
    let mut id = [0; 32];
    let count = client.read(&mut id).unwrap();
    let id = std::str::from_utf8(&id[..count]).unwrap().trim();
    let tracer = match trace(id, "none:error=EPERM") {
        Some(tracer) => tracer,
        None => return,
    };
    signal("STOP", &tracer.0.id().to_string());
    drop(client);
    let begin = format!("\"sh\" (process {id}) ");
    assert!(exec.line_with(&begin).ends_with(": sent SIGTERM"));
    assert!(exec.line_with(&begin).ends_with(": killed"));
    assert_eq!(exec.line_with(&begin), format!("{begin}was killed and has not ended after 1s"));
    // The next client is served meanwhile.
    connect(exec.addr).read_exact(&mut [0]).unwrap();
    assert!(children(&exec).contains(id));
    drop(tracer);
    becomes(false, || children(&exec).contains(id));
}

#[test]
fn exec_of_a_program_that_cannot_be_started_is_logged_and_ends_that_session() {
    let exec = start(&["exec", "no-such-program"], |_| {});
    for _ in 0..3 {
        assert!(rest(&mut connect(exec.addr)).is_empty());
        let line = exec.line_with("cannot start ");
        assert!(line.contains("no-such-program") && line.contains("No such file"), "{line}");
        exec.line_with("closed ");
    }
}

#[test]
fn exec_closes_the_session_even_if_a_background_process_holds_the_output_open() {
    let exec = start(&["exec", "--", "sh", "-c", "sleep 90 & echo done"], |_| {});
    let mut client = connect(exec.addr);
    assert_eq!(rest(&mut client), b"done\n");
}

#[test]
fn exec_passes_both_addresses_in_the_environment_as_tcpserver_does() {
    let script = "echo $PROTO $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP $TCPLOCALPORT ${TCPREMOTEHOST-none}";
    for listen in ["-l0", "-l[::]:0"] {
        if listen == "-l[::]:0" && !dual_stack() {
            return skipped("no IPv6 listener that takes IPv4 clients too");
        }
        let exec = start(&[listen, "exec", "--", "sh", "-c", script], |command| {
            command.env("TCPREMOTEHOST", "of an outer tcpserver");
        });
        let mut client = connect(([127, 0, 0, 1], exec.addr.port()).into());
        let own = client.local_addr().unwrap();
        let expected = format!("TCP 127.0.0.1 {} 127.0.0.1 {} none\n", own.port(), exec.addr.port());
        assert_eq!(String::from_utf8_lossy(&rest(&mut client)), expected);
        assert_eq!(exec.line(), format!("connected {own}"));
    }
}

#[test]
fn a_process_that_reads_nothing_does_not_keep_the_slot() {
    for leave in [Leave::Reset, Leave::Close, Leave::Stay] {
        let times = ["--idle-timeout", "300ms", "--exit-timeout", "50ms"];
        let process = ["--busy", "wait", "exec", "--", "sh", "-c", "echo hi; exec sleep 1000"];
        let exec = start(&[&times[..], &process].concat(), |_| {});
        let client = connect(exec.addr);
        wait_for_bytes(&client);
        let _stays = send_and_leave(client, leave);
        exec.line_with("closed ");
        let mut hi = [0; 3];
        in_time("being served again", move || while connect(exec.addr).read_exact(&mut hi).is_err() {});
    }
}

#[test]
fn a_client_whose_process_reads_nothing_can_be_replaced() {
    let script = "echo hi; exec sleep 1000";
    let exec = start(&["--busy", "replace", "exec", "--", "sh", "-c", script], |_| {});
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = connect(exec.addr);
        client.read_exact(&mut [0; 3]).unwrap();
        write_until_blocked(&mut client);
        kept.push(client);
    }
}

#[test]
fn a_process_that_reads_nothing_but_keeps_writing_is_not_stalled() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.2; echo $i; done";
    let exec = start(&["--idle-timeout", "1", "exec", "--", "sh", "-c", script], |_| {});
    let mut client = connect(exec.addr);
    let mut sending = client.try_clone().unwrap();
    thread::spawn(move || while sending.write_all(&[0; 10_000]).is_ok() {});
    assert_eq!(rest(&mut client), b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_grandchild_that_inherits_the_socket_pair_leaks_no_descriptor_or_thread() {
    let exec = start(&["exec", "--", "sh", "-c", "sleep 90 & echo hi"], |_| {});
    let before = descriptors(&exec.id());
    assert_eq!(rest(&mut connect(exec.addr)), b"hi\n");
    becomes((THREADS, before), || (threads(&exec), descriptors(&exec.id())));
}

#[cfg(target_os = "linux")]
#[test]
fn a_slow_client_receives_everything_that_the_process_wrote_before_it_exited() {
    // `dd` writes until all buffers are full, then exits and prints on standard error how much it wrote. With `--foreground`,
    // `timeout` sends one signal. Otherwise it sends two, and the second one may kill `dd` before it has printed.
    let dd = ["exec", "--", "timeout", "--foreground", "-s", "INT", "0.3", "dd", "if=/dev/zero", "bs=1000"];
    let exec = start(&dd, |command| {
        command.env("LC_ALL", "C");
    });
    let mut client = connect(exec.addr);
    let written = loop {
        let line = exec.line();
        match line.split_once(" bytes") {
            Some((count, _)) if count.parse::<usize>().is_ok() => break count.parse::<usize>().unwrap(),
            _ => {}
        }
    };
    thread::sleep(Duration::from_millis(2500)); // longer than the session waits for other holders of the output
    let got = rest(&mut client).len();
    // The last write may have been interrupted; then it is not counted.
    assert!((written..=written + 1000).contains(&got), "{got} of {written} bytes");
}

#[test]
fn exec_works_and_logs_no_error_if_its_parent_ignores_sigchld() {
    // Not `sh`: Debian's does not pass ignored signals on.
    let mut command = Command::new("bash");
    let run = "trap '' CHLD; exec \"$0\" -1 -l 0 exec -- head -c 3000000 /dev/zero";
    command.args(["-c", run, env!("CARGO_BIN_EXE_single-server")]).stdin(Stdio::null());
    let mut exec = started(command);
    if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string(format!("/proc/{}/status", exec.id())).unwrap();
        let ignored = status.lines().find(|line| line.starts_with("SigIgn:")).unwrap();
        let mask = u64::from_str_radix(ignored.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_ne!(mask & (1 << 16), 0, "SIGCHLD is not ignored: {ignored}");
    }
    assert_eq!(rest(&mut connect(exec.addr)).len(), 3_000_000);
    assert_eq!(exec.wait(), Some(0));
    let lines: Vec<String> = exec.lines.iter().collect();
    assert!(
        lines.iter().all(|line| line.starts_with("connected ") || line.starts_with("closed ")),
        "{lines:?}"
    );
}

#[test]
fn exec_connects_standard_error_with_the_option() {
    for arguments in [&["--stderr", "exec"][..], &["exec", "--stderr", "--"]] {
        let script = &["sh", "-c", "echo out; echo err >&2"];
        let exec = start(&[arguments, script].concat(), |_| {});
        assert_eq!(rest(&mut connect(exec.addr)), b"out\nerr\n");
    }
}

#[test]
fn once_exits_with_1_if_the_process_fails() {
    for (command, said) in [
        (&["exec", "no-such-program"][..], "cannot start "),
        (&["exec", "--", "sh", "-c", "exit 3"], "\"sh\" failed: exit status: 3"),
        (&["exec", "--", "sh", "-c", "kill -9 $$"], "\"sh\" failed: signal: 9"),
    ] {
        let mut running = start(&[&["--once"], command].concat(), |_| {});
        rest(&mut connect(running.addr));
        running.line_with(said);
        assert_eq!(running.wait(), Some(1), "{command:?}");
    }
}

#[test]
fn once_exits_with_0_if_a_process_fails_after_its_client_has_left() {
    let mut exec = start(&["--once", "--exit-timeout", "50ms", "exec", "cat", "/dev/zero"], |_| {});
    let mut client = connect(exec.addr);
    client.read_exact(&mut [0; 1000]).unwrap();
    reset(client);
    assert_eq!(exec.wait(), Some(0));
}

#[test]
fn exec_of_a_path_that_does_not_exist_fails_at_startup() {
    for path in ["/no/such/program", "./no-such-program", "/"] {
        let output = command().args(["-l", "0", "exec", path]).assert().code(1).get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("cannot run {path:?}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

// --- how a process ends ---

#[test]
fn a_process_receives_everything_even_if_its_client_has_been_timed_out() {
    // More than the socket of the process holds.
    let sent = pattern(3, 600_000);
    let file = Scratch::new("timed-out");
    let exec = shell(&["--close-timeout", "200ms"], "echo hi; sleep 0.6; exec cat >\"$0\"", &file);
    let mut client = connect(exec.addr);
    client.read_exact(&mut [0; 3]).unwrap();
    client.write_all(&sent).unwrap();
    drop(client);
    assert!(exec.line_with("closed ").contains(": client vanished, 600000 bytes in, "));
    becomes(sent.len(), || file.bytes().len());
    assert_same(&file.bytes(), &sent);
}

#[test]
fn a_process_may_finish_its_work_if_its_client_closed_before_the_idle_timeout() {
    let file = Scratch::new("idle");
    let exec = shell(&["--idle-timeout", "200ms"], "sleep 0.5; exec cat >\"$0\"", &file);
    connect(exec.addr).write_all(b"all of it").unwrap();
    assert!(exec.line_with("closed ").contains(": idle, 9 bytes in, "));
    becomes(b"all of it".to_vec(), || file.bytes());
}

#[test]
fn a_process_that_keeps_answering_receives_everything_even_if_its_client_has_reset() {
    let sent = pattern(4, 600_000);
    let file = Scratch::new("reset");
    let exec = shell(&[], "echo hi; sleep 0.3; exec tee \"$0\"", &file);
    let mut client = greeted(exec.addr);
    client.write_all(&sent).unwrap();
    reset(client);
    let line = exec.line_with("closed ");
    assert!(line.contains(": connection reset, "), "{line}");
    let accepted = figure(&line, " bytes in");
    assert!(accepted > 0);
    becomes(accepted, || file.bytes().len());
    assert_same(&file.bytes(), &sent[..accepted]);
}

#[test]
fn a_client_that_has_closed_is_not_timed_out_while_its_process_reads() {
    let script =
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do head -c 65536 >/dev/null; sleep 0.1; done";
    let exec = start(&["--close-timeout", "1", "exec", "--", "sh", "-c", script], |_| {});
    connect(exec.addr).write_all(&[0; 16 * 65536]).unwrap();
    let line = exec.line_with("closed ");
    assert!(line.contains(": client closed, 1048576 bytes in, "), "{line}");
}

#[test]
fn a_process_whose_client_has_left_may_finish_its_work() {
    let file = Scratch::new("work");
    let exec = shell(&[], "echo hi; sleep 0.5; head -c 1000000 /dev/zero; echo done >\"$0\"", &file);
    reset(greeted(exec.addr));
    becomes(b"done\n".to_vec(), || file.bytes());
    // The log does not mention the process.
    greeted(exec.addr);
    exec.line_with("closed ");
    let line = exec.line();
    assert!(line.starts_with("connected "), "{line}");
}

#[test]
fn a_process_that_exceeds_the_exit_timeout_can_clean_up() {
    let file = Scratch::new("lock");
    let script =
        "trap 'rm \"$0\"; exit' TERM; echo lock >\"$0\"; echo hi; while :; do sleep 0.05; echo ho; done";
    let exec = shell(&["--exit-timeout", "300ms"], script, &file);
    reset(greeted(exec.addr));
    exec.line_with("closed ");
    let over = Instant::now();
    assert!(exec
        .line()
        .ends_with(" still runs 300ms after the end of its session (--exit-timeout): sent SIGTERM"));
    assert!(over.elapsed() > Duration::from_millis(150), "SIGTERM came too early");
    becomes(false, || file.0.exists());
    becomes(String::new(), || children(&exec));
    greeted(exec.addr);
    let line = exec.line();
    assert!(line.starts_with("connected "), "{line}");
}

#[test]
fn a_process_gets_sigterm_at_once_if_the_server_has_ended_its_session() {
    for (option, value) in
        [("--idle-timeout", "200ms"), ("--session-timeout", "200ms"), ("--busy", "replace")]
    {
        let file = Scratch::new(option);
        let script = "trap 'rm \"$0\"; exit' TERM; echo lock >\"$0\"; echo hi; while :; do sleep 0.05; done";
        let exec = shell(&[option, value, "--exit-timeout", "1h"], script, &file);
        let _client = greeted(exec.addr);
        let _newcomer = connect(exec.addr);
        let line = exec.line_with("\"sh\" (process ");
        let option = if value == "replace" { "--busy replace" } else { option };
        let end = format!(" still runs 100ms after the end of its session ({option}): sent SIGTERM");
        assert!(line.ends_with(&end), "{line}");
        if value == "200ms" {
            becomes(false, || file.0.exists());
        }
    }
}

#[test]
fn the_log_says_how_much_a_terminated_process_has_not_read() {
    for (count, end) in [
        (1000, "has not read all of the 1000 bytes from its client"),
        (600_000, " of the 600000 bytes from its client"),
    ] {
        let times = ["-1", "--close-timeout", "100ms", "--exit-timeout", "100ms"];
        let mut exec = start(&[&times[..], &["exec", "sleep", "100"]].concat(), |_| {});
        connect(exec.addr).write_all(&vec![0; count]).unwrap();
        assert!(exec.line_with("\"sleep\" (process ").ends_with(": sent SIGTERM"));
        if count == 600_000 || cfg!(target_os = "linux") {
            let line = exec.line();
            assert!(line.ends_with(end), "{line}");
            assert_eq!(exec.wait(), Some(1));
        }
    }
    // The same for a process that keeps answering.
    let exec = start(&["--exit-timeout", "100ms", "exec", "cat", "/dev/zero"], |_| {});
    let mut client = greeted(exec.addr);
    client.write_all(&[0; 1000]).unwrap();
    reset(client);
    exec.line_with("\"cat\" (process ");
    if cfg!(target_os = "linux") {
        let line = exec.line();
        assert!(line.ends_with(" has not read all of the 1000 bytes from its client"), "{line}");
    }
}

#[test]
fn the_next_client_waits_until_the_previous_process_has_ended() {
    let file = Scratch::new("next");
    let times = ["--close-timeout", "200ms", "--idle-timeout", "200ms"];
    let exec = shell(&times, "echo hi; cat >>\"$0\"; sleep 0.6", &file);
    let mut client = greeted(exec.addr);
    client.write_all(b"one").unwrap();
    reset(client);
    exec.line_with("closed ");
    // While it waits, neither its silence nor its close ends its session.
    let mut client = connect(exec.addr);
    client.write_all(b"two").unwrap();
    drop(client);
    becomes(b"onetwo".to_vec(), || file.bytes());
}

#[cfg(target_os = "linux")]
#[test]
fn time_in_which_the_server_is_paused_does_not_count_against_a_process() {
    let sent = pattern(5, 600_000);
    let file = Scratch::new("stopped");
    let times = ["--close-timeout", "200ms", "--exit-timeout", "1"];
    let exec = shell(&times, "sleep 0.8; exec cat >\"$0\"", &file);
    connect(exec.addr).write_all(&sent).unwrap();
    assert!(exec.line_with("closed ").contains(": client vanished, 600000 bytes in, "));
    thread::sleep(Duration::from_millis(300)); // lets the server begin to count
    signal("STOP", &exec.id());
    thread::sleep(Duration::from_millis(1500)); // longer than the exit timeout
    signal("CONT", &exec.id());
    becomes(sent.len(), || file.bytes().len());
    becomes(String::new(), || children(&exec));
    connect(exec.addr);
    let line = exec.line();
    assert!(line.starts_with("connected "), "{line}");
}

#[test]
fn a_session_continues_while_a_background_process_transfers_bytes() {
    // A process that only holds the output open would be silent for 2 s.
    let script = "(for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done) & exit 0";
    let answering = start(&["exec", "--", "sh", "-c", script], |_| {});
    let file = Scratch::new("taking");
    let taking = shell(&[], "exec 3<&0; cat <&3 >\"$0\" & exit 0", &file);
    let mut client = connect(taking.addr);
    let lines = thread::spawn(move || rest(&mut connect(answering.addr)));
    for _ in 0..6 {
        thread::sleep(Duration::from_millis(500)); // a slow client
        client.write_all(b"x").unwrap();
    }
    drop(client);
    becomes(b"xxxxxx".to_vec(), || file.bytes());
    assert_eq!(lines.join().unwrap(), b"1\n2\n3\n4\n5\n6\n");
}

/// The server can signal only its direct child. This is the recipe for a pipeline.
#[test]
fn the_pipeline_recipe_passes_sigterm_on_to_every_process() {
    let file = Scratch::new("pipeline");
    std::fs::write(&file.0, "one\n").unwrap();
    let script = r#"trap 'trap - TERM; kill 0' TERM; tail -f "$0" | grep --line-buffered one & wait"#;
    let options = ["--exit-timeout", "100ms", "exec", "--", "setsid", "sh", "-c", script, file.path()];
    let exec = start(&options, |_| {});
    reset(greeted(exec.addr));
    assert!(exec.line_with("\"setsid\" (process ").ends_with(": sent SIGTERM"));
    // No process has the file's name among its arguments any more.
    becomes(false, || {
        let ps = Command::new("ps").args(["-A", "-o", "args"]).output().unwrap();
        String::from_utf8_lossy(&ps.stdout)
            .lines()
            .any(|line| line.contains(file.path()) && !line.contains("exec --"))
    });
}

#[cfg(target_os = "linux")]
#[test]
fn running_out_of_memory_for_a_relay_buffer_ends_only_that_session() {
    let file = Scratch::new("memory");
    let script = "echo hi; until [ -e \"$0\" ]; do sleep 0.01; done; exec cat /dev/zero";
    let exec = start(&["exec", "--", "sh", "-c", script, file.path()], |command| {
        command.env("MALLOC_ARENA_MAX", "1"); // keeps glibc from reserving address space
    });
    let limit = |bytes: &str| {
        let limit = format!("--as={bytes}:unlimited");
        match Command::new("prlimit").args(["--pid", &exec.id(), &limit]).status() {
            Ok(status) => status.success(),
            Err(_) => false,
        }
    };
    let _reads_nothing = greeted(exec.addr);
    if !limit(&(1024 * status(&exec.id(), "VmSize:")).to_string()) {
        return skipped("prlimit is not installed, or may not limit a process");
    }
    std::fs::write(&file.0, "go").unwrap();
    let line = exec.line_with("\"sh\" (process ");
    assert!(line.ends_with(" cannot be read: out of memory"), "{line}");
    assert!(exec.line_with("closed ").contains(": aborted, "));
    assert!(limit("unlimited"));
    greeted(exec.addr);
}
