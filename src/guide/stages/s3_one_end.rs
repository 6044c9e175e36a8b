//! Stage 3: a session ends once, whichever thread ends it.

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
    let state = Mutex::new(State { number: 0, phase: Phase::Over, stream: None });
    let slot = Arc::new(Slot { busy: AtomicBool::new(false), state });
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

/// How far a session has come.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Open,
    ClientDone, // the client has closed its side, and the application may still answer
    Over,
}

/// What can happen to a session.
enum Event {
    Fin,    // the client has closed its side
    Finish, // the application ends the session, and everything before has been written
    Cut,    // the connection is broken
}

impl Phase {
    fn after(self, event: Event) -> Phase {
        match (self, event) {
            (Phase::Open, Event::Fin) => Phase::ClientDone,
            (_, Event::Finish | Event::Cut) => Phase::Over,
            (unchanged, Event::Fin) => unchanged,
        }
    }
}

/// The place for one client, shared by the threads.
struct Slot {
    /// Whether a client is being served. It is changed under the lock, but read without it.
    busy: AtomicBool,
    state: Mutex<State>,
}

/// The latest session.
struct State {
    number: u64,
    phase: Phase,
    stream: Option<Arc<TcpStream>>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the lock")
    }

    /// Returns the connection of a session; `None` if the session has ended.
    fn stream(&self, session: u64) -> Option<Arc<TcpStream>> {
        let state = self.lock();
        state.stream.clone().filter(|_| state.number == session)
    }

    fn begin(&self, stream: TcpStream) -> (u64, Arc<TcpStream>) {
        let (mut state, stream) = (self.lock(), Arc::new(stream));
        let number = state.number + 1;
        *state = State { number, phase: Phase::Open, stream: Some(stream.clone()) };
        self.busy.store(true, Ordering::Relaxed);
        (state.number, stream)
    }

    /// Applies an event to a session. Nothing else ends one, and only the first end counts.
    fn apply(&self, session: u64, event: Event) {
        let mut state = self.lock();
        if state.number == session {
            state.phase = state.phase.after(event);
        }
        if state.phase == Phase::Over {
            // Free the slot before the client sees the end: it may connect again at once.
            self.busy.store(false, Ordering::Release);
            if let Some(stream) = state.stream.take() {
                let _ = stream.shutdown(Shutdown::Both);
            }
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
            Err(_) => return slot.apply(session, Event::Cut), // nobody is left to answer
        }
    }
    slot.apply(session, Event::Fin);
    // The end takes the same path as the bytes before it, so it cannot overtake them.
    put((session, Vec::new()));
}

/// The writer thread, for one answer.
fn write(session: u64, answer: Answer, slot: &Slot) {
    match (answer, slot.stream(session)) {
        (None, _) => slot.apply(session, Event::Finish),
        // The session has ended, and its answers must not go to the next client.
        (Some(_), None) => {}
        (Some(bytes), Some(stream)) => {
            if (&*stream).write_all(&bytes).is_err() {
                slot.apply(session, Event::Cut);
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
