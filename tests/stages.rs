//! The stages of the guide's course. Each is compiled here. For each failure, a small client shows that one stage fails, and
//! that the next stage and the last one do not. The clients and diffs on the pages are compared with the sources.

#![allow(dead_code)] // the stages are complete programs, of which only the server is run

#[path = "../src/guide/stages/s0_naive.rs"]
mod s0_naive;
#[path = "../src/guide/stages/s1_refused.rs"]
mod s1_refused;
#[path = "../src/guide/stages/s2_whole.rs"]
mod s2_whole;
#[path = "../src/guide/stages/s3_one_end.rs"]
mod s3_one_end;
#[path = "../src/guide/stages/s4_arrives.rs"]
mod s4_arrives;
#[path = "../src/guide/stages/s5_bounded.rs"]
mod s5_bounded;
#[path = "../src/guide/stages/s6_back_at_once.rs"]
mod s6_back_at_once;
#[path = "../src/guide/stages/s7_stops.rs"]
mod s7_stops;

mod visitor;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::Duration;
#[cfg(unix)]
use std::{fs::File, io::BufRead, io::BufReader, process::Command, process::Stdio};

use visitor::{in_time, DEADLINE};

const LOCAL: &str = "127.0.0.1:0";

/// How long to wait to see that something does not happen. On a busy machine the test is only less strict.
const MOMENT: Duration = Duration::from_millis(100);

/// For limits that no test waits for.
const NEVER: Duration = Duration::from_secs(600);

type Answer = Option<Vec<u8>>;

/// Runs a client; a hang is a failure.
fn run<T: Send + 'static>(
    server: SocketAddr,
    client: impl FnOnce(SocketAddr) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    in_time("the client", move || client(server))
}

fn capitals(bytes: &[u8]) -> Answer {
    Some(bytes.to_ascii_uppercase())
}

/// An application that answers "hello" only when the gate opens.
fn slow(gate: Receiver<()>, at_most: Duration) -> impl FnMut(&[u8]) -> Answer {
    move |bytes| {
        if bytes == b"hello" {
            let _ = gate.recv_timeout(at_most);
        }
        capitals(bytes)
    }
}

/// Adapts an application that ignores the number of the session.
fn any(mut application: impl FnMut(&[u8]) -> Answer) -> impl FnMut(u64, &[u8]) -> Answer {
    move |_session, bytes| application(bytes)
}

fn limits5(silence: Duration) -> s5_bounded::Limits {
    s5_bounded::Limits { silence }
}

fn limits6() -> s6_back_at_once::Limits {
    s6_back_at_once::Limits { silence: NEVER, grace: NEVER, handover: NEVER }
}

fn limits7() -> s7_stops::Limits {
    s7_stops::Limits { silence: NEVER, grace: NEVER, handover: NEVER }
}

/// For tests in which a client is refused.
fn impatient() -> s7_stops::Limits {
    s7_stops::Limits { grace: Duration::ZERO, ..limits7() }
}

// Stage 1.

/// Connects while another client is being served, and waits for a reaction of the server.
fn second_client(server: SocketAddr, patience: Duration) -> io::Result<usize> {
    let _first = TcpStream::connect(server)?;
    let mut second = TcpStream::connect(server)?;
    second.set_read_timeout(Some(patience))?;
    second.read(&mut [0])
}

#[test]
fn a_second_client_is_refused_at_once() {
    let naive = s0_naive::start(LOCAL, capitals).unwrap();
    let error = second_client(naive.addr, MOMENT).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");

    let server = s1_refused::start(LOCAL, capitals).unwrap();
    assert_eq!(second_client(server.addr, DEADLINE).unwrap(), 0);
    let server = s7_stops::start(LOCAL, impatient(), any(capitals)).unwrap();
    assert_eq!(second_client(server.addr, DEADLINE).unwrap(), 0);
}

// Stage 2.

