//! The bench's own servers, which this program runs when it is started with `serve`: the baselines, which are the simplest
//! programs that do the same, and small programs that use the library.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, TryRecvError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use single_server::{Options, SingleServer};

use crate::{bare_relays, inbox_servers};

/// Runs one of them.
pub fn serve(what: &[&str]) -> ExitCode {
    let number = |text: &str| text.parse().expect("a number");
    let micros = |text: &str| Duration::from_micros(number(text));
    let done = match what {
        ["loop", size] => plain_loop(number(size) as usize),
        ["shape"] => bare_shape(),
        ["drop", wait] => accept_and_drop(micros(wait)),
        ["write", count] => inbox_servers::write_each(number(count)),
        ["channel", count] => inbox_servers::channel_each(number(count)),
        ["inbox", count] => inbox_servers::inbox_each(number(count)),
        ["inbox-before", count] => inbox_servers::inbox_before(number(count)),
        ["channel-before", count] => inbox_servers::channel_before(number(count)),
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

pub fn bind(options: Options) -> io::Result<SingleServer> {
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

pub fn patiently<T>(receiver: &Receiver<T>) -> Option<T> {
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

/// The echo of the library, which polls for this time.
fn library_echo(polling: Duration) -> io::Result<()> {
    single_server::echo(&bind(Options::new().yield_time(polling))?);
    Ok(())
}
