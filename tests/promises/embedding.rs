//! Complete programs that embed the server, as an application would. Each has at most 45 lines and is run against real
//! clients.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use single_server::{Busy, Client, Control, Inbox, Message, Options, Session, Signal, SingleServer};

use crate::visitor::*;

/// A debug console in a daemon whose main thread does periodic work ten times a second.
mod ticking_console {
    use super::*;

    pub fn run(server: &SingleServer, mut tick: impl FnMut() -> u64) {
        let mut line = Vec::new();
        loop {
            match server.outbox().recv_timeout(Duration::from_millis(100)) {
                Ok(Message::Connected(client)) => {
                    line.clear();
                    let _ = client.inbox().send("ticks or stop?\n");
                }
                Ok(Message::Data(chunk)) => {
                    line.extend_from_slice(&chunk);
                    if line.len() > 1_000_000 {
                        line.clear(); // nobody types that
                    }
                    while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                        let command: Vec<u8> = line.drain(..=end).collect();
                        match (std::str::from_utf8(&command).unwrap_or("").trim(), server.client()) {
                            ("stop", _) => return,
                            ("ticks", Some(client)) => drop(client.inbox().send(format!("{}\n", tick()))),
                            (_, Some(client)) => drop(client.inbox().send("what?\n")),
                            (_, None) => {}
                        }
                    }
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => drop(tick()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

#[test]
fn a_daemon_ticks_while_its_console_waits_for_commands() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let console = thread::spawn(move || {
        let mut ticks = 0;
        ticking_console::run(&server, || {
            ticks += 1;
            ticks
        });
    });
    let mut client = BufReader::new(connect(addr));
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert_eq!(line, "ticks or stop?\n");
    let mut last = 0;
    while last < 5 {
        client.get_ref().write_all(b"ti").unwrap(); // a command may come in pieces
        client.get_ref().write_all(b"cks\r\n").unwrap();
        line.clear();
        client.read_line(&mut line).unwrap();
        let now: u64 = line.trim().parse().unwrap();
        assert!(now > last);
        last = now;
    }
    client.get_ref().write_all(b"stop\n").unwrap();
    in_time("the console", move || console.join().unwrap());
}

/// An instrument that answers line commands. A command that is not complete in time ends the session.
mod instrument {
    use super::*;

    pub fn run(server: &mut SingleServer) {
        let mut volts = 0.0;
        server.serve(|session| -> io::Result<()> {
            session.set_read_timeout(Some(Duration::from_millis(200)))?;
            let mut command = String::new();
            loop {
                match Read::by_ref(session).take(100).read_line(&mut command) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock && command.is_empty() => continue,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => writeln!(session, "ERROR timeout")?,
                    Err(e) => return Err(e), // about this client; the next one is served
                }
                match command.trim_end().split_once(' ') {
                    Some(("VOLT", value)) => volts = value.parse().unwrap_or(volts),
                    None if command.trim_end() == "*IDN?" => writeln!(session, "a power supply")?,
                    None if command.trim_end() == "VOLT?" => writeln!(session, "{volts:.1}")?,
                    _ => {}
                }
                command.clear();
            }
        });
    }
}

#[test]
fn an_instrument_answers_line_commands_and_times_incomplete_ones_out() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let (addr, control) = (server.local_addr(), server.control());
    let instrument = thread::spawn(move || instrument::run(&mut server));
    let mut answers = Vec::new();
    for commands in [&b"*IDN?\nVOLT 3.3\nVOLT?\n"[..], b"VOLT?\n", b"\xff\xfe\n"] {
        answers.push(String::from_utf8(through(&mut connect(addr), commands)).unwrap());
    }
    assert_eq!(answers, ["a power supply\n3.3\n", "3.3\n", ""]);
    let mut slow = BufReader::new(connect(addr));
    slow.get_ref().write_all(b"VOLT").unwrap();
    let mut answer = String::new();
    slow.read_line(&mut answer).unwrap();
    assert_eq!(answer, "ERROR timeout\n");
    control.stop();
    in_time("the instrument", move || instrument.join().unwrap());
}

/// The login of a text game. Telnet clients also send control bytes, which are not text.
mod mud {
    use super::*;

    pub fn play(session: &Session<'_>) -> io::Result<()> {
        let (out, mut lines) = (session.inbox(), session.bounded_lines(80));
        let mut ask = |question: &str| {
            out.send(question)?;
            loop {
                match lines.next().transpose() {
                    Err(e) if e.kind() == io::ErrorKind::InvalidData => out.send("Pardon? ")?,
                    answer => return answer,
                }
            }
        };
        for _ in 0..3 {
            let (name, word) = match (ask("Name: ")?, ask("Password: ")?) {
                (Some(name), Some(word)) => (name, word),
                _ => return Ok(()),
            };
            if (name.as_str(), word.as_str()) == ("gandalf", "mellon") {
                while let Some(command) = ask("> ")? {
                    match command.as_str() {
                        "look" => out.send("You are in a mine.\n")?,
                        "quit" => return Ok(out.send("Farewell.\n")?),
                        _ => out.send("What?\n")?,
                    }
                }
                return Ok(());
            }
            out.send("No.\n")?;
        }
        Ok(())
    }
}

#[test]
fn a_game_lets_telnet_clients_log_in_although_they_send_control_bytes() {
    let options = Options::new().busy(Busy::tell("Somebody is in the mine.\n")).idle_timeout(DEADLINE);
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let (addr, control) = (server.local_addr(), server.control());
    let game = thread::spawn(move || server.serve(|session| mud::play(session)));
    let player =
        through(&mut connect(addr), b"gandalf\r\n\xff\xfd\x01\r\nmellon\r\nlook\r\ndance\r\nquit\r\n");
    let expected = "Name: Password: Pardon? > You are in a mine.\n> What?\n> Farewell.\n";
    assert_eq!(String::from_utf8(player).unwrap(), expected);
    let stranger = through(&mut connect(addr), &b"saruman\n1234\n".repeat(4));
    assert_eq!(String::from_utf8(stranger).unwrap(), "Name: Password: No.\n".repeat(3));
    control.stop();
    in_time("the game", move || game.join().unwrap());
}

/// A Modbus slave: a binary protocol whose messages begin with their length.
mod modbus {
    use super::*;

    pub fn serve(session: &mut Session<'_>, registers: &mut [u16]) -> io::Result<()> {
        // The master may leave between two messages. An end within a message is an error.
        while !session.fill_buf()?.is_empty() {
            let mut header = [0; 7];
            session.read_exact(&mut header)?;
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            if header[2..4] != [0, 0] || !(2..=254).contains(&length) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not Modbus"));
            }
            let mut request = vec![0; length - 1];
            session.read_exact(&mut request)?;
            let answer = answer(&request, registers);
            let mut message = header[..4].to_vec();
            message.extend_from_slice(&(answer.len() as u16 + 1).to_be_bytes());
            message.push(header[6]);
            message.extend_from_slice(&answer);
            session.inbox().send(message)?;
        }
        Ok(())
    }

    fn answer(request: &[u8], registers: &mut [u16]) -> Vec<u8> {
        let word = |at: usize| request.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        match (request[0], word(1).map(usize::from), word(3)) {
            (3, Some(first), Some(count)) => match registers.get(first..first + usize::from(count)) {
                Some(found) if (1..=125).contains(&count) => {
                    let values = found.iter().flat_map(|value| value.to_be_bytes());
                    [3, 2 * count as u8].into_iter().chain(values).collect()
                }
                _ => vec![0x83, 2],
            },
            (6, Some(at), Some(value)) if at < registers.len() => {
                registers[at] = value;
                request.to_vec()
            }
            (6, ..) => vec![0x86, 2],
            (other, ..) => vec![other | 0x80, 1],
        }
    }
}

#[test]
fn a_modbus_slave_keeps_its_registers_while_masters_come_and_go() {
    let mut server = Options::new().handover(DEADLINE).bind("127.0.0.1:0").unwrap();
    let (addr, control, signals) = (server.local_addr(), server.control(), server.signal());
    let slave = thread::spawn(move || {
        let mut registers = [0; 100];
        server.serve(|session| modbus::serve(session, &mut registers));
    });
    let mut first = connect(addr);
    let write = [0, 1, 0, 0, 0, 6, 1, 6, 0, 3, 0x12, 0x67];
    first.write_all(&write[..5]).unwrap(); // TCP may deliver a message in pieces
    first.write_all(&write[5..]).unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).unwrap();
    assert_eq!(answer, write);
    drop(first);
    assert!(through(&mut connect(addr), b"GET / HTTP/1.0\r\n\r\n").is_empty());
    let read = through(&mut connect(addr), b"\0\x02\0\0\0\x06\x01\x03\0\x03\0\x01\0\x03\0\0\0\x02\x01\x2b");
    assert_eq!(read, b"\0\x02\0\0\0\x05\x01\x03\x02\x12\x67\0\x03\0\0\0\x03\x01\xab\x01");
    control.stop();
    in_time("the slave", move || slave.join().unwrap());
    let failed: Vec<String> =
        signals.iter().filter(|s| matches!(s, Signal::Failed { .. })).map(|s| s.to_string()).collect();
    assert!(failed.len() == 1 && failed[0].ends_with(": this is not Modbus"), "{failed:?}");
}

