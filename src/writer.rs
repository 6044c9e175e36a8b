//! The writer thread: from the inbox to the client.
//!
//! Owns the receiving end of the inbox and writes what it finds there, in order, to the connection it is for; what
//! is for a session that is over is discarded (promises 2 and 3). All that is queued for one session goes out in one
//! vectored write. It also ends a session when its `Finish` comes up, since only then is everything before it
//! written, and the last session when the server stops and the inbox is empty.

use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::sync::Arc;
use std::time::Instant;

use crate::chunk::Chunk;
use crate::connection::Connection;
use crate::inbox::Parcel;
use crate::outbox::{receive_patiently, Message};
use crate::reader::is_timeout;
use crate::record::Record;
use crate::signal::Reason;
use crate::slot::Slot;

/// How many messages one write takes along.
const GATHER: usize = 128;

pub(crate) struct Writer {
    slot: Arc<Slot>,
    inbox: Receiver<Parcel>,
    /// For the end of a session whose reader waits for a client that says nothing; see `Slot::tell_end`.
    outbox: SyncSender<Message>,
    /// Taken out of the inbox while gathering, but not for the same session.
    next: Option<Parcel>,
    /// What is being written; empty between writes.
    gathered: Vec<Chunk>,
}

impl Writer {
    pub(crate) fn new(slot: Arc<Slot>, inbox: Receiver<Parcel>, outbox: SyncSender<Message>) -> Writer {
        Writer { slot, inbox, outbox, next: None, gathered: Vec::with_capacity(GATHER) }
    }

    /// The writer thread.
    pub(crate) fn run(mut self) {
        while let Some(parcel) = self.take() {
            match parcel {
                Parcel::Bytes(to, chunk) => self.deliver(to, chunk),
                Parcel::HalfClose(to) => {
                    if let Some(connection) = self.slot.connection(to.as_ref()) {
                        connection.record.half_closed.store(true, Ordering::Relaxed);
                        let _ = connection.stream.shutdown(Shutdown::Write);
                    }
                }
                Parcel::Finish(record) => {
                    self.slot.end(&record, Reason::Finished);
                    self.slot.tell_end(&record, &self.outbox);
                }
                Parcel::Wake => {}
            }
        }
        if let Some(record) = self.slot.current() {
            self.slot.end(&record, Reason::Stopped);
            self.slot.tell_end(&record, &self.outbox);
        }
    }

    /// The next parcel; `None` when the server stops and nothing is left.
    fn take(&mut self) -> Option<Parcel> {
        if let Some(parcel) = self.next.take() {
            return Some(parcel);
        }
        match receive_patiently(&self.inbox, self.slot.options.yield_time) {
            Err(TryRecvError::Empty) if !self.slot.is_drained() => self.inbox.recv().ok(),
            received => received.ok(),
        }
    }

    /// Writes a message and all that is queued behind it for the same session.
    fn deliver(&mut self, to: Option<Arc<Record>>, first: Chunk) {
        self.gathered.push(first);
        while self.gathered.len() < GATHER {
            match self.inbox.try_recv() {
                Ok(Parcel::Bytes(too, chunk)) if address(&too) == address(&to) => self.gathered.push(chunk),
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        if let Some(connection) = self.slot.connection(to.as_ref()) {
            let record = &connection.record;
            if to.is_none() {
                let bytes: usize = self.gathered.iter().map(|chunk| chunk.len()).sum();
                record.taken.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            record.writing.store(true, Ordering::Relaxed);
            self.write(&connection);
            record.writing.store(false, Ordering::Relaxed);
        }
        let (weight, messages) = (self.gathered.iter().map(Chunk::weight).sum(), self.gathered.len());
        // First the buffers are the reader's again, then there is room for more of them.
        self.gathered.clear();
        self.slot.give_back(weight, messages);
    }

    /// Writes what was gathered. After an error there is still to be read what the client sent before, so that it is
    /// the reader who ends the session, unless it has nothing more to do.
    fn write(&mut self, connection: &Connection) {
        let record = &connection.record;
        let idle_timeout = self.slot.options.idle_timeout;
        let mut progress = idle_timeout.map(|_| Instant::now());
        let mut first = 0;
        while first < self.gathered.len() {
            match write_once(&connection.stream, &self.gathered[first..]) {
                Ok(mut count) => {
                    record.sent.fetch_add(count as u64, Ordering::Relaxed);
                    while first < self.gathered.len() && count >= self.gathered[first].len() {
                        count -= self.gathered[first].len();
                        first += 1;
                    }
                    if count > 0 {
                        self.gathered[first].advance(count);
                    }
                    if let Some(progress) = &mut progress {
                        *progress = Instant::now();
                        record.touch();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => {
                    if progress.map(|since| since.elapsed()) >= idle_timeout {
                        self.slot.end(record, Reason::Stalled);
                    }
                    if record.is_over() {
                        return;
                    }
                }
                Err(_) => {
                    record.set_broken();
                    if record.is_reset() {
                        self.slot.end(record, Reason::Reset);
                    }
                    return;
                }
            }
        }
    }
}

fn write_once(mut stream: &TcpStream, chunks: &[Chunk]) -> io::Result<usize> {
    if let [chunk] = chunks {
        return stream.write(chunk);
    }
    let mut slices = [IoSlice::new(&[]); GATHER];
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
    }
    stream.write_vectored(&slices[..chunks.len()])
}

fn address(to: &Option<Arc<Record>>) -> Option<*const Record> {
    to.as_ref().map(Arc::as_ptr)
}
