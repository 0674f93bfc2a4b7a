//! Numbers as C's printf writes them: `%.12g` for results, and the conversions of `sprintf`.

use crate::config::{Value, shift_word, unquote};

/// Digits of a result that is no integer.
const DIGITS: usize = 12;

/// `%.12g`
pub(in crate::elements) fn show_real(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{:.1$e}", number, DIGITS - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS as i32).contains(&exponent) {
        let decimals = (DIGITS as i32 - 1 - exponent).max(0) as usize;
        return trim_zeros(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.unsigned_abs())
}

fn trim_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Widths and precisions larger than this are refused.
const WIDEST: usize = 1000;

/// One `%...` of a format.
#[derive(Debug, Default)]
struct Conversion {
    zero: bool,
    alternate: bool,
    left: bool,
    space: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    /// `h`: 16 bits.
    short: bool,
}

/// `FORMAT ARGUMENT...`, as C's sprintf formats it.
pub(super) fn sprintf(text: &str) -> Option<String> {
    let (format, mut arguments) = shift_word(text);
    let format = String::from_utf8_lossy(&unquote(format)).into_owned();
    let mut out = String::new();
    let mut rest = format.as_str();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (conversion, kind, after) = parse(&rest[at + 1..], &mut arguments)?;
        rest = after;
        out.push_str(&match kind {
            '%' => "%".to_owned(),
            's' => conversion.text(&String::from_utf8_lossy(&unquote(take(&mut arguments)?))),
            'd' | 'i' => conversion.signed(i64::parse_plain(take(&mut arguments)?).ok()?),
            'u' | 'o' | 'x' | 'X' => conversion.unsigned(u64::parse_plain(take(&mut arguments)?).ok()?, kind),
            _ => return None,
        });
    }
    out.push_str(rest);
    arguments.trim().is_empty().then_some(out)
}

/// The next argument.
fn take<'a>(arguments: &mut &'a str) -> Option<&'a str> {
    let (word, rest) = shift_word(arguments);
    *arguments = rest;
    (!word.is_empty()).then_some(word)
}

/// The conversion behind a `%`, its letter, and what follows.
fn parse<'f>(format: &'f str, arguments: &mut &str) -> Option<(Conversion, char, &'f str)> {
    let mut conversion = Conversion::default();
    let mut rest = format;
    loop {
        match rest.chars().next()? {
            '0' => conversion.zero = true,
            '#' => conversion.alternate = true,
            '-' => conversion.left = true,
            ' ' => conversion.space = true,
            '+' => conversion.plus = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    let (width, after) = number(rest, arguments)?;
    conversion.left |= width.is_some_and(|width| width < 0);
    conversion.width = width.unwrap_or(0).unsigned_abs() as usize;
    rest = after;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = number(after, arguments)?;
        conversion.precision = Some(usize::try_from(precision.unwrap_or(0)).ok()?);
        rest = after;
    }
    while let Some(size @ ('h' | 'l' | 'L' | 'q')) = rest.chars().next() {
        conversion.short = size == 'h';
        rest = &rest[1..];
    }
    let kind = rest.chars().next()?;
    let fits = conversion.width.max(conversion.precision.unwrap_or(0)) <= WIDEST;
    fits.then(|| (conversion, kind, &rest[kind.len_utf8()..]))
}

/// A width or precision: digits, or `*` for the next argument.
fn number<'f>(format: &'f str, arguments: &mut &str) -> Option<(Option<i32>, &'f str)> {
    if let Some(rest) = format.strip_prefix('*') {
        return Some((Some(i32::parse_plain(take(arguments)?).ok()?), rest));
    }
    let end = format.find(|c: char| !c.is_ascii_digit()).unwrap_or(format.len());
    let (digits, rest) = format.split_at(end);
    if digits.is_empty() { Some((None, rest)) } else { Some((Some(digits.parse().ok()?), rest)) }
}

impl Conversion {
    fn signed(&self, number: i64) -> String {
        let number = if self.short { i64::from(number as i16) } else { number };
        let sign = match number {
            ..0 => "-",
            _ if self.plus => "+",
            _ if self.space => " ",
            _ => "",
        };
        self.pad(sign, &self.digits(number.unsigned_abs().to_string()))
    }

    fn unsigned(&self, number: u64, kind: char) -> String {
        let number = if self.short { u64::from(number as u16) } else { number };
        let (prefix, digits) = match kind {
            'o' => ("", format!("{number:o}")),
            'x' => ("0x", format!("{number:x}")),
            'X' => ("0X", format!("{number:X}")),
            _ => ("", number.to_string()),
        };
        let mut digits = self.digits(digits);
        if self.alternate && kind == 'o' && !digits.starts_with('0') {
            digits.insert(0, '0');
        }
        self.pad(if self.alternate && number != 0 { prefix } else { "" }, &digits)
    }

    /// At least as many digits as the precision says.
    fn digits(&self, digits: String) -> String {
        match self.precision {
            Some(0) if digits == "0" => String::new(),
            Some(precision) => format!("{digits:0>precision$}"),
            None => digits,
        }
    }

    fn text(&self, text: &str) -> String {
        let most = self.precision.unwrap_or(usize::MAX);
        self.fill("", &text.chars().take(most).collect::<String>(), false)
    }

    fn pad(&self, sign: &str, digits: &str) -> String {
        self.fill(sign, digits, self.zero && !self.left && self.precision.is_none())
    }

    fn fill(&self, sign: &str, body: &str, zeros: bool) -> String {
        let missing = self.width.saturating_sub(sign.chars().count() + body.chars().count());
        match (self.left, zeros) {
            (true, _) => format!("{sign}{body}{:missing$}", ""),
            (false, true) => format!("{sign}{:0>missing$}{body}", ""),
            (false, false) => format!("{:missing$}{sign}{body}", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_numbers_have_twelve_digits() {
        let cases = [
            (1.0 / 3.0, "0.333333333333"),
            (2.5, "2.5"),
            (-0.25, "-0.25"),
            (1e15, "1e+15"),
            (123_456_789_012.5, "123456789012"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (0.0, "0"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, wanted) in cases {
            assert_eq!(show_real(number), wanted);
        }
    }

    #[test]
    fn sprintf_formats_as_in_c() {
        let cases = [
            ("%05x 127", "0007f"),
            ("'%d%%|%5d|%-5d|%+d' 1 2 3 4", "1%|    2|3    |+4"),
            ("\"%s and %.2s|%4s|\" abc def 'x y'", "abc and de| x y|"),
            ("%#x/%#o/%X/%u 255 8 255 7", "0xff/010/FF/7"),
            ("%hd/%hu 65537 65537", "1/1"),
            ("%*d|%.*d|%03d 4 1 3 2 -5", "   1|002|-05"),
            ("%lld 12", "12"),
            ("plain", "plain"),
        ];
        for (text, wanted) in cases {
            assert_eq!(sprintf(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn wrong_formats_are_refused() {
        for text in ["%d", "%d x", "%", "%y 1", "a 1", "%99999999d 1", "%*d 5000000 1", "%5", "%.-1d 1"] {
            assert_eq!(sprintf(text), None, "{text}");
        }
    }
}
