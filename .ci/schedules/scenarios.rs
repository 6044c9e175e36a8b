//! The scenarios: each one is a function in which an application and some clients use a server.
//!
//! A scenario uses the library's public API, and the simulated threads, clock and sockets of `sim`. It panics if the server
//! breaks a promise. It makes random choices with `rnd`; they are part of the schedule, so a replay repeats them.
//! `SCENARIOS` lists all scenarios; the program that runs them is at the end.

use shuttle::rand::Rng;
use single_server::sim::{self, log, net::*, sync::mpsc, thread, time::*};
use single_server::{
    Busy, Client, Control, End, Inbox, Message, Options, Reason, Refusal, Report, SendError, Signal,
    SingleServer,
};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// See `sim::World::eager`.
static EAGER: AtomicU64 = AtomicU64::new(0);
/// Whether a scenario may check times: only if time stands still while any thread can run.
fn exact_time() -> bool {
    EAGER.load(Ordering::Relaxed) == 0
}

fn rnd(n: u32) -> u32 {
    shuttle::rand::thread_rng().gen_range(0..n)
}
fn opts() -> Options {
    let o = Options::new().buffer_size(4).depth(1).stop_timeout(Duration::from_secs(60));
    // With eager timers the close timeout would end a session at any moment after its client has closed.
    if exact_time() {
        o
    } else {
        o.close_timeout(None)
    }
}
fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
/// Reads to the end. Returns the bytes, and whether they ended with a FIN.
fn rest(c: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut b = [0; 3];
    loop {
        match c.read(&mut b) {
            Ok(0) => return (all, true),
            Ok(k) => all.extend_from_slice(&b[..k]),
            Err(_) => return (all, false),
        }
    }
}
/// Checks the order of the messages from the outbox.
#[derive(Default)]
struct Order {
    open: Option<SocketAddr>,
    sessions: usize,
}
impl Order {
    fn see(&mut self, m: &Message) {
        match m {
            Message::Connected(c) => {
                let peer = c.peer_addr();
                log(|| format!("app: Connected {peer}"));
                assert!(self.open.is_none(), "Connected within a session");
                self.open = Some(peer);
                self.sessions += 1;
            }
            Message::Data(d) => {
                log(|| format!("app: Data {:?}", String::from_utf8_lossy(d)));
                assert!(self.open.is_some(), "Data outside of a session");
            }
            Message::End(e) => {
                let c = e.client();
                log(|| format!("app: End {:?} {:?}", c.traffic(), c.report()));
                assert_eq!(
                    self.open.take(),
                    Some(c.peer_addr()),
                    "the end of another session, or a second end"
                );
            }
            m => panic!("{m:?}"),
        }
    }
}
/// Receives all signals, checks that they come in pairs, one session after the other, and returns the reports.
fn signals_balance(signals: mpsc::Receiver<Signal>) -> Vec<Report> {
    let mut open: Option<SocketAddr> = None;
    let mut reports = vec![];
    while let Ok(s) = signals.recv() {
        match s {
            Signal::Connected(p) => {
                assert!(open.is_none(), "signal: Connected within the session of {open:?}");
                open = Some(p)
            }
            Signal::ProducerFinished(r) => {
                assert_eq!(open.take(), Some(r.peer), "signal: the end of another session, or a second end");
                reports.push(r)
            }
            _ => {}
        }
    }
    assert!(open.is_none(), "signal: no end for {open:?}");
    reports
}
/// Checks that the server has left no socket, and nothing that its threads shared. Call it when the server and all its
/// handles have been dropped.
fn nothing_left() {
    assert_eq!(sim::net::open_sockets(), (0, 0), "sockets or listeners are left");
    assert_eq!(sim::alive(), 0, "condition variables or channels are leaked");
}
fn any_policy() -> Busy {
    match rnd(5) {
        0 => Busy::Drop,
        1 => Busy::tell("no"),
        2 => Busy::Refuse,
        3 => Busy::Wait,
        _ => Busy::Replace,
    }
}
fn client_of(m: &Message) -> Client {
    match m {
        Message::Connected(c) => c.clone(),
        m => panic!("{m:?} in place of Connected"),
    }
}
fn inbox_of(m: &Message) -> Inbox {
    client_of(m).inbox()
}
/// Finishes the session of the client that is connected, if there is one.
fn finish(ctl: &Control) {
    if let Some(c) = ctl.client() {
        c.finish()
    }
}
/// The report of a session that has ended.
fn report_of(e: &End) -> Report {
    e.client().report().expect("the session has ended")
}
fn wait_until_busy(server: &SingleServer) {
    while !server.is_busy() {
        thread::yield_now()
    }
}

/// A client half-closes before it has read its echo, and gets all of it. The next client connects at the first attempt.
fn echo_half_close(policy: Busy) {
    let server = opts().busy(policy).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        let inbox = server.inbox();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            if let Message::Data(d) = m {
                inbox.send(d).unwrap()
            }
        }
        (server, o)
    });
    for k in 0..2u8 {
        let mut c = TcpStream::connect(addr).expect("no retry");
        let said: Vec<u8> = (0..6).map(|b| b'a' + b + 6 * k).collect();
        c.write_all(&said).unwrap();
        c.shutdown(Shutdown::Write).unwrap();
        let (got, clean) = rest(&mut c);
        log(|| format!("client {k}: got {got:?} clean {clean}"));
        assert!(clean, "reset");
        assert_eq!(got, said);
    }
    ctl.stop();
    drop(ctl);
    let (server, o) = app.join().unwrap();
    assert_eq!(o.sessions, 2);
    assert!(o.open.is_none());
    drop(server);
    for r in signals_balance(signals) {
        assert_eq!((r.reason, r.received, r.sent, r.discarded), (Reason::ClientClosed, 6, 6, 0))
    }
    nothing_left();
}

