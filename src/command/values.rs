//! Owns the syntax of values: durations, sizes and addresses. An error says what was expected; the caller adds the name of the
//! option.

use std::net::SocketAddr;
use std::time::Duration;

use super::endpoint::{self, Endpoint};

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

/// The value of `--listen`: a port of 127.0.0.1, or an address or name and a port.
pub fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let expected = "expected a port, or an address and a port, such as 1601, 0.0.0.0:1601 or [::1]:1601";
    let parsed = match endpoint::port(text) {
        Some(port) => Ok(Endpoint { host: "127.0.0.1".to_string(), port }),
        None if text.contains(':') => Endpoint::parse(text),
        None => {
            let host = text.contains(|c: char| c == '.' || c.is_alphabetic());
            let remedy = if host { format!("; a host needs one, as in {text}:1601") } else { String::new() };
            Err(format!("'{text}' is not a port from 0 to 65535{remedy}"))
        }
    };
    let endpoint = parsed.map_err(|mistake| format!("{mistake}; {expected}"))?;
    endpoint.resolve().map_err(|e| format!("cannot resolve '{}': {e}; {expected}", endpoint.host))
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
