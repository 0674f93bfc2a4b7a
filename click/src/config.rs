//! Configuration strings: split into arguments, joined, variables put in. The same rules everywhere: commas
//! inside quotes or `\<…>` do not separate, comments count as a space. A normal string (what [`normal`]
//! gives) is its arguments joined by ", ", so that printing and parsing it changes nothing.

use crate::lex::is_variable_byte;

/// Splits at commas outside quotes and `\<…>`; comments go, arguments are trimmed; an empty last argument
/// does not count (so `""` has none).
///
/// ```
/// assert_eq!(anf_click::config::split("a, \"b, c\" /* x */, d,"), ["a", "\"b, c\"", "d"]);
/// ```
pub fn split(config: &str) -> Vec<String> {
    let bytes = config.as_bytes();
    let mut arguments = Vec::new();
    let mut argument = String::new();
    let mut blank = false; // white space or a comment waits to be written
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b',' => {
                arguments.push(std::mem::take(&mut argument));
                blank = false;
                at += 1;
                continue;
            }
            b'/' if is_comment(bytes, at) => {
                blank = true;
                at = comment_end(bytes, at);
                continue;
            }
            b if b.is_ascii_whitespace() => {
                let end = blank_end(bytes, at);
                // White space alone stays as written; beside a comment, or where a `#` would begin a line
                // and so read as a line directive, it becomes one space.
                let next_is_special = end < bytes.len() && (is_comment(bytes, end) || bytes[end] == b'#');
                let at_edge = argument.is_empty() || matches!(bytes.get(end), None | Some(b','));
                if blank || next_is_special || at_edge {
                    blank = true;
                } else {
                    argument.push_str(&config[at..end]);
                }
                at = end;
                continue;
            }
            b'\'' | b'"' => quote_end(bytes, at),
            b'\\' if bytes.get(at + 1) == Some(&b'<') => angle_end(bytes, at),
            _ => plain_end(bytes, at),
        };
        if blank && !argument.is_empty() {
            argument.push(' ');
        }
        blank = false;
        argument.push_str(&config[at..end]);
        at = end;
    }
    if !argument.is_empty() {
        arguments.push(argument);
    }
    arguments
}

/// Arguments back to one string.
pub fn join<S: AsRef<str>>(arguments: &[S]) -> String {
    arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// The one way in which a configuration string is kept in a flat graph.
pub fn normal(config: &str) -> String {
    let mut normal = join(&split(config));
    // An argument list that ends in empty ones loses one of them a round.
    while normal.ends_with([',', ' ']) {
        let again = join(&split(&normal));
        if again == normal {
            break;
        }
        normal = again;
    }
    normal
}

/// Splits an argument at white space outside quotes and `\<…>`.
pub fn words(argument: &str) -> Vec<String> {
    let bytes = argument.as_bytes();
    let mut words = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_whitespace() || is_comment(bytes, at) {
            if start < at {
                words.push(argument[start..at].to_owned());
            }
            at = if bytes[at].is_ascii_whitespace() { at + 1 } else { comment_end(bytes, at) };
            start = at;
            continue;
        }
        at = match bytes[at] {
            b'\'' | b'"' => quote_end(bytes, at),
            b'\\' if bytes.get(at + 1) == Some(&b'<') => angle_end(bytes, at),
            _ => at + 1,
        };
    }
    if start < bytes.len() {
        words.push(argument[start..].to_owned());
    }
    words
}

/// Whether the string can stand between parentheses: everything it opens it closes.
pub(crate) fn is_balanced(config: &str) -> bool {
    let bytes = config.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        let closed_by = |end: usize, last: u8, shortest: usize| {
            end <= bytes.len() && end >= at + shortest && bytes[end - 1] == last
        };
        match bytes[at] {
            b'(' => depth += 1,
            b')' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return false,
            },
            quote @ (b'\'' | b'"') => {
                let (end, closed) = scan_quote(bytes, at);
                if !closed || !closed_by(end, quote, 2) {
                    return false;
                }
                at = end;
                continue;
            }
            b'\\' if bytes.get(at + 1) == Some(&b'<') => {
                let end = angle_end(bytes, at);
                if !closed_by(end, b'>', 3) {
                    return false;
                }
                at = end;
                continue;
            }
            b'/' if is_comment(bytes, at) => return false,
            _ => {}
        }
        at += 1;
    }
    depth == 0
}

fn is_comment(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'/' && matches!(bytes.get(at + 1), Some(b'/' | b'*'))
}

/// Past a comment: to the line's end for `//` (not over it).
fn comment_end(bytes: &[u8], at: usize) -> usize {
    if bytes[at + 1] == b'/' {
        let len = bytes[at..].iter().position(|&b| b == b'\n' || b == b'\r');
        return len.map_or(bytes.len(), |len| at + len);
    }
    let len = bytes[at + 2..].windows(2).position(|pair| pair == b"*/");
    len.map_or(bytes.len(), |len| at + 2 + len + 2)
}

fn blank_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| !b.is_ascii_whitespace()).map_or(bytes.len(), |len| at + len)
}

/// Up to the next byte that means something.
fn plain_end(bytes: &[u8], at: usize) -> usize {
    let special = |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | b'/' | b'\'' | b'"' | b'\\');
    bytes[at + 1..].iter().position(special).map_or(bytes.len(), |len| at + 1 + len)
}

fn quote_end(bytes: &[u8], at: usize) -> usize {
    scan_quote(bytes, at).0
}

/// End of a quoted run and whether it is closed.
fn scan_quote(bytes: &[u8], at: usize) -> (usize, bool) {
    let quote = bytes[at];
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' && bytes.get(at + 1) == Some(&b'<') => at = angle_end(bytes, at),
            b'\\' if quote == b'"' => at += 2,
            b if b == quote => return (at + 1, true),
            _ => at += 1,
        }
    }
    (bytes.len(), false)
}