/// Clients close in ways that lead to all kinds of resets. No thread hangs, the messages stay in order, and a client that
/// behaves well is served in the end.
fn resets() {
    let server = opts().depth(1 + rnd(2) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        let mut to = server.inbox();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            match m {
                Message::Connected(c) => {
                    to = c.inbox();
                    let _ = to.send("hello!");
                }
                Message::Data(d) => {
                    let _ = server.inbox().send(d);
                    let _ = to.send("yes");
                }
                Message::End(_) => {}
                m => panic!("{m:?}"),
            }
        }
        (server, o)
    });
    for _ in 0..2 {
        let mut c = match TcpStream::connect(addr) {
            Ok(c) => c,
            Err(_) => continue,
        };
        let _ = c.write(b"ab");
        if rnd(2) == 0 {
            let mut b = [0; 2];
            let _ = c.read(&mut b);
        }
        if rnd(2) == 0 {
            let _ = c.shutdown(Shutdown::Write);
        }
        if rnd(3) == 0 {
            let _ = c.read(&mut [0; 3]);
        }
        drop(c);
    }
    // A client that behaves well is served in the end, without the application's help.
    loop {
        let mut c = TcpStream::connect(addr).unwrap();
        let _ = c.write_all(b"xy");
        let _ = c.shutdown(Shutdown::Write);
        let (got, _) = rest(&mut c);
        if got == b"hello!xyyes" {
            break;
        }
        assert!(got.is_empty(), "{got:?}");
        thread::yield_now();
    }
    ctl.stop();
    drop(ctl);
    let (server, o) = app.join().unwrap();
    assert!(o.open.is_none());
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// Clients are replaced, even during a write to them. No client gets another client's bytes.
fn replace() {
    let server = opts().busy(Busy::Replace).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        let mut inbox = server.inbox();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            match m {
                Message::Connected(c) => {
                    inbox = c.inbox();
                }
                Message::Data(d) => {
                    let tag = d[0];
                    let _ = inbox.send(vec![tag; 12]);
                    let _ = inbox.send(d);
                }
                Message::End(e) => {
                    // `None`: the client has closed its side, and the session goes on until `e` is dropped.
                    let r = e.client().report();
                    assert!(
                        matches!(
                            r.map(|r| r.reason),
                            None | Some(Reason::Replaced | Reason::Stopped | Reason::Reset)
                        ),
                        "{r:?}"
                    );
                }
                m => panic!("{m:?}"),
            }
        }
        (server, o)
    });
    let hs: Vec<_> = [b'A', b'B', b'C']
        .iter()
        .map(|tag| {
            let tag = *tag;
            thread::spawn(move || {
                let mut c = match TcpStream::connect(addr) {
                    Ok(c) => c,
                    Err(_) => return (false, 0, false),
                };
                let wrote = c.write(&[tag; 3]).is_ok();
                if tag == b'C' {
                    let _ = c.shutdown(Shutdown::Write);
                }
                let (got, clean) = rest(&mut c);
                assert!(
                    got.iter().all(|b| *b == tag),
                    "{} got {:?}",
                    tag as char,
                    String::from_utf8_lossy(&got)
                );
                (wrote, got.len(), clean)
            })
        })
        .collect();
    thread::sleep(ms(10));
    ctl.stop();
    drop(ctl);
    for h in hs {
        h.join().unwrap();
    }
    let (server, o) = app.join().unwrap();
    assert!(o.open.is_none());
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// The application ends a session while the reader is blocked in a read or waits for room in the outbox, and the client may
/// be silent.
fn finish_full() {
    let depth = 1 + rnd(2) as usize;
    let server = opts().buffer_size(2).depth(depth).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let ctl = server.control();
    let mut c = TcpStream::connect(addr).unwrap();
    let said = rnd(7) as usize;
    c.write_all(&b"abcdefg"[..said]).unwrap();
    wait_until_busy(&server);
    let fin = thread::spawn(move || {
        if rnd(2) == 0 {
            thread::sleep(ms(1))
        }
        finish(&ctl);
        finish(&ctl)
    });
    if rnd(2) == 0 {
        thread::sleep(ms(2))
    }
    let mut o = Order::default();
    let silent = rnd(3) > 0;
    let client = thread::spawn(move || {
        let r = rest(&mut c);
        if !silent {
            let _ = c.write(b"z");
        }
        log(|| format!("client: {r:?}"));
        (c, r)
    });
    // The end arrives even if the client sends nothing.
    loop {
        if rnd(2) == 0 {
            thread::sleep(ms(rnd(3) as u64))
        }
        let m = match rnd(3) {
            0 => match server.outbox().recv_timeout(ms(0)) {
                Ok(m) => m,
                Err(_) => match server.outbox().recv() {
                    Ok(m) => m,
                    Err(_) => panic!("no end"),
                },
            },
            1 => match server.outbox().recv_timeout(ms(5)) {
                Ok(m) => m,
                Err(_) => continue,
            },
            _ => server.outbox().recv().unwrap(),
        };
        o.see(&m);
        if let Message::End(e) = &m {
            let r = report_of(e);
            assert!(matches!(r.reason, Reason::Finished), "{r}");
            break;
        }
    }
    fin.join().unwrap();
    assert_eq!(server.outbox().recv_timeout(ms(0)).unwrap_err(), mpsc::RecvTimeoutError::Timeout);
    // Then a second client is served.
    let mut d = TcpStream::connect(addr).unwrap();
    d.write_all(b"q").unwrap();
    d.shutdown(Shutdown::Write).unwrap();
    loop {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        if let Message::End(_) = m {
            break;
        }
    }
    let (got, clean) = rest(&mut d);
    assert!(clean && got.is_empty());
    let (c, r) = client.join().unwrap();
    assert_eq!(r.0, b"");
    drop(c);
    drop(d);
    assert_eq!(o.sessions, 2);
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// `stop` is called in any state, and returns within the stop timeout.
fn stop_any(policy: Busy, timeout: u64) {
    let mut o = opts().busy(policy).stop_timeout(ms(timeout)).depth(1 + rnd(2) as usize);
    if rnd(4) == 0 {
        o = o.idle_timeout(ms(80))
    }
    let mut server = o.bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut hs = vec![];
    for _ in 0..1 + rnd(2) {
        hs.push(thread::spawn(move || {
            let mut c = match TcpStream::connect(addr) {
                Ok(c) => c,
                Err(_) => return,
            };
            for _ in 0..3 {
                match rnd(5) {
                    0 => {
                        let _ = c.shutdown(Shutdown::Write);
                    }
                    1 => {
                        if !matches!(c.read(&mut [0; 2]), Ok(k) if k > 0) {
                            return;
                        }
                    }
                    2 => thread::sleep(ms(rnd(30) as u64)),
                    3 => return,
                    _ => {
                        if c.write(b"uvwxyz").is_err() {
                            return;
                        }
                    }
                }
            }
            if rnd(2) == 0 {
                rest(&mut c);
            } else {
                thread::sleep(ms(rnd(2000) as u64))
            }
        }));
    }
    let (i, i2, ctl) = (server.inbox(), server.inbox(), server.control());
    let which = rnd(3);
    hs.push(thread::spawn(move || {
        for _ in 0..3 {
            match rnd(3) {
                0 => {
                    let _ = i.try_send("tryit");
                }
                1 => {
                    let _ = i.send("0123456789abcdef");
                }
                _ => {
                    let _ = i.send("s");
                }
            }
        }
    }));
    hs.push(thread::spawn(move || match which {
        0 => {
            let _ = i2.send("to whom");
            finish(&ctl)
        }
        1 => ctl.stop(),
        _ => drop(ctl),
    }));
    let mut held = vec![];
    let mut order = Order::default();
    for _ in 0..rnd(5) {
        match server.outbox().recv_timeout(ms(10)) {
            Ok(m) => {
                order.see(&m);
                if rnd(2) == 0 {
                    held.push(m)
                } else if let Message::Data(d) = m {
                    let _ = server.inbox().try_send(d);
                }
            }
            Err(_) => {}
        }
    }
    let t = Instant::now();
    server.stop().unwrap();
    let took = t.elapsed();
    log(|| format!("stop took {took:?}"));
    if exact_time() {
        assert!(took <= ms(timeout + 150), "stop took {took:?} with a stop timeout of {timeout} ms");
    }
    TcpListener::bind(addr).expect("the port is free");
    for h in hs {
        h.join().unwrap()
    }
    drop(held);
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// Senders that wait for room in the inbox return when the session ends, no matter how it ends.
fn waiters() {
    let server = opts().bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut c = TcpStream::connect(addr).unwrap();
    let m = server.outbox().recv().unwrap();
    let to = match &m {
        Message::Connected(c) => c.inbox(),
        _ => panic!(),
    };
    let hs: Vec<_> = (0..3)
        .map(|k| {
            let i = if k == 0 { server.inbox() } else { to.clone() };
            thread::spawn(move || loop {
                match i.send(vec![b'0' + k; 9]) {
                    Ok(()) => thread::yield_now(),
                    Err(SendError::Over(_)) => return,
                    Err(SendError::Stopped(_)) if k == 0 => return,
                    Err(e) => panic!("{e}"),
                }
            })
        })
        .collect();
    thread::sleep(ms(1));
    let reading = rnd(3);
    if reading > 0 {
        let mut b = [0; 5];
        for _ in 0..reading {
            let _ = c.read(&mut b);
        }
    }
    if rnd(2) == 0 {
        let _ = c.shutdown(Shutdown::Write);
    }
    drop(c);
    let app = thread::spawn(move || {
        let mut o = Order::default();
        o.see(&m);
        loop {
            let m = server.outbox().recv().unwrap();
            o.see(&m);
            if let Message::End(_) = m {
                return server;
            }
        }
    });
    let server = app.join().unwrap();
    let mut hs = hs.into_iter();
    // The sender without an address goes on for the next client, or waits for it, until the stop.
    let unaddressed = hs.next().unwrap();
    for h in hs {
        h.join().unwrap()
    }
    drop(server);
    unaddressed.join().unwrap();
    signals_balance(signals);
    drop(to);
    nothing_left();
}

/// Under `Refuse`, a client that has seen the end of its connection can connect again at once.
fn refuse() {
    let server = opts().busy(Busy::Refuse).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            if let Message::Data(d) = m {
                if &d[..] == b"F" {
                    finish(&server.control())
                } else {
                    let _ = server.inbox().send(d);
                }
            }
        }
        (server, o)
    });
    for k in 0..3 {
        let mut c = TcpStream::connect(addr).expect("the client has seen the end, so the port is open");
        let finish = rnd(2) == 0;
        c.write_all(if finish { b"F" } else { b"e" }).unwrap();
        if !finish || rnd(2) == 0 {
            c.shutdown(Shutdown::Write).unwrap();
        }
        let (got, clean) = rest(&mut c);
        log(|| format!("client {k}: finish {finish} got {got:?} clean {clean}"));
        assert_eq!(got, if finish { &b""[..] } else { b"e" }, "served");
    }
    ctl.stop();
    drop(ctl);
    let (server, o) = app.join().unwrap();
    assert_eq!(o.sessions, 3);
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// `stop` keeps reading from a client that backpressure had blocked when its session ended, so the client gets its answer.
fn held_back() {
    let server = opts().buffer_size(1).depth(1).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut c = TcpStream::connect(addr).unwrap();
    c.write_all(b"abcd").unwrap();
    wait_until_busy(&server);
    server.inbox().send("ANSWER_OF_12").unwrap();
    let mut first = [0; 4];
    c.read_exact(&mut first).unwrap();
    thread::sleep(ms(5)); // now the reader waits for room in the outbox
    finish(&server.control());
    thread::sleep(ms(1000));
    assert!(!server.is_busy());
    let client = thread::spawn(move || {
        let mut all = first.to_vec();
        loop {
            thread::sleep(ms(10));
            let _ = c.write(b"x");
            match c.read(&mut [0; 1]) {
                Ok(0) => return (all, true),
                Ok(_) => all.push(0),
                Err(_) => return (all, false),
            }
        }
    });
    drop(server);
    let (got, clean) = client.join().unwrap();
    assert!(got.len() == 12, "the client got {} bytes of 12, clean {clean}", got.len());
    signals_balance(signals);
    nothing_left();
}

