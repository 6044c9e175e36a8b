//! The client's side of the measurements: what is sent to a server, and how long it takes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::{connect, numbered};

/// Bytes with a long period, so lost, repeated or swapped bytes show.
pub struct Pattern(Vec<u8>);

/// Prime, so that no power of two divides the period.
const PERIOD: usize = 251 * 257;

impl Pattern {
    /// A pattern to take pieces of up to `longest` bytes from.
    pub fn new(longest: usize) -> Pattern {
        Pattern((0..PERIOD + longest).map(|i| i % PERIOD).map(|i| ((i % 251) ^ (i / 251)) as u8).collect())
    }

    pub fn at(&self, position: usize, length: usize) -> &[u8] {
        let start = position % PERIOD;
        &self.0[start..start + length]
    }
}

/// Sends `total` bytes in pieces of `piece`, half-closes, reads them back and checks every byte. Returns the time from
/// the first write to the server's FIN.
pub fn stream_through(addr: SocketAddr, total: usize, piece: usize) -> io::Result<Duration> {
    let mut stream = connect(addr);
    let mut sending = stream.try_clone()?;
    let pattern = Pattern::new(piece.max(256 * 1024));
    let began = Instant::now();
    thread::scope(|scope| {
        let pattern = &pattern;
        let sender = scope.spawn(move || -> io::Result<()> {
            let mut position = 0;
            while position < total {
                let length = piece.min(total - position);
                sending.write_all(pattern.at(position, length))?;
                position += length;
            }
            sending.shutdown(Shutdown::Write)
        });
        let mut buffer = vec![0; 256 * 1024];
        let mut position = 0;
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            if buffer[..count] != *pattern.at(position, count) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("wrong bytes near {position}"),
                ));
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

/// Sends 64 bytes and waits for their echo, `count` times. Returns the sorted times.
pub fn round_trips(stream: &mut TcpStream, count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    let (sent, mut back) = ([7; 64], [0; 64]);
    for _ in 0..count {
        let began = Instant::now();
        stream.write_all(&sent).expect("the server reads");
        stream.read_exact(&mut back).expect("the server answers");
        times.push(began.elapsed());
    }
    times.sort();
    times
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

/// Runs `measure` while `threads` threads knock in a loop. Returns its result and the number of knocks.
pub fn during_knocks<T>(addr: SocketAddr, threads: usize, measure: impl FnOnce() -> T) -> (T, usize) {
    /// Ends the knocking, also if `measure` panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let knocks = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    knock(addr);
                    knocks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _over = Over(&over);
        let result = measure();
        (result, knocks.load(Ordering::Relaxed))
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
