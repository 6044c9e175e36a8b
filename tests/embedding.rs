//! Complete programs that embed the server, as an application would write them. Each is at most 40 lines, and each is run
//! against real clients.

mod visitor;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use single_server::{Control, Inbox, Message, Options, Session, Signal, SingleServer};
use visitor::*;

/// A debug console in a daemon whose main thread has something to do ten times a second.
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

/// An instrument that answers line commands, and gives up a command that is not complete in time.
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

/// Serves until another thread says so; the client that is connected then still gets its answer.
mod graceful {
    use super::*;

    pub fn run(mut server: SingleServer, interrupted: mpsc::Receiver<()>) -> io::Result<()> {
        let control = server.control();
        // A signal handler's crate would send this when somebody presses Ctrl-C.
        thread::spawn(move || interrupted.recv().map(|()| control.stop()));
        server.serve(|session| {
            let question = session.next_chunk().map(Vec::from).unwrap_or_default();
            let answer = question.to_ascii_uppercase().repeat(100_000);
            session.inbox().send(answer) // accepted as a whole, which a long `write_all` is not
        });
        server.stop() // waits until the last client has its answer, for at most the stop timeout
    }
}

#[test]
fn a_stop_from_another_thread_lets_the_last_client_have_its_answer() {
    let server = Options::new().stop_timeout(DEADLINE).bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let (interrupt, interrupted) = mpsc::channel();
    let running = thread::spawn(move || graceful::run(server, interrupted));
    let mut client = connect(addr);
    client.write_all(b"all of it").unwrap();
    let mut first = [0];
    client.read_exact(&mut first).unwrap();
    interrupt.send(()).unwrap();
    assert_eq!(1 + rest(&mut client).len(), 900_000);
    in_time("the program", move || running.join().unwrap()).unwrap();
}

/// An event loop: an emulator whose target runs on another thread and stops at a breakpoint of its own accord.
mod emulator {
    use super::*;

    pub fn run(server: &SingleServer) -> Vec<String> {
        let (stopped, stops) = mpsc::channel();
        let mut transcript = Vec::new();
        for message in server.outbox() {
            match message {
                Message::Data(chunk) if chunk[..] == b"continue"[..] => {
                    let (stopped, control) = (stopped.clone(), server.control());
                    thread::spawn(move || {
                        let _ = stopped.send("breakpoint at 0x1000"); // first the event, then the wake-up
                        control.wake();
                    });
                }
                Message::Woken => {
                    for stop in stops.try_iter() {
                        transcript.push(stop.to_string());
                        server.client().map(|client| client.inbox().send(stop));
                    }
                }
                Message::End(_) => return transcript,
                _ => {}
            }
        }
        transcript
    }
}

#[test]
fn one_loop_waits_for_the_client_and_for_the_applications_own_events() {
    let server = SingleServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let emulator = thread::spawn(move || emulator::run(&server));
    let mut debugger = connect(addr);
    for _ in 0..3 {
        debugger.write_all(b"continue").unwrap();
        let mut stop = [0; 20];
        debugger.read_exact(&mut stop).unwrap();
        assert_eq!(&stop, b"breakpoint at 0x1000");
    }
    drop(debugger);
    assert_eq!(in_time("the emulator", move || emulator.join().unwrap()).len(), 3);
}

/// A connection with the methods that gdbstub asks for: one byte at a time, and a look whether one is there.
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
    // A stub that looks for an interrupt while its target runs must find out that the debugger has gone.
    becomes(Some(io::ErrorKind::UnexpectedEof), || connection.0.peek().err().map(|e| e.kind()));
    assert_eq!(connection.read().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

/// One server chained to another: what the client of the front sends goes to the client of the back, and the other way.
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
fn two_servers_are_chained_by_their_boxes() {
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
    // The others begin when they are made.
    let others = server.signal();
    drop(first);
    assert!(matches!(next_message(&server), Message::Connected(_)));
    assert!(matches!(next_message(&server), Message::End(_)));
    assert!(matches!(others.recv_timeout(DEADLINE), Ok(Signal::ProducerFinished(_))));
}

#[test]
fn the_first_subscription_tells_how_many_early_signals_it_has_missed() {
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