/// Asks, closes its side, and reads the answer.
fn half_close(server: SocketAddr) -> io::Result<String> {
    let mut client = TcpStream::connect(server)?;
    client.write_all(b"hello")?;
    client.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Sends one letter, and reads the first letter of what comes.
fn letter(server: SocketAddr) -> io::Result<char> {
    let mut client = TcpStream::connect(server)?;
    client.write_all(b"b")?;
    let mut answer = [0];
    client.read_exact(&mut answer)?;
    Ok(char::from(answer[0]))
}

#[test]
fn a_half_closed_client_gets_its_answer_and_no_other_client_does() {
    let (open, gate) = channel();
    let refusing = s1_refused::start(LOCAL, slow(gate, NEVER)).unwrap();
    assert_eq!(run(refusing.addr, half_close).unwrap(), "");
    drop(open);
    assert_eq!(run(refusing.addr, letter).unwrap(), 'H');

    let (_closed, gate) = channel();
    let server = s2_whole::start(LOCAL, any(slow(gate, MOMENT))).unwrap();
    assert_eq!(run(server.addr, half_close).unwrap(), "HELLO");
    assert_eq!(run(server.addr, letter).unwrap(), 'B');
    let (_closed, gate) = channel();
    let server = s7_stops::start(LOCAL, limits7(), any(slow(gate, MOMENT))).unwrap();
    assert_eq!(run(server.addr, half_close).unwrap(), "HELLO");
    assert_eq!(run(server.addr, letter).unwrap(), 'B');
}

// Stage 3.

/// Its session ends, and the next one begins before the application has received
/// everything that it sent.
fn successor(server: SocketAddr, go_on: Sender<()>) -> io::Result<char> {
    let mut first = TcpStream::connect(server)?;
    first.write_all(&[b'q'; 16384])?;
    let _ = first.read(&mut [0]); // the end, or a reset

    let mut second = TcpStream::connect(server)?;
    let mut third = TcpStream::connect(server)?;
    assert_eq!(third.read(&mut [0])?, 0); // refused, so the second one is being served
    drop(go_on);
    second.write_all(b"b")?;
    let mut answer = [0];
    second.read_exact(&mut answer)?;
    Ok(char::from(answer[0]))
}

/// An application that hangs up at the first piece that begins with a "q". It waits before the others, answers the first
/// of them, and hangs up again.
fn hangs_up(gate: Receiver<()>) -> impl FnMut(&[u8]) -> Answer {
    let mut pieces = 0;
    move |bytes| {
        if bytes.first() == Some(&b'q') {
            pieces += 1;
            if pieces > 1 {
                let _ = gate.recv_timeout(NEVER);
            }
            if pieces != 2 {
                return None;
            }
        }
        capitals(bytes)
    }
}

#[test]
fn a_late_end_does_not_end_the_next_session() {
    // Elsewhere a kernel may discard what it has not delivered when a connection is shut down.
    if cfg!(target_os = "linux") {
        let (go_on, gate) = channel();
        let whole = s2_whole::start(LOCAL, any(hangs_up(gate))).unwrap();
        run(whole.addr, |addr| successor(addr, go_on)).expect_err("the second session is ended");
    }

    let (go_on, gate) = channel();
    let server = s3_one_end::start(LOCAL, any(hangs_up(gate))).unwrap();
    assert_eq!(run(server.addr, |addr| successor(addr, go_on)).unwrap(), 'B');
    let (go_on, gate) = channel();
    let server = s7_stops::start(LOCAL, impatient(), any(hangs_up(gate))).unwrap();
    assert_eq!(run(server.addr, |addr| successor(addr, go_on)).unwrap(), 'B');
}

// Stage 4.

/// Asks for a report, goes on sending, and then reads the report.
fn talker(server: SocketAddr, mebibytes: usize) -> io::Result<usize> {
    let mut client = TcpStream::connect(server)?;
    client.write_all(b"report")?;
    for _ in 0..mebibytes {
        if client.write_all(&[b'.'; 1 << 20]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
    let mut report = Vec::new();
    let _ = client.read_to_end(&mut report);
    Ok(report.len())
}

/// The length of the report.
const REPORT: usize = 1 << 19;

/// Answers the first piece with the report, and hangs up at the second one.
fn reports() -> impl FnMut(&[u8]) -> Answer {
    let mut report = Some(vec![b'r'; REPORT]);
    move |_bytes| report.take()
}

#[test]
fn a_client_that_keeps_sending_gets_the_whole_answer() {
    let one_end = s3_one_end::start(LOCAL, any(reports())).unwrap();
    let length = run(one_end.addr, |addr| talker(addr, 1024)).unwrap();
    assert!(length < REPORT, "{length}");

    let server = s4_arrives::start(LOCAL, any(reports())).unwrap();
    assert_eq!(run(server.addr, |addr| talker(addr, 8)).unwrap(), REPORT);
    let server = s7_stops::start(LOCAL, limits7(), any(reports())).unwrap();
    assert_eq!(run(server.addr, |addr| talker(addr, 8)).unwrap(), REPORT);
}

// Stage 5.

/// Asks and asks, but does not read the answers. Returns how many mebibytes it could send.
fn never_reads(server: SocketAddr) -> io::Result<usize> {
    let mut client = TcpStream::connect(server)?;
    Ok((0..32).take_while(|_| client.write_all(&[b'a'; 1 << 20]).is_ok()).count())
}

#[test]
fn a_client_that_never_reads_is_slowed_down_and_timed_out() {
    let arrives = s4_arrives::start(LOCAL, any(capitals)).unwrap();
    assert_eq!(run(arrives.addr, never_reads).unwrap(), 32);

    // If the client gets no processor time for that long, it is timed out earlier.
    let silence = Duration::from_millis(20);
    let server = s5_bounded::start(LOCAL, limits5(silence), any(capitals)).unwrap();
    let sent = run(server.addr, never_reads).unwrap();
    assert!(sent < 32, "{sent}");
    let limits = s7_stops::Limits { silence, ..limits7() };
    let server = s7_stops::start(LOCAL, limits, any(capitals)).unwrap();
    let sent = run(server.addr, never_reads).unwrap();
    assert!(sent < 32, "{sent}");
}

// Stage 6.

/// Asks, closes its connection, and connects again at once.
fn comes_back(server: SocketAddr) -> io::Result<char> {
    let mut client = TcpStream::connect(server)?;
    client.write_all(b"hello")?;
    drop(client);

    let mut again = TcpStream::connect(server)?;
    again.write_all(b"b")?;
    let mut answer = [0];
    again.read_exact(&mut answer)?;
    Ok(char::from(answer[0]))
}

#[test]
fn a_client_that_closes_and_connects_again_at_once_is_served() {
    let (_closed, gate) = channel();
    let bounded = s5_bounded::start(LOCAL, limits5(NEVER), any(slow(gate, NEVER))).unwrap();
    run(bounded.addr, comes_back).expect_err("it is refused");

    let (_closed, gate) = channel();
    let server = s6_back_at_once::start(LOCAL, limits6(), any(slow(gate, MOMENT))).unwrap();
    assert_eq!(run(server.addr, comes_back).unwrap(), 'B');
    let (_closed, gate) = channel();
    let server = s7_stops::start(LOCAL, limits7(), any(slow(gate, MOMENT))).unwrap();
    assert_eq!(run(server.addr, comes_back).unwrap(), 'B');
}

// Stage 7.

#[test]
fn a_server_that_is_stopped_frees_its_port_and_ends_its_threads() {
    let dropped = s6_back_at_once::start(LOCAL, limits6(), any(capitals)).unwrap().addr;
    TcpListener::bind(dropped).expect_err("the port is taken");

    let (alive, exited) = channel::<()>();
    let application = move |_, bytes: &[u8]| {
        let _ = &alive;
        capitals(bytes)
    };
    let mut server = s7_stops::start(LOCAL, limits7(), application).unwrap();
    let mut client = TcpStream::connect(server.addr).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"hello").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    let server = in_time("stop", move || {
        server.stop(MOMENT);
        server
    });
    TcpListener::bind(server.addr).expect("the port is free");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    // The application is dropped with its thread, once the acceptor and the reader have exited.
    assert_eq!(exited.recv_timeout(DEADLINE), Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
}

/// Connects while the server has no descriptor left, and asks when it has some again.
fn early_client<F>(server: SocketAddr, patience: Duration, release: F) -> io::Result<char>
where
    F: FnOnce(),
{
    // For this one, the waiting `accept` has reserved a descriptor.
    let first = TcpStream::connect(server)?;
    let mut second = TcpStream::connect(server)?;
    second.set_read_timeout(Some(patience))?;
    let _ = second.read(&mut [0]); // a reset, or nothing
    release();
    drop(first);
    second.set_read_timeout(None)?;
    second.write_all(b"b")?;
    let mut answer = [0];
    second.read_exact(&mut answer)?;
    Ok(char::from(answer[0]))
}

/// The environment variable that makes this program a server without descriptors.
const STAGE: &str = "STAGE_WITHOUT_DESCRIPTORS";

#[cfg(unix)]
#[test]
fn running_out_of_descriptors_does_not_end_the_server() {
    if let Ok(stage) = std::env::var(STAGE) {
        return be_without_descriptors(&stage);
    }
    for (stage, patience) in [("6", DEADLINE), ("7", MOMENT)] {
        let result = in_time("the client", move || without_descriptors(stage, patience));
        if stage == "6" {
            result.expect_err("the acceptor has panicked");
        } else {
            assert_eq!(result.unwrap(), 'B');
        }
    }
}

/// Runs the client against a stage in a separate process: the clients and the other tests need descriptors, too.
#[cfg(unix)]
fn without_descriptors(stage: &str, patience: Duration) -> io::Result<char> {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg("running_out_of_descriptors_does_not_end_the_server")
        .env(STAGE, stage)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = lines.find_map(|line| line.unwrap().parse().ok()).expect("an address");
    let release = || child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let result = early_client(addr, patience, release);
    drop(child.stdin.take()); // tells it to exit
    child.wait().unwrap();
    result
}

/// The separate process: opens files until it has no descriptor left, and closes them when it gets a line.
#[cfg(unix)]
fn be_without_descriptors(stage: &str) {
    let stops; // dropped at the end
    let addr = if stage == "6" {
        s6_back_at_once::start(LOCAL, limits6(), any(capitals)).unwrap().addr
    } else {
        stops = s7_stops::start(LOCAL, limits7(), any(capitals)).unwrap();
        stops.addr
    };
    let files: Vec<_> = (0..).map_while(|_| File::open("/dev/null").ok()).collect();
    println!("\n{addr}"); // on a line of its own, after what the test harness has begun
    let mut lines = io::stdin().lines();
    lines.next();
    drop(files);
    lines.next();
}

// The pages.

struct Stage {
    name: &'static str,
    source: &'static str,
    page: &'static str,
}

macro_rules! stages {
    ($($name:literal)*) => { [$(Stage {
        name: $name,
        source: include_str!(concat!("../src/guide/stages/", $name, ".rs")),
        page: include_str!(concat!("../src/guide/stages/", $name, ".md")),
    }),*] };
}

const STAGES: [Stage; 8] = stages! {
    "s0_naive" "s1_refused" "s2_whole" "s3_one_end" "s4_arrives" "s5_bounded" "s6_back_at_once" "s7_stops"
};

/// The blocks of code on a page in one language, without their fences.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let fence = format!("```{language}");
    let mut lines = page.lines();
    let mut blocks = Vec::new();
    while lines.any(|line| line == fence) {
        blocks.push(lines.by_ref().take_while(|line| *line != "```").collect());
    }
    blocks
}

/// Applies the diffs of a page to the stage before. They have no line numbers, which would change with every earlier
/// stage. So the lines around a change must be enough to find its place.
fn applied(before: &str, page: &str) -> String {
    let before: Vec<&str> = before.lines().collect();
    let mut removed = vec![false; before.len()];
    let mut added = vec![Vec::new(); before.len() + 1]; // in front of each line, and at the end
    for block in blocks(page, "diff") {
        for hunk in block.split(|line| line.starts_with("@@")).filter(|hunk| !hunk.is_empty()) {
            let old: Vec<&str> = hunk.iter().filter(|l| !l.starts_with('+')).map(|l| text(l)).collect();
            let places: Vec<usize> = (0..before.len()).filter(|at| before[*at..].starts_with(&old)).collect();
            assert_eq!(places.len(), 1, "places of this change:\n{}", hunk.join("\n"));
            let mut at = places[0];
            for line in hunk {
                if line.starts_with('+') {
                    added[at].push(text(line));
                } else {
                    removed[at] |= line.starts_with('-');
                    at += 1;
                }
            }
        }
    }
    let mut after = Vec::new();
    for (at, new) in added.into_iter().enumerate() {
        after.extend(new);
        after.extend(before.get(at).filter(|_| !removed[at]));
    }
    after.join("\n") + "\n"
}

/// A line of a diff without its sign. An empty line may lack the leading space.
fn text(line: &str) -> &str {
    line.get(1..).unwrap_or("")
}

#[test]
fn each_page_shows_the_whole_diff_to_the_stage_before() {
    for pair in STAGES.windows(2) {
        let after = applied(pair[0].source, pair[1].page);
        let differs = after.lines().zip(pair[1].source.lines()).find(|(applied, source)| applied != source);
        // `diff -U2` of the two files prints what the page should show.
        assert!(after == pair[1].source, "{}: first line that differs: {differs:?}", pair[1].name);
    }
}

#[test]
fn each_page_shows_the_clients_that_are_run_here() {
    for stage in &STAGES[1..] {
        let clients = blocks(stage.page, "rust,no_run");
        assert!(!clients.is_empty(), "{}", stage.name);
        for client in clients {
            let client = client.into_iter().skip_while(|line| line.is_empty() || line.starts_with("use "));
            let client = client.collect::<Vec<_>>().join("\n") + "\n";
            assert!(include_str!("stages.rs").contains(&client), "{}:\n{client}", stage.name);
        }
    }
}

/// In the repository; the definitions in `links.md`, for the documentation, are checked by rustdoc.
#[test]
fn each_link_of_a_page_leads_to_a_file() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide");
    let stages = STAGES.map(|stage| format!("stages/{}", stage.name));
    let others =
        ["how_it_works", "stages/beyond", "protocol", "decisions", "performance", "embedding", "panics"];
    for name in stages.iter().map(String::as_str).chain(others) {
        let page = guide.join(name).with_extension("md");
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(!text.contains("](crate::"), "{name}");
        for (label, target) in text.lines().filter_map(definition) {
            assert!(page.with_file_name(target).exists(), "{name}: {label}: {target}");
        }
        for (label, _) in include_str!("../src/guide/stages/links.md").lines().filter_map(definition) {
            let is_defined = text.contains(&format!("\n{label}: "));
            assert!(is_defined || !text.contains(label), "{name}: {label}");
        }
    }
}

/// The label, in brackets, and the target.
fn definition(line: &str) -> Option<(&str, &str)> {
    line.split_once(": ").filter(|(label, _)| label.starts_with('[') && label.ends_with(']'))
}

/// The documentation's text column has room for 94 characters. A diff adds one to each line.
#[test]
fn no_line_of_code_is_longer_than_the_documentation_shows() {
    for Stage { name, source, page } in &STAGES {
        let code = page.split("```").skip(1).step_by(2).flat_map(str::lines);
        let mut lines = source.lines().map(|line| (line, 92)).chain(code.map(|line| (line, 93)));
        let longer = lines.find(|(line, longest)| line.chars().count() > *longest);
        assert!(longer.is_none(), "{name}: {longer:?}");
    }
}

#[test]
fn each_stage_is_at_most_forty_lines_longer_than_the_one_before() {
    let lines = |stage: &Stage| stage.source.lines().count();
    for pair in STAGES.windows(2) {
        assert!(lines(&pair[1]) <= lines(&pair[0]) + 40, "{}: {}", pair[1].name, lines(&pair[1]));
    }
    assert!(lines(&STAGES[7]) <= 350);
}
