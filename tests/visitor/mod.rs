//! The people at the other end: polite clients, rude clients, and the patience of the tests.

#![allow(dead_code)] // each test program uses some of it

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use single_server::{Message, Options, Report, Signal, SingleServer};

/// Only a hang takes this long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Says that this machine lacks something that the running test needs. Written past the test harness, which would
/// swallow it; `.ci/run` collects these lines.
pub fn skipped(why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_string();
    let _ = write!(io::stderr(), "\nSKIPPED {test}: {why}\n");
}

/// Whether a listener on `[::]` takes IPv4 clients too, as on Linux, but not on OpenBSD.
pub fn dual_stack() -> bool {
    TcpListener::bind("[::]:0").map_or(false, |listener| {
        TcpStream::connect(("127.0.0.1", listener.local_addr().unwrap().port())).is_ok()
    })
}

/// Runs something that must come to its end.
pub fn in_time<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || done.send(run()));
    match result.recv_timeout(DEADLINE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("it has sent its result"),
        },
    }
}

/// Waits for a state that nobody announces, such as a count of the kernel's: looks again and again.
pub fn becomes<T: PartialEq + std::fmt::Debug>(expected: T, look: impl Fn() -> T) {
    let give_up = std::time::Instant::now() + DEADLINE;
    while look() != expected {
        assert!(std::time::Instant::now() < give_up, "{:?}, and not {expected:?}", look());
        thread::yield_now();
    }
}

/// A server that echoes on a thread of its own until it is dropped.
pub struct Echo {
    pub addr: SocketAddr,
    pub inbox: single_server::Inbox,
    pub control: single_server::Control,
    pub signals: Receiver<Signal>,
    thread: Option<thread::JoinHandle<SingleServer>>,
}

pub fn echo(options: Options) -> Echo {
    echo_on("127.0.0.1:0", options)
}

/// Where a server closes its port now and then, which nobody else is to be given meanwhile: an address at which no other
/// test listens, if the machine has them.
pub const APART: &str = if cfg!(target_os = "linux") { "127.1.60.2:0" } else { "127.0.0.1:0" };

pub fn echo_on(addr: &str, options: Options) -> Echo {
    let server = options.bind(addr).unwrap();
    Echo {
        addr: server.local_addr(),
        inbox: server.inbox(),
        control: server.control(),
        signals: server.signal(),
        thread: Some(thread::spawn(move || {
            single_server::echo(&server);
            server
        })),
    }
}

impl Echo {
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            in_time("the echo", move || thread.join().unwrap().stop().unwrap());
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

/// Connects; everything done with the stream fails after the deadline.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends a line there and back, by which the client knows that it is served.
pub fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"ping")?;
    let mut back = [0; 4];
    stream.read_exact(&mut back)?;
    if &back == b"ping" {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, String::from_utf8_lossy(&back)))
    }
}

/// Connects again and again until it is served.
pub fn connect_until_served(addr: SocketAddr) -> TcpStream {
    in_time("getting served", move || loop {
        if let Ok(mut stream) = TcpStream::connect(addr) {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_write_timeout(Some(DEADLINE)).unwrap();
            if ping(&mut stream).is_ok() {
                return stream;
            }
        }
        thread::yield_now();
    })
}

/// What the client sees from now to its end; a reset counts as an end.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => panic!("the connection does not end"),
        _ => all,
    }
}

/// Bytes in which every position has its own surroundings; other seeds give other bytes.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..length.div_euclid(8) + 1).flat_map(|_| random.next().to_le_bytes()).take(length).collect()
}

/// Sends all of it and half-closes, while reading what comes back.
pub fn through(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut sending = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = sending.write_all(bytes);
            let _ = sending.shutdown(Shutdown::Write);
        });
        rest(stream)
    })
}

/// Compares without printing megabytes.
pub fn assert_same(got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len(), "length");
    if let Some(at) = got.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("byte {at} of {} differs", expected.len());
    }
}

/// Ends a connection with a RST, as the kernel does when a socket is closed that has unread bytes: waits for some.
pub fn reset(stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    assert_ne!(stream.peek(&mut [0]).unwrap(), 0, "something to leave unread");
}

