//! The words of a pattern: where they end, and those that are numbers, ranges, addresses and masks.

use std::net::Ipv4Addr;

const OPERATORS: [&str; 14] = ["&&", "||", "==", "!=", "<=", ">=", "(", ")", "!", "?", "<", ">", "=", "&"];

pub(super) fn tokenize(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = match OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            Some(operator) => operator.len(),
            None => word_length(rest)?,
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = tail.trim_start();
    }
    Ok(tokens)
}

/// Length of the word at the start of `rest`; a bracket keeps what is in it together.
fn word_length(rest: &str) -> Result<usize, String> {
    let mut in_brackets = false;
    for (at, c) in rest.char_indices() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            c if !in_brackets && (c.is_whitespace() || "()!&|<>=?".contains(c)) => {
                // A single `|` starts no operator and ends no word: it is refused as part of a word.
                return Ok(if at == 0 { c.len_utf8() } else { at });
            }
            _ => {}
        }
    }
    if in_brackets { Err("missing ']'".to_owned()) } else { Ok(rest.len()) }
}

pub(super) fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| format!("'{text}' is no number"))
}

pub(super) fn port_range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-')?;
    let range = (low.parse().ok()?, high.parse().ok()?);
    (range.0 <= range.1).then_some(range)
}

/// A dotted address; missing last bytes are zero, as in `10.0/16`.
pub(super) fn parse_partial_address(text: &str) -> Option<u32> {
    let parts: Vec<_> = text.split('.').map(|part| part.parse::<u8>().ok()).collect::<Option<_>>()?;
    let mut bytes = [0; 4];
    bytes.get_mut(..parts.len())?.copy_from_slice(&parts);
    Some(u32::from_be_bytes(bytes))
}

/// A prefix length or a dotted mask.
pub(super) fn parse_mask(text: &str) -> Option<u32> {
    match text.parse::<u32>() {
        Ok(bits @ 0..=32) => Some(u32::MAX.checked_shl(32 - bits).unwrap_or(0)),
        Ok(_) => None,
        Err(_) => text.parse::<Ipv4Addr>().ok().map(u32::from),
    }
}