/// `half_close` races with a sender. All accepted bytes are written.
fn half_close_race() {
    let mut server = opts().bind("127.0.0.1:0").unwrap();
    let mut c = TcpStream::connect(server.local_addr()).unwrap();
    let reading = thread::spawn(move || {
        let r = rest(&mut c);
        (c, r)
    });
    {
        let session = server.accept().unwrap();
        let i = session.inbox();
        let i2 = i.clone();
        let h = thread::spawn(move || {
            let mut n = 0;
            for _ in 0..3 {
                match i.send("x") {
                    Ok(()) => n += 1,
                    Err(_) => break,
                }
            }
            n
        });
        session.client().half_close();
        let took = h.join().unwrap();
        let (c, (got, _)) = reading.join().unwrap();
        assert_eq!(got.len(), took, "accepted and written");
        drop(c);
        drop(i2);
        let r = session.close();
        assert!(r.reason != Reason::Reset, "{r}");
    }
}

/// Accepted bytes are either sent or counted as discarded, and all sent bytes arrive, in every kind of graceful end.
fn accounting() {
    let server =
        opts().depth(1 + rnd(2) as usize).buffer_size(1 + rnd(4) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, signals, ctl) = (server.local_addr(), server.signal(), server.control());
    let early = if rnd(3) == 0 { server.inbox().try_send("e").is_ok() as u64 } else { 0 };
    let i = server.inbox();
    let mut unaddressed = Some(thread::spawn(move || {
        let mut t = 0;
        for _ in 0..rnd(3) {
            if i.send("ff").is_ok() {
                t += 2
            }
        }
        t
    }));
    let n = 1 + rnd(6) as usize;
    let talks = rnd(2) == 0;
    let fin = rnd(2) == 0;
    let client = thread::spawn(move || {
        let mut c = TcpStream::connect(addr).unwrap();
        let mut all = vec![];
        c.set_write_timeout(Some(ms(1))).unwrap();
        c.write_all(&b"abcdefgh"[..n]).unwrap();
        if fin {
            c.shutdown(Shutdown::Write).unwrap()
        }
        loop {
            if rnd(3) == 0 {
                thread::sleep(ms(10))
            }
            if talks && !fin && rnd(2) == 0 {
                let _ = c.write(b"t");
            }
            let mut b = [0; 2];
            match c.read(&mut b) {
                Ok(0) => return (all, true),
                Ok(k) => all.extend_from_slice(&b[..k]),
                Err(_) => return (all, false),
            }
        }
    });
    let how = rnd(4);
    let app = thread::spawn(move || {
        let mut o = Order::default();
        let mut hs: Vec<thread::JoinHandle<u64>> = vec![];
        let mut accepted = 0;
        let mut heard = 0;
        loop {
            let m = server.outbox().recv().unwrap();
            o.see(&m);
            match m {
                Message::Connected(c) => {
                    accepted += unaddressed.take().unwrap().join().unwrap();
                    for _ in 0..2 {
                        let i = c.inbox();
                        hs.push(thread::spawn(move || {
                            let mut t = 0;
                            for k in 0..3 {
                                if i.send(vec![b'0' + k; 3]).is_err() {
                                    break;
                                }
                                t += 3
                            }
                            t
                        }))
                    }
                }
                Message::Data(d) => {
                    heard += d.len();
                    let k = d.len() as u64;
                    if server.inbox().send(d).is_ok() {
                        accepted += k
                    }
                    if heard >= n && !fin && how < 3 {
                        finish(&server.control());
                        if how == 1 {
                            finish(&server.control())
                        }
                    } else if heard >= n && !fin {
                        server.control().stop()
                    }
                }
                Message::End(e) => {
                    if how == 0 {
                        let i = e.client().inbox();
                        hs.push(thread::spawn(move || {
                            let mut t = 0;
                            if i.send("bye").is_ok() {
                                t += 3
                            }
                            drop(e);
                            t
                        }))
                    }
                    break;
                }
                m => panic!("{m:?}"),
            }
        }
        for h in hs {
            accepted += h.join().unwrap()
        }
        (server, accepted, heard)
    });
    let (server, accepted, heard) = app.join().unwrap();
    if fin {
        assert_eq!(heard, n)
    }
    let (got, clean) = client.join().unwrap();
    drop(ctl);
    drop(server);
    let reports = signals_balance(signals);
    assert_eq!(reports.len(), 1);
    let r = reports[0];
    log(|| format!("accepted {accepted}+{early}, client got {}, clean {clean}, {r}", got.len()));
    assert_eq!(r.sent + r.discarded, accepted + early, "sent and discarded bytes do not add up: {r}");
    assert!(clean, "reset: {r}");
    assert_eq!(got.len() as u64, r.sent, "sent, but not received: {r}");
    nothing_left();
}

/// `stop` keeps reading from a client that keeps reading or sending, so the client gets its answer.
fn stop_whole() {
    let server =
        opts().depth(1 + rnd(2) as usize).buffer_size(1 + rnd(4) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, signals, ctl) = (server.local_addr(), server.signal(), server.control());
    let talks = rnd(3);
    let pace = 10 + rnd(200) as u64;
    let first = rnd(8) as usize;
    let client = thread::spawn(move || {
        let mut c = TcpStream::connect(addr).unwrap();
        let mut all = vec![];
        c.set_write_timeout(Some(ms(1))).unwrap();
        let _ = c.write(&b"abcdefgh"[..first]);
        loop {
            thread::sleep(ms(pace));
            if talks > 0 {
                let _ = c.write(&b"tt"[..talks as usize]);
            }
            let mut b = [0; 2];
            match c.read(&mut b) {
                Ok(0) => return (all, true),
                Ok(k) => all.extend_from_slice(&b[..k]),
                Err(_) => return (all, false),
            }
        }
    });
    wait_until_busy(&server);
    let mut accepted = 0;
    let mut o = Order::default();
    // Without an address the bytes go to the client at the time of the call. By then there may be none.
    let addressed = rnd(2) == 0;
    let i = if addressed {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        inbox_of(&m)
    } else {
        server.inbox()
    };
    let acts = rnd(5);
    let mut finished = false;
    let sender = thread::spawn(move || if i.send("ANSWER_OF_12").is_ok() { 12 } else { 0 });
    for _ in 0..acts {
        match rnd(3) {
            0 => {
                if let Ok(m) = server.outbox().recv_timeout(ms(0)) {
                    o.see(&m)
                }
            }
            1 => thread::sleep(ms(rnd(600) as u64)),
            _ => {
                finish(&server.control());
                finished = true
            }
        }
    }
    accepted += sender.join().unwrap();
    if rnd(2) == 0 {
        ctl.stop();
        if rnd(2) == 0 {
            thread::sleep(ms(rnd(600) as u64))
        }
    }
    log(|| "stop".into());
    drop(ctl);
    drop(server);
    let (got, clean) = client.join().unwrap();
    let r = signals_balance(signals)[0];
    log(|| format!("accepted {accepted}, client got {}, clean {clean}, {r}", got.len()));
    if !addressed && finished && r.sent + r.discarded == 0 {
        accepted = 0
    }
    assert_eq!(r.sent + r.discarded, accepted, "sent and discarded bytes do not add up: {r}");
    assert_eq!(r.sent, got.len() as u64, "lost: {r}, clean {clean}");
    nothing_left();
}

/// The same, but `stop` may be called before the reader has begun to serve the client.
fn stop_untaken() {
    let server = opts().depth(1).buffer_size(4).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let client = thread::spawn(move || {
        let mut c = TcpStream::connect(addr).unwrap();
        let _ = c.write(b"abc");
        rest(&mut c)
    });
    wait_until_busy(&server);
    let accepted = if server.inbox().send("ANSWER_8").is_ok() { 8 } else { 0 };
    drop(server);
    let (got, clean) = client.join().unwrap();
    let r = signals_balance(signals)[0];
    log(|| format!("accepted {accepted}, client got {}, clean {clean}, {r}", got.len()));
    assert!(got.len() == accepted && clean, "lost: {r}, client got {}, clean {clean}", got.len());
    nothing_left();
}

/// Bytes that were queued before the first client connected appear in the report of one session.
fn accounting_first() {
    let server = opts().busy(Busy::Replace).bind("127.0.0.1:0").unwrap();
    let (addr, signals, ctl) = (server.local_addr(), server.signal(), server.control());
    server.inbox().send("eee").unwrap();
    let hs: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                if let Ok(mut c) = TcpStream::connect(addr) {
                    rest(&mut c);
                }
            })
        })
        .collect();
    let app = thread::spawn(move || {
        while let Ok(_) = server.outbox().recv() {}
        server
    });
    let mut sum = 0;
    let mut seen = 0;
    while seen < 2 {
        match signals.recv().unwrap() {
            Signal::Connected(_) => seen += 1,
            Signal::ProducerFinished(r) => sum += r.sent + r.discarded,
            _ => {}
        }
    }
    thread::sleep(ms(5)); // until no thread can run
    ctl.stop();
    drop(ctl);
    let server = app.join().unwrap();
    drop(server);
    for h in hs {
        h.join().unwrap()
    }
    while let Ok(s) = signals.recv() {
        if let Signal::ProducerFinished(r) = s {
            log(|| format!("{r}"));
            sum += r.sent + r.discarded
        }
    }
    assert_eq!(sum, 3, "sent and discarded bytes do not add up");
    drop(signals);
    nothing_left();
}