/// Writes up to so much without reading, and not waiting either; how much it was.
pub fn flood(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

/// Writes until the kernel takes no more for a while; how much it took.
pub fn write_until_held_back(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0;
    while let Ok(count) = stream.write(&piece) {
        written += count;
        assert!(written < 1 << 30, "nobody holds the client back");
    }
    written
}

/// A process that is killed at the end of the test, however that comes about.
pub struct Killed(pub std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command, running; killed on drop.
pub struct Running {
    pub child: std::process::Child,
    pub addr: SocketAddr,
    /// What it says on standard error after `listening on`, line by line.
    pub lines: Receiver<String>,
}

/// Starts the command, on a free port unless the arguments name one, and waits until it listens; `change` is what else
/// the process needs.
pub fn start(arguments: &[&str], change: impl FnOnce(&mut std::process::Command)) -> Running {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_single-server"));
    if !arguments.iter().any(|argument| argument.starts_with("-l") || argument.starts_with("--listen")) {
        command.args(["-l", "0"]);
    }
    command.args(arguments).stdin(std::process::Stdio::null());
    change(&mut command);
    started(command)
}

/// Starts a program that runs the command with these arguments on a free port, and waits until it listens.
pub fn start_as(mut program: std::process::Command, arguments: &[&str]) -> Running {
    program.args(["-l", "0"]).args(arguments).stdin(std::process::Stdio::null());
    started(program)
}

/// Waits until this command, which runs ours, listens.
pub fn started(mut command: std::process::Command) -> Running {
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut errors = io::BufReader::new(child.stderr.take().unwrap());
    let (line, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        while !matches!(io::BufRead::read_line(&mut errors, &mut text), Ok(0) | Err(_)) {
            let _ = line.send(std::mem::take(&mut text).trim_end().to_string());
        }
    });
    let first = lines.recv_timeout(DEADLINE).expect("the command says where it listens");
    let addr = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).parse().unwrap();
    Running { child, addr, lines }
}

impl Running {
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// The next line that it says.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("another line on standard error")
    }

    /// Waits for the next line that begins so.
    pub fn line_with(&self, begin: &str) -> String {
        loop {
            let line = self.line();
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// Processor time used so far, in ticks of usually 10 ms.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Waits for its end; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let give_up = std::time::Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(std::time::Instant::now() < give_up, "the command does not end");
            thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the next session to end.
pub fn next_report(signals: &Receiver<Signal>) -> Report {
    loop {
        if let Signal::ProducerFinished(report) = signals.recv_timeout(DEADLINE).expect("a session ends") {
            return report;
        }
    }
}

/// Waits for the next client to take the slot.
pub fn next_connected(signals: &Receiver<Signal>) -> SocketAddr {
    loop {
        if let Signal::Connected(peer) = signals.recv_timeout(DEADLINE).expect("a client connects") {
            return peer;
        }
    }
}

/// The next message of a server's outbox.
pub fn next_message(server: &SingleServer) -> Message {
    server.outbox().recv_timeout(DEADLINE).expect("a message comes out of the outbox")
}

/// A field of a process's status, in KiB or as a count.
pub fn status(process: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many descriptors a process has open.
pub fn descriptors(process: &str) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// The threads and the descriptors of this process.
pub fn threads_and_descriptors() -> (u64, usize) {
    (status("self", "Threads:"), descriptors("self"))
}

/// A generator of numbers that are random enough, and the same again for the same seed (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }
}

/// Starts the command under `strace`, which makes some of its system calls fail as `faults` says (`inject=` is added).
/// Where that is not possible it says so, and there is nothing to test.
#[cfg(target_os = "linux")]
pub fn start_with_faults(faults: &str, arguments: &[&str]) -> Option<Running> {
    let traced = |program: &str| {
        let mut command = std::process::Command::new("strace");
        // `-D`: the tracer is the grandchild, so the child is the program itself, and killing it ends both.
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={faults}"), program]);
        command
    };
    if !traced("true").output().map_or(false, |output| output.status.success()) {
        skipped("strace is not installed, or must not trace a process");
        return None;
    }
    let program = traced(env!("CARGO_BIN_EXE_single-server"));
    Some(start_as(program, arguments))
}

/// Waits until the threads of this process that have this name (15 bytes at most) are all asleep, `count` of them.
#[cfg(target_os = "linux")]
pub fn all_asleep(name: &str, count: usize) {
    let state = |task: std::path::PathBuf| {
        let stat = std::fs::read_to_string(task.join("stat")).ok()?;
        let (id_and_name, rest) = stat.rsplit_once(") ")?;
        let named = id_and_name.split_once('(').map_or(false, |(_, found)| found == name);
        Some(rest.as_bytes()[0]).filter(|_| named)
    };
    becomes(vec![b'S'; count], || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks.filter_map(|task| state(task.unwrap().path())).collect::<Vec<u8>>()
    });
}

/// Runs a test of the calling test program again, alone in a process that `launcher` starts, and says whether the
/// caller is in that process: there the test does its work, here it is over. What fails there fails here.
#[cfg(target_os = "linux")]
pub fn is_alone_in_process(test: &str, mut launcher: std::process::Command) -> bool {
    const ALONE: &str = "SINGLE_SERVER_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    launcher.arg(std::env::current_exe().unwrap());
    launcher.args(["--exact", test, "--nocapture"]).env(ALONE, "1");
    let output = in_time(test, move || launcher.output().unwrap());
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(" 1 passed"), "{said}");
    false
}
