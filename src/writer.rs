//! The writer thread: sends the inbox to the client, and checks the timeouts.
//!
//! Owns the receiving end of the inbox. Writes each message, in order, to the session it is for; bytes for a session that has
//! ended are discarded (promises 2 and 3). Messages queued for the same session are gathered into one vectored write. Only
//! the writer knows when everything before a half-close or a finish has been written, so it carries those out. It also ends
//! the last session when the server stops. Between parcels it checks the timeouts, so no other thread needs one.

use std::io;
use std::mem;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::Arc;
use std::time::Instant;

use crate::chunk::Chunk;
use crate::connection::{is_timeout, WeakConnection, GATHER};
use crate::queue::{Output, Parcel};
use crate::signal::Reason;
use crate::slot::Slot;
use crate::yielding;

pub(crate) struct Writer {
    slot: Arc<Slot>,
    inbox: Receiver<Parcel>,
    /// Received from the inbox, but not for the session that is being served.
    next: Option<Parcel>,
    /// The chunks being written; empty between writes.
    gathered: Vec<Chunk>,
}

impl Writer {
    pub(crate) fn new(slot: Arc<Slot>, inbox: Receiver<Parcel>) -> Writer {
        Writer { slot, inbox, next: None, gathered: Vec::with_capacity(GATHER) }
    }

    /// The writer thread.
    pub(crate) fn run(mut self) {
        let mut last = 0;
        while let Some(session) = self.slot.next_to_write(last) {
            last = session.record.number;
            self.serve(&session);
            self.discard(last);
        }
        self.slot.signals.close();
    }

    /// Serves one session until it has ended.
    fn serve(&mut self, session: &WeakConnection) {
        let number = session.record.number;
        while !session.record.is_ended() {
            self.close_if_drained(session);
            let deadline = self.slot.judge(session, None);
            if session.record.is_ended() {
                return;
            }
            match self.take(deadline) {
                Some(Parcel::Bytes(to, chunk)) if to == number => self.deliver(session, chunk),
                Some(Parcel::Bytes(to, chunk)) if to < number => {
                    self.gathered.push(chunk);
                    self.give_back();
                }
                // For the next session: this one has ended meanwhile.
                later @ Some(Parcel::Bytes(..)) => self.next = later,
                Some(Parcel::Wake) => self.slot.queue.woken(),
                None => {}
            }
        }
    }

    /// Carries out a half-close, a finish or a stop, once everything accepted before it has been written.
    fn close_if_drained(&self, session: &WeakConnection) {
        let standing = self.slot.queue.standing(session.record.number);
        match standing.output {
            _ if !standing.drained => {}
            Output::Finished => self.slot.end(&session.record, Reason::Finished),
            _ if standing.stopped => self.slot.end(&session.record, Reason::Stopped),
            Output::HalfClosed => drop(session.get().map(|connection| connection.half_close())),
            Output::Open => {}
        }
    }

    /// The next parcel; `None` at the deadline.
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
    fn deliver(&mut self, session: &WeakConnection, first: Chunk) {
        self.gathered.push(first);
        while self.gathered.len() < GATHER && self.next.is_none() {
            match self.inbox.try_recv() {
                Ok(Parcel::Bytes(to, chunk)) if to == session.record.number => self.gathered.push(chunk),
                Ok(other) => self.next = Some(other),
                Err(_) => break,
            }
        }
        self.write(session);
        self.give_back();
    }

    /// Writes the gathered chunks. After an error nothing more is written for the session: a stream must have no hole.
    fn write(&mut self, session: &WeakConnection) {
        let record = &session.record;
        let mut first = 0;
        let mut progress = Instant::now();
        while first < self.gathered.len() && record.is_writable() {
            let connection = match session.get() {
                Some(connection) => connection,
                None => return,
            };
            let written = connection.write(&self.gathered[first..]);
            drop(connection);
            match written {
                Ok(mut count) => {
                    record.sent(count);
                    progress = Instant::now();
                    while first < self.gathered.len() && count >= self.gathered[first].len() {
                        count -= self.gathered[first].len();
                        first += 1;
                    }
                    if count > 0 {
                        self.gathered[first].advance(count);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => drop(self.slot.judge(session, Some(progress))),
                Err(_) => self.slot.write_failed(record),
            }
        }
    }

    /// Drops the gathered chunks, which returns their buffers, and then returns the room that they took.
    fn give_back(&mut self) {
        let (weight, messages) = (self.gathered.iter().map(Chunk::weight).sum(), self.gathered.len());
        self.gathered.clear();
        self.slot.queue.give_back(weight, messages);
    }

    /// Discards what is left in the inbox for a session that has ended. Nothing more is accepted for it.
    fn discard(&mut self, number: u64) {
        while let Some(parcel) = mem::take(&mut self.next).or_else(|| self.inbox.try_recv().ok()) {
            match parcel {
                Parcel::Bytes(to, _) if to > number => {
                    self.next = Some(parcel);
                    return;
                }
                Parcel::Bytes(_, chunk) => {
                    self.gathered.push(chunk);
                    self.give_back();
                }
                Parcel::Wake => self.slot.queue.woken(),
            }
        }
    }
}
