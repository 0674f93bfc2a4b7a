//! Handlers that only scripts have: arithmetic, comparison, logic, time, random numbers.

use crate::config::{Value, split_words, unquote};
use crate::element::Cx;

/// The value of a function; `None` if there is no such function.
pub(super) fn call(cx: &mut Cx<'_>, name: &str, argument: &str) -> Option<Result<String, String>> {
    let words: Vec<String> = split_words(argument)
        .iter()
        .map(|word| String::from_utf8_lossy(&unquote(word)).into_owned())
        .collect();
    Some(match name {
        "now" => Ok(cx.now().to_string()),
        "random" => random(cx, &words),
        "add" => fold(&words, 0.0, |a, b| a + b),
        "mul" => fold(&words, 1.0, |a, b| a * b),
        "sub" => reduce(&words, |a, b| a - b),
        "div" => reduce(&words, |a, b| a / b),
        "idiv" => reduce(&words, |a, b| (a / b).trunc()),
        "mod" | "rem" => reduce(&words, |a, b| a % b),
        "min" => reduce(&words, f64::min),
        "max" => reduce(&words, f64::max),
        "neg" => numbers(&words).map(|n| show(-n.first().copied().unwrap_or(0.0))),
        "abs" => numbers(&words).map(|n| show(n.first().copied().unwrap_or(0.0).abs())),
        "eq" | "ne" | "lt" | "gt" | "le" | "ge" => compare(name, &words),
        "not" => truths(&words).map(|t| (!t.first().copied().unwrap_or(false)).to_string()),
        "and" => truths(&words).map(|t| t.iter().all(|b| *b).to_string()),
        "or" => truths(&words).map(|t| t.iter().any(|b| *b).to_string()),
        "if" => truths(words.get(..1).unwrap_or(&[])).map(|t| {
            let chosen = if t.first() == Some(&true) { 1 } else { 2 };
            words.get(chosen).cloned().unwrap_or_default()
        }),
        "in" => Ok(words.split_first().is_some_and(|(x, rest)| rest.contains(x)).to_string()),
        "length" => Ok(argument.len().to_string()),
        "first" => Ok(words.first().cloned().unwrap_or_default()),
        "unquote" => Ok(String::from_utf8_lossy(&unquote(argument)).into_owned()),
        _ => return None,
    })
}

fn numbers(words: &[String]) -> Result<Vec<f64>, String> {
    words
        .iter()
        .map(|word| match i64::parse_plain(word) {
            Ok(whole) => Ok(whole as f64),
            Err(_) => f64::parse_plain(word),
        })
        .collect()
}

/// Whole numbers without a decimal point.
fn show(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        format!("{}", number as i64)
    } else {
        number.to_string()
    }
}

fn fold(words: &[String], start: f64, f: impl Fn(f64, f64) -> f64) -> Result<String, String> {
    Ok(show(numbers(words)?.into_iter().fold(start, f)))
}

fn reduce(words: &[String], f: impl Fn(f64, f64) -> f64) -> Result<String, String> {
    let result = numbers(words)?.into_iter().reduce(f).ok_or("needs numbers")?;
    if result.is_finite() { Ok(show(result)) } else { Err("division by zero".to_owned()) }
}

fn truths(words: &[String]) -> Result<Vec<bool>, String> {
    words.iter().map(|word| bool::parse_plain(word)).collect()
}

/// Numbers are compared as numbers, anything else as text.
fn compare(name: &str, words: &[String]) -> Result<String, String> {
    let [a, b] = words else { return Err("needs two values".to_owned()) };
    let order = match numbers(words).as_deref() {
        Ok([a, b]) => a.total_cmp(b),
        _ => a.cmp(b),
    };
    Ok(match name {
        "eq" => order.is_eq(),
        "ne" => order.is_ne(),
        "lt" => order.is_lt(),
        "gt" => order.is_gt(),
        "le" => order.is_le(),
        _ => order.is_ge(),
    }
    .to_string())
}

/// `random`, `random MAX`, `random MIN MAX`.
fn random(cx: &mut Cx<'_>, words: &[String]) -> Result<String, String> {
    let limits = words.iter().map(|word| i64::parse_plain(word)).collect::<Result<Vec<_>, _>>()?;
    let (low, high) = match limits.as_slice() {
        [] => (0, i64::from(i32::MAX)),
        [high] => (0, high.saturating_sub(1)),
        [low, high, ..] => (*low, *high),
    };
    if high < low {
        return Err("empty range".to_owned());
    }
    let span = u128::from(high.abs_diff(low)) + 1;
    let offset = u128::from(cx.random()) % span;
    Ok((i128::from(low) + offset as i128).to_string())
}
