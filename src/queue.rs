//! The queue behind the inbox: an mpsc channel to the writer, and an account of the room in it.
//!
//! Used by every thread that sends, and by the writer, which returns room once it has written or discarded a message. One
//! lock covers the decision to accept bytes and their place in the channel. The channel itself never blocks: it has room
//! for everything that the account accepts. Senders wait for room in the account, because there they can be woken when
//! their session is half-closed or ends, or the server stops (promises 2, 3, 5 and 11).

use std::collections::VecDeque;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};

use crate::chunk::Chunk;
use crate::monitor::{Locked, Monitor};

/// The maximum number of messages in the inbox.
const MESSAGES: usize = 1024;

/// An item of the channel to the writer.
pub(crate) enum Parcel {
    /// Bytes, and the number of the session they are for.
    Bytes(u64, Chunk),
    /// Wakes a writer that waits for a parcel.
    Wake,
}

/// The state of our direction of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Output {
    /// Bytes are accepted.
    Open,
    /// No more bytes are accepted; after those that were, the client gets a FIN.
    HalfClosed,
    /// No more bytes are accepted; after those that were, the session ends.
    Finished,
}

/// Why bytes were not accepted.
#[derive(Clone, Copy)]
pub(crate) enum Refused {
    Full,
    Over,
    Stopped,
}

pub(crate) struct Queue {
    account: Monitor<Account>,
    parcels: SyncSender<Parcel>,
    /// How much memory the accepted chunks may occupy.
    room: usize,
}

struct Account {
    /// The session that bytes are accepted for: the live one or, if nobody is connected, the next.
    session: u64,
    output: Output,
    /// How many bytes were accepted for that session.
    taken: u64,
    /// The memory and the number of messages in the channel or with the writer.
    weight: usize,
    messages: usize,
    /// The tickets of the senders that wait for room, in order of arrival.
    line: VecDeque<u64>,
    next_ticket: u64,
    /// A `Wake` is in the channel, which has room for one beside the messages.
    wake_queued: bool,
    stopped: bool,
}

/// The state of the session that the writer serves.
pub(crate) struct Standing {
    pub(crate) output: Output,
    /// Everything accepted for it so far has been written or discarded.
    pub(crate) drained: bool,
    pub(crate) stopped: bool,
}

impl Queue {
    pub(crate) fn new(room: usize) -> (Queue, Receiver<Parcel>) {
        let (parcels, receiver) = sync_channel(MESSAGES + 1);
        let account = Monitor::new(Account {
            session: 1,
            output: Output::Open,
            taken: 0,
            weight: 0,
            messages: 0,
            line: VecDeque::new(),
            next_ticket: 0,
            wake_queued: false,
            stopped: false,
        });
        (Queue { account, parcels, room }, receiver)
    }

    /// The number of the live session or, if nobody is connected, of the next.
    pub(crate) fn session(&self) -> u64 {
        self.account.lock().session
    }

    /// Puts bytes into the inbox, for the given session or for [`session`](Queue::session).
    pub(crate) fn put(&self, to: Option<u64>, chunk: Chunk, may_wait: bool) -> Result<(), (Refused, Chunk)> {
        if chunk.is_empty() {
            return Ok(());
        }
        let weight = chunk.weight();
        let mut account = self.account.lock();
        // Resolved once, before waiting: the bytes must not go to a client that connects while the sender waits.
        let session = to.unwrap_or(account.session);
        let mut ticket = None;
        let refused = loop {
            if account.stopped {
                break Some(Refused::Stopped);
            }
            if account.session != session || account.output != Output::Open {
                break Some(Refused::Over);
            }
            // First come, first served: otherwise small messages could starve a large one.
            let first = account.line.front().copied() == ticket;
            if first && account.has_room(weight, self.room) {
                break None;
            }
            if !may_wait {
                break Some(Refused::Full);
            }
            if ticket.is_none() {
                let next = account.next_ticket;
                account.line.push_back(next);
                account.next_ticket += 1;
                ticket = Some(next);
            }
            account = account.wait();
        };
        if refused.is_none() {
            account.weight += weight;
            account.messages += 1;
            account.taken += chunk.len() as u64;
        }
        let sent = match refused {
            None => self.parcels.try_send(Parcel::Bytes(session, chunk)).map_err(|_| None),
            Some(refused) => Err(Some((refused, chunk))),
        };
        if let Some(ticket) = ticket {
            account.line.retain(|waiting| *waiting != ticket);
            account.notify(); // the next in line may have room, too
        }
        // The channel has room for all that the account accepts. It is disconnected only if the writer has panicked.
        sent.or_else(|refused| refused.map_or(Ok(()), Err))
    }

    /// Half-closes or finishes a session, after everything accepted for it.
    pub(crate) fn close(&self, to: Option<u64>, output: Output) {
        let mut account = self.account.lock();
        let session = to.unwrap_or(account.session);
        if account.session == session && account.output < output {
            account.output = output;
            self.wake(&mut account);
            account.notify();
        }
    }

    /// Whether the session is being finished.
    pub(crate) fn is_finishing(&self, session: u64) -> bool {
        let account = self.account.lock();
        account.session == session && account.output == Output::Finished
    }

    /// The number of bytes accepted for a session; 0 once it has ended.
    pub(crate) fn taken(&self, session: u64) -> u64 {
        let account = self.account.lock();
        if account.session == session {
            account.taken
        } else {
            0
        }
    }

    /// Closes the account of the session and opens that of the next one. For the slot, under its lock.
    ///
    /// `close` gets the number of bytes accepted. It is called under the queue's lock: a sender that is refused because the
    /// session is over must find it closed.
    pub(crate) fn end<T>(&self, session: u64, close: impl FnOnce(u64) -> T) -> T {
        let mut account = self.account.lock();
        debug_assert_eq!(account.session, session);
        let closed = close(account.taken);
        account.session = session + 1;
        account.output = Output::Open;
        account.taken = 0;
        self.wake(&mut account);
        account.notify();
        closed
    }

    pub(crate) fn stop(&self) {
        let mut account = self.account.lock();
        account.stopped = true;
        self.wake(&mut account);
        account.notify();
    }

    fn wake(&self, account: &mut Locked<'_, Account>) {
        if !account.wake_queued {
            account.wake_queued = self.parcels.try_send(Parcel::Wake).is_ok();
        }
    }
}

/// For the writer.
impl Queue {
    /// A `Wake` was received.
    pub(crate) fn woken(&self) {
        self.account.lock().wake_queued = false;
    }

    /// Returns the room of messages whose chunks have been dropped. Their buffers must be back in the pool by now: otherwise
    /// more buffers than planned could exist.
    pub(crate) fn give_back(&self, weight: usize, messages: usize) {
        let mut account = self.account.lock();
        account.weight -= weight;
        account.messages -= messages;
        account.notify();
    }

    pub(crate) fn standing(&self, session: u64) -> Standing {
        let account = self.account.lock();
        let drained = account.session == session && account.messages == 0;
        Standing { output: account.output, drained, stopped: account.stopped }
    }
}

impl Account {
    fn has_room(&self, weight: usize, room: usize) -> bool {
        // A message larger than the inbox is accepted when the inbox is empty.
        self.messages < MESSAGES && (self.weight == 0 || self.weight.saturating_add(weight) <= room)
    }
}
