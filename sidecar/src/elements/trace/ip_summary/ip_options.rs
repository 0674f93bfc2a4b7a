//! IP options in text: `rr{10.0.0.1,20.0.0.2}+5;ts{1,10000,!45}+2++3;98=0:5`.

use super::options::{parse_all, parse_unknown, set_length, show_all, show_unknown, word};
use super::text::{show_address, show_number, take_address, take_number, take_prefix};

const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const STRICT_ROUTE: u8 = 137;
/// Flags of the timestamp option (RFC 791): addresses are recorded; addresses are given in advance.
const WITH_ADDRESSES: u8 = 1;
const PRESPECIFIED: u8 = 3;
/// A time that is not in milliseconds since midnight.
const NONSTANDARD: u64 = 0x8000_0000;

/// Writes options; `.` for none.
pub(super) fn show(options: &[u8], out: &mut Vec<u8>) {
    show_all(options, out, show_one);
}

fn show_one(option: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match option[0] {
        RECORD_ROUTE | LOOSE_ROUTE | STRICT_ROUTE => show_route(option, out),
        TIMESTAMP => show_times(option, out),
        _ => {
            show_unknown(option, out);
            Some(())
        }
    }
}

/// Addresses, the pointer as `^`; of a recorded route only those before the pointer.
fn show_route(option: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let pointer = usize::from(*option.get(2)?).checked_sub(1).filter(|pointer| *pointer >= 3)?;
    let recorded = option[0] == RECORD_ROUTE;
    out.extend_from_slice(match option[0] {
        RECORD_ROUTE => b"rr{",
        LOOSE_ROUTE => b"lsrr{",
        _ => b"ssrr{",
    });
    let mut at = 3;
    while let Some(address) = option.get(at..).and_then(|rest| rest.first_chunk()) {
        match at {
            _ if at == pointer && recorded => break,
            _ if at == pointer => out.push(b'^'),
            3 => {}
            _ => out.push(b','),
        }
        show_address(*address, out);
        at += 4;
    }
    let at_pointer = at == pointer;
    if at_pointer && at == option.len() && !recorded {
        out.push(b'^');
    }
    out.push(b'}');
    if at_pointer && at + 4 <= option.len() && recorded {
        out.push(b'+');
        show_number(((option.len() - at) / 4) as u64, out);
    }
    Some(())
}

/// Times, with addresses if the flag says so; room that is left and the overflow counter behind them.
fn show_times(option: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let pointer = usize::from(*option.get(2)?).checked_sub(1).filter(|pointer| *pointer >= 4)?;
    let (flag, overflow) = option.get(3).map(|byte| (byte & 0xf, byte >> 4))?;
    let size = if (1..=3).contains(&flag) { 8 } else { 4 };
    out.extend_from_slice(b"ts");
    match flag {
        0 => {}
        WITH_ADDRESSES => out.extend_from_slice(b".ip"),
        PRESPECIFIED => out.extend_from_slice(b".preip"),
        other => {
            out.push(b'.');
            show_number(other.into(), out);
        }
    }
    out.push(b'{');
    let mut at = 4;
    while at + size <= option.len() {
        match at {
            _ if at == pointer && flag != PRESPECIFIED => break,
            _ if at == pointer => out.push(b'^'),
            4 => {}
            _ => out.push(b','),
        }
        let entry = &option[at..];
        let mut time = entry;
        if flag != 0 {
            show_address(*entry.first_chunk()?, out);
            time = &entry[4..];
        }
        if flag != PRESPECIFIED || at < pointer {
            if flag != 0 {
                out.push(b'=');
            }
            let value = word(time);
            if value & NONSTANDARD != 0 {
                out.push(b'!');
            }
            show_number(value & !NONSTANDARD, out);
        }
        at += if flag == 0 { 4 } else { 8 };
    }
    if at == option.len() && at == pointer {
        out.push(b'^');
    }
    out.push(b'}');
    if at + size <= option.len() && at == pointer {
        out.push(b'+');
        show_number(((option.len() - at) / size) as u64, out);
    }
    if overflow > 0 {
        out.extend_from_slice(b"++");
        show_number(overflow.into(), out);
    }
    Some(())
}

