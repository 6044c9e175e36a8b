//! The environment variables that describe the client to a process of `exec`. Their names are those of tcpserver.

use std::process::Command;

use single_server::Session;

/// Variables that tcpserver fills by look-ups. If this server runs under tcpserver, they describe another connection.
const UNKNOWN: [&str; 3] = ["TCPREMOTEHOST", "TCPREMOTEINFO", "TCPLOCALHOST"];

pub fn describe(session: &Session, command: &mut Command) {
    let (peer, local) = (session.client().peer_addr(), session.client().local_addr());
    command.env("PROTO", "TCP");
    command.env("TCPREMOTEIP", peer.ip().to_string()).env("TCPREMOTEPORT", peer.port().to_string());
    command.env("TCPLOCALIP", local.ip().to_string()).env("TCPLOCALPORT", local.port().to_string());
    for name in UNKNOWN {
        command.env_remove(name);
    }
}
