//! Stage 7: the whole server. Only `stop` ends it, and `stop` ends it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, sync_channel, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The application's answer to a piece of the client's bytes; `None` ends the session.
pub type Answer = Option<Vec<u8>>;

/// How many pieces the outbox holds, and how many answers the inbox.
const DEPTH: usize = 4;

const UNPOISONED: &str = "nobody panics while holding the lock";

pub struct Limits {
    /// How long a client may send nothing, or take no byte of an answer.
    pub silence: Duration,
    /// How long a newcomer waits for the reader to reach the FIN of the served client.
    pub grace: Duration,
    /// How long a newcomer waits for the end of a session whose client has closed its side.
    pub handover: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let (grace, handover) = (Duration::from_millis(5), Duration::from_secs(1));
        Limits { silence: Duration::from_secs(60), grace, handover }
    }
}

pub struct Server {
    pub addr: SocketAddr,
    slot: Arc<Slot>,
    acceptor: Option<JoinHandle<()>>,
}

/// Serves one client at a time. The application is called with the session's number and a
/// piece of what the client sends. An empty piece is its FIN: the answer to it is the last.
pub fn start<A>(addr: &str, limits: Limits, mut application: A) -> io::Result<Server>
where
    A: FnMut(u64, &[u8]) -> Answer + Send + 'static,
{
    let listener = TcpListener::bind(addr)?;
    let addr = listener.local_addr()?;
    // Seen from the server's side: bytes come out of the outbox, answers go into the inbox.
    // If a channel is full, its sender waits; if nobody reads, TCP makes the client wait.
    let (to_outbox, outbox) = sync_channel::<(u64, Vec<u8>)>(DEPTH);
    let (inbox, from_inbox) = sync_channel::<(u64, Answer)>(DEPTH);
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
    let state = State { number: 0, phase: Phase::Over, stream: None, is_stopping: false };
    let (busy, change) = (AtomicBool::new(false), Condvar::new());
    let slot = Arc::new(Slot { limits, busy, state: Mutex::new(state), change });
    let (for_acceptor, for_reader, for_writer) = (slot.clone(), slot.clone(), slot.clone());
    let acceptor = thread::spawn(move || accept(&listener, &for_acceptor, &turns));
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
    Ok(Server { addr, slot, acceptor: Some(acceptor) })
}

impl Server {
    /// Frees the port, waits up to `patience` for the session to end, and then cuts it.
    pub fn stop(&mut self, patience: Duration) {
        self.slot.lock().is_stopping = true;
        self.slot.change.notify_all();
        if let Some(acceptor) = self.acceptor.take() {
            // Wakes `accept`. If this fails, the backlog is full, and it is not blocked.
            let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
            // An error means that it has panicked; the port is free then, too.
            let _ = acceptor.join();
        }
        // The other threads exit in turn: each ends with the channel that it receives from.
        let state = self.slot.lock();
        let goes_on = |state: &mut State| state.phase != Phase::Over;
        let waited = self.slot.change.wait_timeout_while(state, patience, goes_on);
        let (state, _) = waited.expect(UNPOISONED);
        let session = state.number;
        drop(state);
        self.slot.apply(session, Event::Cut);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Open,
    ClientDone, // the client has closed its side, and the application may still answer
    Lingering,  // we have closed ours, the slot is free, and what still comes is discarded
    Over,
}

/// What can happen to a session.
enum Event {
    Fin,    // the client has closed its side
    Finish, // the application ends the session, and everything before has been written
    Cut,    // the connection is broken, or the client is timed out
}

impl Phase {
    fn after(self, event: Event) -> Phase {
        match (self, event) {
            (Phase::Open, Event::Fin) => Phase::ClientDone,
            (Phase::Open, Event::Finish) => Phase::Lingering,
            (Phase::ClientDone, Event::Finish) => Phase::Over,
            (Phase::Lingering, Event::Fin) => Phase::Over,
            (_, Event::Cut) => Phase::Over,
            (unchanged, _) => unchanged,
        }
    }

