//! Numbers, times, addresses and strings as they stand in a summary dump: read and written without allocation.

use std::io::Write;

use crate::config::{EtherAddr, unquote_into};
use crate::element::Time;

/// An unsigned number: decimal, `0x` hexadecimal, `0b` binary or, after a `0`, octal; `_` between digits.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let (value, rest) = leading(text, 0);
    value.filter(|_| rest.is_empty())
}

/// A number that is not larger than `most`.
pub(super) fn number_to(text: &[u8], most: u64) -> Option<u64> {
    number(text).filter(|value| *value <= most)
}

/// The number at the start of `text`, as [`number`] in base 0, or only decimal in base 10; and what follows it. No number:
/// no value. A number that is too large stops being one.
fn leading(text: &[u8], base: u64) -> (Option<u64>, &[u8]) {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let (base, digits) = match (base, digits) {
        (0, [b'0', b'x' | b'X', rest @ ..]) if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        (0, [b'0', b'b' | b'B', rest @ ..]) if matches!(rest, [b'0' | b'1', ..]) => (2, rest),
        (0, [b'0', ..]) => (8, digits),
        _ => (10, digits),
    };
    let mut value = Some(0_u64);
    let mut end = 0;
    for (at, byte) in digits.iter().enumerate() {
        match char::from(*byte).to_digit(base as u32) {
            Some(digit) => {
                value = value.and_then(|value| value.checked_mul(base)?.checked_add(digit.into()));
                end = at + 1;
            }
            None if *byte == b'_' && end == at && at > 0 => {}
            None => break,
        }
    }
    if end == 0 { (None, text) } else { (value, &digits[end..]) }
}

/// The number at the start of `text`, if it is not larger than `most`; it is taken off.
pub(super) fn take_number(text: &mut &[u8], most: u64) -> Option<u64> {
    let (value, rest) = leading(text, 0);
    *text = rest;
    value.filter(|value| *value <= most)
}

/// Four decimal bytes with dots at the start of `text`, which are taken off.
pub(super) fn take_address(text: &mut &[u8]) -> Option<[u8; 4]> {
    let mut bytes = [0; 4];
    for (at, byte) in bytes.iter_mut().enumerate() {
        if at > 0 {
            *text = text.strip_prefix(b".")?;
        }
        text.first().filter(|first| first.is_ascii_digit())?;
        let (value, rest) = leading(text, 10);
        *byte = u8::try_from(value?).ok()?;
        *text = rest;
    }
    Some(bytes)
}

/// Takes `prefix` off the start of `text`, if it is there.
pub(super) fn take_prefix(text: &mut &[u8], prefix: &[u8]) -> bool {
    match text.strip_prefix(prefix) {
        Some(rest) => {
            *text = rest;
            true
        }
        None => false,
    }
}

/// An IP address.
pub(super) fn address(mut text: &[u8]) -> Option<u32> {
    let bytes = take_address(&mut text)?;
    text.is_empty().then_some(u32::from_be_bytes(bytes))
}

/// An Ethernet address.
pub(super) fn ether(text: &[u8]) -> Option<[u8; 6]> {
    use crate::config::Value;
    EtherAddr::parse_plain(std::str::from_utf8(text).ok()?).ok().map(|address| address.0)
}

/// A time in seconds, to the nanosecond; or with a unit.
pub(super) fn time(text: &[u8]) -> Option<Time> {
    use crate::config::Value;
    let span = std::time::Duration::parse_plain(std::str::from_utf8(text).ok()?).ok()?;
    Some(Time(0) + span)
}

/// A string, its quotes undone, into `out`. An empty text is none.
pub(super) fn string(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    unquote_into(text, out);
    (!text.is_empty()).then_some(())
}

/// Writes a string in double quotes, on one line.
pub(super) fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'\\' | b'"' | b'$' => out.extend([b'\\', *byte]),
            b'\t' => out.extend(b"\\t"),
            b'\r' => out.extend(b"\\r"),
            b'\n' => out.extend(b"\\n"),
            32..=126 => out.push(*byte),
            _ => out.extend([b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
        }
    }
    out.push(b'"');
}

/// Writes a number in decimal.
pub(super) fn show_number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), value);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a time in seconds: with six decimals, or with nine if it does not lie on a microsecond.
pub(super) fn show_time(at: Time, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{at}");
}

/// Writes an IP address.
pub(super) fn show_address(bytes: [u8; 4], out: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        show_number(u64::from(*byte), out);
    }
}

/// Whether C's `isspace` calls it a space.
pub(super) fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_click_reads_them() {
        let cases: &[(&[u8], Option<u64>)] = &[
            (b"0", Some(0)),
            (b"010", Some(8)),
            (b"0x1F", Some(31)),
            (b"0b101", Some(5)),
            (b"1_000", Some(1000)),
            (b"+7", Some(7)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"1x", None),
            (b"-1", None),
            (b"0x", None),
            (b"_1", None),
            (b"1_", None),
            (b"", None),
        ];
        for (text, value) in cases {
            assert_eq!(number(text), *value, "{}", text.escape_ascii());
        }
        assert_eq!(number_to(b"256", 255), None);
    }

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        assert_eq!(time(b"996033261.451094"), Some(Time(996_033_261_451_094_000)));
        assert_eq!(time(b"1189383079.180265331"), Some(Time(1_189_383_079_180_265_331)));
        assert_eq!(time(b"1.9999999999"), Some(Time(2_000_000_000)));
        assert_eq!(time(b"20ms"), Some(Time(20_000_000)));
        assert_eq!(time(b"-1"), None);
        let shown = |at| {
            let mut out = Vec::new();
            show_time(Time(at), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(996_033_261_451_094_000), "996033261.451094");
        assert_eq!(shown(1_000_000_001), "1.000000001");
        assert_eq!(shown(0), "0.000000");
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        let all: Vec<u8> = (0..=255).collect();
        let (mut quoted, mut back) = (Vec::new(), Vec::new());
        quote(&all, &mut quoted);
        string(&quoted, &mut back).unwrap();
        assert_eq!(back, all);
        quoted.clear();
        quote(b"a\n\"$\x01", &mut quoted);
        assert_eq!(quoted, b"\"a\\n\\\"\\$\\001\"");
    }

    #[test]
    fn addresses_are_four_bytes() {
        assert_eq!(address(b"10.0.0.255"), Some(0x0a00_00ff));
        for wrong in [&b"10.0.0"[..], b"10.0.0.256", b"10.0.0.1 ", b"1.2.3.4.5", b".1.2.3", b"1.+2.3.4", b""]
        {
            assert_eq!(address(wrong), None, "{}", wrong.escape_ascii());
        }
        assert_eq!(ether(b"00-0A-95-A6-D9-BC"), Some([0, 0x0a, 0x95, 0xa6, 0xd9, 0xbc]));
    }
}
