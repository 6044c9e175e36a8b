//! A range of addresses, for the list of those who are allowed (promise 10).

use std::fmt;
use std::io;
use std::net::IpAddr;
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
    /// The address, without the bits after the prefix, at the upper end of 128 bits.
    network: u128,
    bits: u32,
    v4: bool,
}

impl Prefix {
    /// Whether the address is in the range.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (address, v4) = widen(ip);
        v4 == self.v4 && address & mask(self.bits) == self.network
    }
}

/// The address at the upper end of 128 bits, and whether it is IPv4.
fn widen(ip: IpAddr) -> (u128, bool) {
    let v4 = match ip {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
    };
    match (v4, ip) {
        (Some(v4), _) => (u128::from(u32::from(v4)) << 96, true),
        (None, IpAddr::V6(v6)) => (u128::from(v6), false),
        (None, IpAddr::V4(_)) => unreachable!("an IPv4 address is one"),
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Prefix> {
        let parse = || {
            let (ip, bits) = match text.split_once('/') {
                Some((ip, bits)) => (ip, Some(bits)),
                None => (text, None),
            };
            let ip: IpAddr = ip.parse().ok()?;
            let (address, v4) = widen(ip);
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = match bits {
                Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
                Some(_) => return None,
                None => most,
            };
            // A prefix of mapped addresses, such as ::ffff:10.0.0.0/104, is the IPv4 prefix it stands for.
            let bits = match (v4, most) {
                _ if bits > most => return None,
                (true, 128) => u32::checked_sub(bits, 96)?,
                _ => bits,
            };
            Some(Prefix { network: address & mask(bits), bits, v4 })
        };
        parse().ok_or_else(|| {
            let what = format!("{text:?} is not an IP address or prefix such as 10.0.0.0/8 or fd00::/8");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = if self.v4 {
            IpAddr::from(((self.network >> 96) as u32).to_be_bytes())
        } else {
            IpAddr::from(self.network.to_be_bytes())
        };
        write!(f, "{network}/{}", self.bits)
    }
}
