//! Cutting configuration strings: arguments at commas, words at spaces, quotes undone.
//!
//! Click's quoting: `'...'` literally, `"..."` with backslash escapes, `\<48 69>` bytes in hexadecimal (which may have
//! comments between them), comments. Commas inside quotes, parentheses, brackets or braces do not separate.

/// The arguments of a configuration string, trimmed, comments removed, still quoted. Empty for an empty string.
pub fn split_arguments(config: &str) -> Vec<String> {
    let mut arguments: Vec<String> =
        split_at(config, |c| c == ',').iter().map(|a| a.trim().to_owned()).collect();
    // A trailing comma does not make another argument.
    if arguments.last().is_some_and(String::is_empty) {
        arguments.pop();
    }
    arguments
}

/// The words of an argument, still quoted.
pub fn split_words(argument: &str) -> Vec<String> {
    split_at(argument, char::is_whitespace).into_iter().filter(|word| !word.is_empty()).collect()
}

/// The first word of an argument, still quoted, and what follows it. Brackets do not keep words together.
pub fn shift_word(argument: &str) -> (&str, &str) {
    let argument = argument.trim_start();
    let mut end = 0;
    while let Some(c) = argument[end..].chars().next() {
        let rest = &argument[end..];
        if c.is_whitespace() || rest.starts_with("//") || rest.starts_with("/*") {
            break;
        }
        end += token_length(rest, c).min(rest.len());
    }
    (&argument[..end], argument[end..].trim_start())
}

fn split_at(text: &str, separates: impl Fn(char) -> bool) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let token = token_length(rest, c);
        let (this, after) = rest.split_at(token);
        rest = after;
        if this.starts_with("//") || this.starts_with("/*") {
            push_to_last(&mut parts, " ");
            continue;
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && token == c.len_utf8() && separates(c) {
            parts.push(String::new());
        } else {
            push_to_last(&mut parts, this);
        }
    }
    parts
}

fn push_to_last(parts: &mut [String], text: &str) {
    if let Some(last) = parts.last_mut() {
        last.push_str(text);
    }
}

/// Bytes of the token at the start of `rest`, which begins with `c`: a quoted string, a comment, or one character.
fn token_length(rest: &str, c: char) -> usize {
    let bytes = rest.as_bytes();
    match c {
        '\'' => rest[1..].find('\'').map_or(rest.len(), |at| at + 2),
        '"' => double_quoted_length(bytes),
        '\\' if rest[1..].starts_with('<') => 1 + hex_length(&bytes[1..]),
        '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |at| at + 4),
        _ => c.len_utf8(),
    }
}

fn double_quoted_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' if bytes.get(at + 1) == Some(&b'<') => at += 1 + hex_length(&bytes[at + 1..]),
            // The escaped character may be longer than a byte; its rest is skipped as ordinary text.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Undoes quoting: the bytes that the argument stands for.
pub fn unquote(argument: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(argument.len());
    unquote_into(argument.as_bytes(), &mut out);
    out
}

/// As [`unquote`], for text that need not be UTF-8: adds to `out`.
pub(crate) fn unquote_into(argument: &[u8], out: &mut Vec<u8>) {
    let mut rest = argument;
    while let Some(&first) = rest.first() {
        let (token, after) = rest.split_at(quoted_length(rest).min(rest.len()));
        rest = after;
        match first {
            b'\'' => out.extend(token.iter().filter(|byte| **byte != b'\'')),
            b'"' => unescape(&token[1..], out),
            b'\\' if token.starts_with(b"\\<") => push_hex(token, out),
            _ => out.extend_from_slice(token),
        }
    }
}

/// Bytes of the quoted string or comment at the start of `rest`; 1 if there is none.
fn quoted_length(rest: &[u8]) -> usize {
    let until = |end: &[u8]| rest.get(2..)?.windows(end.len()).position(|found| found == end);
    match rest {
        [b'\'', inside @ ..] => inside.iter().position(|b| *b == b'\'').map_or(rest.len(), |at| at + 2),
        [b'"', ..] => double_quoted_length(rest),
        [b'\\', b'<', ..] => 1 + hex_length(&rest[1..]),
        [b'/', b'/', ..] => until(b"\n").map_or(rest.len(), |at| at + 2),
        [b'/', b'*', ..] => until(b"*/").map_or(rest.len(), |at| at + 4),
        _ => 1,
    }
}

