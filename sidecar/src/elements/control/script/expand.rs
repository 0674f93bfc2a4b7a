//! Replacing `$name`, `${name}` and `$(handler arguments)` in texts; nothing is replaced inside single quotes.

/// What a `$` refers to.
pub(super) enum Reference<'a> {
    /// `$name`: unknown ones are left as they stand.
    Variable(&'a str),
    /// `$(...)`, the inside.
    Call(&'a str),
}

/// Replaces all references by what `resolve` gives. A value that is put between double quotes is escaped.
pub(super) fn expand(
    text: &str,
    resolve: &mut dyn FnMut(Reference<'_>) -> Result<Option<String>, String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut quoted = false;
    while let Some(at) = rest.find(['$', '\'', '"', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match rest.as_bytes()[0] {
            b'\'' if !quoted => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            b'"' => {
                quoted = !quoted;
                1
            }
            b'\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            b'$' => match reference(rest) {
                Some((reference, length)) => {
                    match resolve(reference)? {
                        Some(value) => push_value(&mut out, &value, quoted),
                        None => out.push_str(&rest[..length]),
                    }
                    rest = &rest[length..];
                    continue;
                }
                None => 1,
            },
            _ => 1,
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    Ok(out)
}

fn push_value(out: &mut String, value: &str, quoted: bool) {
    for c in value.chars() {
        if quoted && matches!(c, '"' | '\\' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
}

/// The reference at the start of `text`, which begins with `$`, and its length.
fn reference(text: &str) -> Option<(Reference<'_>, usize)> {
    let inside = &text[1..];
    if let Some(call) = inside.strip_prefix('(') {
        let end = closing(call)?;
        return Some((Reference::Call(&call[..end]), end + 3));
    }
    if let Some(name) = inside.strip_prefix('{') {
        let end = name.find('}')?;
        return Some((Reference::Variable(&name[..end]), end + 3));
    }
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
    (end > 0).then(|| (Reference::Variable(&inside[..end]), end + 1))
}

/// Where the parenthesis that is open at the start of `text` closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
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

    fn run(text: &str) -> String {
        expand(text, &mut |reference| {
            Ok(match reference {
                Reference::Variable("x") => Some("1\"".to_owned()),
                Reference::Variable(_) => None,
                Reference::Call(call) => Some(format!("<{call}>")),
            })
        })
        .unwrap()
    }

    #[test]
    fn references_are_replaced_but_for_single_quotes() {
        assert_eq!(run("a $x b"), "a 1\" b");
        assert_eq!(run("\"a ${x}b\" '$x'"), "\"a 1\\\"b\" '$x'");
        assert_eq!(run("$(f $(g 1) 2)$y \\$x $"), "<f $(g 1) 2>$y \\$x $");
        assert_eq!(run("\"it's $x\""), "\"it's 1\\\"\"");
        assert_eq!(run("$(open"), "$(open");
    }
}
