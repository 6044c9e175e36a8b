//! Servers in this process, and their messages and signals.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use single_server::{
    Busy, Client, Control, End, Message, Options, Report, SendError, Session, Signal, SingleServer,
};

use super::clients::connect;
use super::waiting::{becomes, in_time, DEADLINE};

/// A server that echoes on a thread of its own until it is dropped.
pub struct Echo {
    pub addr: SocketAddr,
    pub inbox: single_server::Inbox,
    pub control: Control,
    pub signals: Receiver<Signal>,
    thread: Option<thread::JoinHandle<SingleServer>>,
}

pub fn echo(options: Options) -> Echo {
    echo_on("127.0.0.1:0", options)
}

/// An address for a server that closes its port, for good or for a while. No other test uses this address, so the kernel does
/// not give the port to another test meanwhile. Systems other than Linux may have no second loopback address.
pub fn apart() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    if cfg!(target_os = "linux") {
        format!("127.1.60.{}:0", NEXT.fetch_add(1, Ordering::Relaxed))
    } else {
        "127.0.0.1:0".to_string()
    }
}

/// An address on which nobody listens or has listened: a process that is being started may hold a copy of a listener that has
/// been closed.
pub fn free_address() -> SocketAddr {
    UdpSocket::bind(apart()).unwrap().local_addr().unwrap()
}

/// The address for a server with this policy.
pub fn address_for(policy: &Busy) -> String {
    if *policy == Busy::Refuse {
        apart()
    } else {
        "127.0.0.1:0".to_string()
    }
}

pub fn echo_on(addr: &str, options: Options) -> Echo {
    let server = options.bind(addr).unwrap();
    Echo {
        addr: server.local_addr(),
        inbox: server.inbox(),
        control: server.control(),
        signals: server.signal(),
        thread: Some(thread::spawn(move || {
            single_server::echo(&server);
            server
        })),
    }
}

impl Echo {
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            in_time("the echo", move || thread.join().unwrap().stop().unwrap());
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

/// Waits for the next session to end. Returns its report.
pub fn next_report(signals: &Receiver<Signal>) -> Report {
    loop {
        if let Signal::ProducerFinished(report) = signals.recv_timeout(DEADLINE).expect("a session ends") {
            return report;
        }
    }
}

/// Waits for the next client to get the slot. Returns its address.
pub fn next_connected(signals: &Receiver<Signal>) -> SocketAddr {
    loop {
        if let Signal::Connected(peer) = signals.recv_timeout(DEADLINE).expect("a client connects") {
            return peer;
        }
    }
}

/// Waits for the next message from a server's outbox.
pub fn next_message(server: &SingleServer) -> Message {
    server.outbox().recv_timeout(DEADLINE).expect("a message comes out of the outbox")
}

/// Waits until this client has the slot, and drops the messages before that.
pub fn next_client(server: &SingleServer, stream: &TcpStream) -> Client {
    let peer = stream.local_addr().unwrap();
    loop {
        match next_message(server) {
            Message::Connected(client) if client.peer_addr() == peer => return client,
            _ => {}
        }
    }
}

/// Finishes the session of the client that is connected, if there is one.
pub fn finish(control: &Control) {
    if let Some(client) = control.client() {
        client.finish();
    }
}

/// The report of a session that has ended.
pub fn report_of(end: &End) -> Report {
    end.client().report().expect("the session has ended")
}

/// Sends two words to a server with an outbox of depth 1. The first one fills the outbox, and the reader waits for room for
/// the second one.
pub fn block_the_reader(client: &mut TcpStream, session: &Session<'_>) {
    for (word, received) in [(b"one", 3), (b"two", 6)] {
        client.write_all(word).unwrap();
        becomes(received, || session.client().traffic().received);
    }
}

/// Options of a server that waits only briefly for its last client.
pub fn quick() -> Options {
    Options::new().stop_timeout(Duration::from_millis(100))
}

/// Stops the server, checks that the port is free and all handles are closed, and stops it a second time. The server must be
/// [`apart`]: on an address that all tests use, the system can give the port to another test at once.
pub fn stop(server: SingleServer) {
    let addr = server.local_addr();
    let mut server = in_time("stop", move || {
        let mut server = server;
        server.stop().unwrap();
        server
    });
    TcpListener::bind(addr).expect("the port is free");
    server.stop().unwrap();
    assert!(server.outbox().recv().is_err());
    assert!(matches!(server.inbox().send("late"), Err(SendError::Stopped(_))));
    assert!(server.accept().is_none());
    server.signal().iter().for_each(drop); // it ends
    assert!(!server.is_busy());
}

/// A client that has sent a request and its FIN and waits for an answer, and the end that the application holds for it.
pub fn leaving(server: &SingleServer) -> (TcpStream, End) {
    let mut client = connect(server.local_addr());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    loop {
        if let Message::End(end) = next_message(server) {
            return (client, end);
        }
    }
}

/// Serves the next client, with one word.
pub fn serve_next(server: &SingleServer, client: &TcpStream) {
    let peer = client.local_addr().unwrap();
    while !matches!(next_message(server), Message::Connected(client) if client.peer_addr() == peer) {}
    server.inbox().send("your turn").unwrap();
    finish(&server.control());
}
