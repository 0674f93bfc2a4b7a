//! What IP and TCP options have in common: a kind, a length, data; in text, those of no known form as `99=0:5:10`.

use super::text::{self, take_number};

/// The most bytes that options have room for.
const MOST: usize = 40;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;

/// Cuts options into one each, its kind and length included; ends at padding. What does not fit is an error.
pub(super) fn each(options: &[u8]) -> impl Iterator<Item = Result<&[u8], ()>> {
    let mut rest = options;
    std::iter::from_fn(move || {
        loop {
            match *rest {
                [] | [END, ..] => return None,
                [NO_OPERATION, ref after @ ..] => rest = after,
                _ => break,
            }
        }
        let length = rest.get(1).map(|length| usize::from(*length)).filter(|length| *length >= 2);
        match length.and_then(|length| rest.split_at_checked(length)) {
            Some((option, after)) => {
                rest = after;
                Some(Ok(option))
            }
            None => {
                rest = &[];
                Some(Err(()))
            }
        }
    })
}

/// Writes options, `;` between them: `.` for none, `?` if any of them is wrong. `one` writes one; `None` if it is wrong.
pub(super) fn show_all(
    options: &[u8],
    out: &mut Vec<u8>,
    mut one: impl FnMut(&[u8], &mut Vec<u8>) -> Option<()>,
) {
    let start = out.len();
    for option in each(options) {
        let before = out.len();
        if before > start {
            out.push(b';');
        }
        let after = out.len();
        if option.ok().and_then(|option| one(option, out)).is_none() {
            out.truncate(start);
            out.push(b'?');
            return;
        }
        if out.len() == after {
            out.truncate(before);
        }
    }
    if out.len() == start {
        out.push(b'.');
    }
}

/// Writes an option of no known form.
pub(super) fn show_unknown(option: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in option.iter().enumerate().filter(|(at, _)| *at != 1) {
        match at {
            0 => {}
            2 => out.push(b'='),
            _ => out.push(b':'),
        }
        text::show_number(u64::from(*byte), out);
    }
}

/// Reads options with `;` or `,` between them into `out`. `one` takes one off the text; `None` if it is wrong. A text that
/// says there are none gives no options.
pub(super) fn parse_all(
    text: &[u8],
    out: &mut Vec<u8>,
    mut one: impl FnMut(&mut &[u8], &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    out.clear();
    if matches!(text, b"" | b".") {
        return Some(());
    }
    let mut rest = text;
    loop {
        one(&mut rest, out)?;
        match rest {
            [] => break,
            [b',' | b';', after @ ..] => rest = after,
            _ => return None,
        }
        if out.len() > 2 * MOST {
            return None;
        }
    }
    // Padding in front is no reason to be too long.
    let padding = out.iter().take_while(|kind| **kind == NO_OPERATION).count();
    out.drain(..padding.min(out.len().saturating_sub(MOST)));
    (out.len() <= MOST).then_some(())
}

/// Takes an option without own form off the text: padding, or numbers.
pub(super) fn parse_unknown(text: &mut &[u8], out: &mut Vec<u8>, padding: bool) -> Option<()> {
    if padding && text::take_prefix(text, b"nop") {
        out.push(NO_OPERATION);
        return Some(());
    }
    if padding && text.strip_prefix(b"eol").is_some_and(|after| after.first() != Some(&b',')) {
        *text = &text[3..];
        out.push(END);
        return Some(());
    }
    text.first().filter(|first| first.is_ascii_digit())?;
    let start = out.len();
    out.push(take_number(text, 255)? as u8);
    if !matches!(text, [b'=', digit, ..] if digit.is_ascii_digit()) {
        return Some(());
    }
    out.push(0);
    while matches!(text, [b'=' | b':', digit, ..] if digit.is_ascii_digit()) {
        *text = &text[1..];
        out.push(take_number(text, 255)? as u8);
        if out.len() - start > usize::from(u8::MAX) {
            return None;
        }
    }
    set_length(out, start)
}

/// Says the length of the option that begins at `start` and is complete.
pub(super) fn set_length(out: &mut [u8], start: usize) -> Option<()> {
    let length = u8::try_from(out.len() - start).ok()?;
    *out.get_mut(start + 1)? = length;
    Some(())
}

/// The number of four bytes.
pub(super) fn word(bytes: &[u8]) -> u64 {
    bytes.iter().take(4).fold(0, |value, byte| value << 8 | u64::from(*byte))
}
