//! Promises 2 and 5 for lines, *whole* and *bounded*: `Session::bounded_lines` returns the same lines as `BufRead::lines`,
//! except that a line that is too long is an error and is not kept in memory.

use std::io::{BufRead, ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use single_server::{Options, Session, SingleServer};

use crate::visitor::*;

/// Runs `look` on the session of a client that sends these bytes and closes its side. They arrive in chunks of one to three
/// bytes.
fn session_with<T>(bytes: &[u8], round: usize, look: impl FnOnce(Session) -> T) -> T {
    let options = Options::new().buffer_size(1 + round % 3).depth(1 + round % 2);
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(bytes).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    look(server.accept().unwrap())
}

/// The lines, and a cross for each error.
fn text(lines: impl Iterator<Item = std::io::Result<String>>) -> Vec<String> {
    let text = |line: std::io::Result<String>| {
        line.unwrap_or_else(|e| {
            assert_eq!(e.kind(), ErrorKind::InvalidData, "{e}");
            "\u{2717}".to_string()
        })
    };
    lines.map(text).collect()
}

#[test]
fn short_lines_are_the_same_as_those_of_bufread() {
    let mut random = Random(11);
    for round in 0..200 {
        let length = random.below(30) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| b"\r\n\nab\xff"[random.below(6) as usize]).collect();
        let bounded = session_with(&bytes, round, |session| text(session.bounded_lines(30)));
        let unbounded = session_with(&bytes, round, |session| text(session.lines()));
        assert_eq!(bounded, unbounded, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_line_that_is_too_long_is_an_error_and_the_next_line_can_be_read() {
    let cases: [(&str, usize, &[&str]); 10] = [
        ("abc\nde\n", 3, &["abc", "de"]),
        ("abc\r\nde\r\n", 3, &["abc", "de"]),
        ("abcd\nde\n", 3, &["✗", "de"]),
        ("abcd\r\nde\n", 3, &["✗", "de"]),
        ("abc\rd\nde\n", 3, &["✗", "de"]), // no line ending, although it seemed to begin
        ("abc\r\r\nde\n", 3, &["✗", "de"]),
        ("a very long line without an end", 3, &["✗"]),
        ("ab\nabc", 3, &["ab", "abc"]),
        ("ab\nabc\r", 3, &["ab", "✗"]), // nothing ends the last line, so the `\r` is a part of it
        ("\n\r\nx\n\n", 0, &["", "", "✗", ""]),
    ];
    for (bytes, max, expected) in cases {
        for round in 0..6 {
            let lines = session_with(bytes.as_bytes(), round, |session| text(session.bounded_lines(max)));
            assert_eq!(lines, expected, "{bytes:?}");
        }
    }
}

#[test]
fn the_error_for_a_line_that_is_too_long_names_the_limit() {
    let error =
        session_with(b"0123456789\n", 0, |session| session.bounded_lines(9).next().unwrap().unwrap_err());
    assert_eq!(error.to_string(), "the line is longer than 9 bytes");
}

#[test]
fn an_error_for_a_line_that_is_too_long_comes_before_the_end_of_that_line() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"0123456789").unwrap(); // and no newline
    let session = server.accept().unwrap();
    let mut lines = session.bounded_lines(9);
    assert_eq!(lines.next().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    client.write_all(b"and so on\nnext\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "next");
}

#[test]
fn a_read_timeout_in_the_middle_of_a_line_loses_nothing() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    let session = server.accept().unwrap();
    session.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let mut lines = session.bounded_lines(100);
    for (piece, received) in [("begun, ", 7), ("continued, ", 18)] {
        client.write_all(piece.as_bytes()).unwrap();
        becomes(received, || session.client().traffic().received);
        let late = lines.next().unwrap().unwrap_err();
        assert!(matches!(late.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{late}");
    }
    client.write_all(b"and ended\n").unwrap();
    let line = lines.find_map(Result::ok);
    assert_eq!(line.as_deref(), Some("begun, continued, and ended"));
}

#[test]
fn an_unfinished_line_is_an_error_if_the_session_was_cut_short_and_no_line_follows() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"list\ndelete /tmp/a").unwrap();
    let session = server.accept().unwrap();
    becomes(18, || session.client().traffic().received);
    session.client().finish();
    session.wait_until_over();
    let mut lines = session.bounded_lines(100);
    assert_eq!(lines.next().unwrap().unwrap(), "list");
    let error = lines.next().unwrap().expect_err("the server cut off this line");
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(lines.next().is_none());
}

#[test]
fn an_application_answers_through_its_session_while_it_reads_lines() {
    let mut server = SingleServer::bind("127.0.0.1:0").unwrap();
    let (addr, control) = (server.local_addr(), server.control());
    let client = std::thread::spawn(move || {
        let answer = through(&mut connect(addr), b"one\r\ntwo\nquit\nthree\n");
        control.stop();
        answer
    });
    server.serve(|session| -> std::io::Result<()> {
        for line in session.bounded_lines(10) {
            match line?.as_str() {
                "quit" => session.client().finish(),
                // After a finish nothing more is accepted.
                line => drop(writeln!(session.inbox(), "{line}!")),
            }
        }
        Ok(())
    });
    assert_eq!(client.join().unwrap(), b"one!\ntwo!\n");
}
