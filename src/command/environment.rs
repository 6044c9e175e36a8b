//! The variables that tell a process of `exec` who its client is. Their names are tcpserver's.

use std::process::Command;

use single_server::Session;

/// Those that tcpserver looks up. From an outer tcpserver they would be about somebody else.
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
