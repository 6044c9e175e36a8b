//! A range of addresses, for the allow-list (promise 10).

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address or an address prefix such as `192.168.1.0/24` or `fd00::/8`.
///
/// An IPv4-mapped IPv6 address (`::ffff:192.168.1.7`), as a listener for both families reports it, counts as IPv4.
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
/// assert!(error.to_string().starts_with("\"192.168.1.0/33\" is not an IP address or prefix"));
/// # Ok::<(), single_server::ParsePrefixError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// As an IPv6 address (IPv4 addresses are mapped), with zeros after the prefix.
    network: u128,
    bits: u32,
}

impl Prefix {
    /// Returns whether the address is in the range.
    ///
    /// # Examples
    ///
    /// ```
    /// use single_server::Prefix;
    /// use std::net::Ipv4Addr;
    ///
    /// let loopback: Prefix = "127.0.0.0/8".parse()?;
    /// assert!(loopback.contains(Ipv4Addr::LOCALHOST.into()));
    /// # Ok::<(), single_server::ParsePrefixError>(())
    /// ```
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let address = widen(ip);
        // Mapped IPv4 addresses lie in ::/0 and other prefixes shorter than ::ffff:0:0/96, which must not allow IPv4.
        address & mask(self.bits) == self.network && (self.bits >= V4_STARTS || !is_v4(address))
    }
}

/// The position of the IPv4 address in a mapped address, in bits.
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
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Prefix, ParsePrefixError> {
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
        parse().ok_or_else(|| ParsePrefixError(text.to_string()))
    }
}

/// A single address.
impl From<IpAddr> for Prefix {
    fn from(ip: IpAddr) -> Prefix {
        Prefix { network: widen(ip), bits: 128 }
    }
}

/// An error of parsing a [`Prefix`]; it names the text.
///
/// # Examples
///
/// ```
/// let error = "10.0.0.0/".parse::<single_server::Prefix>().unwrap_err();
/// assert!(error.to_string().starts_with("\"10.0.0.0/\" is not an IP address or prefix"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePrefixError(String);

impl fmt::Display for ParsePrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an IP address or prefix such as 10.0.0.0/8 or fd00::/8", self.0)
    }
}

impl Error for ParsePrefixError {}

impl From<ParsePrefixError> for std::io::Error {
    fn from(error: ParsePrefixError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
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