/// A language server: lines of a header announce the length of the JSON that follows.
mod language_server {
    use super::*;

    fn invalid(what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    /// Reads a message; `None` if the editor has closed its side instead of sending another one.
    fn read(session: &mut Session<'_>) -> io::Result<Option<String>> {
        let mut length = None;
        for line in session.bounded_lines(200) {
            let line = line?;
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.parse().ok().filter(|length| *length <= 1_000_000);
            }
            if line.is_empty() {
                let mut body = vec![0; length.ok_or_else(|| invalid("no length, or too large"))?];
                session.read_exact(&mut body)?;
                return String::from_utf8(body).map(Some).map_err(|_| invalid("not UTF-8"));
            }
        }
        Ok(None)
    }

    /// The value of a field. A real server would use a library for JSON.
    fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
        let value = json.split(&format!("\"{name}\":")).nth(1)?;
        value.split([',', '}']).next().map(|value| value.trim_matches('"'))
    }

    pub fn serve(session: &mut Session<'_>) -> io::Result<()> {
        while let Some(message) = read(session)? {
            let result = match field(&message, "method") {
                Some("initialize") => r#"{"capabilities":{"hoverProvider":true}}"#,
                Some("textDocument/hover") => r#"{"contents":"a word"}"#,
                Some("shutdown") => "null",
                Some("exit") => return Ok(()),
                _ => continue,
            };
            let id = field(&message, "id").unwrap_or("null");
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
            session.inbox().send(format!("Content-Length: {}\r\n\r\n{body}", body.len()))?;
        }
        Ok(())
    }
}

