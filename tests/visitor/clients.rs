//! Clients, and what they do to a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::waiting::{in_time, DEADLINE};

/// Whether a listener on `[::]` takes IPv4 clients too, as on Linux, but not on OpenBSD.
pub fn dual_stack() -> bool {
    TcpListener::bind("[::]:0").map_or(false, |listener| {
        TcpStream::connect(("127.0.0.1", listener.local_addr().unwrap().port())).is_ok()
    })
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

/// Waits for bytes, and leaves them unread.
pub fn wait_for_bytes(stream: &TcpStream) {
    let count = loop {
        match stream.peek(&mut [0]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {} // the machine has paused this process
            count => break count.unwrap(),
        }
    };
    assert_ne!(count, 0, "there must be bytes to leave unread");
}

/// Closes the connection with a RST, which the kernel sends if bytes are unread. So this waits for some first.
pub fn reset(stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    wait_for_bytes(&stream);
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

/// How a client leaves a server that has stopped reading.
#[derive(Clone, Copy, Debug)]
pub enum Leave {
    Reset,
    Close,
    Stay,
}

/// Sends until the server no longer reads, and leaves. Returns the client if it stays connected.
pub fn send_and_leave(mut client: TcpStream, leave: Leave) -> Option<TcpStream> {
    write_until_blocked(&mut client);
    match leave {
        Leave::Reset => {
            reset(client);
            None
        }
        Leave::Close => None,
        Leave::Stay => Some(client),
    }
}

/// Writes until the kernel accepts nothing for 150 ms. Returns how many bytes it accepted.
pub fn write_until_blocked(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(150))).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0;
    while let Ok(count) = stream.write(&piece) {
        written += count;
        assert!(written < 1 << 30, "no backpressure: the client could write a gibibyte");
    }
    written
}
