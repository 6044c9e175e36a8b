//! Owns the syntax of a host and a port, for `--listen` and the target of `forward`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// `HOST:PORT`, where the host is a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Without brackets. It may have a scope, as in `fe80::1%eth0`.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// The error says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Endpoint, String> {
        let (host, number) = match text.rsplit_once(':') {
            Some(parts) if !text.ends_with(']') => parts,
            _ => return Err("the port is missing".to_string()),
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if host.contains(':') && bracketed.is_none() {
            return Err("an IPv6 address needs brackets".to_string());
        }
        let host = bracketed.unwrap_or(host).to_string();
        if host.is_empty() {
            return Err("the address is missing".to_string());
        }
        let port = port(number).ok_or_else(|| format!("'{number}' is not a port from 0 to 65535"))?;
        Ok(Endpoint { host, port })
    }

    /// May wait for a name server.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((&self.host[..], self.port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A number without a sign; `str::parse` would accept `+1`.
pub fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_prints_as_it_was_written() {
        for (text, host, port) in [
            ("printer:9100", "printer", 9100),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:1601", "::1", 1601),
            ("[fe80::77%eth0]:9100", "fe80::77%eth0", 9100),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((&endpoint.host[..], endpoint.port), (host, port), "{text}");
            assert_eq!(endpoint.to_string(), text);
        }
        for text in ["", "printer", "9100", ":9100", "[]:9100", "[::1]", "::1:9100", "printer:", "printer:+1"]
        {
            assert!(Endpoint::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_scope_is_resolved() {
        // Index 1 is the loopback interface wherever there is one.
        let endpoint = Endpoint::parse("[fe80::77%1]:9100").unwrap();
        match &endpoint.resolve().unwrap()[..] {
            [SocketAddr::V6(addr)] => assert_eq!((addr.scope_id(), addr.port()), (1, 9100)),
            found => panic!("{found:?}"),
        }
    }
}