    fn is_live(self) -> bool {
        matches!(self, Phase::Open | Phase::ClientDone)
    }
}

/// The place for one client, shared by the threads.
struct Slot {
    limits: Limits,
    /// Whether a client is being served. It is changed under the lock, but read without it.
    busy: AtomicBool,
    state: Mutex<State>,
    /// Notified when the phase has changed.
    change: Condvar,
}

/// The latest session.
struct State {
    number: u64,
    phase: Phase,
    stream: Option<Arc<TcpStream>>,
    is_stopping: bool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    /// Returns the connection of a session; `None` if the session no longer holds the slot.
    fn stream(&self, session: u64) -> Option<Arc<TcpStream>> {
        let state = self.lock();
        state.stream.clone().filter(|_| state.number == session && state.phase.is_live())
    }

    fn begin(&self, stream: TcpStream) -> io::Result<(u64, Arc<TcpStream>)> {
        // From now on a read or a write fails if the client does nothing for this long.
        stream.set_read_timeout(Some(self.limits.silence))?;
        stream.set_write_timeout(Some(self.limits.silence))?;
        let (mut state, stream) = (self.lock(), Arc::new(stream));
        if let Some(lingering) = &state.stream {
            // The reader is needed for the next client.
            let _ = lingering.shutdown(Shutdown::Both);
        }
        state.number += 1;
        state.phase = Phase::Open;
        state.stream = Some(stream.clone());
        self.busy.store(true, Ordering::Relaxed);
        Ok((state.number, stream))
    }

    /// Returns whether a newcomer can have the slot. May wait for a client that is leaving.
    fn is_free(&self) -> bool {
        if !self.busy.load(Ordering::Acquire) {
            return true;
        }
        let start = Instant::now();
        let mut state = self.lock();
        while state.phase.is_live() && !state.is_stopping {
            let leaves = state.phase == Phase::ClientDone;
            let patience = if leaves { self.limits.handover } else { self.limits.grace };
            let left = match patience.checked_sub(start.elapsed()) {
                Some(left) => left,
                None => return false,
            };
            state = self.change.wait_timeout(state, left).expect(UNPOISONED).0;
        }
        !state.phase.is_live()
    }

    /// Applies an event to a session. Nothing else ends one, and only the first end counts.
    fn apply(&self, session: u64, event: Event) {
        let mut state = self.lock();
        if state.number == session {
            state.phase = state.phase.after(event);
            self.change.notify_all();
        }
        if !state.phase.is_live() {
            // Free the slot before the client sees the end: it may connect again at once.
            self.busy.store(false, Ordering::Release);
            let lingers = state.phase == Phase::Lingering;
            if let Some(stream) = &state.stream {
                let side = if lingers { Shutdown::Write } else { Shutdown::Both };
                let _ = stream.shutdown(side);
            }
            if !lingers {
                state.stream = None;
            }
        }
    }
}

/// The acceptor thread: it never serves a client, so it is always ready for the next one.
fn accept(listener: &TcpListener, slot: &Slot, turns: &Sender<(u64, Arc<TcpStream>)>) {
    loop {
        let accepted = listener.accept();
        if slot.lock().is_stopping {
            return; // this is the connection that `stop` has made
        }
        match accepted {
            // Only this thread begins sessions, so a free slot stays free.
            Ok((stream, _)) if slot.is_free() => {
                if let Ok(turn) = slot.begin(stream) {
                    turns.send(turn).expect("the reader exits after this thread");
                }
            }
            Ok(_busy) => {} // dropping the stream closes the connection
            // If no descriptor is left, for example, the next call would fail at once, too.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The reader thread, for one session.
fn read(session: u64, mut stream: &TcpStream, slot: &Slot, put: impl Fn((u64, Vec<u8>))) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            // Unread data would make the close a reset, which can destroy the last answer.
            Ok(_) if slot.stream(session).is_none() => {}
            Ok(length) => put((session, buffer[..length].to_vec())),
            // Not an end: on Linux, a call with a timeout fails like this if the process is
            // stopped and continued.
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
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
    let mut server = start("127.0.0.1:1601", Limits::default(), |_, bytes| match bytes {
        b"quit\n" => None,
        _ => Some(bytes.to_ascii_uppercase()),
    })?;
    println!("listening on {}; press Enter to stop", server.addr);
    io::stdin().read_line(&mut String::new())?;
    server.stop(Duration::from_secs(1));
    Ok(())
}
