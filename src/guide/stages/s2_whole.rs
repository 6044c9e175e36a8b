//! Stage 2: a client that has closed its side gets its answers, and no other client does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// The application's answer to a piece of the client's bytes; `None` ends the session.
pub type Answer = Option<Vec<u8>>;

pub struct Server {
    pub addr: SocketAddr,
}

/// Serves one client at a time. The application is called with the session's number and a
/// piece of what the client sends. An empty piece is its FIN: the answer to it is the last.
pub fn start<A>(addr: &str, mut application: A) -> io::Result<Server>
where
    A: FnMut(u64, &[u8]) -> Answer + Send + 'static,
{
    let listener = TcpListener::bind(addr)?;
    let server = Server { addr: listener.local_addr()? };
    // Seen from the server's side: bytes come out of the outbox, answers go into the inbox.
    let (to_outbox, outbox) = channel::<(u64, Vec<u8>)>();
    let (inbox, from_inbox) = channel::<(u64, Answer)>();
    let (turns, to_read) = channel();

    thread::spawn(move || {
        for (session, bytes) in outbox {
            let answer = application(session, &bytes);
            inbox.send((session, answer)).expect("the writer never exits");
            if bytes.is_empty() {
                inbox.send((session, None)).expect("the writer never exits");
            }
        }
    });
    let slot = Arc::new(Slot { busy: AtomicBool::new(false), latest: Mutex::default() });
    let (for_reader, for_writer) = (slot.clone(), slot.clone());
    thread::spawn(move || accept(&listener, &slot, &turns));
    let put = move |piece| to_outbox.send(piece).expect("the application never exits");
    thread::spawn(move || {
        for (session, stream) in to_read {
            read(session, &stream, &for_reader, &put);
        }
    });
    thread::spawn(move || {
        for (session, answer) in from_inbox {
            write(session, answer, &for_writer);
        }
    });
    Ok(server)
}

/// The place for one client, shared by the threads.
struct Slot {
    /// Whether a client is being served.
    busy: AtomicBool,
    /// The number of the latest session, and its connection until it ends.
    latest: Mutex<(u64, Option<Arc<TcpStream>>)>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, (u64, Option<Arc<TcpStream>>)> {
        self.latest.lock().expect("nobody panics while holding the lock")
    }

    /// Returns the connection of a session; `None` if the session has ended.
    fn stream(&self, session: u64) -> Option<Arc<TcpStream>> {
        let latest = self.lock();
        latest.1.clone().filter(|_| latest.0 == session)
    }

    fn begin(&self, stream: TcpStream) -> (u64, Arc<TcpStream>) {
        let (mut latest, stream) = (self.lock(), Arc::new(stream));
        *latest = (latest.0 + 1, Some(stream.clone()));
        self.busy.store(true, Ordering::Relaxed);
        (latest.0, stream)
    }

    fn end(&self) {
        let ended = self.lock().1.take();
        // Free the slot before the client sees the end: it may connect again at once.
        self.busy.store(false, Ordering::Release);
        if let Some(stream) = ended {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The acceptor thread: it never serves a client, so it is always ready for the next one.
fn accept(listener: &TcpListener, slot: &Slot, turns: &Sender<(u64, Arc<TcpStream>)>) {
    loop {
        let (stream, _) = listener.accept().expect("accept does not fail");
        // Only this thread begins sessions, so a free slot stays free.
        if slot.busy.load(Ordering::Acquire) {
            drop(stream); // closes the connection
        } else {
            turns.send(slot.begin(stream)).expect("the reader never exits");
        }
    }
}

/// The reader thread, for one session.
fn read(session: u64, mut stream: &TcpStream, slot: &Slot, put: impl Fn((u64, Vec<u8>))) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => put((session, buffer[..length].to_vec())),
            Err(_) => return slot.end(), // nobody is left to answer
        }
    }
    // The end takes the same path as the bytes before it, so it cannot overtake them.
    put((session, Vec::new()));
}

/// The writer thread, for one answer.
fn write(session: u64, answer: Answer, slot: &Slot) {
    match (answer, slot.stream(session)) {
        (None, _) => slot.end(),
        // The session has ended, and its answers must not go to the next client.
        (Some(_), None) => {}
        (Some(bytes), Some(stream)) => {
            if (&*stream).write_all(&bytes).is_err() {
                slot.end();
            }
        }
    }
}

/// Answers in capital letters, and hangs up on "quit". Try it with `ncat 127.0.0.1 1601`.
fn main() -> io::Result<()> {
    let server = start("127.0.0.1:1601", |_session, bytes| match bytes {
        b"quit\n" => None,
        _ => Some(bytes.to_ascii_uppercase()),
    })?;
    println!("listening on {}", server.addr);
    loop {
        thread::park();
    }
}
