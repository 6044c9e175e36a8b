//! The outbox: everything that clients send, and when they come and go, in order.
//!
//! Owned by the application, inside its `SingleServer`. The reader is at the other end of the channel. The end of a session
//! does not travel through the channel: the slot knows it, and the outbox asks the slot once the channel is empty (see
//! `state/receiving.rs`).

use std::cell::RefCell;
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, TryRecvError};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::message::{End, Message};
use crate::state::channels::Item;
use crate::state::record::Record;
use crate::state::slot::Slot;
use crate::sync::yielding;

/// The receiving end of the server: everything that clients send, and when they come and go.
///
/// Kamaelia names a component's boxes from the component's side: the component puts its output into its *outbox*, and you
/// receive it from there.
///
/// It holds [`depth`](crate::Options::depth) messages. When it is full, backpressure applies: TCP slows the client down. An
/// application that stops receiving does not learn that a client has left.
///
/// # Examples
///
/// ```
/// use single_server::SingleServer;
/// use std::sync::mpsc::RecvTimeoutError;
/// use std::time::Duration;
///
/// let server = SingleServer::bind("127.0.0.1:0")?;
/// let outbox = server.outbox();
/// // Nobody has connected yet.
/// let nothing = outbox.recv_timeout(Duration::ZERO);
/// assert_eq!(nothing.unwrap_err(), RecvTimeoutError::Timeout);
/// // And nobody will any more.
/// server.control().stop();
/// assert!(outbox.recv().is_err());
/// assert_eq!(outbox.iter().count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Outbox {
    slot: Arc<Slot>,
    items: Receiver<Item>,
    /// The session whose `Connected` the application has received, until it receives the end.
    open: RefCell<Option<Arc<Record>>>,
    /// A `Connected` that was taken out of the channel before the end of the previous session was returned.
    held: RefCell<Option<Arc<Record>>>,
}

impl Outbox {
    pub(crate) fn new(slot: Arc<Slot>, items: Receiver<Item>) -> Outbox {
        Outbox { slot, items, open: RefCell::new(None), held: RefCell::new(None) }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// When the server has been stopped and everything before that has been received.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Message, SingleServer};
    /// use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// assert!(matches!(server.outbox().recv(), Ok(Message::Connected(_))));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv(&self) -> Result<Message, RecvError> {
        self.receive(None, true).map_err(|_| RecvError)
    }

    /// Waits for the next message, but not longer than `timeout`; with zero, returns at once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] after that time, [`RecvTimeoutError::Disconnected`] as for
    /// [`recv`](Outbox::recv).
    ///
    /// # Examples
    ///
    /// A loop that has something to do ten times a second:
    ///
    /// ```
    /// use single_server::{Message, SingleServer};
    /// use std::sync::mpsc::RecvTimeoutError;
    /// use std::time::Duration;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// # server.control().stop();
    /// loop {
    ///     match server.outbox().recv_timeout(Duration::from_millis(100)) {
    ///         Ok(Message::Data(chunk)) => println!("{} bytes", chunk.len()),
    ///         Ok(_) => {}
    ///         Err(RecvTimeoutError::Timeout) => println!("tick"),
    ///         Err(RecvTimeoutError::Disconnected) => break,
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message, RecvTimeoutError> {
        // If the clock cannot represent the deadline, there is none.
        self.receive(Instant::now().checked_add(timeout), true)
    }

    /// Iterates over the messages, waiting for each, until the server is stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::{Message, SingleServer};
    /// use std::io::Write;
    /// use std::net::TcpStream;
    ///
    /// let server = SingleServer::bind("127.0.0.1:0")?;
    /// TcpStream::connect(server.local_addr())?.write_all(b"12345")?;
    /// let mut count = 0;
    /// for message in server.outbox().iter() {
    ///     match message {
    ///         Message::Data(chunk) => count += chunk.len(),
    ///         Message::End(_) => break,
    ///         _ => {}
    ///     }
    /// }
    /// assert_eq!(count, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn iter(&self) -> Messages<'_> {
        Messages { outbox: self }
    }
}

