//! Random sequences of actions by application and clients, checked against a small model of the promises.
//!
//! The model tracks who is connected, which bytes each side has yet to receive, and the byte counters. After every step
//! the server must agree with it. A failing sequence prints its seed; run `MODEL_SEED=N cargo test --test promises model` to
//! repeat it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Receiver;

use single_server::{Client, Control, End, Inbox, Message, Options, Reason, SendError, Signal, SingleServer};

use crate::visitor::*;

struct World {
    server: SingleServer,
    inbox: Inbox,
    control: Control,
    signals: Receiver<Signal>,
    random: Random,
    /// Bytes queued for the next client.
    waiting: Vec<u8>,
    live: Option<Live>,
    /// Sessions that have ended.
    departed: VecDeque<Client>,
}

/// The live session, according to the model.
struct Live {
    stream: TcpStream,
    client: Client,
    end: Option<End>,
    /// Bytes that the client has yet to receive.
    to_client: Vec<u8>,
    half_closed: bool,
    received: u64,
    taken: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed | 1);
        let options = Options::new()
            .buffer_size([1, 7, 64, 4096, 262_144][random.below(5) as usize])
            .depth(1 + random.below(4) as usize)
            // A newcomer during a half-closed session must be refused at once, not after a second.
            .handover(std::time::Duration::ZERO);
        let server = options.bind("127.0.0.1:0").unwrap();
        World {
            inbox: server.inbox(),
            control: server.control(),
            signals: server.signal(),
            server,
            random,
            waiting: Vec::new(),
            live: None,
            departed: VecDeque::new(),
        }
    }

    fn some_bytes(&mut self) -> Vec<u8> {
        let length = 1 + self.random.below([4, 100, 3000][self.random.0 as usize % 3]) as usize;
        pattern(self.random.next(), length)
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0 | 1 => self.somebody_connects(),
            2 | 3 => self.client_sends(),
            4 => self.application_sends(),
            5 => self.application_answers_a_departed_client(),
            6 => self.client_reads(),
            7 => self.client_closes(),
            8 => self.application_closes(),
            _ => self.application_half_closes(),
        }
        assert_eq!(self.server.is_busy(), self.live.is_some());
    }

    fn somebody_connects(&mut self) {
        let mut stream = connect(self.server.local_addr());
        if self.live.is_some() {
            assert!(rest(&mut stream).is_empty(), "a second client was served");
            assert!(matches!(self.signals.recv_timeout(DEADLINE), Ok(Signal::Refused { .. })));
            return;
        }
        assert_eq!(next_connected(&self.signals), stream.local_addr().unwrap());
        let client = match next_message(&self.server) {
            Message::Connected(client) => client,
            other => panic!("{other:?}"),
        };
        assert_eq!(client.peer_addr(), stream.local_addr().unwrap());
        let to_client = std::mem::take(&mut self.waiting);
        let taken = to_client.len() as u64;
        self.live =
            Some(Live { stream, client, end: None, to_client, half_closed: false, received: 0, taken });
    }

    fn client_sends(&mut self) {
        let bytes = self.some_bytes();
        if let Some(live) = self.live.as_mut().filter(|live| live.end.is_none()) {
            live.stream.write_all(&bytes).unwrap();
            let mut received = Vec::new();
            while received.len() < bytes.len() {
                match next_message(&self.server) {
                    Message::Data(chunk) => received.extend_from_slice(&chunk),
                    other => panic!("{other:?}"),
                }
            }
            assert_same(&received, &bytes);
            live.received += bytes.len() as u64;
            assert_eq!(live.client.traffic().received, live.received);
        }
    }

    fn application_sends(&mut self) {
        let bytes = self.some_bytes();
        let addressed = self.random.below(2) == 0;
        match &mut self.live {
            Some(live) => {
                let inbox = if addressed { live.client.inbox() } else { self.inbox.clone() };
                match inbox.try_send(&bytes[..]) {
                    Ok(()) => {
                        assert!(!live.half_closed, "bytes were accepted after the half-close");
                        live.to_client.extend_from_slice(&bytes);
                        live.taken += bytes.len() as u64;
                    }
                    Err(SendError::Over(back)) => {
                        assert!(live.half_closed);
                        assert_same(&back, &bytes);
                    }
                    Err(SendError::Full(back)) => assert_same(&back, &bytes),
                    Err(other) => panic!("{other}"),
                }
            }
            None => match self.inbox.try_send(&bytes[..]) {
                Ok(()) => self.waiting.extend_from_slice(&bytes),
                Err(SendError::Full(back)) => assert_same(&back, &bytes),
                Err(other) => panic!("{other}"),
            },
        }
    }

    fn application_answers_a_departed_client(&mut self) {
        let bytes = self.some_bytes();
        if let Some(client) = self.departed.pop_front() {
            assert!(matches!(client.inbox().send(bytes), Err(SendError::Over(_))));
        }
    }

    fn client_reads(&mut self) {
        if let Some(live) = &mut self.live {
            let mut seen = vec![0; live.to_client.len()];
            live.stream.read_exact(&mut seen).unwrap();
            assert_same(&seen, &live.to_client);
            live.to_client.clear();
        }
    }

    /// The client sends a FIN. The application receives the end, and may keep it for a while.
    fn client_closes(&mut self) {
        if let Some(live) = self.live.as_mut().filter(|live| live.end.is_none()) {
            live.stream.shutdown(Shutdown::Write).unwrap();
            match next_message(&self.server) {
                Message::End(end) => {
                    assert_eq!(end.client().report(), None, "the session has ended");
                    live.end = Some(end);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Drops the end if there is one; otherwise calls `finish`.
    fn application_closes(&mut self) {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => return finish(&self.control),
        };
        let reason = match live.end.take() {
            Some(_dropped) => Reason::ClientClosed,
            None => {
                finish(&self.control);
                Reason::Finished
            }
        };
        assert_same(&rest(&mut live.stream), &live.to_client);
        let report = next_report(&self.signals);
        assert_eq!((report.reason, report.received), (reason, live.received));
        assert_eq!((report.sent, report.discarded), (live.taken, 0));
        if reason == Reason::Finished {
            match next_message(&self.server) {
                Message::End(end) => assert_eq!(end.client().report(), Some(report)),
                other => panic!("{other:?}"),
            }
        }
        self.departed.push_back(live.client);
    }

    fn application_half_closes(&mut self) {
        if let Some(live) = self.live.as_mut().filter(|live| !live.half_closed) {
            live.client.half_close();
            live.half_closed = true;
            assert_same(&rest(&mut live.stream), &live.to_client);
            live.to_client.clear();
        }
    }
}

#[test]
fn random_sequences_agree_with_the_model() {
    let given = std::env::var("MODEL_SEED").ok().map(|seed| seed.parse().expect("MODEL_SEED is a number"));
    let first = given.unwrap_or_else(|| std::process::id().into());
    let count = if given.is_some() { 1 } else { 500 };
    for seed in first..first + count {
        let run = std::panic::catch_unwind(move || {
            let mut world = World::new(seed);
            let steps = 5 + world.random.below(40);
            for _ in 0..steps {
                world.step();
            }
            world.application_closes();
            world.server.stop().unwrap();
        });
        if let Err(panic) = run {
            eprintln!("to repeat this sequence: MODEL_SEED={seed} cargo test --test promises model");
            std::panic::resume_unwind(panic);
        }
    }
}
