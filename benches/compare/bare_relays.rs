//! The simplest programs that connect a client to a process or to another server: one client after the other, blocking
//! calls, nothing else.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use crate::servers::listen;

pub fn forward(target: SocketAddr) -> io::Result<()> {
    for client in listen()?.incoming() {
        let (client, server) = (client?, TcpStream::connect(target)?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        thread::scope(|scope| {
            scope.spawn(|| {
                copy(&client, &server);
                let _ = server.shutdown(Shutdown::Write);
            });
            copy(&server, &client);
            let _ = client.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

/// A process for each client, connected to this program by a socket pair.
#[cfg(unix)]
pub fn exec() -> io::Result<()> {
    use std::os::unix::io::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    for client in listen()?.incoming() {
        let client = client?;
        client.set_nodelay(true)?;
        let (ours, theirs) = UnixStream::pair()?;
        let (input, output) = (OwnedFd::from(theirs.try_clone()?), OwnedFd::from(theirs));
        let mut cat = Command::new("cat").stdin(Stdio::from(input)).stdout(Stdio::from(output)).spawn()?;
        thread::scope(|scope| {
            scope.spawn(|| {
                copy(&client, &ours);
                let _ = ours.shutdown(Shutdown::Write);
            });
            copy(&ours, &client);
            let _ = client.shutdown(Shutdown::Both);
        });
        cat.wait()?;
    }
    Ok(())
}

/// A process for each client that has the connection as its standard input and output.
#[cfg(unix)]
pub fn inetd() -> io::Result<()> {
    use std::os::unix::io::OwnedFd;
    use std::process::{Command, Stdio};

    for client in listen()?.incoming() {
        let client = client?;
        client.set_nodelay(true)?;
        let (input, output) = (OwnedFd::from(client.try_clone()?), OwnedFd::from(client));
        Command::new("cat").stdin(Stdio::from(input)).stdout(Stdio::from(output)).status()?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub fn exec() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
pub fn inetd() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Copies until the end of the input or an error. `std::io::copy` would leave it to the kernel on Linux.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
}
