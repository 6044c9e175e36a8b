//! Owns the syntax of values: durations, sizes and addresses, as functions of a text. An error says what was expected; the
//! caller adds the option.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

pub const DURATION: &str = "a duration such as 60, 500ms or 2m";
pub const SIZE: &str = "a number of bytes such as 65536, 64K or 1M";

/// Seconds, or a number with a unit: `500ms`, `10s`, `1.5m`, `1h`. Computed with integers, because floating-point
/// parsing would add tens of kilobytes to the program.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis_of_unit = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    let whole: u64 = whole.parse::<u32>().ok()?.into();
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    Some(Duration::from_millis(whole * millis_of_unit + thousandths * millis_of_unit / 1000))
}

/// Bytes, or a number with `K` or `M` for KiB or MiB.
pub fn size(text: &str) -> Option<usize> {
    if let Some(number) = text.strip_suffix(['K', 'k']) {
        whole(number)?.checked_mul(1 << 10)
    } else if let Some(number) = text.strip_suffix(['M', 'm']) {
        whole(number)?.checked_mul(1 << 20)
    } else {
        whole(text)
    }
}

/// A whole number without a sign; `str::parse` would accept `+1`.
pub fn whole(text: &str) -> Option<usize> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `PORT`, `ADDR:PORT` or `[V6]:PORT`, where a name may stand for the address.
pub fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let expected = "expected a port, or an address and a port, such as 1601, 0.0.0.0:1601 or [::1]:1601";
    if text.starts_with('[') && text.ends_with(']') {
        return Err(format!("the port is missing; {expected}"));
    }
    let (host, number) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let port = port(number).ok_or_else(|| format!("'{number}' is not a port from 0 to 65535; {expected}"))?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if host.is_empty() {
        return Err(format!("the address is missing; {expected}"));
    }
    if host.contains(':') && bracketed.is_none() {
        return Err(format!("an IPv6 address needs brackets; {expected}"));
    }
    let host = bracketed.unwrap_or(host);
    match (host, port).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(e) => Err(format!("cannot resolve '{host}': {e}; {expected}")),
    }
}

/// Whether this is `HOST:PORT` with a port that can be connected to.
pub fn is_target(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, number)) => {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            !host.is_empty() && (bracketed || !host.contains(':')) && port(number).map_or(false, |n| n != 0)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_seconds_or_have_a_unit() {
        let times = [
            ("60", 60_000),
            ("0", 0),
            ("0.25", 250),
            ("500ms", 500),
            ("10s", 10_000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("0.5h", 1_800_000),
            ("1h", 3_600_000),
        ];
        for (text, millis) in times {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "s", ".5", "1.", "1.2345", "-1", "+1", "1 s", "1d", "1ss", "1..2", "1e3", "4294967296"]
        {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_in_bytes_or_have_a_unit() {
        for (text, bytes) in [("4096", 4096), ("64K", 65536), ("64k", 65536), ("1M", 1 << 20)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "K", "+1", "1G", "1KK", "99999999999999999999M"] {
            assert_eq!(size(text), None, "{text:?}");
        }
    }
}
