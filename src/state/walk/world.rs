//! The world of a walk: the machine and everything around it that the threads can see, as one plain value.
//!
//! Equal worlds behave in the same way from then on, so each is visited once.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::acceptor::Acceptor;
use super::application::Application;
use super::client::Client;
use super::config::{Rules, DEPTH};
use super::facts::Facts;
use super::reader::Reader;
use super::sender::Sender;
use super::writer::Writer;
use crate::state::effects::Close;
use crate::state::machine::Machine;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) slot: Slot,
    /// The channel to the writer.
    pub(super) inbox: Vec<Parcel>,
    /// The channel to the application.
    pub(super) outbox: Outbox,
    pub(super) clients: Vec<Client>,
    /// The clients that have connected and have not been accepted yet.
    pub(super) backlog: Vec<usize>,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) acceptor: Acceptor,
    pub(super) application: Application,
    pub(super) sender: Sender,
    pub(super) drains: u8,
    pub(super) stops: u8,
    pub(super) wakes: u8,
    /// Whether a thread has stored `woken` and has yet to lock the slot.
    pub(super) waking: bool,
    /// Where each thread sleeps; a notification ends that.
    pub(super) asleep: [Option<On>; THREADS],
    /// The shutdown that each thread has yet to do after it has unlocked the slot: which client's connection, and how.
    pub(super) closing: [Option<(usize, Close)>; THREADS],
    /// What has really happened in each session, by its number; compared with the machine.
    pub(super) facts: [Facts; 4],
    /// The number of the latest session.
    pub(super) begun: usize,
    /// Whether the server has been drained, and whether it has been stopped, perhaps by the end of a drain.
    pub(super) drained: bool,
    pub(super) stopped: bool,
}

/// The state of the slot outside the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) busy: bool,
    pub(super) woken: bool,
    /// Whether the latest session's connection still exists.
    pub(super) connection: bool,
    pub(super) listener: bool,
    pub(super) waker: bool,
}

/// An item of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Parcel {
    /// One byte: the session it is for, and its position among the bytes accepted for that session.
    Byte(usize, u8),
    Wake,
}

/// An item of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Connected(usize),
    /// One byte: the session it came from, and its position among the bytes that the client sent.
    Byte(usize, u8),
    Wake,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outbox {
    pub(super) items: Vec<Item>,
    /// The reader has exited.
    pub(super) ended: bool,
    /// The application has dropped its end.
    pub(super) closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Thread {
    Reader,
    Writer,
    Acceptor,
    Application,
    Sender,
    Control,
}

pub(super) const THREADS: usize = 6;
pub(super) const ALL: [Thread; THREADS] =
    [Thread::Reader, Thread::Writer, Thread::Acceptor, Thread::Application, Thread::Sender, Thread::Control];

/// A condition variable of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum On {
    Room,
    Turn,
    Change,
}

pub(super) fn nobody() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 1).into()
}

impl World {
    pub(super) fn new(rules: &Rules) -> World {
        let config = &rules.config;
        World {
            machine: Machine::new(&rules.options, nobody(), rules.past()),
            slot: Slot { busy: false, woken: false, connection: false, listener: false, waker: true },
            inbox: Vec::new(),
            outbox: Outbox::default(),
            clients: vec![Client::new(config.bytes); config.clients],
            backlog: Vec::new(),
            reader: Reader::default(),
            writer: Writer::default(),
            acceptor: Acceptor::new(config.policy),
            application: Application::new(config.times),
            sender: Sender::default(),
            drains: config.drains,
            stops: config.stops,
            wakes: config.wakes,
            waking: false,
            asleep: [None; THREADS],
            closing: [None; THREADS],
            facts: [Facts::default(); 4],
            begun: 0,
            drained: false,
            stopped: false,
        }
    }

    /// The client of a session that has begun.
    pub(super) fn client(&mut self, session: usize) -> &mut Client {
        &mut self.clients[self.facts[session].client]
    }

    pub(super) fn sleep(&mut self, thread: Thread, on: On) {
        self.asleep[thread as usize] = Some(on);
    }

    pub(super) fn is_asleep(&self, thread: Thread) -> bool {
        self.asleep[thread as usize].is_some()
    }

    /// Wakes all threads that sleep there now. For threads that sleep later it is lost.
    pub(super) fn notify(&mut self, on: On) {
        for sleeper in &mut self.asleep {
            *sleeper = sleeper.filter(|place| *place != on);
        }
    }

    /// The kernel accepts a new connection.
    pub(super) fn is_port_open(&self) -> bool {
        self.acceptor.listener || self.slot.listener || self.slot.waker
    }
}

impl Outbox {
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= DEPTH
    }

    /// Puts an item in. Returns whether there was room; if the application has dropped the outbox, there always is.
    pub(super) fn try_send(&mut self, item: Item) -> bool {
        if self.closed {
            return true;
        }
        let fits = !self.is_full();
        if fits {
            self.items.push(item);
        }
        fits
    }
}

/// The details for a failure report, one per line.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latest = &self.machine.latest;
        writeln!(f, "session {}, {:?}, {} sent", latest.number, latest.phase, latest.sent)?;
        writeln!(f, "  the machine's reader: {:?}; {:?}", self.machine.reader, self.machine.account)?;
        writeln!(f, "  {:?}, inbox: {:?}, {:?}", self.slot, self.inbox, self.outbox)?;
        writeln!(f, "  {:?}\n  {:?}\n  {:?}", self.reader, self.writer, self.acceptor)?;
        writeln!(f, "  {:?}\n  {:?}", self.application, self.sender)?;
        writeln!(f, "  asleep: {:?}, closing: {:?}", self.asleep, self.closing)?;
        for client in &self.clients {
            writeln!(f, "  {client:?}")?;
        }
        for (number, facts) in self.facts.iter().enumerate().skip(1).take(self.begun + 1) {
            writeln!(f, "  session {number}: {facts:?}")?;
        }
        Ok(())
    }
}
