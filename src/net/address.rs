//! Addresses as the system reports them, and as they are shown.

use std::net::{IpAddr, SocketAddr};

/// The IPv4 address of a client that has reached a listener on `[::]` by IPv4, which the system reports as
/// `::ffff:192.168.1.7`; any other address as it is.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(addr, |v4| (v4, addr.port()).into()),
        IpAddr::V4(_) => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ipv4_mapped_addresses_change() {
        for (reported, shown) in [
            ("[::ffff:192.168.1.7]:80", "192.168.1.7:80"),
            ("192.168.1.7:80", "192.168.1.7:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::127.0.0.1]:80", "[::127.0.0.1]:80"),
            ("[fe80::1%2]:80", "[fe80::1%2]:80"),
        ] {
            assert_eq!(canonical(reported.parse().unwrap()), shown.parse().unwrap(), "{reported}");
        }
    }
}
