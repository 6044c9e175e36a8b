//! The bench's own servers, which this program runs when it is started with `serve`: the baselines, the simplest programs
//! that do the same, and small programs that use the library.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Message, Options, SingleServer};

use crate::bare_relays;

/// Runs one of them.
pub fn serve(what: &[&str]) -> ExitCode {
    let number = |text: &str| text.parse().expect("a number");
    let micros = |text: &str| Duration::from_micros(number(text));
    let done = match what {
        ["loop", size] => plain_loop(number(size) as usize),
        ["shape"] => bare_shape(),
        ["drop", wait] => accept_and_drop(micros(wait)),
        ["write", count] => write_each(number(count)),
        ["channel", count] => channel_each(number(count)),
        ["inbox", count] => inbox_each(number(count)),
        ["inbox-before", count] => inbox_before(number(count)),
        ["channel-before", count] => channel_before(number(count)),
        ["forward", target] => bare_relays::forward(target.parse().expect("an address")),
        ["exec"] => bare_relays::exec(),
        ["inetd"] => bare_relays::inetd(),
        ["tick"] => tick(),
        ["library", polling] => library_echo(micros(polling)),
        other => panic!("no such server: {other:?}"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{what:?}: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Listens, and tells the bench where.
pub fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

fn bind(options: Options) -> io::Result<SingleServer> {
    let server = options.bind("127.0.0.1:0")?;
    eprintln!("listening on {}", server.local_addr());
    Ok(server)
}

/// One thread that serves one client after the other with `read` and `write_all`.
fn plain_loop(size: usize) -> io::Result<()> {
    let mut buffer = vec![0; size];
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) if stream.write_all(&buffer[..count]).is_err() => break,
                Ok(_) => {}
            }
        }
    }
    Ok(())
}

/// Three threads and two channels, a busy flag, and nothing else: the minimum that this architecture costs.
fn bare_shape() -> io::Result<()> {
    let busy = Arc::new(AtomicBool::new(false));
    for stream in listen()?.incoming() {
        let stream = stream?;
        if busy.swap(true, Ordering::AcqRel) {
            continue;
        }
        stream.set_nodelay(true)?;
        let busy = busy.clone();
        thread::spawn(move || {
            shape_session(&stream);
            busy.store(false, Ordering::Release);
        });
    }
    Ok(())
}

fn shape_session(stream: &TcpStream) {
    let (outbox, messages) = sync_channel::<Vec<u8>>(4);
    let (inbox, parcels) = sync_channel(4);
    thread::scope(|scope| {
        scope.spawn(
            move || while patiently(&messages).map_or(false, |message| inbox.send(message).is_ok()) {},
        );
        scope.spawn(move || {
            let (mut stream, parcels) = (stream, parcels);
            while patiently(&parcels).map_or(false, |parcel| stream.write_all(&parcel).is_ok()) {}
        });
        let (mut stream, outbox) = (stream, outbox);
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if outbox.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
}

fn patiently<T>(receiver: &Receiver<T>) -> Option<T> {
    let until = Instant::now() + Duration::from_micros(50);
    while Instant::now() < until {
        match receiver.try_recv() {
            Err(TryRecvError::Empty) => thread::yield_now(),
            received => return received.ok(),
        }
    }
    receiver.recv().ok()
}

/// The fastest possible refusal, after a wait.
fn accept_and_drop(wait: Duration) -> io::Result<()> {
    for stream in listen()?.incoming() {
        let stream = stream?;
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        drop(stream);
    }
    Ok(())
}

/// Wakes up a hundred times a second.
fn tick() -> io::Result<()> {
    let _listener = listen()?;
    loop {
        thread::sleep(Duration::from_millis(10));
    }
}

/// A message of 32 bytes that starts with its number.
pub fn numbered(number: u64) -> [u8; 32] {
    let mut message = [b'.'; 32];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

/// A write for each message.
fn write_each(count: u64) -> io::Result<()> {
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        for number in 0..count {
            stream.write_all(&numbered(number))?;
        }
    }
    Ok(())
}

/// A channel with as much room as the inbox, and a thread that gathers as many messages for a write.
fn channel_each(count: u64) -> io::Result<()> {
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let (inbox, parcels) = sync_channel::<Vec<u8>>(1024);
        let writer = thread::spawn(move || -> io::Result<()> {
            let mut gathered = Vec::new();
            while let Some(first) = patiently(&parcels) {
                gathered.clear();
                gathered.extend(first);
                parcels.try_iter().take(127).for_each(|parcel| gathered.extend(parcel));
                stream.write_all(&gathered)?;
            }
            Ok(())
        });
        // An error means that the writer has failed, and says how.
        let _ = (0..count).try_for_each(|number| inbox.send(numbered(number).to_vec()));
        drop(inbox);
        writer.join().expect("the writer does not panic")?;
    }
    Ok(())
}

/// An `Inbox::send` for each message.
fn inbox_each(count: u64) -> io::Result<()> {
    let server = bind(Options::new())?;
    for message in server.outbox() {
        if let Message::Connected(client) = message {
            let inbox = client.inbox();
            for number in 0..count {
                inbox.send(numbered(number))?;
            }
            client.finish();
        }
    }
    Ok(())
}

/// Sends this many messages before a client comes, so that nothing else happens meanwhile. The client gets them, and then how
/// long that has taken.
fn inbox_before(count: u64) -> io::Result<()> {
    let server = bind(Options::new())?;
    let inbox = server.inbox();
    let send = || -> io::Result<u64> {
        let began = Instant::now();
        for number in 0..count {
            inbox.send(numbered(number))?;
        }
        Ok(began.elapsed().as_nanos() as u64)
    };
    let mut took = send()?;
    for message in server.outbox() {
        match message {
            Message::Connected(client) => {
                client.inbox().send(numbered(took))?;
                client.finish();
            }
            Message::Data(_) => {}
            _ => took = send()?, // the session has ended
        }
    }
    Ok(())
}

/// The same with a channel that has as much room as the inbox, and an account of it under a lock.
fn channel_before(count: u64) -> io::Result<()> {
    let listener = listen()?;
    loop {
        let (inbox, parcels) = sync_channel::<Vec<u8>>(1024);
        let account = Mutex::new(0);
        let began = Instant::now();
        for number in 0..count {
            let message = numbered(number).to_vec();
            let mut account = account.lock().expect("nobody panics");
            *account += message.capacity();
            // There is room, and the receiver lives.
            let _ = inbox.send(message);
        }
        let took = began.elapsed();
        drop(inbox);
        let (mut stream, _) = listener.accept()?;
        let mut gathered: Vec<u8> = parcels.iter().flatten().collect();
        gathered.extend(numbered(took.as_nanos() as u64));
        stream.write_all(&gathered)?;
    }
}

/// The echo of the library, which polls for this time.
fn library_echo(polling: Duration) -> io::Result<()> {
    single_server::echo(&bind(Options::new().yield_time(polling))?);
    Ok(())
}
