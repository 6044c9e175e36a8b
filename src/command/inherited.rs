//! Sockets that a supervisor has passed as standard input, output or error.

use std::io;
use std::net::TcpListener;

/// The listener that is standard input.
///
/// Other sockets are ruled out: `local_addr` fails if it is not an IP socket, `nodelay` if it is not TCP, and `peer_addr`
/// succeeds if it is connected (as from inetd's `nowait`). [`listens`] then checks that it is not merely bound.
#[cfg(unix)]
pub fn listener() -> io::Result<TcpListener> {
    use std::net::TcpStream;
    use std::os::unix::io::{AsFd, OwnedFd};

    let cannot =
        |e: io::Error| io::Error::new(e.kind(), format!("cannot use standard input as a socket: {e}"));
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(cannot)?;
    let stream = TcpStream::from(socket);
    let is_listener = match stream.local_addr() {
        Ok(addr) => {
            let listens = || Ok::<bool, io::Error>(listens(stream.try_clone()?.into(), addr.is_ipv4()));
            addr.port() != 0 && stream.nodelay().is_ok() && stream.peer_addr().is_err() && listens()?
        }
        Err(_) => false,
    };
    if !is_listener {
        let what = "standard input is not a listening TCP socket; pass one, or give --listen a port";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(TcpListener::from(OwnedFd::from(stream)))
}

/// Whether a TCP socket listens. Accepts no client from it.
///
/// `std` cannot query SO_ACCEPTCONN. But `connect` to an address of the other family fails in different ways for sockets that
/// listen and sockets that do not. The errors depend on the system, so this compares with the error of a new listener. If that
/// cannot be created, the socket counts as listening, and the server logs the errors of `accept`.
#[cfg(unix)]
fn listens(socket: std::os::unix::io::OwnedFd, is_ipv4: bool) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
    use std::os::unix::io::OwnedFd;

    // The only type with a `connect` for an existing socket.
    let socket = UdpSocket::from(socket);
    let (here, elsewhere): (SocketAddr, SocketAddr) = match is_ipv4 {
        true => ((Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 1).into()),
        false => ((Ipv6Addr::LOCALHOST, 0).into(), (Ipv4Addr::LOCALHOST, 1).into()),
    };
    let error = |socket: &UdpSocket| socket.connect(elsewhere).err().and_then(|e| e.raw_os_error());
    match TcpListener::bind(here) {
        Ok(ours) => error(&socket) == error(&UdpSocket::from(OwnedFd::from(ours))),
        Err(_) => true,
    }
}

#[cfg(not(unix))]
pub fn listener() -> io::Result<TcpListener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "--listen stdin works on Unix only"))
}

/// Whether standard output is the listener, too, and so cannot be written.
#[cfg(unix)]
pub fn is_stdout_a_listener() -> bool {
    use std::os::unix::io::AsFd;
    has_no_peer(io::stdout().as_fd())
}

/// The same for standard error. A process that inherits it would be killed by SIGPIPE when it writes a line.
#[cfg(unix)]
pub fn is_stderr_a_listener() -> bool {
    use std::os::unix::io::AsFd;
    has_no_peer(io::stderr().as_fd())
}

/// inetd's `wait` passes the listener as all three, and so does systemd if only `StandardInput=socket` is given.
#[cfg(unix)]
fn has_no_peer(output: std::os::unix::io::BorrowedFd<'_>) -> bool {
    // An error means that it is not an IP socket, or not open.
    output.try_clone_to_owned().map_or(false, |socket| {
        let socket = std::net::TcpStream::from(socket);
        socket.local_addr().is_ok() && socket.peer_addr().is_err()
    })
}

#[cfg(not(unix))]
pub fn is_stdout_a_listener() -> bool {
    false
}

#[cfg(not(unix))]
pub fn is_stderr_a_listener() -> bool {
    false
}