/// `accept` returns one session after the other. Each is dropped or closed while its client may still be sending.
fn sessions() {
    let mut server = opts()
        .busy(Busy::Wait)
        .depth(1 + rnd(2) as usize)
        .buffer_size(1 + rnd(4) as usize)
        .bind("127.0.0.1:0")
        .unwrap();
    let (addr, signals, ctl) = (server.local_addr(), server.signal(), server.control());
    let client = thread::spawn(move || {
        for k in 0..3u8 {
            let mut c = TcpStream::connect(addr).unwrap();
            c.set_read_timeout(Some(ms(5000))).unwrap();
            c.set_write_timeout(Some(ms(1))).unwrap();
            let said = vec![b'a' + k; 1 + rnd(6) as usize];
            let _ = c.write(&said);
            if rnd(2) == 0 {
                let _ = c.shutdown(Shutdown::Write);
            }
            c.set_read_timeout(Some(ms(50))).unwrap();
            let (mut got, mut clean) = (vec![], true);
            let mut b = [0; 3];
            loop {
                match c.read(&mut b) {
                    Ok(0) => break,
                    Ok(k) => got.extend_from_slice(&b[..k]),
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                        let _ = c.shutdown(Shutdown::Write);
                    }
                    Err(_) => {
                        clean = false;
                        break;
                    }
                }
            }
            log(|| {
                format!(
                    "client {k} said {} got {:?} clean {clean}",
                    said.len(),
                    String::from_utf8_lossy(&got)
                )
            });
            assert!(clean, "client {k} was reset");
            assert!(
                got.starts_with(b"hello") && got[5..].iter().all(|b| *b == b'a' + k),
                "client {k} got {got:?}"
            );
            if rnd(3) == 0 {
                thread::sleep(ms(rnd(20) as u64))
            }
        }
        ctl.stop()
    });
    let mut n = 0;
    while let Some(mut s) = server.accept() {
        n += 1;
        s.write_all(b"hello").unwrap();
        let mut b = [0; 1];
        let mut tag = None;
        for _ in 0..rnd(4) {
            match s.read(&mut b) {
                Ok(0) => break,
                Ok(_) => {
                    assert!(tag.map_or(true, |t| t == b[0]));
                    tag = Some(b[0]);
                    let _ = s.write_all(&b);
                }
                Err(e) => panic!("{e}"),
            }
        }
        match rnd(4) {
            0 => {
                s.client().finish();
                s.close();
            }
            1 => {
                s.client().half_close();
                s.chunks().next();
            }
            2 => {
                let c = s.client().clone();
                drop(s);
                c.finish();
            }
            _ => {}
        }
    }
    client.join().unwrap();
    assert_eq!(n, 3);
    drop(server);
    assert_eq!(signals_balance(signals).len(), 3);
    nothing_left();
}

/// Random actions of the application and of two clients, under a random policy.
fn chaos() {
    let policy = any_policy();
    let mut o = opts()
        .busy(policy.clone())
        .stop_timeout(ms(500))
        .depth(1 + rnd(2) as usize)
        .buffer_size(1 + rnd(4) as usize);
    if rnd(3) == 0 {
        o = o.idle_timeout(ms(80))
    }
    let server = o.bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let (ctl, ctl2, i2) = (server.control(), server.control(), server.inbox());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        let mut held = vec![];
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            if rnd(6) == 0 {
                thread::sleep(ms(rnd(100) as u64))
            }
            match m {
                Message::Connected(c) => {
                    if rnd(4) == 0 {
                        c.finish()
                    } else {
                        let _ = c.inbox().try_send("hi");
                    }
                }
                Message::Data(d) => match rnd(5) {
                    0 => held.push(d),
                    1 => {
                        let _ = server.inbox().send(d.to_vec());
                    }
                    2 => finish(&server.control()),
                    _ => {
                        let _ = server.inbox().send(d);
                    }
                },
                Message::End(e) => {
                    if rnd(4) == 0 {
                        let i = e.client().inbox();
                        thread::spawn(move || {
                            let _ = i.send("late");
                            drop(e)
                        });
                    }
                }
                m => panic!("{m:?}"),
            }
        }
        (server, o)
    });
    let mut hs = vec![];
    for _ in 0..2 {
        hs.push(thread::spawn(move || {
            for _ in 0..2 {
                let mut c = match TcpStream::connect(addr) {
                    Ok(c) => c,
                    Err(_) => continue,
                };
                c.set_read_timeout(Some(ms(400))).unwrap();
                c.set_write_timeout(Some(ms(400))).unwrap();
                for _ in 0..3 {
                    match rnd(6) {
                        0 => {
                            let _ = c.shutdown(Shutdown::Write);
                        }
                        1 | 5 => {
                            if !matches!(c.read(&mut [0; 2]), Ok(k) if k > 0) {
                                break;
                            }
                        }
                        2 => thread::sleep(ms(rnd(100) as u64)),
                        3 => break,
                        _ => {
                            if c.write(b"uvwxyz").is_err() {
                                break;
                            }
                        }
                    }
                }
                if rnd(2) == 0 {
                    let _ = c.shutdown(Shutdown::Write);
                    rest(&mut c);
                }
            }
        }));
    }
    hs.push(thread::spawn(move || {
        for _ in 0..3 {
            match rnd(4) {
                0 => {
                    let _ = i2.send("out of the blue");
                }
                1 => finish(&ctl2),
                _ => thread::sleep(ms(rnd(50) as u64)),
            }
        }
    }));
    if rnd(2) == 0 {
        for h in hs.drain(..2) {
            h.join().unwrap()
        }
    } else {
        thread::sleep(ms(rnd(300) as u64))
    }
    ctl.stop();
    drop(ctl);
    let (mut server, o) = app.join().unwrap();
    assert!(o.open.is_none(), "a session without its end");
    server.stop().unwrap();
    for h in hs {
        h.join().unwrap()
    }
    drop(server);
    signals_balance(signals);
}

