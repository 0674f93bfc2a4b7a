//! TCP options in text: `mss1400;sackok;ts669063908:38382731;wscale10;sack95-98`.

use super::options::{each, parse_all, parse_unknown, show_all, show_unknown, word};
use super::text::{show_number, take_number, take_prefix};

const MAXIMUM_SEGMENT: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMP: u8 = 8;

/// Which options a field is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// All but padding and timestamps.
    ButTimestamps,
    Sack,
}

impl Which {
    fn has(self, kind: u8) -> bool {
        match self {
            Self::All => true,
            Self::ButTimestamps => kind != TIMESTAMP,
            Self::Sack => matches!(kind, SACK | SACK_PERMITTED),
        }
    }
}

/// Writes options; `.` for none.
pub(super) fn show(options: &[u8], which: Which, out: &mut Vec<u8>) {
    show_all(options, out, |option, out| show_one(option, which, out));
}

fn show_one(option: &[u8], which: Which, out: &mut Vec<u8>) -> Option<()> {
    let mut number = |name: &[u8], value: u64| {
        out.extend_from_slice(name);
        show_number(value, out);
    };
    match *option {
        [MAXIMUM_SEGMENT, 4, high, low] if which.has(MAXIMUM_SEGMENT) => {
            number(b"mss", u64::from(high) << 8 | u64::from(low));
        }
        [WINDOW_SCALE, 3, shift] if which.has(WINDOW_SCALE) => number(b"wscale", shift.into()),
        [SACK_PERMITTED, 2] if which.has(SACK_PERMITTED) => out.extend_from_slice(b"sackok"),
        [SACK, length, ref blocks @ ..] if length % 8 == 2 && which.has(SACK) => {
            for (at, block) in blocks.chunks(8).enumerate() {
                number(if at == 0 { b"sack" } else { b";sack" }, word(block));
                number(b"-", word(&block[4..]));
            }
        }
        [TIMESTAMP, 10, ref times @ ..] if which.has(TIMESTAMP) => {
            number(b"ts", word(times));
            number(b":", word(&times[4..]));
        }
        [MAXIMUM_SEGMENT, 4, ..] | [WINDOW_SCALE, 3, ..] | [SACK_PERMITTED, 2, ..] | [TIMESTAMP, 10, ..] => {}
        [SACK, length, ..] if length % 8 == 2 => {}
        [MAXIMUM_SEGMENT | WINDOW_SCALE | SACK_PERMITTED | SACK | TIMESTAMP, ..] => return None,
        _ if which == Which::Sack => {}
        _ => show_unknown(option, out),
    }
    Some(())
}

/// Writes the bytes of the options that a field is about.
pub(super) fn filter(options: &[u8], which: Which, out: &mut Vec<u8>) {
    for option in each(options).map_while(Result::ok).filter(|option| which.has(option[0])) {
        out.extend_from_slice(option);
    }
}

/// Reads options into `out`; `None` if they are wrong.
pub(super) fn parse(text: &[u8], which: Which, out: &mut Vec<u8>) -> Option<()> {
    parse_all(text, out, |text, out| parse_one(text, which, out))
}

fn parse_one(text: &mut &[u8], which: Which, out: &mut Vec<u8>) -> Option<()> {
    let is = |text: &&[u8], name: &[u8], kind| {
        text.starts_with(name) && text.len() > name.len() && which.has(kind)
    };
    if is(text, b"mss", MAXIMUM_SEGMENT) {
        *text = &text[3..];
        let [high, low] = (take_number(text, u16::MAX.into())? as u16).to_be_bytes();
        out.extend([MAXIMUM_SEGMENT, 4, high, low]);
    } else if is(text, b"wscale", WINDOW_SCALE) {
        *text = &text[6..];
        out.extend([WINDOW_SCALE, 3, take_number(text, 255)? as u8]);
    } else if which.has(SACK_PERMITTED) && take_prefix(text, b"sackok") {
        out.extend([SACK_PERMITTED, 2]);
    } else if is(text, b"sack", SACK) {
        *text = &text[4..];
        parse_sack(text, out)?;
    } else if is(text, b"ts", TIMESTAMP) {
        *text = &text[2..];
        // Alone, it is aligned as systems do it.
        if out.is_empty() {
            out.extend([1, 1]);
        }
        out.extend([TIMESTAMP, 10]);
        parse_pair(text, out, b":")?;
    } else if which == Which::Sack {
        return None;
    } else {
        return parse_unknown(text, out, which == Which::All);
    }
    Some(())
}

