//! `forward`: each client speaks to another TCP server.

use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use single_server::Session;

use super::bridge;

/// How long each address of the target may take to answer.
const DIAL: Duration = Duration::from_secs(5);

/// One client. An error is about the target; the client is then gone, and the next one may come.
pub fn serve(session: &mut Session, target: &str) -> io::Result<()> {
    let stream = match dial(session, target)? {
        Some(stream) => stream,
        None => return Ok(()), // the client has left
    };
    let cannot = |e: io::Error| io::Error::new(e.kind(), format!("cannot forward to {target}: {e}"));
    stream.set_nodelay(true).map_err(cannot)?;

    // Each direction that ends closes its own half, and the second one the session.
    let ended = Arc::new(AtomicBool::new(false));
    let back = thread::Builder::new().name("back".into()).spawn({
        let (stream, inbox, ended) = (stream.try_clone().map_err(cannot)?, session.inbox(), ended.clone());
        move || {
            let carried = bridge::to_client(stream, &inbox);
            // A target that broke the connection reads no more either.
            if carried.is_err() || ended.swap(true, Ordering::SeqCst) {
                inbox.finish();
            } else {
                inbox.half_close();
            }
            carried
        }
    });
    let back = back.map_err(cannot)?;
    let _ = bridge::from_client(session, &stream);
    let _ = stream.shutdown(Shutdown::Write);
    if !ended.swap(true, Ordering::SeqCst) {
        session.wait_until_over();
    }
    // The other direction may still be reading, if it was the client's connection that broke.
    let _ = stream.shutdown(Shutdown::Both);
    back.join().unwrap_or(Ok(())).map_err(cannot)
}

/// Connects to the first address of the target that answers, on a thread of its own: `None` if the client leaves
/// before that.
fn dial(session: &Session, target: &str) -> io::Result<Option<TcpStream>> {
    let addresses = target.to_string();
    let dialling = thread::Builder::new().name("dial".into()).spawn(move || {
        let mut answer = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for addr in addresses.to_socket_addrs()? {
            answer = TcpStream::connect_timeout(&addr, DIAL);
            if answer.is_ok() {
                break;
            }
        }
        answer
    })?;
    let client = session.inbox();
    let mut pause = Duration::from_millis(1);
    while !dialling.is_finished() {
        if client.is_closed() {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = Duration::from_millis(50).min(pause * 2);
    }
    match dialling.join() {
        Ok(Ok(stream)) => Ok(Some(stream)),
        Ok(Err(e)) => Err(io::Error::new(e.kind(), format!("cannot connect to {target}: {e}"))),
        Err(_) => Ok(None),
    }
}