/// The application ends a session several times. It receives one end, and none of these calls ends the session of the next
/// client.
fn finish_twice() {
    let server =
        opts().depth(1 + rnd(2) as usize).buffer_size(1 + rnd(4) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut o = Order::default();
    let mut c = TcpStream::connect(addr).unwrap();
    c.write_all(&b"abcdef"[..rnd(7) as usize]).unwrap();
    let half_closes = rnd(3) == 0;
    let client = thread::spawn(move || {
        if half_closes {
            c.shutdown(Shutdown::Write).unwrap()
        }
        rest(&mut c)
    });
    wait_until_busy(&server);
    let m = server.outbox().recv().unwrap();
    o.see(&m);
    let to = client_of(&m);
    let hs: Vec<_> = (0..2)
        .map(|_| {
            let (ctl, c) = (server.control(), to.clone());
            let by_control = rnd(2) == 0;
            thread::spawn(move || if by_control { finish(&ctl) } else { c.finish() })
        })
        .collect();
    loop {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        if let Message::End(e) = m {
            if rnd(2) == 0 {
                e.client().finish()
            }
            break;
        }
    }
    for h in hs {
        h.join().unwrap()
    }
    to.finish();
    drop((to, m));
    while server.is_busy() {
        thread::yield_now()
    }
    // The next client.
    let mut d = TcpStream::connect(addr).unwrap();
    d.write_all(b"q").unwrap();
    loop {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        match m {
            Message::Data(_) => break,
            Message::End(e) => panic!("nobody has ended this session: {:?}", e.client().report()),
            _ => {}
        }
    }
    server.inbox().send("r").unwrap();
    d.read_exact(&mut [0; 1]).unwrap();
    d.shutdown(Shutdown::Write).unwrap();
    loop {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        if let Message::End(_) = m {
            break;
        }
    }
    assert_eq!(rest(&mut d), (vec![], true));
    drop(d);
    client.join().unwrap();
    assert_eq!(
        (o.sessions, server.outbox().recv_timeout(ms(0)).unwrap_err()),
        (2, mpsc::RecvTimeoutError::Timeout)
    );
    drop(server);
    let reports = signals_balance(signals);
    assert_eq!((reports.len(), reports[1].reason), (2, Reason::ClientClosed));
    nothing_left();
}

/// Bytes sent beside a `half_close` are either refused or reach the client, and the half-close does not cause a reset.
fn behind_half_close() {
    let server = opts().depth(1 + rnd(2) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let (hold, held) = mpsc::sync_channel::<()>(1);
    let client = thread::spawn(move || {
        let mut c = TcpStream::connect(addr).unwrap();
        let r = rest(&mut c);
        let _ = held.recv();
        r
    });
    let mut o = Order::default();
    let m = server.outbox().recv().unwrap();
    o.see(&m);
    let c = client_of(&m);
    drop(m);
    let to = if rnd(3) == 0 { c.inbox() } else { server.inbox() };
    let i = to.clone();
    let closer = thread::spawn(move || {
        let mut accepted = 0;
        if rnd(2) == 0 && i.send("12").is_ok() {
            accepted += 2
        }
        c.half_close();
        if rnd(3) == 0 {
            c.half_close()
        }
        for _ in 0..2 {
            if i.send("345").is_ok() {
                accepted += 3
            }
        }
        accepted
    });
    let beside = thread::spawn(move || {
        let mut accepted = 0;
        for _ in 0..rnd(3) {
            if to.send("6").is_ok() {
                accepted += 1
            }
        }
        accepted
    });
    let accepted = closer.join().unwrap() + beside.join().unwrap();
    drop(hold);
    let (got, clean) = client.join().unwrap();
    loop {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        if let Message::End(_) = m {
            break;
        }
    }
    drop(server);
    let reports = signals_balance(signals);
    let r = reports[0];
    log(|| format!("accepted {accepted}, client got {}, clean {clean}, {r}", got.len()));
    assert!(clean && r.reason == Reason::ClientClosed, "{r}");
    assert_eq!(got.len() as u64, accepted, "accepted and not written: {r}");
    assert_eq!((r.sent, r.discarded), (accepted, 0), "sent and discarded bytes do not add up: {r}");
    nothing_left();
}

/// A session ends before the reader has begun to serve it, because the reader was waiting for room. Its client gets the
/// answer.
fn untaken() {
    let server = opts().depth(1).buffer_size(1 + rnd(4) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut o = Order::default();
    let mut hs = vec![];
    let one_before = rnd(2) == 0;
    if one_before {
        let mut c = TcpStream::connect(addr).unwrap();
        c.write_all(b"abc").unwrap();
        wait_until_busy(&server);
        finish(&server.control());
        while server.is_busy() {
            thread::yield_now()
        }
        hs.push(thread::spawn(move || {
            rest(&mut c);
        }));
    }
    let client = thread::spawn(move || {
        let mut c = TcpStream::connect(addr).unwrap();
        let _ = c.write(b"xyz");
        rest(&mut c)
    });
    wait_until_busy(&server);
    let accepted = if server.inbox().send("ANSWER_OF_12").is_ok() { 12 } else { 0 };
    finish(&server.control());
    let first = if rnd(2) == 0 { None } else { Some(server.outbox().recv().unwrap()) };
    if let Some(m) = &first {
        o.see(m)
    }
    let (got, clean) = client.join().unwrap();
    // So far the application has received one message at most. The sessions that it has not yet seen have ended, too.
    while let Ok(m) = server.outbox().recv_timeout(ms(10)) {
        o.see(&m)
    }
    assert!(o.open.is_none(), "a session without its end");
    for h in hs {
        h.join().unwrap()
    }
    drop(first);
    drop(server);
    let reports = signals_balance(signals);
    let r = reports[one_before as usize];
    log(|| format!("accepted {accepted}, client got {}, clean {clean}, {r}", got.len()));
    assert_eq!((got.len(), clean), (accepted, true), "lost: {r}");
    nothing_left();
}

/// `finish` and `half_close` never block, however often they are called for a client that does not read. Then `stop` returns
/// within the stop timeout.
fn finish_flood() {
    let mut server = opts().stop_timeout(ms(500)).depth(1 + rnd(2) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let c = TcpStream::connect(addr).unwrap();
    let m = server.outbox().recv().unwrap();
    let to = client_of(&m);
    for _ in 0..12 {
        if to.inbox().try_send(&b"abcdef"[..1 + rnd(6) as usize]).is_err() {
            break;
        }
    }
    if rnd(2) == 0 {
        thread::sleep(ms(1))
    }
    let which = rnd(3);
    let t = Instant::now();
    for _ in 0..12 {
        let finishes = match which {
            0 => true,
            1 => false,
            _ => rnd(2) == 0,
        };
        match (finishes, rnd(2)) {
            (true, 0) => finish(&server.control()),
            (true, _) => to.finish(),
            (false, _) => to.half_close(),
        }
    }
    if exact_time() {
        assert_eq!(t.elapsed(), Duration::ZERO, "a call has blocked")
    }
    let t = Instant::now();
    log(|| "stop".into());
    server.stop().unwrap();
    if exact_time() {
        assert!(t.elapsed() <= ms(500 + 150), "stop took {:?} with a stop timeout of 500 ms", t.elapsed())
    }
    drop((c, m, to, server));
    assert_eq!(signals_balance(signals).len(), 1);
    nothing_left();
}

/// Senders that wait for room return at once when the session is half-closed, ends, or the server stops.
fn room_notified() {
    let how = rnd(4);
    let mut server = opts().busy(Busy::Replace).stop_timeout(ms(500)).depth(2).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let c = TcpStream::connect(addr).unwrap();
    let m = server.outbox().recv().unwrap();
    let to = client_of(&m);
    let hs: Vec<_> = (0..2)
        .map(|_| {
            let i = to.inbox();
            thread::spawn(move || loop {
                match i.send("1234567") {
                    Ok(()) => thread::yield_now(),
                    Err(SendError::Over(_) | SendError::Stopped(_)) => return,
                    Err(e) => panic!("{e}"),
                }
            })
        })
        .collect();
    if rnd(2) == 0 {
        thread::sleep(ms(1))
    }
    let t = Instant::now();
    let (mut c, mut d) = (Some(c), None);
    match how {
        0 => {
            log(|| "half_close".into());
            to.half_close()
        }
        1 => c = None,
        2 => d = Some(TcpStream::connect(addr).unwrap()),
        _ => {
            log(|| "stop".into());
            server.stop().unwrap()
        }
    }
    for h in hs {
        h.join().unwrap()
    }
    if exact_time() {
        assert!(
            t.elapsed() <= if how < 3 { Duration::ZERO } else { ms(500 + 150) },
            "the senders returned after {:?}",
            t.elapsed()
        )
    }
    drop((c, d, m, to, server));
    signals_balance(signals);
    nothing_left();
}

/// Connects, and is greeted by the application. With eager timers the acceptor may time out and refuse the client before it
/// has seen that the previous one has left; then the client tries again.
fn served_again(addr: SocketAddr, k: usize) -> TcpStream {
    for _ in 0..100 {
        let mut c = TcpStream::connect(addr).unwrap();
        let mut b = [0; 2];
        if c.read_exact(&mut b).is_ok() && &b == b"hi" {
            return c;
        }
        assert!(!exact_time(), "client {k} is refused, although nobody else is connected");
        thread::sleep(ms(1));
    }
    panic!("client {k} is never served")
}
/// The last action of a client: it does nothing, sends a byte, with or without waiting for the echo, or closes its side.
fn say_something(c: &mut TcpStream) {
    match rnd(4) {
        0 => {}
        1 => drop(c.write(b"x")),
        2 => {
            c.write_all(b"x").unwrap();
            c.read_exact(&mut [0; 1]).unwrap();
        }
        _ => drop(c.shutdown(Shutdown::Write)),
    }
}

/// A client closes and connects again at once. It is served at the first attempt.
fn reconnect() {
    let server = opts().busy(Busy::Drop).depth(2).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            match m {
                Message::Connected(c) => {
                    let _ = c.inbox().send("hi");
                }
                Message::Data(d) => {
                    let _ = server.inbox().send(d);
                }
                _ => {}
            }
        }
        (server, o)
    });
    for k in 0..3 {
        let mut c = served_again(addr, k);
        say_something(&mut c);
        log(|| format!("client {k} closes"));
    }
    ctl.stop();
    drop(ctl);
    let (server, o) = app.join().unwrap();
    assert_eq!(o.sessions, 3);
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// Any thread aborts a session at any time. No thread hangs, accepted bytes are sent or counted, and the next client is
/// served.
fn abort() {
    let server = opts().depth(1 + rnd(2) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut o = Order::default();
    let client = thread::spawn(move || {
        let mut c = TcpStream::connect(addr).unwrap();
        let _ = c.write(&b"abcdef"[..1 + rnd(6) as usize]);
        if rnd(2) == 0 {
            let _ = c.shutdown(Shutdown::Write);
        }
        rest(&mut c)
    });
    let m = server.outbox().recv().unwrap();
    o.see(&m);
    let to = client_of(&m);
    let i = to.inbox();
    let sender = thread::spawn(move || {
        let mut accepted = 0;
        for _ in 0..8 {
            if i.send("0123456").is_ok() {
                accepted += 7
            }
        }
        accepted
    });
    let ctl = server.control();
    let aborter = thread::spawn(move || {
        if rnd(2) == 0 {
            thread::sleep(ms(1))
        }
        match rnd(3) {
            0 => drop(ctl.client().map(|c| c.abort())),
            1 => {
                to.finish();
                to.abort()
            }
            _ => to.abort(),
        }
    });
    loop {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        if let Message::End(_) = m {
            break;
        }
    }
    aborter.join().unwrap();
    let accepted = sender.join().unwrap();
    client.join().unwrap();
    while server.is_busy() {
        thread::yield_now()
    }
    let mut d = TcpStream::connect(addr).unwrap();
    d.write_all(b"q").unwrap();
    loop {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        if let Message::Data(_) = m {
            break;
        }
    }
    drop(d);
    drop(m);
    drop(server);
    let r = signals_balance(signals)[0];
    assert_eq!(r.sent + r.discarded, accepted, "sent and discarded bytes do not add up: {r}");
    nothing_left();
}

/// `wake` reaches an application that sleeps, waits for a client, or has a full outbox. Several calls may give one message.
fn wake() {
    let server = opts().depth(1 + rnd(2) as usize).bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let wakers: Vec<_> = (0..2)
        .map(|_| {
            let ctl = server.control();
            thread::spawn(move || {
                if rnd(2) == 0 {
                    thread::sleep(ms(1))
                }
                ctl.wake()
            })
        })
        .collect();
    let client = (rnd(2) == 0).then(|| {
        thread::spawn(move || {
            if let Ok(mut c) = TcpStream::connect(addr) {
                let _ = c.write_all(b"abcdefgh");
                rest(&mut c);
            }
        })
    });
    let mut seen = 0;
    while seen == 0 {
        if let Message::Woken = server.outbox().recv().unwrap() {
            seen += 1
        }
    }
    for w in wakers {
        w.join().unwrap()
    }
    while let Ok(m) = server.outbox().recv_timeout(ms(0)) {
        if let Message::Woken = m {
            seen += 1
        }
    }
    assert!(seen <= 2, "{seen} messages for two calls");
    drop(server);
    if let Some(c) = client {
        c.join().unwrap()
    }
    nothing_left();
}

/// A new client connects while another one is leaving. It waits until the other has its whole answer, and is then served.
fn handover() {
    let policy = if rnd(2) == 0 { Busy::Drop } else { Busy::tell("no") };
    let server = opts().busy(policy).depth(2).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            match m {
                Message::Data(d) => drop(server.inbox().send(d)),
                Message::End(e) => {
                    thread::sleep(ms(rnd(500) as u64));
                    let _ = e.client().inbox().send("bye");
                }
                _ => {}
            }
        }
        (server, o)
    });
    let mut leaving = TcpStream::connect(addr).unwrap();
    leaving.write_all(b"hello!").unwrap();
    leaving.shutdown(Shutdown::Write).unwrap();
    let first = thread::spawn(move || rest(&mut leaving));
    let mut c = TcpStream::connect(addr).unwrap();
    let _ = c.write_all(b"x");
    let _ = c.shutdown(Shutdown::Write);
    let (got, clean) = rest(&mut c);
    assert_eq!(first.join().unwrap(), (b"hello!bye".to_vec(), true), "the answer was cut short");
    if exact_time() {
        assert_eq!((got, clean), (b"xbye".to_vec(), true), "the newcomer is not served");
    }
    ctl.stop();
    drop(ctl);
    let (server, _) = app.join().unwrap();
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// A client has closed and gets no answer. It loses the slot after the close timeout, even if the application keeps all its
/// messages.
fn close_timeout() {
    let server = opts().close_timeout(ms(100)).depth(1).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut c = TcpStream::connect(addr).unwrap();
    c.write_all(&b"abc"[..rnd(4) as usize]).unwrap();
    if rnd(2) == 0 {
        c.shutdown(Shutdown::Write).unwrap()
    }
    drop(c);
    let mut held = vec![];
    let mut o = Order::default();
    while o.sessions == 0 || o.open.is_some() {
        let m = server.outbox().recv().unwrap();
        o.see(&m);
        held.push(m)
    }
    let t = Instant::now();
    loop {
        match signals.recv().unwrap() {
            Signal::ProducerFinished(r) => {
                assert!(matches!(r.reason, Reason::Gone | Reason::Reset), "{r}");
                break;
            }
            _ => {}
        }
    }
    if exact_time() {
        assert!(t.elapsed() <= ms(120), "after {:?}", t.elapsed())
    }
    assert!(!server.is_busy());
    drop(held);
    drop(signals);
    drop(server);
    nothing_left();
}

/// With `read_on_demand`, nothing is read before the application asks for it. If the application has read nothing, an abort
/// resets the connection.
fn read_on_demand() {
    let mut server = opts().busy(any_policy()).read_on_demand(true).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let sent = std::sync::Arc::new(AtomicBool::new(false));
    let flag = sent.clone();
    let client = thread::spawn(move || {
        let mut c = TcpStream::connect(addr).unwrap();
        c.write_all(b"abcd").unwrap();
        if rnd(2) == 0 {
            let _ = c.shutdown(Shutdown::Write);
        }
        flag.store(true, Ordering::SeqCst);
        rest(&mut c)
    });
    let session = server.accept().unwrap();
    while !sent.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    assert_eq!(session.client().traffic().received, 0);
    let ctl = rnd(4);
    match ctl {
        0 => {
            session.client().abort();
            drop(session);
        }
        1 => drop(session),
        2 => {
            let mut b = [0; 4];
            (&session).read_exact(&mut b).unwrap();
            assert_eq!(&b, b"abcd");
            drop(session);
        }
        _ => {
            let c = session.client().clone();
            let aborter = thread::spawn(move || c.abort());
            session.wait_until_over();
            aborter.join().unwrap();
            drop(session);
        }
    }
    let (all, clean) = client.join().unwrap();
    assert!(all.is_empty());
    assert_eq!(clean, ctl == 1 || ctl == 2, "{ctl}");
    let mut d = TcpStream::connect(addr).unwrap();
    d.write_all(b"q").unwrap();
    let session = server.accept().unwrap();
    assert_eq!(&session.next_chunk().unwrap()[..], b"q");
    drop(session);
    drop(d);
    drop(server);
    signals_balance(signals);
    nothing_left();
}

/// Events at the very instant at which a timeout passes are in time: bytes or a FIN of the client, even if the reader
/// reaches them later, an answer, and an `extend`. A silent client loses the slot after the grace period.
fn deadline_met() {
    let (time, moment) = (ms(80), ms(10));
    let late = ms([0, 5, 10, 25][rnd(4) as usize]);
    sim::net::delay_reads(late);
    let client_is_due = rnd(2) == 0;
    let options = if client_is_due { opts().idle_timeout(time) } else { opts().close_timeout(time) };
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let signals = server.signal();
    let began = Instant::now();
    let mut c = TcpStream::connect(server.local_addr()).unwrap();
    let expected = if client_is_due {
        let app = thread::spawn(move || {
            let session = server.accept().unwrap();
            let n = (&session).read_to_end(&mut Vec::new()).unwrap_or_default();
            drop(session);
            (server, n)
        });
        for _ in 0..3 {
            thread::sleep(time);
            c.write_all(b"x").expect("the session lasts");
            thread::sleep(late); // now the timeout restarts
        }
        let closes = rnd(2) == 0;
        if closes {
            thread::sleep(time);
            drop(c);
        } else {
            rest(&mut c);
        }
        let (_, n) = app.join().unwrap();
        assert!(n == 3 || !closes, "the application has read {n} bytes");
        let lasts = 3 * (time + late) + time + if closes { late } else { moment };
        (if closes { Reason::ClientClosed } else { Reason::Idle }, lasts)
    } else {
        c.write_all(b"q").unwrap();
        c.shutdown(Shutdown::Write).unwrap();
        let session = server.accept().unwrap();
        (&session).read_to_end(&mut Vec::new()).unwrap();
        let mut lasts = began.elapsed();
        let mut answers = 0;
        for _ in 0..3 {
            thread::sleep(time);
            if rnd(2) == 0 {
                session.client().extend()
            } else {
                let _ = session.inbox().send("a");
                answers += 1;
            }
        }
        lasts += 3 * time;
        let closes = rnd(2) == 0;
        if closes {
            drop(session);
            assert_eq!(rest(&mut c), (vec![b'a'; answers], true));
        } else {
            session.wait_until_over();
            lasts += time + moment;
            drop(session);
        }
        drop(server);
        (if closes { Reason::ClientClosed } else { Reason::Gone }, lasts)
    };
    let r = signals_balance(signals)[0];
    assert_eq!((r.reason, r.lasted), expected, "{r}");
    nothing_left();
}

/// With `read_on_demand`, clients leave without sending anything before the application asks for their bytes, some before the
/// outbox has room for them. The next client is served at the first attempt, once the application has had time to ask.
fn unasked() {
    let policy = match rnd(3) {
        0 => Busy::Drop,
        1 => Busy::tell("no"),
        _ => Busy::Wait,
    };
    let options = opts().busy(policy).depth(1 + rnd(2) as usize).close_timeout(None);
    let server = options.read_on_demand(true).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut o = Order::default();
    let start = Instant::now();
    for k in 0..4 {
        let c = TcpStream::connect(addr).unwrap();
        loop {
            match signals.recv().unwrap() {
                Signal::Connected(peer) => {
                    assert_eq!(peer, c.local_addr().unwrap());
                    break;
                }
                Signal::ProducerFinished(r) => {
                    assert_eq!((r.reason, r.received, r.complete), (Reason::ClientClosed, 0, true), "{r}")
                }
                s => panic!("client {k}: {s:?}"),
            }
        }
        if rnd(4) == 0 {
            if let Ok(m) = server.outbox().recv_timeout(ms(0)) {
                // Nothing is received within a session: that would ask for its bytes.
                o.see(&m);
                break;
            }
        }
        log(|| format!("client {k} leaves"));
    }
    if exact_time() {
        assert!(start.elapsed() <= 3 * ms(250), "newcomers had to wait for {:?}", start.elapsed());
    }
    // At last the application receives. The last client leaves, too, so every session has an end.
    loop {
        match server.outbox().recv_timeout(ms(10)) {
            Ok(m) => o.see(&m),
            Err(_) if o.open.is_none() && !server.is_busy() => break,
            Err(_) => {}
        }
    }
    drop((server, signals));
    nothing_left();
}

/// The same without a newcomer: the writer notices that the client has left. Bytes before its FIN are kept for the close
/// timeout, or as long as the application calls `extend`.
fn unasked_timed() {
    let (close, moment) = (ms(80), ms(10));
    let options = opts().busy(any_policy()).depth(1).close_timeout(close);
    let mut server = options.read_on_demand(true).bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let next_report = || loop {
        if let Signal::ProducerFinished(r) = signals.recv().unwrap() {
            return r;
        }
    };
    // The outbox takes one client. Those after it have not been announced.
    for _ in 0..rnd(4) {
        let mut c = TcpStream::connect(addr).unwrap();
        let stays = ms(rnd(50) as u64);
        let said = rnd(2) == 0;
        thread::sleep(stays);
        if said {
            c.write_all(b"abc").unwrap();
        }
        drop(c);
        let left = Instant::now();
        let r = next_report();
        if said {
            assert_eq!((r.reason, r.lasted), (Reason::Gone, close + moment), "{r}");
        } else {
            assert_eq!(r.reason, Reason::ClientClosed, "{r}");
            assert!(left.elapsed() <= close / 8, "noticed after {:?}", left.elapsed());
        }
        assert_eq!(r.received, 0, "{r}");
    }
    while let Ok(m) = server.outbox().recv_timeout(ms(1)) {
        drop(m)
    }
    let mut c = TcpStream::connect(addr).unwrap();
    let session = server.accept().unwrap();
    c.write_all(b"job").unwrap();
    if rnd(2) == 0 {
        c.shutdown(Shutdown::Write).unwrap()
    } else {
        drop(c);
    }
    let mut job = Vec::new();
    if rnd(2) == 0 {
        for _ in 0..1 + rnd(3) {
            thread::sleep(close);
            session.client().extend();
        }
        (&session).read_to_end(&mut job).unwrap();
        assert_eq!(job, b"job");
        assert_eq!(session.close().reason, Reason::ClientClosed);
    } else {
        let r = session.wait_until_over();
        assert_eq!((r.reason, r.received, r.lasted), (Reason::Gone, 0, close + moment), "{r}");
        drop(session);
    }
    drop((server, signals));
    nothing_left();
}

/// Under `Wait`, a client that is not on the allow-list is refused while another client is served. Those on the list wait,
/// and are served in their order, or closed by a stop.
fn strangers() {
    // Without a timer, a stranger that is not refused is a deadlock.
    let options = opts().busy(Busy::Wait).allow("127.0.0.1".parse().unwrap()).close_timeout(None);
    let server = options.depth(1 + rnd(2) as usize).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            if let Message::Data(d) = m {
                let _ = server.inbox().send(d);
            }
        }
        server
    });
    let ping = |c: &mut TcpStream| {
        c.write_all(b"ping").unwrap();
        let mut b = [0; 4];
        c.read_exact(&mut b).unwrap();
        assert_eq!(&b, b"ping");
    };
    let visit = move || {
        // Not possible after a stop.
        if let Ok(mut c) = TcpStream::connect_from([127, 0, 0, 2].into(), addr) {
            assert_eq!(rest(&mut c).0, b"", "a stranger");
        }
    };
    let mut first = TcpStream::connect(addr).unwrap();
    if rnd(2) == 0 {
        ping(&mut first);
    }
    // Nobody else is waiting, so each is refused although the first client stays.
    let early = rnd(3);
    for _ in 0..early {
        visit();
    }
    let waiting: Vec<_> = (0..2)
        .map(|k| {
            let mut c = TcpStream::connect(addr).unwrap();
            (
                c.local_addr().unwrap(),
                thread::spawn(move || {
                    let _ = c.write(&[b'0' + k]); // fails after a stop
                    let _ = c.shutdown(Shutdown::Write);
                    rest(&mut c)
                }),
            )
        })
        .collect();
    let late = thread::spawn(visit);
    ping(&mut first);
    let mut peers = vec![first.local_addr().unwrap()];
    if rnd(3) == 0 {
        ctl.stop();
        for (_, c) in waiting {
            assert_eq!(c.join().unwrap().0, b"", "a client that waits is served after a stop");
        }
        let (got, _) = rest(&mut first);
        assert!(got.is_empty());
    } else {
        assert!(waiting.iter().all(|(_, c)| !c.is_finished()), "a client did not wait for its turn");
        drop(first);
        for (k, (peer, c)) in waiting.into_iter().enumerate() {
            peers.push(peer);
            assert_eq!(c.join().unwrap(), (vec![b'0' + k as u8], true));
        }
    }
    late.join().unwrap();
    ctl.stop();
    drop(ctl);
    drop(app.join().unwrap());
    let (mut served, mut refused) = (vec![], 0);
    for s in signals.iter() {
        match s {
            Signal::Connected(peer) => served.push(peer),
            Signal::Refused { peer, why } => {
                assert_eq!((peer.ip(), why), ([127, 0, 0, 2].into(), Refusal::NotAllowed));
                refused += 1;
            }
            _ => {}
        }
    }
    assert_eq!(served, peers);
    assert!(refused >= early, "{refused} refusals for {early} strangers");
    drop(signals);
    nothing_left();
}