impl Outbox {
    /// The session whose `Connected` the application has received, and not its end.
    pub(crate) fn open(&self) -> Option<Client> {
        self.open.borrow().clone().map(|record| Client::new(&self.slot, record))
    }

    /// The application wants no more messages of the open session.
    pub(super) fn forget(&self) {
        if let Some(record) = self.open.borrow_mut().take() {
            self.slot.forget(record.number);
        }
    }

    /// Disconnects the reader and drops what is in the channel.
    pub(crate) fn close(&mut self) {
        self.items = mpsc::sync_channel(0).1;
        self.forget();
        *self.held.get_mut() = None;
    }

    /// Waits for the next message, up to the deadline. Returns `Woken` only if `woken` is set.
    pub(crate) fn receive(
        &self,
        deadline: Option<Instant>,
        woken: bool,
    ) -> Result<Message, RecvTimeoutError> {
        let mut exhausted = false;
        loop {
            match self.poll(woken, exhausted) {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(RecvTimeoutError::Timeout);
            }
            let item = match (yielding::receive(&self.items, self.slot.options.yield_time), left) {
                (Ok(item), _) => Ok(item),
                (Err(_), Some(left)) => self.items.recv_timeout(left),
                (Err(_), None) => self.items.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match item {
                Ok(Item::Wake) => exhausted = self.look(true),
                Ok(item) => {
                    if let Some(message) = self.message(item) {
                        return Ok(message);
                    }
                    exhausted = false;
                }
                Err(RecvTimeoutError::Timeout) => return Err(RecvTimeoutError::Timeout),
                Err(RecvTimeoutError::Disconnected) => {} // `poll` has yet to return the pending end
            }
        }
    }

    /// The next message if there is one now. The lock is taken only if the channel is empty. `exhausted`: the slot has said
    /// that nothing more of the open session will come into the channel.
    fn poll(&self, woken: bool, mut exhausted: bool) -> Result<Message, TryRecvError> {
        let held = self.held.borrow_mut().take();
        if let Some(record) = held {
            return Ok(self.connected(record));
        }
        loop {
            if woken && self.slot.take_woken() {
                return Ok(Message::Woken);
            }
            match self.items.try_recv() {
                Ok(Item::Wake) => exhausted = self.look(true),
                Ok(item) => {
                    if let Some(message) = self.message(item) {
                        return Ok(message);
                    }
                }
                // The channel has been tried again, because an item may have arrived just before the slot was asked.
                Err(TryRecvError::Empty) if exhausted => return self.end().ok_or(TryRecvError::Empty),
                Err(TryRecvError::Empty) => {
                    exhausted = self.look(false);
                    if !exhausted {
                        return Err(TryRecvError::Empty);
                    }
                }
                Err(TryRecvError::Disconnected) => return self.end().ok_or(TryRecvError::Disconnected),
            }
        }
    }

    /// Asks the slot whether the channel is exhausted. `woken`: a wake-up was taken out of it.
    fn look(&self, woken: bool) -> bool {
        let open = self.open.borrow().as_ref().map(|record| record.number);
        self.slot.look(open, woken)
    }

    /// Turns an item into a message; `None` for a wake-up, and for chunks of a forgotten session.
    fn message(&self, item: Item) -> Option<Message> {
        match item {
            Item::Data(chunk) => self.open.borrow().is_some().then(|| Message::Data(chunk)),
            Item::Wake => None,
            Item::Connected(record) => match self.end() {
                None => Some(self.connected(record)),
                end => {
                    *self.held.borrow_mut() = Some(record);
                    end
                }
            },
        }
    }

    fn connected(&self, record: Arc<Record>) -> Message {
        *self.open.borrow_mut() = Some(record.clone());
        Message::Connected(Client::new(&self.slot, record))
    }

    /// The end of the open session. All of its chunks have been received.
    fn end(&self) -> Option<Message> {
        let record = self.open.borrow_mut().take();
        record.map(|record| Message::End(End::new(Client::new(&self.slot, record))))
    }
}

impl<'a> IntoIterator for &'a Outbox {
    type Item = Message;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.iter()
    }
}

/// The iterator over an [`Outbox`], made by [`Outbox::iter`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Messages<'a> {
    outbox: &'a Outbox,
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.outbox.recv().ok()
    }
}
