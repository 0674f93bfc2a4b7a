//! Replacing `$name`, `${name}` and `$(handler arguments)` in texts; nothing is replaced inside single quotes.

use crate::config::quote_inside;

/// How a variable is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `$name`, `$1`, `$?`, `$#` or `$$`.
    Bare,
    /// `${name}`.
    Braces,
    /// `$(name)`: a handler, if it is no variable.
    Call,
}

/// References inside references.
const DEEPEST: u32 = 32;

/// Replaces all references by what `resolve` gives; unknown ones are left. A value that is put between double quotes is
/// escaped, and with `quote` one that stands outside quotes is put into double quotes.
pub(super) fn expand(
    text: &str,
    quote: bool,
    resolve: &mut dyn FnMut(&str, Form) -> Option<String>,
) -> String {
    expand_at(text, quote, 0, resolve)
}

fn expand_at(
    text: &str,
    quote: bool,
    depth: u32,
    resolve: &mut dyn FnMut(&str, Form) -> Option<String>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside = None;
    while let Some(at) = rest.find(['$', '\'', '"', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match rest.as_bytes()[0] {
            b'\\' if inside == Some(b'"') => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            mark @ (b'\'' | b'"') => {
                match inside {
                    None => inside = Some(mark),
                    Some(open) if open == mark => inside = None,
                    Some(_) => {}
                }
                1
            }
            b'$' if inside != Some(b'\'') => {
                let Some((name, form, length)) = reference(rest) else {
                    out.push('$');
                    rest = &rest[1..];
                    continue;
                };
                let nested = form != Form::Bare && name.contains('$') && depth < DEEPEST;
                let name = match nested {
                    true => expand_at(name, false, depth + 1, resolve),
                    false => name.to_owned(),
                };
                match resolve(&name, form) {
                    Some(value) if inside == Some(b'"') => out.push_str(&quote_inside(&value)),
                    Some(value) if quote => out.push_str(&format!("\"{}\"", quote_inside(&value))),
                    Some(value) => out.push_str(&value),
                    None => push_unknown(&mut out, &name, form),
                }
                rest = &rest[length..];
                continue;
            }
            _ => 1,
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

fn push_unknown(out: &mut String, name: &str, form: Form) {
    let (open, close) = match form {
        Form::Bare => ("$", ""),
        Form::Braces => ("${", "}"),
        Form::Call => ("$(", ")"),
    };
    out.extend([open, name, close]);
}

/// The name in the reference at the start of `text`, which begins with `$`, and the length of the reference.
fn reference(text: &str) -> Option<(&str, Form, usize)> {
    let inside = &text[1..];
    if let Some(call) = inside.strip_prefix('(') {
        let end = closing(call)?;
        return Some((&call[..end], Form::Call, end + 3));
    }
    if let Some(name) = inside.strip_prefix('{') {
        let end = name.find('}')?;
        return Some((&name[..end], Form::Braces, end + 3));
    }
    let end = match inside.bytes().next() {
        Some(b'?' | b'#' | b'$') => 1,
        _ => inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len()),
    };
    (end > 0).then(|| (&inside[..end], Form::Bare, end + 1))
}

/// Where the parenthesis that is open at the start of `text` closes.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (1, None);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = quote != Some('\''),
            '\'' | '"' if quote.is_none() => quote = Some(c),
            '\'' | '"' if quote == Some(c) => quote = None,
            '(' if quote.is_none() => depth += 1,
            ')' if quote.is_none() => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, quote: bool) -> String {
        expand(text, quote, &mut |name, form| match (name, form) {
            ("x", _) => Some("1\"".to_owned()),
            ("?", Form::Bare) => Some("0".to_owned()),
            (name, Form::Call) if name != "no" => Some(format!("<{name}>")),
            _ => None,
        })
    }

    #[test]
    fn references_are_replaced_but_for_single_quotes() {
        let cases = [
            ("a $x b", "a 1\" b"),
            ("\"a ${x}b\" '$x'", "\"a 1\\\"b\" '$x'"),
            ("$(f $(g 1) 2)$y \\$x $", "<f <g 1> 2>$y \\1\" $"),
            ("\"it's $x \\$x\"", "\"it's 1\\\" \\$x\""),
            ("$(open", "$(open"),
            ("${open", "${open"),
            ("$(f \")\" ')' \\) )$?", "<f \")\" ')' \\) >0"),
            ("$(no)${y}$y$#", "$(no)${y}$y$#"),
            ("$(f '$x' $x)", "<f '$x' 1\">"),
        ];
        for (text, wanted) in cases {
            assert_eq!(run(text, false), wanted, "{text}");
        }
    }

    #[test]
    fn values_outside_quotes_can_be_put_into_quotes() {
        assert_eq!(run("$x \"$x\" $y '$x'", true), "\"1\\\"\" \"1\\\"\" $y '$x'");
    }

    #[test]
    fn references_inside_references_end_somewhere() {
        let text = "$(".repeat(5000) + &")".repeat(5000);
        assert!(run(&text, false).len() >= 5000);
    }
}
