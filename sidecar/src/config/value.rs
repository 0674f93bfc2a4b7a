//! Turning one argument into a type, as Click's argument parsers do.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::args::Scope;
use super::names::Names;
use super::split::unquote;

/// A type that an argument can be.
pub trait Value: Sized {
    /// Parses trimmed text; the error is a phrase that follows the argument's name.
    fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, String>;

    /// Parses text in which no names are defined, as handlers do.
    fn parse_plain(text: &str) -> Result<Self, String> {
        Self::parse(text.trim(), &Scope { user: "", names: &Names::new() })
    }
}

fn parse_unsigned(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
                let wide = parse_unsigned(text).ok_or_else(|| format!("expected unsigned integer, got '{text}'"))?;
                Self::try_from(wide).map_err(|_| format!("out of range, maximum is {}", Self::MAX))
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64, usize);

macro_rules! signed {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
                let (negative, digits) = match text.strip_prefix('-') {
                    Some(digits) => (true, digits),
                    None => (false, text.strip_prefix('+').unwrap_or(text)),
                };
                let wide = parse_unsigned(digits).ok_or_else(|| format!("expected integer, got '{text}'"))?;
                let wide = if negative { -i128::from(wide) } else { i128::from(wide) };
                Self::try_from(wide).map_err(|_| format!("out of range, limits are {} and {}", Self::MIN, Self::MAX))
            }
        }
    )*};
}
signed!(i32, i64);

impl Value for f64 {
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        let value = text.parse::<Self>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| format!("expected real number, got '{text}'"))
    }
}

impl Value for bool {
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        match text {
            "1" | "true" | "yes" | "t" | "y" => Ok(true),
            "0" | "false" | "no" | "f" | "n" => Ok(false),
            _ => Err(format!("expected boolean, got '{text}'")),
        }
    }
}

impl Value for String {
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        Ok(Self::from_utf8_lossy(&unquote(text)).into_owned())
    }
}

/// Bytes: a string with any content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Value for Bytes {
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        Ok(Self(unquote(text)))
    }
}

impl Value for Ipv4Addr {
    fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        let name = text.strip_suffix(":ip").unwrap_or(text);
        let named = scope.find(name).and_then(|named| named.ip);
        named.ok_or_else(|| format!("expected IP address, got '{text}'"))
    }
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EtherAddr(pub [u8; 6]);

impl EtherAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set (broadcast included).
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for EtherAddr {
    /// Click's form: `00-50-56-C0-00-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}")
    }
}

impl Value for EtherAddr {
    fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, String> {
        let separator = if text.contains(':') { ':' } else { '-' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        let complete = bytes.iter_mut().all(|byte| {
            let part = parts.next().filter(|p| (1..=2).contains(&p.len()));
            part.and_then(|p| u8::from_str_radix(p, 16).ok()).map(|value| *byte = value).is_some()
        });
        if complete && parts.next().is_none() {
            return Ok(Self(bytes));
        }
        let name = text.strip_suffix(":eth").or_else(|| text.strip_suffix(":ether")).unwrap_or(text);
        let named = scope.find(name).and_then(|named| named.ether);
        named.ok_or_else(|| format!("expected Ethernet address, got '{text}'"))
    }
}

/// An IP address with a mask: `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpPrefix {
    /// The address as written, host bits included.
    pub address: Ipv4Addr,
    /// The mask.
    pub mask: Ipv4Addr,
}

impl IpPrefix {
    /// A prefix of `length` bits (32 at most).
    pub fn new(address: Ipv4Addr, length: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
        Self { address, mask: mask.into() }
    }

    /// Whether the address lies in the prefix.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = u32::from(self.mask);
        u32::from(address) & mask == u32::from(self.address) & mask
    }

    /// The length of the mask, if it is contiguous.
    pub fn length(&self) -> Option<u8> {
        let mask = u32::from(self.mask);
        (mask.leading_ones() + mask.trailing_zeros() >= 32).then_some(mask.leading_ones() as u8)
    }

    /// The address without host bits.
    pub fn network(&self) -> Ipv4Addr {
        (u32::from(self.address) & u32::from(self.mask)).into()
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(length) => write!(f, "{}/{length}", self.address),
            None => write!(f, "{}/{}", self.address, self.mask),
        }
    }
}

impl Value for IpPrefix {
    fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, String> {
        let wrong = || format!("expected IP prefix, got '{text}'");
        let Some((address, mask)) = text.split_once('/') else {
            return match Ipv4Addr::parse(text, scope) {
                Ok(address) => Ok(Self::new(address, 32)),
                Err(_) => named_network(text, scope).ok_or_else(wrong),
            };
        };
        let named = || Ipv4Addr::parse(address, scope).ok();
        let address = parse_address_part(address).or_else(named).ok_or_else(wrong)?;
        if let Ok(mask) = mask.parse::<Ipv4Addr>() {
            return Ok(Self { address, mask });
        }
        let length = mask.parse::<u8>().ok().filter(|length| *length <= 32).ok_or_else(wrong)?;
        Ok(Self::new(address, length))
    }
}

fn named_network(text: &str, scope: &Scope<'_>) -> Option<IpPrefix> {
    scope.find(text.strip_suffix(":ipnet").unwrap_or(text))?.prefix
}

/// A prefix where a network is meant: a name that has an address and a network stands for its network here, and for
/// its address where an [`IpPrefix`] is read, as Click has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpPrefix);

impl Value for Network {
    fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, String> {
        named_network(text, scope).map_or_else(|| IpPrefix::parse(text, scope), Ok).map(Self)
    }
}