/// Two numbers of four bytes.
fn parse_pair(text: &mut &[u8], out: &mut Vec<u8>, between: &[u8]) -> Option<()> {
    let first = take_number(text, u32::MAX.into())?;
    text.first().filter(|found| between.contains(found))?;
    *text = &text[1..];
    let second = take_number(text, u32::MAX.into())?;
    out.extend((first as u32).to_be_bytes());
    out.extend((second as u32).to_be_bytes());
    Some(())
}

/// Blocks that follow each other make one option.
fn parse_sack(text: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.extend([SACK, 0]);
    loop {
        parse_pair(text, out, b"-:")?;
        let next = text.strip_prefix(b",sack").or_else(|| text.strip_prefix(b";sack"));
        match next.filter(|next| next.first().is_some_and(u8::is_ascii_digit)) {
            Some(next) if out.len() - start + 8 <= usize::from(u8::MAX) => *text = next,
            _ => break,
        }
    }
    super::options::set_length(out, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, which: Which) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        parse(text.as_bytes(), which, &mut out).map(|()| out)
    }

    fn shown(options: &[u8], which: Which) -> String {
        let mut out = Vec::new();
        show(options, which, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn options_go_both_ways() {
        for text in [
            "mss1400",
            "mss1400;wscale10;sackok",
            "ts669063908:38382731",
            "sack95-98;sack120-130",
            "99=0:5:10",
            ".",
        ] {
            assert_eq!(shown(&parsed(text, Which::All).unwrap(), Which::All), text);
        }
        assert_eq!(parsed("ts1:2", Which::All), Some(vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]));
        assert_eq!(parsed("sack1:2,sack3:4", Which::Sack).map(|bytes| bytes[1]), Some(18));
        assert_eq!(parsed("nop,mss5,eol", Which::All), Some(vec![1, 2, 4, 0, 5, 0]));
    }

    #[test]
    fn a_field_shows_only_the_options_that_it_is_about() {
        let options = parsed("mss5;sackok;ts1:2;sack7-9;42=1", Which::All).unwrap();
        assert_eq!(shown(&options, Which::ButTimestamps), "mss5;sackok;sack7-9;42=1");
        assert_eq!(shown(&options, Which::Sack), "sackok;sack7-9");
        let mut sack = Vec::new();
        filter(&options, Which::Sack, &mut sack);
        assert_eq!(sack, [4, 2, 5, 10, 0, 0, 0, 7, 0, 0, 0, 9]);
    }

    #[test]
    fn wrong_options_are_refused_or_a_question_mark() {
        for text in ["mss70000", "mss", "wscale256", "sack5", "sack5-", "ts5", "ts5:", "foo", "mss5;", "999"]
        {
            assert_eq!(parsed(text, Which::All), None, "{text}");
        }
        assert_eq!(parsed("ts1:2", Which::ButTimestamps), None);
        assert_eq!(parsed("mss5", Which::Sack), None);
        assert_eq!(
            parsed("sack1-2,sack1-2,sack1-2,sack1-2,sack1-2", Which::All),
            None,
            "it has more than 40 bytes"
        );
        for options in [&[2, 3, 0][..], &[2, 4, 0], &[8], &[5, 9, 0, 0, 0, 0, 0, 0, 0], &[3, 2]] {
            assert_eq!(shown(options, Which::Sack), "?", "{options:?}");
        }
    }
}
