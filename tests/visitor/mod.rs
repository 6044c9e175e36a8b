//! What the tests share: clients of many kinds, a server or command to run them against, and waiting with a deadline.

#![allow(dead_code)] // each test program uses only a part

#[cfg(target_os = "linux")]
pub mod network;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use single_server::{Client, Control, End, Message, Options, Report, Session, Signal, SingleServer};

/// The deadline of every wait: only a hang takes this long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Reports that the machine lacks something that the running test needs. `.ci/run` collects these lines. They bypass
/// the test harness, which would hide the output of a test that passes.
pub fn skipped(why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_string();
    let _ = write!(io::stderr(), "\nSKIPPED {test}: {why}\n");
}

/// Whether this program is there. If not, reports the test as skipped.
pub fn installed(program: &str) -> bool {
    use std::process::{Command, Stdio};
    let found =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

/// A file with these bytes, gone at the end of the test.
pub struct Scratch(pub std::path::PathBuf);

impl Scratch {
    pub fn new(name: &str, bytes: &[u8]) -> Scratch {
        let path = std::env::temp_dir().join(format!("single-server-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Scratch(path)
    }

    pub fn open(&self) -> std::fs::File {
        std::fs::File::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An address at which nobody listens. Where the machine has more than one loopback address, nobody else is given its
/// port meanwhile.
pub fn free_address() -> SocketAddr {
    let host = if cfg!(target_os = "linux") { "127.1.60.1" } else { "127.0.0.1" };
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// Whether a listener on `[::]` takes IPv4 clients too, as on Linux, but not on OpenBSD.
pub fn dual_stack() -> bool {
    TcpListener::bind("[::]:0").map_or(false, |listener| {
        TcpStream::connect(("127.0.0.1", listener.local_addr().unwrap().port())).is_ok()
    })
}

/// Runs something on a thread of its own, and panics if it does not return before the deadline.
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

/// Polls until `look` returns `expected`, for states that nothing signals, such as a counter of the kernel.
pub fn becomes<T: PartialEq + std::fmt::Debug>(expected: T, look: impl Fn() -> T) {
    let give_up = std::time::Instant::now() + DEADLINE;
    while look() != expected {
        assert!(std::time::Instant::now() < give_up, "still {:?} instead of {expected:?}", look());
        thread::yield_now();
    }
}

/// A server that echoes on a thread of its own until it is dropped.
pub struct Echo {
    pub addr: SocketAddr,
    pub inbox: single_server::Inbox,
    pub control: Control,
    pub signals: Receiver<Signal>,
    thread: Option<thread::JoinHandle<SingleServer>>,
}

pub fn echo(options: Options) -> Echo {
    echo_on("127.0.0.1:0", options)
}

/// An address for servers that close their port for a while. No other test listens on it, so the kernel does not give
/// the port to another test in the meantime. Other systems than Linux may have no second loopback address.
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

/// Connects. Reads and writes on the stream time out at the deadline.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends four bytes and waits for their echo, which shows that the client is served.
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

/// Reads everything up to the end of the stream. A reset counts as an end.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => panic!("the connection does not end"),
        _ => all,
    }
}

/// Pseudorandom bytes that depend on the seed. Lost, repeated or swapped bytes show in a comparison.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..length.div_euclid(8) + 1).flat_map(|_| random.next().to_le_bytes()).take(length).collect()
}

/// Sends all bytes and half-closes, while it reads what comes back.
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

/// Closes the connection with a RST, which the kernel sends if bytes are unread. So this waits for some first.
pub fn reset(stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    assert_ne!(stream.peek(&mut [0]).unwrap(), 0, "there must be bytes to leave unread");
}

/// Writes as many of the bytes as the kernel takes, without waiting or reading. Returns how many.
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

/// Writes until the kernel takes nothing for 500 ms. Returns how many bytes it took.
pub fn write_until_held_back(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0;
    while let Ok(count) = stream.write(&piece) {
        written += count;
        assert!(written < 1 << 30, "no backpressure: the client could write a gibibyte");
    }
    written
}

/// How a client leaves a server that has stopped taking its bytes.
#[derive(Clone, Copy, Debug)]
pub enum Leave {
    Reset,
    Close,
    Stay,
}

/// Sends as much as is taken, and leaves. What is returned keeps a client that stays connected.
pub fn send_and_leave(mut client: TcpStream, leave: Leave) -> Option<TcpStream> {
    write_until_held_back(&mut client);
    match leave {
        Leave::Reset => {
            reset(client);
            None
        }
        Leave::Close => None,
        Leave::Stay => Some(client),
    }
}

/// A process that is killed at the end of the test, even if the test panics.
pub struct Killed(pub std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running command, killed on drop.
pub struct Running {
    pub child: std::process::Child,
    pub addr: SocketAddr,
    /// The lines on its standard error after `listening on`.
    pub lines: Receiver<String>,
}

/// Starts the command and waits until it listens, on a free port unless the arguments name one. `change` can adjust the
/// process.
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

/// Starts a prepared command, which runs ours, and waits until it listens.
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
    let first = lines.recv_timeout(DEADLINE).expect("the command prints the address it listens on");
    let addr = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).parse().unwrap();
    Running { child, addr, lines }
}

impl Running {
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Waits for its next line on standard error.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("another line on standard error")
    }

    /// Waits for the next line that starts with `begin`, and drops those before it.
    pub fn line_with(&self, begin: &str) -> String {
        loop {
            let line = self.line();
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// The processor time used so far, in clock ticks (usually 10 ms).
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Waits until it exits. Returns the exit code, or `None` if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let give_up = std::time::Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(std::time::Instant::now() < give_up, "the command does not exit");
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

/// Waits for the next session to end. Returns its report.
pub fn next_report(signals: &Receiver<Signal>) -> Report {
    loop {
        if let Signal::ProducerFinished(report) = signals.recv_timeout(DEADLINE).expect("a session ends") {
            return report;
        }
    }
}

/// Waits for the next client to get the slot. Returns its address.
pub fn next_connected(signals: &Receiver<Signal>) -> SocketAddr {
    loop {
        if let Signal::Connected(peer) = signals.recv_timeout(DEADLINE).expect("a client connects") {
            return peer;
        }
    }
}

/// Waits for the next message from a server's outbox.
pub fn next_message(server: &SingleServer) -> Message {
    server.outbox().recv_timeout(DEADLINE).expect("a message comes out of the outbox")
}

/// Waits until this client has the slot, and drops the messages before that.
pub fn next_client(server: &SingleServer, stream: &TcpStream) -> Client {
    let peer = stream.local_addr().unwrap();
    loop {
        match next_message(server) {
            Message::Connected(client) if client.peer_addr() == peer => return client,
            _ => {}
        }
    }
}

/// Finishes the session of the client that is connected, if there is one.
pub fn finish(control: &Control) {
    if let Some(client) = control.client() {
        client.finish();
    }
}

/// The report of a session that has ended.
pub fn report_of(end: &End) -> Report {
    end.client().report().expect("the session has ended")
}

/// Sends two words to a server with an outbox of depth 1. The first one fills the outbox, and the reader waits for room for
/// the second one.
pub fn block_the_reader(client: &mut TcpStream, session: &Session<'_>) {
    for (word, received) in [(b"one", 3), (b"two", 6)] {
        client.write_all(word).unwrap();
        becomes(received, || session.client().traffic().received);
    }
}

/// A field of a process's `/proc` status: in KiB, or a count.
pub fn status(process: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    value(&status, field).parse().unwrap()
}

fn value<'a>(status: &'a str, field: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap()
}

/// The number of descriptors that a process has open.
pub fn descriptors(process: &str) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// The numbers of threads and descriptors of this process.
pub fn threads_and_descriptors() -> (u64, usize) {
    (status("self", "Threads:"), descriptors("self"))
}

/// A pseudorandom number generator that repeats its sequence for the same seed (xorshift64*).
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

/// The command under `strace`, which injects `faults` (the value of `inject=`) into its system calls.
///
/// If the machine does not allow that, reports the test as skipped and returns `None`.
#[cfg(target_os = "linux")]
pub fn with_faults(faults: &str) -> Option<std::process::Command> {
    let traced = |program: &str| {
        let mut command = std::process::Command::new("strace");
        // `-D`: the tracer is the grandchild, so the child is the program itself, and killing it ends both.
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={faults}"), program]);
        command
    };
    if !traced("true").output().map_or(false, |output| output.status.success()) {
        skipped("strace is not installed, or may not trace a process");
        return None;
    }
    Some(traced(env!("CARGO_BIN_EXE_single-server")))
}

/// Starts the command [`with_faults`].
#[cfg(target_os = "linux")]
pub fn start_with_faults(faults: &str, arguments: &[&str]) -> Option<Running> {
    with_faults(faults).map(|program| start_as(program, arguments))
}

/// The id of a thread of a running command.
#[cfg(target_os = "linux")]
pub fn thread_named(running: &Running, name: &str) -> String {
    threads_named(running, name).pop().unwrap()
}

/// The ids of all threads of a running command that have this name.
#[cfg(target_os = "linux")]
pub fn threads_named(running: &Running, name: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", running.id())).unwrap();
    let named = |thread: &std::fs::DirEntry| {
        // A thread may end meanwhile.
        std::fs::read_to_string(thread.path().join("comm")).map_or(false, |found| found.trim_end() == name)
    };
    let named = threads.map(|thread| thread.unwrap()).filter(named);
    named.map(|thread| thread.file_name().into_string().unwrap()).collect()
}

/// Traces a process or thread until the result is dropped, and injects faults into its system calls.
///
/// If the machine does not allow that, reports the test as skipped and returns `None`.
#[cfg(target_os = "linux")]
pub fn trace(id: &str, faults: &str) -> Option<Killed> {
    let mut strace = std::process::Command::new("strace");
    strace.args(["-o", "/dev/null", "-e", &format!("inject={faults}"), "-p", id]);
    if let Ok(mut strace) = strace.stderr(std::process::Stdio::piped()).spawn() {
        let mut line = String::new();
        let _ = io::BufRead::read_line(&mut io::BufReader::new(strace.stderr.take().unwrap()), &mut line);
        let strace = Killed(strace);
        if line.ends_with(" attached\n") {
            return Some(strace);
        }
    }
    skipped("strace is not installed, or may not trace a process");
    None
}

/// Waits until exactly `count` threads of this process have this name (at most 15 bytes) and all of them sleep, and go on
/// sleeping: not just for a lock that another thread holds for a moment.
#[cfg(target_os = "linux")]
pub fn all_asleep(name: &str, count: usize) {
    // The state of each, and how often it has gone to sleep.
    let states = || -> Vec<(String, String)> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let files =
            tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
        let named = files.filter(|status| value(status, "Name:") == name);
        let owned = |status: &str, field| value(status, field).to_string();
        named.map(|status| (owned(&status, "State:"), owned(&status, "voluntary_ctxt_switches:"))).collect()
    };
    becomes(true, || {
        let before = states();
        thread::sleep(Duration::from_millis(20));
        before.len() == count && before.iter().all(|(state, _)| state == "S") && before == states()
    });
}

/// Runs one test of this test program in a process of its own, which `launcher` starts.
///
/// Returns true in that process: the test does its work there. Returns false in the original process once the other has
/// exited, and panics if the test failed there.
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