/// A client closes and connects again at once, while others are refused. It is served at the first attempt.
fn reconnect_refusals() {
    let policy = if rnd(2) == 0 { Busy::Drop } else { Busy::tell("no") };
    let expected = if let Busy::Tell(message) = &policy { message.clone() } else { vec![] };
    let server = opts().busy(policy).depth(2).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        while let Ok(m) = server.outbox().recv() {
            match m {
                Message::Connected(c) => drop(c.inbox().send("hi")),
                Message::Data(d) => drop(server.inbox().send(d)),
                _ => {}
            }
        }
        server
    });
    for k in 0..3 {
        let mut c = served_again(addr, k);
        for _ in 0..1 + rnd(2) {
            assert_eq!(rest(&mut TcpStream::connect(addr).unwrap()).0, expected, "a second client");
        }
        say_something(&mut c);
        log(|| format!("client {k} closes"));
    }
    ctl.stop();
    drop(ctl);
    drop(app.join().unwrap());
    assert_eq!(signals_balance(signals).len(), 3);
    nothing_left();
}

/// Errors that the connection survives end no session, no matter which thread gets them. A reset still does.
fn survived_errors() {
    let mut options = opts().depth(1 + rnd(2) as usize).read_on_demand(rnd(2) == 0);
    if exact_time() {
        options = options.close_timeout(ms(400)) // the writer looks every 50 ms
    }
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let (addr, signals) = (server.local_addr(), server.signal());
    let mut c = TcpStream::connect(addr).unwrap();
    let peer = c.local_addr().unwrap();
    let line = c.try_clone().unwrap();
    let disturber = thread::spawn(move || {
        for _ in 0..1 + rnd(3) {
            thread::sleep(ms(rnd(3) as u64 * 25));
            line.disturb_peer(std::io::ErrorKind::HostUnreachable);
            if rnd(2) == 0 {
                // The acceptor peeks at the connection, too.
                drop(TcpStream::connect(addr).unwrap());
            }
        }
    });
    let resets = rnd(2) == 0;
    let client = thread::spawn(move || {
        let mut all = vec![];
        for part in [&b"abc"[..], b"defgh", b"ij"] {
            c.write_all(part).expect("the session lasts");
            if rnd(2) == 0 {
                thread::sleep(ms(60))
            }
        }
        if !resets {
            c.shutdown(Shutdown::Write).unwrap();
        }
        let mut b = [0; 9];
        c.read_exact(&mut b).unwrap();
        all.extend_from_slice(&b);
        disturber.join().unwrap();
        if resets {
            // One byte of the echo is unread, so this is a reset.
            while c.peek(&mut b).unwrap() == 0 {}
            drop(c);
        } else {
            let (more, clean) = rest(&mut c);
            assert!(clean, "reset");
            all.extend_from_slice(&more);
            assert_eq!(all, b"abcdefghij");
        }
    });
    let session = server.accept().unwrap();
    assert_eq!(session.client().peer_addr(), peer);
    if rnd(2) == 0 {
        thread::sleep(ms(100));
    }
    while let Some(chunk) = session.next_chunk() {
        if session.inbox().send(chunk).is_err() {
            break;
        }
    }
    let r = session.close();
    client.join().unwrap();
    let reason = if resets { Reason::Reset } else { Reason::ClientClosed };
    assert_eq!((r.reason, r.received, r.sent + r.discarded), (reason, 10, 10), "{r}");
    drop((server, signals));
    nothing_left();
}

