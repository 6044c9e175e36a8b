//! The reader thread: from the client to the outbox.
//!
//! Takes one session after the other from the slot and is the only one that puts clients and chunks into the outbox, so they
//! come out in order without further agreement (promises 2 and 3). It reads without a timeout. When the outbox is full it
//! waits, and TCP slows the client down (promise 5).
//!
//! After the session has ended it keeps reading while the connection lingers, and discards the bytes.

use std::io;
use std::thread;

use crate::chunk::Chunk;
use crate::connection::WeakConnection;
use crate::events::Event;
use crate::record::{Phase, Record};
use crate::slot::Slot;

/// The length of the first read of a session. It grows up to `buffer_size` while the client fills the buffers.
const FIRST_READ: usize = 4096;

/// The reader thread.
pub(crate) fn run(slot: &Slot) {
    let mut last = 0;
    while let Some(session) = slot.next_to_read(last) {
        last = session.record.number;
        serve(slot, &session);
    }
    slot.events.close();
}

/// One session, from its beginning to the client's FIN or an error, or until the slot has closed the connection.
fn serve(slot: &Slot, session: &WeakConnection) {
    let record = &session.record;
    slot.events.put(Event::Connected(record.clone()));
    slot.wait_until_asked(record);
    delivered(slot, record);
    let longest = slot.pool.buffer_size;
    let mut length = FIRST_READ.min(longest);
    while let Some(connection) = session.get() {
        // The connection is about to be closed. Bytes that are left unread then make that a reset; otherwise a client that is
        // held back would not learn of the end.
        if record.phase() == Phase::Over {
            return;
        }
        let read = slot.pool.take(length).and_then(|mut buffer| {
            let count = connection.read(&mut buffer)?;
            if count == buffer.len() {
                length = longest.min(4 * count); // there is probably more
            }
            Ok((buffer, count))
        });
        // Hold no connection while waiting for the outbox: only the slot keeps it open.
        drop(connection);
        match read {
            Ok((_, 0)) => return slot.read_ended(record, false),
            Ok((buffer, count)) if record.received(count) => {
                slot.events.put(Event::Data(Chunk::received(buffer, count, record.clone())));
                delivered(slot, record);
            }
            Ok((buffer, _)) => slot.pool.put(buffer),
            // `WouldBlock`: the acceptor is looking at the connection at this moment.
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                thread::yield_now()
            }
            Err(_) => return slot.read_ended(record, true),
        }
    }
}

/// Notes that the outbox has taken what was put in, which may have had to wait.
fn delivered(slot: &Slot, record: &Record) {
    if record.delivered() {
        slot.events.wake(); // the session ended meanwhile, and the application waits for the last event of it
    }
}
