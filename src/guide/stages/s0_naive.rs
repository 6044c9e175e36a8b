//! Stage 0: a naive server, as most of us would write it first.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread;

/// The application's answer to a piece of the client's bytes; `None` ends the session.
pub type Answer = Option<Vec<u8>>;

pub struct Server {
    pub addr: SocketAddr,
}

/// Serves one client after the other. The application is called with what the client sends,
/// piece by piece.
pub fn start<A>(addr: &str, mut application: A) -> io::Result<Server>
where
    A: FnMut(&[u8]) -> Answer + Send + 'static,
{
    let listener = TcpListener::bind(addr)?;
    let server = Server { addr: listener.local_addr()? };
    // Seen from the server's side: bytes come out of the outbox, answers go into the inbox.
    let (to_outbox, outbox) = channel::<Vec<u8>>();
    let (inbox, from_inbox) = channel::<Answer>();

    let answers = inbox.clone();
    thread::spawn(move || {
        for bytes in outbox {
            answers.send(application(&bytes)).expect("the server never exits");
        }
    });
    thread::spawn(move || loop {
        let (stream, _) = listener.accept().expect("accept does not fail");
        // An error concerns this client only, so the server continues.
        let _ = serve(&stream, &to_outbox, &inbox, &from_inbox);
        let _ = stream.shutdown(Shutdown::Both);
    });
    Ok(server)
}

fn serve(
    mut stream: &TcpStream,
    to_outbox: &Sender<Vec<u8>>,
    inbox: &Sender<Answer>,
    from_inbox: &Receiver<Answer>,
) -> io::Result<()> {
    let reading = stream.try_clone()?;
    let (to_outbox, inbox) = (to_outbox.clone(), inbox.clone());
    // On a separate thread, so the client can send while it receives.
    thread::spawn(move || {
        read(&reading, &to_outbox);
        inbox.send(None).expect("the server never exits");
    });
    while let Ok(Some(bytes)) = from_inbox.recv() {
        stream.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads until the client closes the connection or it breaks.
fn read(mut stream: &TcpStream, to_outbox: &Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        to_outbox.send(buffer[..length].to_vec()).expect("the application never exits");
    }
}

/// Answers in capital letters, and hangs up on "quit". Try it with `ncat 127.0.0.1 1601`.
fn main() -> io::Result<()> {
    let server = start("127.0.0.1:1601", |bytes| match bytes {
        b"quit\n" => None,
        _ => Some(bytes.to_ascii_uppercase()),
    })?;
    println!("listening on {}", server.addr);
    loop {
        thread::park();
    }
}
