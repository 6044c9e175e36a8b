//! A server that is measured, in a process of its own: how it is started, and what the system knows of its process.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cores::{place, Core};

/// A server in a process of its own, killed on drop.
pub struct Contender {
    child: Child,
    pub addr: SocketAddr,
    /// What a forwarder connects to.
    target: Option<Box<Contender>>,
}

impl Contender {
    /// The command of this package.
    pub fn ours(arguments: &[&str]) -> Contender {
        let mut command = Command::new(env!("CARGO_BIN_EXE_single-server"));
        command.args(["--listen", "0"]).args(arguments);
        Contender::start(command)
    }

    /// One of the bench's own servers.
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
        Contender { child, addr, target: None }
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
        let mut contender = Contender { child, addr, target: None };
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

    /// Keeps another contender alive as long as this one.
    pub fn keeping(mut self, target: Contender) -> Contender {
        self.target = Some(Box::new(target));
        self
    }

    /// What the command prints for `--help`.
    pub fn help() -> String {
        let help = Command::new(env!("CARGO_BIN_EXE_single-server")).arg("--help").output();
        String::from_utf8_lossy(&help.expect("the command runs").stdout).into_owned()
    }

    /// The peak of its resident memory, in KiB.
    pub fn memory(&self) -> Result<u64, String> {
        self.number_in("status", "VmHWM:")
    }

    /// How often its threads have gone to sleep.
    pub fn switches(&self) -> Result<u64, String> {
        let of_thread =
            |thread: String| self.number_in(&format!("{thread}/status"), "voluntary_ctxt_switches:");
        self.threads()?.into_iter().map(of_thread).sum()
    }

    /// The processor time that its threads have used.
    pub fn processor_time(&self) -> Result<Duration, String> {
        let of_thread = |thread: String| self.number_in(&format!("{thread}/schedstat"), "");
        Ok(Duration::from_nanos(self.threads()?.into_iter().map(of_thread).sum::<Result<u64, String>>()?))
    }

    /// Moves the thread that accepts to this core, and the others to the first one.
    ///
    /// Not before the server has started: one that may use one core only may do without polling.
    pub fn place(&self, accepting: Core) -> Result<(), String> {
        let mut others = Vec::new();
        let mut acceptor = self.child.id(); // the main thread, if none has our acceptor's name
        for thread in self.threads()? {
            let path = format!("/proc/{}/{thread}/comm", self.child.id());
            let name = fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
            let number = thread.rsplit('/').next().and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| format!("{thread} is not a thread"))?;
            if name.trim() == "single-acceptor" {
                acceptor = number;
            }
            others.push(number);
        }
        others.retain(|number| *number != acceptor);
        others.into_iter().try_for_each(|thread| place(thread, Core::First))?;
        place(acceptor, accepting)
    }

    /// The folders of its threads in its folder of /proc.
    fn threads(&self) -> Result<Vec<String>, String> {
        let path = format!("/proc/{}/task", self.child.id());
        let entries = fs::read_dir(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
        Ok(entries.flatten().map(|entry| format!("task/{}", entry.file_name().to_string_lossy())).collect())
    }

    /// The number after this word at the beginning of a line of a file in /proc.
    fn number_in(&self, file: &str, word: &str) -> Result<u64, String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
        let rest = text.lines().find_map(|line| line.strip_prefix(word));
        let number = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| format!("{path} has no number after {word:?}"))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
