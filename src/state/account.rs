//! The account of the inbox: how many bytes have been accepted for the session, how much room is taken, and which senders
//! wait for room.
//!
//! Pure; a part of the machine. The channel itself never blocks: it has room for everything that the account accepts.
//! Senders wait for room in the account, because there they can be woken when their session is half-closed or ends, or the
//! server stops (promises 2, 3, 5 and 11).

use std::collections::VecDeque;

/// The maximum number of messages in the inbox.
pub(super) const MESSAGES: usize = 1024;

/// The state of the direction from server to client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Output {
    /// Bytes are accepted.
    Open,
    /// No more bytes are accepted; after the accepted ones, the client gets a FIN.
    HalfClosing,
    /// The FIN has been sent.
    HalfClosed,
    /// No more bytes are accepted; after the accepted ones, the session ends.
    Finishing,
}

/// Why bytes were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    Full,
    Over,
    Stopped,
}

/// The answer to a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    Accepted,
    /// Wait for a notification of room, and ask again.
    Wait,
    Refused(Refused),
}

/// A message that a sender offers. It stays the same while the sender waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    /// The session that the bytes are for.
    pub(super) to: u64,
    pub(super) length: u64,
    /// The memory that it occupies, which can be more than its length.
    pub(super) weight: usize,
    /// The sender's place in the line, if it has had to wait.
    pub(super) ticket: Option<u64>,
}

impl Message {
    pub(super) fn new(to: u64, length: u64, weight: usize) -> Message {
        Message { to, length, weight, ticket: None }
    }
}

/// The account of the live session or, if nobody is connected, of the next one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Account {
    pub(super) output: Output,
    /// How many bytes were accepted for that session.
    pub(super) accepted: u64,
    /// How much memory the messages may occupy.
    limit: usize,
    /// The memory and the number of messages in the channel or with the writer, for all sessions.
    weight: usize,
    messages: usize,
    /// The tickets of the senders that wait for room, in order of arrival.
    pub(super) line: VecDeque<u64>,
    pub(super) next_ticket: u64,
    /// A wake-up is in the channel, which has room for one in addition to the messages.
    pub(super) wake_queued: bool,
}

impl Account {
    pub(super) fn new(limit: usize) -> Account {
        Account {
            output: Output::Open,
            accepted: 0,
            limit,
            weight: 0,
            messages: 0,
            line: VecDeque::new(),
            next_ticket: 0,
            wake_queued: false,
        }
    }

    /// Everything that was accepted has been written or discarded.
    pub(super) fn is_drained(&self) -> bool {
        self.messages == 0
    }

    /// Accepts a message if there is room; otherwise puts its sender in the line. First come, first served: otherwise small
    /// messages could starve a large one.
    pub(super) fn offer(&mut self, message: &mut Message, may_wait: bool) -> Offer {
        let is_first = self.line.front().copied() == message.ticket;
        // A message larger than the inbox is accepted when the inbox is empty.
        let fits = self.weight == 0 || self.weight.saturating_add(message.weight) <= self.limit;
        if is_first && fits && self.messages < MESSAGES {
            self.weight += message.weight;
            self.messages += 1;
            self.accepted += message.length;
            return Offer::Accepted;
        }
        if !may_wait {
            return Offer::Refused(Refused::Full);
        }
        if message.ticket.is_none() {
            message.ticket = Some(self.next_ticket);
            self.line.push_back(self.next_ticket);
            self.next_ticket += 1;
        }
        Offer::Wait
    }

    /// Removes a sender that has its answer. Returns whether it was in the line: the next one may have room, too.
    pub(super) fn leave(&mut self, message: &Message) -> bool {
        self.line.retain(|ticket| Some(*ticket) != message.ticket);
        message.ticket.is_some()
    }

    /// Releases the room of messages that have been written or discarded. Return their buffers to the pool first; otherwise
    /// more buffers than planned could exist.
    pub(super) fn give_back(&mut self, weight: usize, messages: usize) {
        self.weight -= weight;
        self.messages -= messages;
    }

    /// The session has ended. Bytes accepted from now on are for the next one.
    pub(super) fn start_over(&mut self) {
        self.output = Output::Open;
        self.accepted = 0;
    }
}
