//! A range of addresses, for the list of those who are allowed (promise 10).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address or an address prefix such as `192.168.1.0/24` or `fd00::/8`.
///
/// IPv4 addresses that come mapped into IPv6 (`::ffff:192.168.1.7`), as they do on a listener for both, count as
/// IPv4.
///
/// # Examples
///
/// ```
/// use single_server::Prefix;
///
/// let lab: Prefix = "192.168.1.0/24".parse()?;
/// assert!(lab.contains("192.168.1.7".parse().unwrap()));
/// assert!(lab.contains("::ffff:192.168.1.7".parse().unwrap()));
/// assert!(!lab.contains("192.168.2.7".parse().unwrap()));
///
/// let error = "192.168.1.0/33".parse::<Prefix>().unwrap_err();
/// assert_eq!(error.to_string(), "\"192.168.1.0/33\" is not an IP address or prefix such as 10.0.0.0/8 or fd00::/8");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The address as one of IPv6 (those of IPv4 mapped), with zeros after the prefix.
    network: u128,
    bits: u32,
}

impl Prefix {
    /// Whether the address is in the range.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let address = widen(ip);
        // IPv4 has its place in IPv6, but who allows all of that, or half of it, does not mean it.
        address & mask(self.bits) == self.network && (self.bits >= V4_STARTS || !is_v4(address))
    }
}

/// How many bits of a mapped address come before the IPv4 address.
const V4_STARTS: u32 = 96;

fn widen(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn is_v4(address: u128) -> bool {
    address >> 32 == 0xffff
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Prefix> {
        let parse = || {
            let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
            let ip: IpAddr = ip.parse().ok()?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = match bits {
                Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse::<u8>().ok()?.into(),
                Some(_) => return None,
                None => most,
            };
            let address = widen(ip);
            let bits = bits + (128 - most);
            let sensible = bits <= 128 && (bits >= V4_STARTS || !is_v4(address));
            sensible.then(|| Prefix { network: address & mask(bits), bits })
        };
        parse().ok_or_else(|| {
            let what = format!("{text:?} is not an IP address or prefix such as 10.0.0.0/8 or fd00::/8");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = Ipv6Addr::from(self.network);
        match network.to_ipv4_mapped() {
            Some(v4) => write!(f, "{v4}/{}", self.bits - V4_STARTS),
            None => write!(f, "{network}/{}", self.bits),
        }
    }
}
