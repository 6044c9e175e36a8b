//! A client, and the socket between it and the server.

use super::config::{Config, Manners};

/// The state of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Away,
    /// It has connected, and the server has not decided yet.
    Waiting,
    /// It has this session.
    Served(usize),
    Refused,
}

/// A reset by the client. The kernel reports it once, to the first call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reset {
    No,
    Pending,
    Reported,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) place: Place,
    /// How many bytes it may still send.
    may_send: u8,
    /// How many bytes it has sent, and how many of these the server has read.
    pub(super) sent: u8,
    pub(super) read: u8,
    /// It has sent its FIN.
    pub(super) fin: bool,
    /// It has closed its connection and does not read any more.
    closed: bool,
    pub(super) reset: Reset,
    /// Bytes that the kernel has accepted for it and it has not read. Counted only for slow clients.
    unread: u8,
    /// Whether the server has shut down its own direction, and both.
    pub(super) half_shut: bool,
    pub(super) shut: bool,
}

/// The actions of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Move {
    Connect,
    Send,
    Read,
    HalfClose,
    Close,
    Reset,
}

/// The result of a call on the server's side of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Byte(u8),
    Fin,
    Failed,
    /// Nothing yet: the call blocks.
    Nothing,
}

impl Client {
    pub(super) fn new(bytes: u8) -> Client {
        Client {
            place: Place::Away,
            may_send: bytes,
            sent: 0,
            read: 0,
            fin: false,
            closed: false,
            reset: Reset::No,
            unread: 0,
            half_shut: false,
            shut: false,
        }
    }

    /// The actions that are possible now.
    pub(super) fn moves(&self, config: &Config, port_open: bool) -> Vec<Move> {
        let mut moves = Vec::new();
        match self.place {
            Place::Away if port_open => moves.push(Move::Connect),
            Place::Away | Place::Refused => {}
            Place::Waiting | Place::Served(_) if self.shut || self.reset != Reset::No => {}
            Place::Waiting | Place::Served(_) => {
                if !self.fin && self.may_send > 0 {
                    moves.push(Move::Send);
                }
                if self.unread > 0 && !self.closed {
                    moves.push(Move::Read);
                }
                for manners in config.manners {
                    match manners {
                        Manners::HalfCloses if !self.fin => moves.push(Move::HalfClose),
                        Manners::Closes if !self.closed => moves.push(Move::Close),
                        Manners::Resets if !self.closed => moves.push(Move::Reset),
                        _ => {}
                    }
                }
            }
        }
        moves
    }

    pub(super) fn make(&mut self, what: Move) {
        match what {
            Move::Connect => self.place = Place::Waiting,
            Move::Send => {
                self.sent += 1;
                self.may_send -= 1;
            }
            Move::Read => self.unread -= 1,
            Move::HalfClose => self.fin = true,
            Move::Close => {
                self.fin = true;
                self.closed = true;
                if self.unread > 0 {
                    self.reset = Reset::Pending;
                }
            }
            Move::Reset => {
                self.reset = Reset::Pending;
                self.closed = true;
            }
        }
        if self.closed {
            self.may_send = 0;
            self.unread = 0;
        }
    }

    /// What a read by the server would return now.
    pub(super) fn upcoming(&self) -> Came {
        if self.shut {
            Came::Fin
        } else if self.read < self.sent {
            Came::Byte(self.read)
        } else if self.reset == Reset::Pending {
            Came::Failed
        } else if self.fin || self.reset == Reset::Reported {
            Came::Fin
        } else {
            Came::Nothing
        }
    }

    pub(super) fn take_upcoming(&mut self) -> Came {
        let came = self.upcoming();
        match came {
            Came::Byte(_) => self.read += 1,
            Came::Failed => self.reset = Reset::Reported,
            Came::Fin | Came::Nothing => {}
        }
        came
    }

    /// Takes a pending reset that no call has reported yet. Returns whether there was one.
    pub(super) fn take_reset(&mut self) -> bool {
        let pending = self.reset == Reset::Pending;
        if pending {
            self.reset = Reset::Reported;
        }
        pending
    }

    /// The server writes this number of bytes. Returns how many the kernel accepts; `None` for an error.
    pub(super) fn write(&mut self, count: usize, config: &Config) -> Option<usize> {
        if self.reset != Reset::No || self.half_shut || self.shut {
            self.take_reset();
            return None;
        }
        if self.closed {
            self.reset = Reset::Pending;
        } else if config.slow_clients {
            let taken = count.min(1 - usize::from(self.unread));
            self.unread += taken as u8;
            return Some(taken);
        }
        Some(count)
    }

    /// After the server has shut both directions down, nothing else matters.
    pub(super) fn forget(&mut self) {
        *self = Client { shut: true, place: self.place, ..Client::new(0) };
    }

    /// Whether it will do nothing more, and none of its bytes are left.
    pub(super) fn is_gone(&self) -> bool {
        self.shut || self.place == Place::Refused
    }
}
