//! Patterns: clauses `OFFSET/VALUE[%MASK]`, each perhaps negated with `!`, all of which must match.

/// Bytes at an offset, with a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) offset: usize,
    pub(super) value: Vec<u8>,
    pub(super) mask: Vec<u8>,
    pub(super) negated: bool,
}

impl Clause {
    #[cfg(test)]
    pub(super) fn matches(&self, data: &[u8]) -> bool {
        let byte_at = |at: usize| data.get(self.offset + at);
        let mut bytes = self.value.iter().zip(&self.mask).enumerate();
        let equal = bytes.all(|(at, (v, m))| *m == 0 || byte_at(at).is_some_and(|b| b & m == v & m));
        equal != self.negated
    }
}

/// Offsets beyond this are surely mistakes.
const FARTHEST: usize = 1 << 16;

/// Longer values are surely mistakes.
const LONGEST: usize = 512;

/// Parses one pattern; `-` has no clause and matches everything.
pub(super) fn parse(text: &str) -> Result<Vec<Clause>, String> {
    let mut rest = text.trim();
    let mut clauses = Vec::new();
    while !rest.is_empty() && text.trim() != "-" {
        let (one, behind) = clause(rest)?;
        clauses.push(one);
        rest = behind.trim_start();
    }
    Ok(clauses)
}

/// The clause at the start of `text`, and what is behind it.
fn clause(text: &str) -> Result<(Clause, &str), String> {
    let (negated, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let (offset, rest) = run_of(rest, |c| c.is_ascii_digit());
    if offset.is_empty() {
        return Err("expected a digit".to_owned());
    }
    let offset = offset.parse().ok().filter(|offset| *offset < FARTHEST).ok_or("offset out of range")?;
    let rest = rest.strip_prefix('/').ok_or("expected '/'")?;
    let is_digit = |c: char| c.is_ascii_hexdigit() || c == '?';
    let (value, mut rest) = run_of(rest, is_digit);
    match value.len() {
        0 | 1 => return Err("value has less than 2 hex digits".to_owned()),
        length if length % 2 != 0 => return Err("value has odd number of hex digits".to_owned()),
        length if length > LONGEST * 2 => return Err("value has too many hex digits".to_owned()),
        _ => {}
    }
    let (value, mut mask) = digits(value);
    if let Some(behind) = rest.strip_prefix('%') {
        let (text, behind) = run_of(behind, is_digit);
        rest = behind;
        if text.len() != value.len() * 2 {
            let wrong = if text.len() > value.len() * 2 { "many" } else { "few" };
            return Err(format!("mask has too {wrong} hex digits"));
        }
        let (wanted, known) = digits(text);
        for ((mask, wanted), known) in mask.iter_mut().zip(wanted).zip(known) {
            *mask &= wanted & known;
        }
    }
    Ok((Clause { offset, value, mask, negated }, rest))
}

/// The characters at the start that `belongs` takes, and the rest.
fn run_of(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Bytes of pairs of hexadecimal digits, and the bits of each that are given: not those of a `?`.
fn digits(text: &str) -> (Vec<u8>, Vec<u8>) {
    let byte = |pair: &[u8], digit: fn(char) -> u32| {
        pair.iter().fold(0, |byte, c| byte << 4 | digit(char::from(*c)) as u8)
    };
    let value = text.as_bytes().chunks(2).map(|pair| byte(pair, |c| c.to_digit(16).unwrap_or(0)));
    let given = text.as_bytes().chunks(2).map(|pair| byte(pair, |c| if c == '?' { 0 } else { 0xf }));
    (value.collect(), given.collect())
}