#[test]
fn a_language_server_reads_header_lines_and_then_the_body_that_they_announce() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let (addr, control) = (server.local_addr(), server.control());
    let serving = thread::spawn(move || server.serve(language_server::serve));
    let requests = ["initialize", "initialized", "textDocument/hover", "shutdown", "exit"];
    let messages = requests.iter().enumerate().map(|(id, method)| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
        format!("Content-Length: {}\r\nContent-Type: x\r\n\r\n{body}", body.len())
    });
    let answers = through(&mut connect(addr), messages.collect::<String>().as_bytes());
    let answers = String::from_utf8(answers).unwrap();
    let ids: Vec<&str> = answers.split(r#""id":"#).skip(1).map(|rest| &rest[..1]).collect();
    assert_eq!(ids, ["0", "2", "3"], "{answers}");
    assert!(answers.contains(r#""result":{"contents":"a word"}"#), "{answers}");
    assert!(through(&mut connect(addr), b"Content-Length: 99999999999\r\n\r\n").is_empty());
    control.stop();
    in_time("the language server", move || serving.join().unwrap());
}

/// A flight recorder: a client gets the last lines of a log and then the new ones. The recorder never waits for the client.
mod recorder {
    use super::*;

    #[derive(Default)]
    pub struct Recorder {
        lines: VecDeque<String>,
        viewer: Option<Inbox>,
        pub missed: u64,
    }

    impl Recorder {
        pub fn record(&mut self, line: &str) {
            let line = format!("{line}\n");
            if let Some(viewer) = &self.viewer {
                let gap = if self.missed > 0 { format!("({} missed)\n", self.missed) } else { String::new() };
                match viewer.try_send(gap + &line) {
                    Ok(()) => self.missed = 0,
                    Err(_) => self.missed += 1, // it does not read, or has left, which the end will show
                }
            }
            if self.lines.len() == 3 {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    pub fn show(server: &SingleServer, recorder: &Mutex<Recorder>) {
        for message in server.outbox() {
            // Under the lock, so that no line falls between the old ones and the new ones.
            let mut recorder = recorder.lock().expect("nobody panics under the lock");
            match message {
                Message::Connected(client) => {
                    let _ = client
                        .inbox()
                        .try_send(recorder.lines.iter().map(String::as_str).collect::<String>());
                    (recorder.viewer, recorder.missed) = (Some(client.inbox()), 0);
                }
                Message::End(_) => recorder.viewer = None,
                _ => {}
            }
        }
    }
}

#[test]
fn a_flight_recorder_shows_the_last_lines_and_never_waits_for_its_client() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let (addr, control) = (server.local_addr(), server.control());
    let recorder = Arc::new(Mutex::new(recorder::Recorder::default()));
    let shown = recorder.clone();
    let showing = thread::spawn(move || recorder::show(&server, &shown));
    let record = |line: &str| recorder.lock().unwrap().record(line);
    for line in ["one", "two", "three", "four"] {
        record(line);
    }
    let mut lines = BufReader::new(connect(addr)).lines().map(Result::unwrap);
    assert_eq!(lines.by_ref().take(3).collect::<Vec<_>>(), ["two", "three", "four"]);
    record("five");
    assert_eq!(lines.next().unwrap(), "five");
    let long = "x".repeat(100_000);
    let recording = recorder.clone();
    in_time("a recorder whose client does not read", move || {
        while recording.lock().unwrap().missed == 0 {
            recording.lock().unwrap().record(&long);
        }
    });
    let reading = thread::spawn(move || lines.find(|line| line.ends_with("missed)")));
    while !reading.is_finished() {
        record("six");
        thread::yield_now();
    }
    assert!(reading.join().unwrap().is_some());
    control.stop();
    in_time("the recorder", move || showing.join().unwrap());
}

/// Serves until another thread interrupts it; the current client is still served to its end.
mod graceful {
    use super::*;

    pub fn run(mut server: SingleServer, interrupted: mpsc::Receiver<()>) -> io::Result<()> {
        let control = server.control();
        // A signal handler's crate would send this when somebody presses Ctrl-C.
        thread::spawn(move || interrupted.recv().map(|()| control.drain(DEADLINE)));
        server.serve(|session| {
            session.chunks().try_for_each(|chunk| session.inbox().send(chunk.to_ascii_uppercase()))
        });
        server.stop() // waits until the last client has its answer, for at most the stop timeout
    }
}

#[test]
fn a_drain_from_another_thread_lets_the_last_client_continue() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let (interrupt, interrupted) = mpsc::channel();
    let running = thread::spawn(move || graceful::run(server, interrupted));
    let mut client = connect(addr);
    client.write_all(b"one").unwrap();
    client.read_exact(&mut [0; 3]).unwrap();
    interrupt.send(()).unwrap();
    becomes(true, || TcpStream::connect(addr).is_err()); // the port is closed
    assert_eq!(through(&mut client, b"two"), b"TWO");
    in_time("the program", move || running.join().unwrap()).unwrap();
}

/// An event loop: an emulator whose target runs on another thread and stops at breakpoints.
mod emulator {
    use super::*;

    /// `target` runs until the next breakpoint, and names it.
    pub fn run(server: &SingleServer, mut target: impl FnMut() -> String + Send + 'static) {
        let (runs, to_run) = mpsc::channel::<Client>();
        let (stopped, stops) = mpsc::channel();
        let control = server.control();
        thread::spawn(move || {
            for client in to_run {
                let _ = stopped.send((client, target())); // first the event, then the wake-up
                control.wake();
            }
        });
        let mut debugger = None;
        for message in server.outbox() {
            match message {
                Message::Connected(client) => debugger = Some(client),
                Message::Data(chunk) if chunk[..] == b"continue"[..] => {
                    let _ = debugger.clone().map(|client| runs.send(client));
                }
                Message::Woken => {
                    for (client, stop) in stops.try_iter() {
                        let _ = client.inbox().send(stop); // to the debugger that asked, or to nobody
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn one_loop_handles_client_and_events_and_sends_no_event_to_another_client() {
    let server = Options::new().handover(DEADLINE).bind("127.0.0.1:0").unwrap();
    let (addr, control) = (server.local_addr(), server.control());
    let (hit, hits) = mpsc::channel();
    let emulator = thread::spawn(move || emulator::run(&server, move || hits.recv().unwrap_or_default()));
    let mut first = connect(addr);
    for breakpoint in ["0x1000", "0x2000"] {
        first.write_all(b"continue").unwrap();
        hit.send(breakpoint.to_string()).unwrap();
        let mut stop = [0; 6];
        first.read_exact(&mut stop).unwrap();
        assert_eq!(&stop, breakpoint.as_bytes());
    }
    first.write_all(b"continue").unwrap();
    drop(first); // before its target stops
    let mut second = connect(addr);
    let peer = second.local_addr().unwrap();
    becomes(Some(peer), || control.client().map(|client| client.peer_addr()));
    hit.send("0x3000".to_string()).unwrap();
    hit.send("0x4000".to_string()).unwrap();
    second.write_all(b"continue").unwrap();
    let mut stop = [0; 6];
    second.read_exact(&mut stop).unwrap();
    assert_eq!(&stop, b"0x4000");
    control.stop();
    in_time("the emulator", move || emulator.join().unwrap());
}

/// A connection with the methods that gdbstub requires: reading single bytes, and peeking.
mod stub_connection {
    use super::*;

    pub struct Connection<'a>(pub Session<'a>);

    impl Connection<'_> {
        pub fn read(&mut self) -> io::Result<u8> {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            Ok(byte[0])
        }

        pub fn peek(&mut self) -> io::Result<Option<u8>> {
            self.0.peek()
        }

        pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.write_all(bytes)
        }

        pub fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
}

#[test]
fn a_session_serves_a_protocol_that_reads_single_bytes_and_looks_ahead() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let mut connection = stub_connection::Connection(server.accept().unwrap());
    assert_eq!(connection.peek().unwrap(), None);
    client.write_all(b"$g#67").unwrap();
    let packet: Vec<u8> = (0..5).map(|_| connection.read().unwrap()).collect();
    assert_eq!(packet, b"$g#67");
    connection.write_all(b"+").unwrap();
    connection.flush().unwrap();
    client.read_exact(&mut [0]).unwrap();
    client.write_all(b"\x03").unwrap();
    becomes(Some(3), || connection.0.peek().unwrap()); // the interrupt, while the target runs
    assert_eq!(connection.read().unwrap(), 3);
    client.shutdown(Shutdown::Write).unwrap();
    // A stub that polls for an interrupt while its target runs must notice that the debugger has disconnected.
    becomes(Some(io::ErrorKind::UnexpectedEof), || connection.0.peek().err().map(|e| e.kind()));
    assert_eq!(connection.read().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

/// Code that serves a session, and its unit test below, as an application would write it: no thread, and no fixed port.
fn sums(session: &Session<'_>) -> io::Result<()> {
    let mut sum = 0;
    for line in session.bounded_lines(20) {
        sum += u64::from(line?.parse::<u32>().unwrap_or(0));
        writeln!(session.inbox(), "{sum}")?;
    }
    Ok(())
}

#[test]
fn an_application_can_be_tested_without_a_second_thread() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"1\n2\nx\n3\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let session = server.accept().unwrap();
    sums(&session).unwrap();
    drop(session);
    assert_eq!(rest(&mut client), b"1\n3\n3\n6\n");
}

/// Two chained servers: bytes of the front's client go to the back's client, and the other way round.
mod chain {
    use super::*;

    pub fn run(front: SingleServer, back: SingleServer) {
        let (to_front, to_back) = ((front.inbox(), front.control()), (back.inbox(), back.control()));
        let one_way = |from: SingleServer, (inbox, control): (Inbox, Control)| {
            thread::spawn(move || {
                for message in from.outbox() {
                    match message {
                        Message::Data(chunk) => drop(inbox.send(chunk)),
                        Message::End(_) => drop(control.client().map(|client| client.finish())),
                        _ => {}
                    }
                }
            })
        };
        let ways = [one_way(front, to_back), one_way(back, to_front)];
        for way in ways {
            way.join().expect("it does not panic");
        }
    }
}

#[test]
fn two_servers_can_be_chained_through_inbox_and_outbox() {
    let (front, back) =
        (SingleServer::bind("127.0.0.1:0").unwrap(), SingleServer::bind("127.0.0.1:0").unwrap());
    let (addrs, controls): ([SocketAddr; 2], [Control; 2]) =
        ([front.local_addr(), back.local_addr()], [front.control(), back.control()]);
    let running = thread::spawn(move || chain::run(front, back));
    let (mut one, mut other): (TcpStream, TcpStream) = (connect(addrs[0]), connect(addrs[1]));
    becomes(true, || controls.iter().all(|control| control.client().is_some()));
    let bytes = pattern(1, 300_000);
    let sent = bytes.clone();
    let reading = thread::spawn(move || {
        let mut all = vec![0; 300_000];
        other.read_exact(&mut all).unwrap();
        other.write_all(b"thank you").unwrap();
        (other, all)
    });
    one.write_all(&sent).unwrap();
    let mut thanks = [0; 9];
    one.read_exact(&mut thanks).unwrap();
    let (mut other, received) = reading.join().unwrap();
    assert_same(&received, &bytes);
    drop(one);
    assert!(rest(&mut other).is_empty(), "the end is passed on");
    controls.iter().for_each(Control::stop);
    in_time("the chain", move || running.join().unwrap());
}

#[test]
fn the_first_subscription_begins_with_the_first_client() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let first = connect(server.local_addr());
    becomes(true, || server.is_busy());
    for _ in 0..3 {
        assert!(rest(&mut connect(server.local_addr())).is_empty());
    }
    let signals = server.signal();
    assert_eq!(signals.recv_timeout(DEADLINE), Ok(Signal::Connected(first.local_addr().unwrap())));
    for _ in 0..3 {
        assert!(matches!(signals.recv_timeout(DEADLINE), Ok(Signal::Refused { .. })));
    }
    // Further subscriptions begin when they are made.
    let others = server.signal();
    drop(first);
    assert!(matches!(next_message(&server), Message::Connected(_)));
    assert!(matches!(next_message(&server), Message::End(_)));
    assert!(matches!(others.recv_timeout(DEADLINE), Ok(Signal::ProducerFinished(_))));
}

#[test]
fn the_first_subscription_reports_how_many_early_signals_it_missed() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let _first = connect(server.local_addr());
    becomes(true, || server.is_busy());
    for _ in 0..130 {
        assert!(rest(&mut connect(server.local_addr())).is_empty());
    }
    let signals = server.signal();
    assert!(rest(&mut connect(server.local_addr())).is_empty());
    let all: Vec<Signal> = (0..130).map(|_| signals.recv_timeout(DEADLINE).unwrap()).collect();
    assert!(matches!(all[0], Signal::Connected(_)));
    assert_eq!(all.iter().filter(|signal| matches!(signal, Signal::Refused { .. })).count(), 128);
    assert!(all.contains(&Signal::Missed(3)), "{:?}", all.last());
}

#[test]
fn a_handle_prints_its_server_and_its_client() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let stream = connect(server.local_addr());
    let printed = format!("{:?}", next_client(&server, &stream));
    let (local, peer) = (server.local_addr(), stream.local_addr().unwrap());
    for part in [format!("local_addr: {local}"), "busy: true".to_string(), format!("peer: {peer}")] {
        assert!(printed.contains(&part), "{part} is missing in {printed}");
    }
    let printed = format!("{:?}", Options::new().admit(|_| true));
    assert!(printed.contains("admit: Some(FnMut)"), "{printed}");
}
