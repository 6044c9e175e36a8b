//! The reader thread: from the client to the outbox.
//!
//! Takes one session after the other from the slot. Only this thread puts clients and chunks into the outbox, so they come
//! out in order (promises 2 and 3). It reads without a timeout. When the outbox is full it waits, and TCP slows the client
//! down (promise 5).
//!
//! After the session has ended it keeps reading while the connection lingers, and discards the bytes.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;

use crate::net::connection::{PAUSE, REPEATS};
use crate::state::phase::Event;
use crate::state::slot::{Assignment, Slot};

/// The length of the first read of a session. It grows up to `buffer_size` while the client fills the buffers.
const FIRST_READ: usize = 4096;

/// The reader thread.
pub(crate) fn run(slot: &Arc<Slot>) {
    let mut last = 0;
    while let Some(session) = slot.next_to_read(last) {
        last = session.number();
        if slot.announce(&session) {
            if let Some(event) = read(slot, &session) {
                slot.apply(last, event);
            }
        }
    }
    slot.end_outbox();
}

/// Reads something, the FIN, or an error that ends the connection; `None` if the slot has closed it.
fn read_once(session: &Assignment, buffer: &mut [u8]) -> Option<io::Result<usize>> {
    let (mut failures, mut blocked) = (0, 0);
    loop {
        // Held for one call, and not while waiting for the outbox: only the slot keeps the connection open.
        let connection = session.connection()?;
        match connection.read(buffer) {
            // `WouldBlock`: another thread is peeking at the connection. Or the connection lingers, and the holder to which it
            // was lent has left it non-blocking.
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                drop(connection);
                blocked += 1;
                if blocked < REPEATS {
                    thread::yield_now();
                } else {
                    thread::sleep(PAUSE);
                }
            }
            Err(e) if failures < REPEATS && connection.survives(&e) => {
                drop(connection);
                failures += 1;
                thread::sleep(PAUSE);
            }
            result => return Some(result),
        }
    }
}

/// Reads to the client's FIN or an error, which it returns, or until the slot has closed the connection.
fn read(slot: &Slot, session: &Assignment) -> Option<Event> {
    let longest = slot.pool.buffer_size;
    let mut length = FIRST_READ.min(longest);
    loop {
        let mut buffer = match slot.pool.take(length) {
            Ok(buffer) => buffer,
            Err(_) => return Some(Event::ReadFailed), // there is no memory for it
        };
        let count = match read_once(session, &mut buffer) {
            Some(Ok(count)) if count > 0 => count,
            ended => {
                slot.pool.put(buffer);
                return ended.map(|read| if read.is_ok() { Event::Fin } else { Event::ReadFailed });
            }
        };
        if count == buffer.len() {
            length = longest.min(4 * count); // there is probably more
        }
        if !slot.received(session, buffer, count) {
            return None;
        }
    }
}