/// Bytes of the `<…>` at the start of `rest`. A comment inside may hold a `>`.
fn hex_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at..] {
            [b'>', ..] => return at + 1,
            [b'/', b'/' | b'*', ..] => at += quoted_length(&rest[at..]),
            _ => at += 1,
        }
    }
    rest.len()
}

/// Text as it stands between double quotes: [`unquote`] gives it back.
pub fn quote_inside(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => out.push_str(&format!("\\<{:02X}>", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// The inside of a double-quoted string, its closing quote included.
fn unescape(inside: &[u8], out: &mut Vec<u8>) {
    let inside = inside.strip_suffix(b"\"").unwrap_or(inside);
    let mut rest = inside;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(&escaped) = rest.first() else { return };
        let mut used = 1;
        match escaped {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'\n' => {}
            b'x' => {
                let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_hexdigit());
                used += digits.clone().count();
                out.push(digits.fold(0_u8, |value, digit| value << 4 | hex_value(*digit).unwrap_or(0)));
            }
            b'0'..=b'7' => {
                let digits = rest.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte));
                used = digits.clone().count();
                out.push(digits.fold(0_u8, |value, digit| value << 3 | (digit - b'0')));
            }
            b'<' => {
                used = hex_length(rest);
                push_hex(&rest[..used], out);
            }
            other => out.push(other),
        }
        rest = &rest[used..];
    }
    out.extend_from_slice(rest);
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The inside of `\<48 69 /* comment */>`: pairs of hexadecimal digits, the rest ignored.
fn push_hex(token: &[u8], out: &mut Vec<u8>) {
    let mut high = None;
    let mut rest = token;
    while let Some(&first) = rest.first() {
        let used =
            if matches!(rest, [b'/', b'/' | b'*', ..]) { quoted_length(rest).min(rest.len()) } else { 1 };
        rest = &rest[used..];
        if let Some(digit) = hex_value(first) {
            match high.take() {
                None => high = Some(digit),
                Some(high) => out.push(high << 4 | digit),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_separate() {
        let arguments = split_arguments(r#"a b, "x, y", '(,', f(1, 2), \<2c, 41>, // no, comment"#);
        assert_eq!(arguments, ["a b", "\"x, y\"", "'(,'", "f(1, 2)", "\\<2c, 41>"]);
        assert!(split_arguments(" ").is_empty());
        assert_eq!(split_arguments("a,,b"), ["a", "", "b"]);
        let hex = "\\<01 // one >, two\n 02>";
        assert_eq!(split_arguments(&format!("{hex}, \"{hex}\", b")), [hex, &format!("\"{hex}\""), "b"]);
    }

    #[test]
    fn words_keep_quoted_spaces() {
        assert_eq!(split_words(r#"print "a b"  $(x y) 'c d'e"#), ["print", "\"a b\"", "$(x y)", "'c d'e"]);
    }

    #[test]
    fn the_first_word_ends_at_a_space_outside_quotes() {
        assert_eq!(shift_word("  a'b c'\"d e\" (f g) "), ("a'b c'\"d e\"", "(f g) "));
        assert_eq!(shift_word("(f g)"), ("(f", "g)"));
        assert_eq!(shift_word("\\<20 20>x y"), ("\\<20 20>x", "y"));
        assert_eq!(shift_word("  "), ("", ""));
        assert_eq!(shift_word("'open"), ("'open", ""));
    }

    #[test]
    fn text_in_quotes_comes_back() {
        let text = "a \"$b\" \\ \t\n\r\u{1} \u{e9}";
        assert_eq!(quote_inside(text), "a \\\"\\$b\\\" \\\\ \\t\\n\\r\\<01> \u{e9}");
        assert_eq!(unquote(&format!("\"{}\"", quote_inside(text))), text.as_bytes());
    }

    #[test]
    fn quotes_are_undone() {
        let cases: &[(&str, &[u8])] = &[
            (r#""a\tb\x41\101""#, b"a\tbAA"),
            ("'a\\tb'", b"a\\tb"),
            (r"\<48 69>", b"Hi"),
            ("\\< 45 // a >b\n 00 /* cc, > */ >z", b"E\0z"),
            (r"\< 45 // open >z", b"E"),
            ("\"x\\<22 // a > \"\n 22>y\"", b"x\"\"y"),
            (r#"a"b c"d"#, b"ab cd"),
            (r#""open"#, b"open"),
            ("\"\\", b""),
        ];
        for (quoted, bytes) in cases {
            assert_eq!(unquote(quoted), *bytes, "{quoted}");
        }
    }
}