/// Reads options into `out`; `None` if they are wrong.
pub(super) fn parse(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    parse_all(text, out, parse_one)
}

fn parse_one(text: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    for (prefix, kind) in [(&b"rr{"[..], RECORD_ROUTE), (b"ssrr{", STRICT_ROUTE), (b"lsrr{", LOOSE_ROUTE)] {
        if take_prefix(text, prefix) {
            return parse_route(text, out, kind);
        }
    }
    if text.starts_with(b"ts{") || text.starts_with(b"ts.") {
        *text = &text[2..];
        return parse_times(text, out);
    }
    parse_unknown(text, out, true)
}

/// Takes `prefix` off if a digit follows it.
fn take_before_digit(text: &mut &[u8], prefix: &[u8]) -> bool {
    let follows = text.strip_prefix(prefix).is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit));
    follows && take_prefix(text, prefix)
}

/// Where the pointer goes that is read at the end of `out`: bytes are counted from 1.
fn pointer(out: &[u8], start: usize) -> Option<u8> {
    u8::try_from(out.len() - start + 1).ok()
}

/// Adds room for `count` entries.
fn add_room(out: &mut Vec<u8>, count: u64, size: usize) {
    out.resize(out.len() + count as usize * size, 0);
}

fn parse_route(text: &mut &[u8], out: &mut Vec<u8>, kind: u8) -> Option<()> {
    let start = out.len();
    let mut at_pointer = None;
    out.extend([kind, 0, 0]);
    loop {
        if at_pointer.is_none() && take_prefix(text, b"^") {
            at_pointer = Some(pointer(out, start)?);
        }
        if !text.first().is_some_and(u8::is_ascii_digit) {
            break;
        }
        out.extend(take_address(text)?);
        take_prefix(text, b",");
        pointer(out, start)?;
    }
    text.strip_prefix(b"}")?;
    *text = &text[1..];
    out[start + 2] = at_pointer.map_or_else(|| pointer(out, start), Some)?;
    if take_before_digit(text, b"+")
        && let Some(count) = take_number(text, 63)
    {
        add_room(out, count, 4);
    }
    set_length(out, start)
}

/// What is known of the flag of a timestamp option while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entries {
    Unknown,
    Times,
    /// They have addresses: recorded, or given in advance if a pointer comes before one without a time.
    Addresses,
    Said(u8),
}

impl Entries {
    fn have_addresses(self) -> bool {
        matches!(self, Self::Addresses | Self::Said(WITH_ADDRESSES | PRESPECIFIED))
    }

    fn flag(self) -> u8 {
        match self {
            Self::Unknown | Self::Times => 0,
            Self::Addresses => WITH_ADDRESSES,
            Self::Said(flag) => flag,
        }
    }
}

fn parse_flag(text: &mut &[u8]) -> Option<Entries> {
    for (prefix, entries) in [
        (&b"{"[..], Entries::Unknown),
        (b".ip{", Entries::Said(WITH_ADDRESSES)),
        (b".preip{", Entries::Said(PRESPECIFIED)),
    ] {
        if take_prefix(text, prefix) {
            return Some(entries);
        }
    }
    if !take_before_digit(text, b".") {
        return None;
    }
    let flag = take_number(text, 15)?;
    take_prefix(text, b"{").then_some(Entries::Said(flag as u8))
}

fn parse_times(text: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.extend([TIMESTAMP, 0, 0, 0]);
    let mut entries = parse_flag(text)?;
    let mut at_pointer = None;
    loop {
        if at_pointer.is_none() && take_prefix(text, b"^") {
            at_pointer = Some(pointer(out, start)?);
        }
        if !matches!(text.first(), Some(b'!' | b'0'..=b'9')) {
            break;
        }
        parse_entry(text, out, &mut entries, at_pointer.is_some())?;
        take_prefix(text, b",");
        pointer(out, start)?;
    }
    if !text.is_empty() && !take_prefix(text, b"}") {
        return None;
    }
    out[start + 2] = at_pointer.map_or_else(|| pointer(out, start), Some)?;
    if take_before_digit(text, b"+")
        && let Some(count) = take_number(text, 63)
    {
        add_room(out, count, if entries.have_addresses() { 8 } else { 4 });
    }
    let overflow = if take_before_digit(text, b"++") { take_number(text, 15).unwrap_or(0) } else { 0 };
    out[start + 3] = (overflow as u8) << 4 | entries.flag();
    set_length(out, start)
}

