//! The client's side of the measurements: what is sent to a server, and how long it takes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::connect;
use crate::cores::{place, this_thread, Core};
use crate::inbox_servers::numbered;

/// Bytes with a long period, so lost, repeated or swapped bytes show.
pub struct Pattern(Vec<u8>);

/// Prime, so that no power of two divides the period.
const PERIOD: usize = 251 * 257;
/// The client's writes.
const PIECE: usize = 64 * 1024;
/// The client's reads.
const BUFFER: usize = 256 * 1024;

impl Pattern {
    pub fn new() -> Pattern {
        Pattern((0..PERIOD + BUFFER).map(|i| i % PERIOD).map(|i| ((i % 251) ^ (i / 251)) as u8).collect())
    }

    fn at(&self, position: usize, length: usize) -> &[u8] {
        let start = position % PERIOD;
        &self.0[start..start + length]
    }

    /// Sends `total` bytes, half-closes, reads them back and checks every byte. Returns the time from the first write to
    /// the server's FIN.
    pub fn stream_through(&self, addr: SocketAddr, total: usize) -> io::Result<Duration> {
        let mut stream = connect(addr);
        let mut sending = stream.try_clone()?;
        let began = Instant::now();
        thread::scope(|scope| {
            let sender = scope.spawn(move || -> io::Result<()> {
                for position in (0..total).step_by(PIECE) {
                    sending.write_all(self.at(position, PIECE.min(total - position)))?;
                }
                sending.shutdown(Shutdown::Write)
            });
            let mut buffer = vec![0; BUFFER];
            let mut position = 0;
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                if buffer[..count] != *self.at(position, count) {
                    let what = format!("wrong bytes near {position}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                position += count;
            }
            sender.join().expect("the sender does not panic")?;
            if position != total {
                let what = format!("{position} of {total} bytes came back");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            Ok(began.elapsed())
        })
    }
}

/// Sends 64 bytes and waits for their echo, `count` times. Returns the times.
pub fn round_trips(stream: &mut TcpStream, count: usize) -> Vec<Duration> {
    let (sent, mut back) = ([7; 64], [0; 64]);
    let trips = (0..count).map(|_| {
        let began = Instant::now();
        stream.write_all(&sent).expect("the server reads");
        stream.read_exact(&mut back).expect("the server answers");
        began.elapsed()
    });
    trips.collect()
}

/// Reads `count` numbered messages and checks their order. Returns the time from the connect to the last message.
pub fn read_numbered(addr: SocketAddr, count: u64) -> Duration {
    let began = Instant::now();
    let mut stream = connect(addr);
    let mut buffer = vec![0; 32 * 4096];
    let mut filled = 0;
    let mut number = 0;
    while number < count {
        let read = stream.read(&mut buffer[filled..]).expect("the server sends");
        assert_ne!(read, 0, "the server closed after {number} messages");
        filled += read;
        let whole = filled / 32 * 32;
        for message in buffer[..whole].chunks_exact(32) {
            assert_eq!(message, numbered(number), "message {number}");
            number += 1;
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    began.elapsed()
}

/// Reads `count` numbered messages, and one more, whose number it returns.
pub fn read_last_number(addr: SocketAddr, count: u64) -> u64 {
    // The server is sending them now, and would be disturbed.
    thread::sleep(Duration::from_millis(1));
    let mut messages = Vec::new();
    connect(addr).read_to_end(&mut messages).expect("the server sends and closes");
    let (all, last) = messages.split_at(count as usize * 32);
    assert!((0..count).map(numbered).eq(all.chunks_exact(32)), "the messages are not in order");
    u64::from_be_bytes(last[..8].try_into().expect("eight bytes"))
}

/// Runs `measure` while another thread knocks in a loop, on the second core. Returns its result and the times of the knocks.
pub fn during_knocks<T>(addr: SocketAddr, measure: impl FnOnce() -> T) -> (T, Vec<Duration>) {
    /// Ends the knocking, also if `measure` panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let (ready, begins) = channel();
    let is_over = &over;
    thread::scope(|scope| {
        let knocking = scope.spawn(move || {
            this_thread()
                .and_then(|thread| place(thread, Core::Second))
                .expect("the check runs on two cores");
            let mut times = vec![knock(addr)];
            ready.send(()).expect("the other thread waits for it");
            while !is_over.load(Ordering::Relaxed) {
                times.push(knock(addr));
            }
            times
        });
        let measured = {
            let _over = Over(&over);
            begins.recv().expect("the first knock is over");
            measure()
        };
        (measured, knocking.join().expect("a knock does not panic"))
    })
}

/// Knocks: connects while another client is served, and waits for a message or the end. Returns how long that took.
pub fn knock(addr: SocketAddr) -> Duration {
    let began = Instant::now();
    if let Ok(mut stream) = TcpStream::connect(addr) {
        // Some tools leave a second client hanging.
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let _ = stream.read(&mut [0; 64]);
    }
    began.elapsed()
}

/// One whole session: connect, send, half-close, read the echo up to the server's FIN. Returns whether it was served.
pub fn session(addr: SocketAddr) -> bool {
    let visit = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(b"hello")?;
        stream.shutdown(Shutdown::Write)?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        Ok(back == b"hello")
    };
    visit().unwrap_or(false)
}

/// A session with pauses, in which the server's threads go to sleep.
pub fn slow_session(addr: SocketAddr) {
    let pause = || thread::sleep(Duration::from_millis(2));
    let mut stream = connect(addr);
    pause();
    round_trips(&mut stream, 1);
    pause();
    stream.shutdown(Shutdown::Write).expect("the server has not reset the connection");
    let rest = stream.read(&mut [0]).expect("the server closes");
    assert_eq!(rest, 0);
    pause();
}
