//! Servers that send numbered messages to their client: through the inbox, and in simpler ways.

use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use single_server::{Message, Options};

use crate::servers::{bind, listen, patiently};

/// A message of 32 bytes that starts with its number.
pub fn numbered(number: u64) -> [u8; 32] {
    let mut message = [b'.'; 32];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

/// A write for each message.
pub fn write_each(count: u64) -> io::Result<()> {
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
pub fn channel_each(count: u64) -> io::Result<()> {
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
pub fn inbox_each(count: u64) -> io::Result<()> {
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
pub fn inbox_before(count: u64) -> io::Result<()> {
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
pub fn channel_before(count: u64) -> io::Result<()> {
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