/// A drain while clients come and go: the last one is served to its end or until the time is up, and nobody after it.
fn drain() {
    let linger = 500;
    let server = opts().busy(any_policy()).stop_timeout(ms(linger)).bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let app = thread::spawn(move || {
        let mut o = Order::default();
        let inbox = server.inbox();
        while let Ok(m) = server.outbox().recv() {
            o.see(&m);
            if let Message::Data(d) = m {
                let _ = inbox.send(d);
            }
        }
        assert!(o.open.is_none(), "no end for {:?}", o.open);
        server
    });
    let clients: Vec<_> = (0..1 + rnd(2))
        .map(|_| {
            thread::spawn(move || {
                let mut c = match TcpStream::connect(addr) {
                    Ok(c) => c,
                    Err(_) => return,
                };
                let stays = rnd(2) == 0;
                if c.write(b"abc").is_ok() && !stays {
                    let _ = c.shutdown(Shutdown::Write);
                }
                rest(&mut c);
            })
        })
        .collect();
    let time = [0, 50, 200][rnd(3) as usize];
    let others = [(rnd(2), ctl.clone()), (2, ctl.clone())].map(|(what, ctl)| {
        thread::spawn(move || match what {
            0 => ctl.drain(ms(10_000)),
            1 => ctl.stop(),
            _ => {}
        })
    });
    let begun = Instant::now();
    log(|| format!("drain {time}"));
    ctl.drain(ms(time));
    let mut server = app.join().unwrap();
    let took = begun.elapsed();
    log(|| format!("the end came after {took:?}"));
    if exact_time() {
        assert!(took <= ms(time + linger + 150), "a drain of {time} ms took {took:?}");
    }
    assert!(server.accept().is_none());
    assert!(TcpStream::connect(addr).is_err(), "the port is open");
    clients.into_iter().for_each(|c| c.join().unwrap());
    others.into_iter().for_each(|c| c.join().unwrap());
    server.stop().unwrap();
    drop((server, ctl));
    signals_balance(signals);
    nothing_left();
}