/// End of `\<…>`; comments inside may hold a `>`.
fn angle_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 2;
    while at < bytes.len() {
        if is_comment(bytes, at) {
            at = comment_end(bytes, at);
        } else if bytes[at] == b'>' {
            return at + 1;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// A value or a whole string grows beyond its bound when variables are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Where variables come from.
pub(crate) trait Variables {
    /// The value of `$name`, if it has one.
    fn value(&self, name: &str) -> Result<Option<String>, TooLarge>;
}

/// Puts values in place of `$name`, `${name}` and `${name-default}`; what has no value stays as it is, and so
/// do single quotes, comments and `$(handler)`. The result has at most `limit` bytes.
pub(crate) fn expand(config: &str, variables: &dyn Variables, limit: usize) -> Result<String, TooLarge> {
    let bytes = config.as_bytes();
    let mut out = String::new();
    let (mut at, mut written) = (0, 0);
    let mut quote = 0_u8;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 1,
            b @ (b'\'' | b'"') if quote == 0 => quote = b,
            b if b == quote => quote = 0,
            b'/' if quote == 0 && is_comment(bytes, at) => {
                at = comment_end(bytes, at);
                continue;
            }
            b'$' if quote != b'\'' => {
                if let Some((end, value)) = variable(config, at, variables)? {
                    out.push_str(&config[written..at]);
                    out.push_str(&if quote == b'"' { in_quotes(&value) } else { value });
                    if out.len() > limit {
                        return Err(TooLarge);
                    }
                    (at, written) = (end, end);
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    out.push_str(&config[written..]);
    if out.len() <= limit { Ok(out) } else { Err(TooLarge) }
}

/// The variable at a `$`: where it ends and what it stands for.
fn variable(config: &str, at: usize, variables: &dyn Variables) -> Result<Option<(usize, String)>, TooLarge> {
    let rest = &config[at + 1..];
    if let Some(braced) = rest.strip_prefix('{') {
        let Some(len) = braced.find('}') else { return Ok(None) };
        let (name, default) = match braced[..len].split_once('-') {
            Some((name, default)) => (name.trim(), Some(default)),
            None => (braced[..len].trim(), None),
        };
        let value = variables.value(name)?.or_else(|| default.map(str::to_owned));
        return Ok(value.map(|value| (at + 2 + len + 1, value)));
    }
    let len = rest.bytes().position(|b| !is_variable_byte(b)).unwrap_or(rest.len());
    if len == 0 {
        return Ok(None);
    }
    Ok(variables.value(&rest[..len])?.map(|value| (at + 1 + len, value)))
}

/// A value as it must stand inside double quotes: its own quotes taken off, what is special escaped.
fn in_quotes(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if scan_quote(value.as_bytes(), 0) == (value.len(), true) => inner.to_owned(),
        _ => value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(&'static str, &'static str);

    impl Variables for One {
        fn value(&self, name: &str) -> Result<Option<String>, TooLarge> {
            Ok((name == self.0).then(|| self.1.to_owned()))
        }
    }

    #[test]
    fn arguments_split_at_commas_outside_quotes_angles_and_comments() {
        for (config, arguments) in [
            ("", vec![]),
            ("  ", vec![]),
            ("a", vec!["a"]),
            ("a,b , c", vec!["a", "b", "c"]),
            ("a,,b", vec!["a", "", "b"]),
            ("a,", vec!["a"]),
            ("'x, y', \"p, \\\" q\"", vec!["'x, y'", "\"p, \\\" q\""]),
            ("\\<01 02, 03>, b", vec!["\\<01 02, 03>", "b"]),
            ("a // one, two\n, b", vec!["a", "b"]),
            ("a /* x */ b", vec!["a b"]),
            ("a\n  b", vec!["a\n  b"]),
            ("a\n#b", vec!["a #b"]),
        ] {
            assert_eq!(split(config), arguments, "{config:?}");
        }
    }

    #[test]
    fn words_split_at_white_space_outside_quotes() {
        assert_eq!(words(" a \"b c\"  d/* e */f "), ["a", "\"b c\"", "d", "f"]);
    }

    #[test]
    fn a_normal_string_is_its_own_normal_form() {
        for config in ["a,,", ",", ", ,a", "a /**/ , b //x", "a/ /b", "x\n# y", "'", "\\<", "\"\\"] {
            let once = normal(config);
            assert_eq!(normal(&once), once, "{config:?}");
        }
    }

    #[test]
    fn variables_stand_bare_in_braces_with_a_default_and_inside_double_quotes() {
        let v = One("x", "7");
        let expand = |config| expand(config, &v, 100).unwrap();
        assert_eq!(expand("$x, ${x}, ${y-3}, $y, '$x', \"$x\""), "7, 7, 3, $y, '$x', \"7\"");
        assert_eq!(expand("$(now) $ $$x"), "$(now) $ $7");
        assert_eq!(super::expand("\"a $x\"", &One("x", "\"b\""), 100).unwrap(), "\"a b\"");
    }

    #[test]
    fn an_expansion_that_grows_beyond_its_limit_is_refused() {
        assert_eq!(expand("$x$x$x", &One("x", "0123456789"), 20), Err(TooLarge));
    }

    #[test]
    fn balance_minds_quotes() {
        for good in ["", "a(b)c", "')'", "\"(\\\"\"", "\\<28>"] {
            assert!(is_balanced(good), "{good:?}");
        }
        for bad in ["(", ")(", "'", "\"", "\"\\\"", "\\<", "a // b"] {
            assert!(!is_balanced(bad), "{bad:?}");
        }
    }
}
