//! The writer thread: sends the inbox to the client, and checks the timeouts.
//!
//! Owns the receiving end of the inbox. Writes each message, in order, to the session it is for; bytes for a session that has
//! ended are discarded (promises 2 and 3). Messages queued for the same session are gathered into one vectored write. Only
//! the writer knows when everything before a half-close or a finish has been written, so it carries these out when it asks
//! the slot what to do next. It also ends the last session when the server stops. Between messages it checks all timeouts, so
//! the other threads can wait without one.

use std::io::ErrorKind;
use std::mem;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::net::connection::{GATHER, PAUSE, REPEATS};
use crate::net::timeout::is_timeout;
use crate::state::channels::Parcel;
use crate::state::phase::Event;
use crate::state::slot::{Assignment, Slot};
use crate::state::writing::{Done, Next};
use crate::sync::yielding;
use crate::values::chunk::Chunk;

pub(crate) struct Writer {
    slot: Arc<Slot>,
    inbox: Receiver<Parcel>,
    /// Received from the inbox, but not for the session that is being served.
    next: Option<Parcel>,
    /// The chunks being written; empty between writes.
    gathered: Vec<Chunk>,
    /// Work that has not been reported to the slot yet.
    done: Done,
}

impl Writer {
    pub(crate) fn new(slot: Arc<Slot>, inbox: Receiver<Parcel>) -> Writer {
        Writer { slot, inbox, next: None, gathered: Vec::with_capacity(GATHER), done: Done::default() }
    }

    /// The writer thread.
    pub(crate) fn run(mut self) {
        let mut last = 0;
        while let Some(session) = self.slot.next_to_write(last) {
            last = session.number();
            self.serve(&session);
            self.discard(last);
        }
        self.slot.signals.close();
    }

    /// Serves one session until it has ended.
    fn serve(&mut self, session: &Assignment) {
        loop {
            let (writes, until) = match self.slot.next(session, &mem::take(&mut self.done)) {
                Next::Write(until) => (true, until),
                Next::Drop(until) => (false, until),
                Next::End => return,
            };
            match self.take(until) {
                Some(Parcel::Bytes(to, chunk)) if to == session.number() && writes => {
                    self.deliver(session, chunk);
                }
                // For the next session, so this one has ended.
                Some(Parcel::Bytes(to, chunk)) if to > session.number() => {
                    self.next = Some(Parcel::Bytes(to, chunk));
                }
                Some(parcel) => self.drop(parcel),
                None => {}
            }
        }
    }

    /// Receives the next item of the inbox; `None` at the deadline.
    fn take(&mut self, deadline: Option<Instant>) -> Option<Parcel> {
        if let Some(parcel) = self.next.take() {
            return Some(parcel);
        }
        match yielding::receive(&self.inbox, self.slot.options.yield_time) {
            Err(TryRecvError::Empty) => match deadline {
                Some(at) => self.inbox.recv_timeout(at.saturating_duration_since(Instant::now())).ok(),
                None => self.inbox.recv().ok(),
            },
            received => received.ok(),
        }
    }

    /// Writes a message, together with those queued after it for the same session.
    fn deliver(&mut self, session: &Assignment, first: Chunk) {
        self.gathered.push(first);
        while self.gathered.len() < GATHER && self.next.is_none() {
            match self.inbox.try_recv() {
                Ok(Parcel::Bytes(to, chunk)) if to == session.number() => self.gathered.push(chunk),
                Ok(other) => self.next = Some(other),
                Err(_) => break,
            }
        }
        self.write(session);
        self.done.messages += self.gathered.len();
        self.done.weight += self.gathered.iter().map(Chunk::weight).sum::<usize>();
        self.gathered.clear(); // returns the buffers before their room is released
    }

    /// Writes the gathered chunks. After an error nothing more is written for the session: the stream must have no gap.
    fn write(&mut self, session: &Assignment) {
        let mut first = 0;
        let mut progress = Instant::now();
        let mut failures = 0;
        while let Some(connection) = session.connection() {
            let written = connection.write(&self.gathered[first..]);
            let repeats = match &written {
                Err(e) => failures < REPEATS && connection.survives(e),
                Ok(_) => false,
            };
            drop(connection);
            match written {
                Ok(mut count) => {
                    self.done.sent += count as u64;
                    while first < self.gathered.len() && count >= self.gathered[first].len() {
                        count -= self.gathered[first].len();
                        first += 1;
                    }
                    if first == self.gathered.len() {
                        return;
                    }
                    self.gathered[first].advance(count);
                    progress = Instant::now();
                    failures = 0;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                // On Unix, also if the acceptor is peeking at the connection.
                Err(e) if is_timeout(&e) => thread::yield_now(),
                Err(_) if repeats => {
                    failures += 1;
                    thread::sleep(PAUSE);
                }
                Err(_) => return self.slot.apply(session.number(), Event::Broken),
            }
            if !self.slot.go_on(session, mem::take(&mut self.done.sent), progress) {
                return;
            }
        }
    }

    /// Discards the messages left in the inbox for a session that has ended. No more are accepted for it.
    fn discard(&mut self, session: u64) {
        while let Some(parcel) = self.next.take().or_else(|| self.inbox.try_recv().ok()) {
            match parcel {
                Parcel::Bytes(to, _) if to > session => {
                    self.next = Some(parcel);
                    break;
                }
                parcel => self.drop(parcel),
            }
        }
        self.slot.discarded(&mem::take(&mut self.done));
    }

    fn drop(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Bytes(_, chunk) => {
                self.done.messages += 1;
                self.done.weight += chunk.weight();
            }
            Parcel::Wake => self.done.woken = true,
        }
    }
}