/// A lent connection: its holder never gets a non-blocking socket or a timeout, even while newcomers connect, and sees the
/// end of the session, no matter what ends it.
fn lent() {
    let options = opts().busy(any_policy()).read_on_demand(true).handover(ms([0, 1000][rnd(2) as usize]));
    let mut server = options.bind("127.0.0.1:0").unwrap();
    let (addr, ctl, signals) = (server.local_addr(), server.control(), server.signal());
    let clients: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                let mut c = match TcpStream::connect(addr) {
                    Ok(c) => c,
                    Err(_) => return,
                };
                thread::sleep(ms(rnd(3) as u64 * 100)); // longer than the server's own write timeout
                let _ = c.write(b"ab");
                if rnd(2) == 0 {
                    let _ = c.shutdown(Shutdown::Write);
                }
                thread::sleep(ms(rnd(3) as u64 * 100));
                let (all, _) = rest(&mut c);
                assert!(all == b"no" || b"0123456789".starts_with(&all[..]), "{all:?}");
            })
        })
        .collect();
    let end = rnd(3);
    let ender = thread::spawn(move || {
        thread::sleep(ms(rnd(4) as u64 * 100));
        match (end, ctl.client()) {
            (0, Some(client)) => client.abort(),
            (1, _) => ctl.drain(ms(100)),
            _ => {}
        }
        thread::sleep(ms(1000));
        ctl.stop();
    });
    let mut count = 0;
    while let Some(session) = server.accept() {
        let mut stream = match session.stream() {
            Ok(stream) => stream,
            Err(e) => {
                assert_eq!(e.kind(), std::io::ErrorKind::NotConnected, "{e}");
                continue;
            }
        };
        count += 1;
        let holder = thread::spawn(move || {
            let calm = |e: std::io::Error| assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "{e}");
            let _ = stream.read(&mut [0; 2]).map_err(calm);
            let _ = stream.write_all(b"0123456789").map_err(calm);
        });
        assert!(session.inbox().try_send("no").is_err());
        if rnd(2) == 0 {
            holder.join().unwrap();
        } else {
            session.wait_until_over();
            holder.join().unwrap();
        }
        assert!(session.close().lent);
    }
    log(|| format!("{count} connections were lent"));
    clients.into_iter().for_each(|c| c.join().unwrap());
    ender.join().unwrap();
    server.stop().unwrap();
    drop(server);
    signals_balance(signals);
    nothing_left();
}

const SCENARIOS: &[(&str, fn())] = &[
    ("drain", drain),
    ("lent", lent),
    ("read_on_demand", read_on_demand),
    ("echo", || echo_half_close(Busy::Drop)),
    ("echo_wait", || echo_half_close(Busy::Wait)),
    ("echo_refuse", || echo_half_close(Busy::Refuse)),
    ("resets", resets),
    ("replace", replace),
    ("finish_full", finish_full),
    ("stop", || stop_any(any_policy(), 500)),
    ("waiters", waiters),
    ("refuse", refuse),
    ("held_back", held_back),
    ("half_close_race", half_close_race),
    ("accounting", accounting),
    ("accounting_first", accounting_first),
    ("stop_whole", stop_whole),
    ("stop_untaken", stop_untaken),
    ("sessions", sessions),
    ("chaos", chaos),
    ("finish_twice", finish_twice),
    ("behind_half_close", behind_half_close),
    ("untaken", untaken),
    ("finish_flood", finish_flood),
    ("room_notified", room_notified),
    ("reconnect", reconnect),
    ("abort", abort),
    ("wake", wake),
    ("handover", handover),
    ("close_timeout", close_timeout),
    ("deadline_met", deadline_met),
    ("unasked", unasked),
    ("unasked_timed", unasked_timed),
    ("strangers", strangers),
    ("reconnect_refusals", reconnect_refusals),
    ("survived_errors", survived_errors),
];

/// Scenarios that check times, or sleep until no other thread can run. With eager timers they are skipped.
const TIMED: &[&str] = &[
    "accounting_first",
    "deadline_met",
    "held_back",
    "stop_untaken",
    "stop_whole",
    "unasked_timed",
    "untaken",
];

/// The arguments are `list`; `search NAME COUNT SEED FOLDER`, which leaves a failing schedule in the folder; or
/// `replay NAME FILE LINES`, which prints that many lines of the trace.
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(|arg| arg.as_str()).collect();
    EAGER.store(std::env::var("EAGER").map_or(0, |n| n.parse().expect("EAGER: a number")), Ordering::Relaxed);
    let scenario = |name: &str| SCENARIOS.iter().find(|s| s.0 == name).expect("a scenario of the list").1;
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let mut config = shuttle::Config::new();
    config.stack_size = 0x20000;
    config.silence_warnings = true;
    config.max_steps = shuttle::MaxSteps::FailAfter(400_000);
    match args[1..] {
        ["list"] => SCENARIOS.iter().for_each(|(name, _)| println!("{name}")),
        ["search", name, ..] if TIMED.contains(&name) && !exact_time() => println!("skipped {name}"),
        ["search", name, count, seed, folder] => {
            let (run, count, seed) = (scenario(name), number(count) as usize, number(seed));
            config.failure_persistence = shuttle::FailurePersistence::File(Some(folder.into()));
            let f = move || sim::world(EAGER.load(Ordering::Relaxed), run);
            use shuttle::scheduler::{PctScheduler, RandomScheduler};
            let random =
                shuttle::Runner::new(RandomScheduler::new_from_seed(seed, count), config.clone()).run(f);
            // Half of these schedules change priorities 3 times, the other half 5 times.
            let half =
                shuttle::Runner::new(PctScheduler::new_from_seed(seed, 3, count / 2), config.clone()).run(f);
            let pct = half
                + shuttle::Runner::new(PctScheduler::new_from_seed(seed, 5, count - count / 2), config)
                    .run(f);
            println!("held {name} random {random} pct {pct}");
        }
        ["replay", name, file, lines] => {
            let (run, lines) = (scenario(name), number(lines) as usize);
            config.failure_persistence = shuttle::FailurePersistence::None;
            sim::TRACING.store(true, Ordering::Relaxed);
            let first = AtomicBool::new(true);
            std::panic::set_hook(Box::new(move |panic| {
                if first.swap(false, Ordering::Relaxed) {
                    sim::dump(lines);
                    match panic.location() {
                        Some(place) if place.file().ends_with("scheduler/replay.rs") => {
                            println!("  the schedule does not fit these sources")
                        }
                        _ => println!("  {panic}"),
                    }
                }
            }));
            let scheduler = shuttle::scheduler::ReplayScheduler::new_from_file(file).expect("a schedule");
            shuttle::Runner::new(scheduler, config)
                .run(move || sim::world(EAGER.load(Ordering::Relaxed), run));
            println!("  this schedule does not fail");
        }
        _ => panic!("list, search or replay"),
    }
}