/// An address of a prefix, whose last bytes may be missing: `10/8`.
fn parse_address_part(text: &str) -> Option<Ipv4Addr> {
    let mut bytes = [0_u8; 4];
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    for (byte, part) in bytes.iter_mut().zip(parts) {
        *byte = part.parse().ok()?;
    }
    Some(bytes.into())
}

/// A time span, in seconds unless a unit says otherwise: `1.5`, `20ms`, `3 min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Seconds(pub Duration);

impl Value for Seconds {
    fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, String> {
        Duration::parse(text, scope).map(Self)
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A decimal number times `unit`, rounded to a whole number: exact, where a float would lose nanoseconds of long times.
/// What is too large becomes the largest.
fn decimal_times(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    // More digits than these are worth nothing in any unit.
    let kept = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(kept.len() as u32);
    let part = kept.parse().unwrap_or(0_u128) * u128::from(unit);
    let whole = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let value = u128::from(whole) * u128::from(unit) + (part + scale / 2) / scale;
    Some(u64::try_from(value).unwrap_or(u64::MAX))
}

impl Value for Duration {
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        let wrong = || format!("expected time in seconds, got '{text}'");
        let (number, unit) = split_unit(text);
        let nanos = match unit {
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000_000,
            "ms" | "msec" | "millisec" => 1_000_000,
            "us" | "usec" | "microsec" => 1000,
            "ns" | "nsec" | "nanosec" => 1,
            "m" | "min" | "minute" | "minutes" => 60_000_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000_000,
            "d" | "day" | "days" => 86_400_000_000_000,
            _ => return Err(wrong()),
        };
        decimal_times(number, nanos).map(Self::from_nanos).ok_or_else(wrong)
    }
}

/// A rate in bytes a second: `1000`, `10 kB/s`, `5Mbps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bandwidth(pub u64);

impl fmt::Display for Bandwidth {
    /// In bits a second with the unit that fits, as Click shows it; from about 0.5 GB a second on in bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0 as f64;
        match self.0 {
            0x2000_0000.. => write!(f, "{}MBps", rate / 1e6),
            125_000_000.. => write!(f, "{}Gbps", rate * 8.0 / 1e9),
            125_000.. => write!(f, "{}Mbps", rate * 8.0 / 1e6),
            _ => write!(f, "{}kbps", rate * 8.0 / 1e3),
        }
    }
}

impl Value for Bandwidth {
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        let wrong = || format!("expected bandwidth, got '{text}'");
        let (number, unit) = split_unit(text);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bits = unit.strip_suffix("bps").or_else(|| unit.strip_suffix("b/s"));
        let bytes = unit.strip_suffix("Bps").or_else(|| unit.strip_suffix("B/s"));
        let (prefix, divisor) = match (bits, bytes) {
            (Some(prefix), _) => (prefix, 8.0),
            (None, Some(prefix)) => (prefix, 1.0),
            (None, None) => (unit, 1.0),
        };
        let scale = match prefix {
            "" => 1.0,
            "k" | "K" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            _ => return Err(wrong()),
        };
        let rate = number * scale / divisor;
        if rate.is_finite() && rate < 1e18 { Ok(Self(rate.round() as u64)) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_click_s_bases() {
        assert_eq!(u32::parse_plain("0x10"), Ok(16));
        assert_eq!(u32::parse_plain("010"), Ok(8));
        assert_eq!(u16::parse_plain("70000").unwrap_err(), "out of range, maximum is 65535");
        assert_eq!(i32::parse_plain("-5"), Ok(-5));
        assert!(u32::parse_plain("").is_err());
        assert!(u32::parse_plain("-1").is_err());
    }

    #[test]
    fn addresses_and_prefixes_are_read() {
        assert_eq!(EtherAddr::parse_plain("02:0:00:00:01:fe"), Ok(EtherAddr([2, 0, 0, 0, 1, 0xfe])));
        assert!(EtherAddr::parse_plain("02:00:00:00:01").is_err());
        let prefix = IpPrefix::parse_plain("10/8").unwrap();
        assert_eq!((prefix.network(), prefix.length()), (Ipv4Addr::new(10, 0, 0, 0), Some(8)));
        assert!(prefix.contains(Ipv4Addr::new(10, 9, 8, 7)));
        assert_eq!(IpPrefix::parse_plain("0/0").unwrap().length(), Some(0));
        assert_eq!(IpPrefix::parse_plain("1.2.3.4").unwrap().length(), Some(32));
        assert_eq!(IpPrefix::parse_plain("1.2.3.4/255.0.255.0").unwrap().length(), None);
    }

    #[test]
    fn times_and_rates_have_units() {
        assert_eq!(Duration::parse_plain("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(Duration::parse_plain("20 ms"), Ok(Duration::from_millis(20)));
        assert_eq!(Duration::parse_plain("996033261.451094001"), Ok(Duration::new(996_033_261, 451_094_001)));
        assert_eq!(Duration::parse_plain("0.3333333333333333333333 min"), Ok(Duration::from_secs(20)));
        assert_eq!(Duration::parse_plain(".5"), Ok(Duration::from_millis(500)));
        for wrong in ["-1", ".", "1..2", "", "1.2.3"] {
            assert!(Duration::parse_plain(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Bandwidth::parse_plain("8 kbps"), Ok(Bandwidth(1000)));
        assert_eq!(Bandwidth::parse_plain("2MB/s"), Ok(Bandwidth(2_000_000)));
        let shown = [150, 125_000, 2_500_000_000, 200_000_000].map(|rate| Bandwidth(rate).to_string());
        assert_eq!(shown, ["1.2kbps", "1Mbps", "2500MBps", "1.6Gbps"]);
    }
}
