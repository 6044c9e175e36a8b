//! The reader thread: from the client to the outbox.
//!
//! Takes one connection after the other from the slot and is the one that puts messages in the outbox, so that what
//! comes out of it is `Connected`, `Data`..., `ProducerFinished` for one session after the other without any further
//! agreement (promises 2 and 3); in one case the writer puts the end there for it, see `Slot::tell_end`. Owns the stock
//! of used buffers and reads straight into them. When the outbox is full it waits, and TCP holds the client back
//! (promise 5).

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chunk::Chunk;
use crate::connection::Connection;
use crate::outbox::{Client, End, Message};
use crate::record::Record;
use crate::signal::Reason;
use crate::slot::Slot;

/// How long a client that goes on sending after the application has closed is listened to.
const LISTENING: Duration = Duration::from_secs(5);

pub(crate) struct Reader {
    pub(crate) slot: Arc<Slot>,
    pub(crate) outbox: SyncSender<Message>,
    /// Buffers whose chunks have been dropped, each `buffer_size` long.
    pub(crate) recycled: Receiver<Vec<u8>>,
}

impl Reader {
    /// The reader thread.
    pub(crate) fn run(self) {
        let mut last = None;
        while let Some(connection) = self.slot.next(last.as_ref()) {
            let record = connection.record.clone();
            self.serve(connection, &record);
            last = Some(record);
        }
    }

    /// One session, from `Connected` to `ProducerFinished`.
    fn serve(&self, connection: Arc<Connection>, record: &Arc<Record>) {
        self.put(Message::Connected(Client::new(record.clone())));
        let broken = self.read_all(&connection);
        // Before the end is put in the outbox, which may have to wait: the descriptor need not.
        drop(connection);
        let (lingering, told) = self.slot.reading_ended(record);
        if let Some(reason) = broken.or(Some(Reason::Reset).filter(|_| record.is_reset())) {
            self.slot.end(record, reason);
        }
        if !told {
            self.put(Message::ProducerFinished(End::new(record.clone())));
        }
        if let Some(connection) = lingering {
            self.drain(&connection);
            self.slot.lingered(record);
        }
    }

    /// Puts everything that the client sends in the outbox, up to its FIN, which leaves the session to the
    /// application, or to an error, which is the reason returned; or until somebody else has ended the session.
    fn read_all(&self, connection: &Connection) -> Option<Reason> {
        let record = &connection.record;
        let idle_timeout = self.slot.options.idle_timeout;
        loop {
            let fresh = || vec![0; self.slot.buffer_size()];
            let mut buffer = self.recycled.try_recv().unwrap_or_else(|_| fresh());
            record.in_read.store(true, Ordering::SeqCst);
            if record.is_over() {
                record.in_read.store(false, Ordering::SeqCst);
                return None;
            }
            let read = (&connection.stream).read(&mut buffer);
            record.in_read.store(false, Ordering::SeqCst);
            match read {
                Ok(0) => return None,
                _ if record.is_over() => return None,
                Ok(count) => {
                    record.received.fetch_add(count as u64, Ordering::Relaxed);
                    self.put(Message::Data(Chunk::received(buffer, count, record.clone())));
                    if idle_timeout.is_some() {
                        record.touch(); // after the put: the time it waits is not the client's
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => self.slot.recycle(buffer),
                Err(e) if is_timeout(&e) => {
                    self.slot.recycle(buffer);
                    match idle_timeout.and_then(|timeout| record.idle_after(timeout)) {
                        // Bytes have moved the other way since the read began: wait for the rest of the time.
                        Some(left) => {
                            let _ = connection.stream.set_read_timeout(Some(left));
                        }
                        None => return Some(Reason::Idle),
                    }
                }
                Err(_) => return Some(Reason::Reset),
            }
        }
    }

    /// Takes what a client goes on sending although the application has closed, and drops it: while its socket is open
    /// the kernel goes on sending what the client has yet to get, whereas a byte that comes for a closed one is
    /// answered with a RST that takes the place of all that. Not for ever, nor after the next client has come, for which
    /// `Slot::begin` hangs up on this one.
    fn drain(&self, connection: &Connection) {
        let until = Instant::now() + LISTENING;
        let mut scrap = vec![0; self.slot.buffer_size()];
        self.slot.listens_to(&connection.record);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || connection.stream.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match (&connection.stream).read(&mut scrap) {
                Ok(0) => return,
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return,
                _ => connection.record.touch(),
            }
        }
    }

    /// Waits for room. An error means that `stop` has dropped the outbox: nobody listens any more, but while the last
    /// client is being sent its last bytes it is still read from, so that they are not lost to a RST.
    fn put(&self, message: Message) {
        let _ = self.outbox.send(message);
    }
}

/// How a read or write that took too long is reported: `WouldBlock` on Unix, `TimedOut` on Windows.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
