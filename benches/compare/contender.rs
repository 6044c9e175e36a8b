//! The servers that are measured, each in a process of its own: the command, the plain loops it is compared with, and
//! small programs that use the library.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{sync_channel, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Message, Options, SingleServer};

/// A server in a process of its own, killed on drop.
pub struct Contender {
    child: Child,
    pub addr: SocketAddr,
}

impl Contender {
    /// The command of this package.
    pub fn ours(arguments: &[&str]) -> Contender {
        let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
        command.args(["--listen", "0"]).args(arguments);
        Contender::start(command)
    }

    /// One of the servers in [`serve`].
    pub fn own(what: &[&str]) -> Contender {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.arg("serve").args(what);
        Contender::start(command)
    }

    /// Starts a server that prints its address on standard error.
    fn start(mut command: Command) -> Contender {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line from the server");
        let addr = line.trim().strip_prefix("listening on ").expect("`listening on ADDRESS`");
        let addr = addr.parse().expect("an address");
        // Read and drop everything else, or the server would block on a full pipe.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        Contender { child, addr }
    }

    /// An existing tool that serves `/bin/cat` or its built-in echo to one client at a time; `None` if it is not
    /// installed.
    pub fn tool(name: &str) -> Option<Contender> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let config = env::temp_dir().join(format!("compare-{}-{name}.yaml", std::process::id()));
        let path = config.display().to_string();
        let (text, line) = match name {
            "socat" => (
                String::new(),
                format!("-b 65536 TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,max-children=1,nodelay EXEC:cat"),
            ),
            "tcpserver" => (String::new(), format!("-c 1 -H -R -l0 127.0.0.1 {port} /bin/cat")),
            "ncat" => (String::new(), format!("-l -k -m 1 127.0.0.1 {port} -e /bin/cat")),
            "ser2net" => (
                format!("connection: &echo\n  accepter: tcp,127.0.0.1,{port}\n  connector: echo\n"),
                format!("-n -d -c {path}"),
            ),
            "xinetd" => (
                format!(
                    "service cat\n{{\n type = UNLISTED\n port = {port}\n bind = 127.0.0.1\n socket_type = stream\n \
                     protocol = tcp\n wait = no\n user = root\n server = /bin/cat\n instances = 1\n \
                     cps = 1000000 1\n flags = NODELAY\n}}\n"
                ),
                format!("-dontfork -f {path} -pidfile {path}.pid"),
            ),
            other => panic!("no such tool: {other}"),
        };
        fs::write(&config, text).expect("a temporary file");
        let contender = Contender::started(name, &line, port);
        let _ = fs::remove_file(config);
        contender
    }

    /// socat, forwarding to this address; `None` if it is not installed.
    pub fn socat_to(target: SocketAddr) -> Option<Contender> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,max-children=1,nodelay");
        Contender::started("socat", &format!("-b 65536 {listen} TCP:{target},nodelay"), port)
    }

    /// Starts a tool and waits until it listens on the port.
    fn started(program: &str, line: &str, port: u16) -> Option<Contender> {
        let mut command = Command::new(program);
        command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut contender = Contender { child, addr };
        let give_up = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(addr).is_err() {
            if Instant::now() > give_up || !matches!(contender.child.try_wait(), Ok(None)) {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // The probe above was a client. Give the tool time to end that session.
        thread::sleep(Duration::from_millis(300));
        Some(contender)
    }

    /// Resident memory in KiB: the current value and the peak.
    pub fn memory(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// The processor time used so far, in clock ticks (usually 10 ms).
    pub fn ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or("");
        after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one of the bench's own servers in this process.
pub fn serve(what: &[&str]) -> ExitCode {
    let done = match what {
        ["loop", size] => plain_loop(size.parse().expect("a size")),
        ["shape"] => bare_shape(),
        ["drop"] => accept_and_drop(),
        ["write", count] => write_each(count.parse().expect("a count")),
        ["inbox", count] => inbox_each(count.parse().expect("a count")),
        ["session"] => session_echo(),
        ["options", size, depth] => {
            options_echo(size.parse().expect("a size"), depth.parse().expect("a depth"))
        }
        other => panic!("no such server: {other:?}"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{what:?}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

fn bind(options: Options) -> io::Result<SingleServer> {
    let server = options.bind("127.0.0.1:0")?;
    eprintln!("listening on {}", server.local_addr());
    Ok(server)
}

/// The baseline: one thread that serves one client after the other with `read` and `write_all`.
fn plain_loop(size: usize) -> io::Result<()> {
    let mut buffer = vec![0; size];
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) if stream.write_all(&buffer[..count]).is_err() => break,
                Ok(_) => {}
            }
        }
    }
    Ok(())
}

/// Three threads and two channels, and nothing else: the minimum that this architecture costs.
fn bare_shape() -> io::Result<()> {
    for stream in listen()?.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        let (outbox, messages) = sync_channel::<Vec<u8>>(4);
        let (inbox, parcels) = sync_channel(4);
        thread::scope(|scope| {
            scope.spawn(
                move || while patiently(&messages).map_or(false, |message| inbox.send(message).is_ok()) {},
            );
            scope.spawn(|| {
                let parcels = parcels;
                while patiently(&parcels).map_or(false, |parcel| (&stream).write_all(&parcel).is_ok()) {}
            });
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = (&stream).read(&mut buffer) {
                if outbox.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
            drop(outbox);
        });
    }
    Ok(())
}

fn patiently<T>(receiver: &Receiver<T>) -> Option<T> {
    let until = Instant::now() + Duration::from_micros(50);
    while Instant::now() < until {
        match receiver.try_recv() {
            Err(TryRecvError::Empty) => thread::yield_now(),
            received => return received.ok(),
        }
    }
    receiver.recv().ok()
}

/// The fastest possible refusal.
fn accept_and_drop() -> io::Result<()> {
    for stream in listen()?.incoming() {
        drop(stream?);
    }
    Ok(())
}

/// A message of 32 bytes that starts with its number.
pub fn numbered(number: u64) -> [u8; 32] {
    let mut message = [b'.'; 32];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

fn write_each(count: u64) -> io::Result<()> {
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        for number in 0..count {
            stream.write_all(&numbered(number))?;
        }
    }
    Ok(())
}

fn inbox_each(count: u64) -> io::Result<()> {
    let server = bind(Options::new())?;
    for message in server.outbox() {
        if let Message::Connected(client) = message {
            let inbox = client.inbox();
            for number in 0..count {
                inbox.send(numbered(number))?;
            }
            client.finish();
        }
    }
    Ok(())
}

fn session_echo() -> io::Result<()> {
    let mut server = bind(Options::new())?;
    let mut buffer = vec![0; 256 * 1024];
    while let Some(mut session) = server.accept() {
        while let Ok(count) = session.read(&mut buffer) {
            if count == 0 || session.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn options_echo(size: usize, depth: usize) -> io::Result<()> {
    let server = bind(Options::new().buffer_size(size).depth(depth))?;
    single_server::echo(&server);
    Ok(())
}

/// A server that does not answer for this long is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// Connects. Tries again for up to 10 seconds while the connection is refused.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(addr) {
            Ok(stream) => {
                stream.set_nodelay(true).expect("an open socket");
                // Some tools get stuck.
                stream.set_read_timeout(Some(STUCK)).expect("an open socket");
                stream.set_write_timeout(Some(STUCK)).expect("an open socket");
                return stream;
            }
            Err(e) if Instant::now() > give_up => panic!("cannot connect to {addr}: {e}"),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}