/// A time, or an address and a time. Behind the pointer the time may be missing: the address was given in advance.
fn parse_entry(
    text: &mut &[u8],
    out: &mut Vec<u8>,
    entries: &mut Entries,
    behind_pointer: bool,
) -> Option<()> {
    if *entries == Entries::Unknown {
        let is_address = take_address(&mut &text[..]).is_some();
        *entries = if is_address { Entries::Addresses } else { Entries::Times };
    }
    if entries.have_addresses() {
        out.extend(take_address(text)?);
        if behind_pointer && *entries == Entries::Addresses {
            *entries = Entries::Said(PRESPECIFIED);
        }
        match text {
            [b'=', b'!' | b'0'..=b'9', ..] => *text = &text[1..],
            [b'=', b'?', ..] if behind_pointer => {
                *text = &text[2..];
                out.extend([0; 4]);
                return Some(());
            }
            [b'=', ..] => return None,
            _ if behind_pointer => {
                out.extend([0; 4]);
                return Some(());
            }
            _ => return None,
        }
    }
    let top = if take_prefix(text, b"!") { NONSTANDARD } else { 0 };
    text.first().filter(|first| first.is_ascii_digit())?;
    let time = take_number(text, u32::MAX.into())? | top;
    out.extend((time as u32).to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        parse(text.as_bytes(), &mut out).map(|()| out)
    }

    fn shown(options: &[u8]) -> String {
        let mut out = Vec::new();
        show(options, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn options_of_the_manual_page_go_both_ways() {
        let cases = [
            "rr{10.0.0.1,20.0.0.2}+5",
            "ssrr{1.0.0.1,1.0.0.2^1.0.0.3}",
            "lsrr{^1.0.0.3}",
            "lsrr{1.0.0.1^}",
            "ts{1,10000,!45}+2++3",
            "ts.ip{1.0.0.1=1,1.0.0.2=2}+1",
            "ts.preip{1.0.0.1=1^1.0.0.2,1.0.0.3}",
            "98",
            "99=0:5:10",
            "rr{}+3;99=1;ts{7}",
        ];
        for text in cases {
            let bytes = parsed(text).unwrap_or_else(|| panic!("{text} is wrong"));
            if text != "98" {
                assert_eq!(shown(&bytes), text.replace("ts{7}", "ts{7^}"));
            }
        }
        assert_eq!(parsed("98"), Some(vec![98]));
        assert_eq!(parsed("rr{1.2.3.4}+1"), Some(vec![7, 11, 8, 1, 2, 3, 4, 0, 0, 0, 0]));
        assert_eq!(parsed("ts{1.2.3.4=5}"), Some(vec![68, 12, 13, 1, 1, 2, 3, 4, 0, 0, 0, 5]));
        assert_eq!(parsed("nop,nop;eol"), Some(vec![1, 1, 0]));
        assert_eq!((parsed("."), parsed("")), (Some(vec![]), Some(vec![])));
    }

    #[test]
    fn wrong_options_are_refused() {
        for text in [
            "rr{1.2.3}",
            "rr{1.2.3.4",
            "foo",
            "ts.x{}",
            "ts.16{}",
            "300",
            "99=256",
            "99=1,",
            "ts.ip{1.2.3.4}",
            "nope",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(parsed("rr{}+20"), None, "it has more than 40 bytes");
        assert_eq!(parsed(&"rr{}+63;".repeat(1000)), None);
    }

    #[test]
    fn damaged_options_are_a_question_mark() {
        for options in [&[7, 3, 3][..], &[7, 40, 4, 0], &[99], &[99, 1], &[68, 4, 4, 0], &[68, 3, 5], &[7, 2]]
        {
            assert_eq!(shown(options), "?", "{options:?}");
        }
        assert_eq!(shown(&[1, 1, 0, 9]), ".");
        assert_eq!(shown(&[68, 8, 5, 7, 1, 2, 3, 4]), "ts.7{}+1");
    }
}
