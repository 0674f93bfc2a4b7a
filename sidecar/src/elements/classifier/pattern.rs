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
        let there = data.get(self.offset..self.offset + self.value.len());
        let equal = there.is_some_and(|bytes| {
            bytes.iter().zip(&self.value).zip(&self.mask).all(|((b, v), m)| b & m == v & m)
        });
        equal != self.negated
    }
}

/// Offsets beyond this are surely mistakes.
const FARTHEST: usize = 1 << 16;

/// Parses one pattern; `-` has no clause and matches everything.
pub(super) fn parse(text: &str) -> Result<Vec<Clause>, String> {
    let text = text.trim();
    if text == "-" {
        return Ok(Vec::new());
    }
    if text.is_empty() {
        return Err("empty pattern, should be '-' or clauses OFFSET/VALUE".to_owned());
    }
    text.split_whitespace().filter(|word| *word != "+").map(clause).collect()
}

fn clause(word: &str) -> Result<Clause, String> {
    let (negated, rest) = match word.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let wrong = || format!("clause '{word}' is not OFFSET/VALUE or OFFSET/VALUE%MASK");
    let (offset, rest) = rest.split_once('/').ok_or_else(wrong)?;
    let offset = offset.parse::<usize>().ok().filter(|o| *o < FARTHEST).ok_or_else(wrong)?;
    let (value, mask) = match rest.split_once('%') {
        Some((value, mask)) => (value, Some(mask)),
        None => (rest, None),
    };
    let (value, any) = digits(value).ok_or_else(wrong)?;
    let mut mask = match mask {
        None => vec![0xff; value.len()],
        Some(mask) => digits(mask).map(|(mask, _)| mask).ok_or_else(wrong)?,
    };
    mask.resize(value.len(), 0);
    for (mask, any) in mask.iter_mut().zip(any) {
        *mask &= !any;
    }
    Ok(Clause { offset, value, mask, negated })
}

/// Bytes of pairs of hexadecimal digits, and for each the bits that a `?` leaves open.
fn digits(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    if text.is_empty() || !text.len().is_multiple_of(2) || text.len() > 1024 {
        return None;
    }
    let (mut bytes, mut any) = (Vec::new(), Vec::new());
    for pair in text.as_bytes().chunks(2) {
        let (mut byte, mut open) = (0, 0);
        for digit in pair {
            byte <<= 4;
            open <<= 4;
            match (*digit as char).to_digit(16) {
                Some(digit) => byte |= digit as u8,
                None if *digit == b'?' => open |= 0xf,
                None => return None,
            }
        }
        bytes.push(byte);
        any.push(open);
    }
    Some((bytes, any))
}
