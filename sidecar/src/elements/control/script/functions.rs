//! Handlers that only scripts have: arithmetic, comparison, logic, text, time, random numbers, files, signals.
//!
//! What they say of wrong arguments is what Click says.

use std::io::Read as _;

use super::number::{show_real, sprintf};
use super::run::{plain, trouble};
use super::variables::LONGEST;
use crate::config::{Value, quote_inside, shift_word, unquote};
use crate::element::Cx;

/// Functions that can be called by the script itself only.
pub(super) const PRIVATE: &[&str] = &["cat", "catq", "kill"];

/// The value of a function; `None` if there is no such function.
pub(super) fn call(cx: &mut Cx<'_>, name: &str, argument: &str) -> Option<Result<String, String>> {
    Some(match name {
        "add" | "sub" | "mul" | "div" | "idiv" | "min" | "max" => arithmetic(name, argument),
        "mod" | "rem" => remainder(name, argument),
        "neg" | "abs" => one_number(name, argument),
        "eq" | "ne" | "lt" | "gt" | "le" | "ge" => compare(name, argument),
        "not" => truth(argument).map(|value| (!value).to_string()),
        "and" => find_truth(argument, false).map(|found| (!found).to_string()),
        "nand" => find_truth(argument, false).map(|found| found.to_string()),
        "or" => find_truth(argument, true).map(|found| found.to_string()),
        "nor" => find_truth(argument, true).map(|found| (!found).to_string()),
        "if" => choose(argument),
        "in" => Ok(is_among(argument).to_string()),
        "first" => Ok(shift_word(argument).0.to_owned()),
        "length" => Ok(argument.len().to_string()),
        "unquote" => Ok(plain(argument)),
        "sprintf" => sprintf(argument).ok_or_else(syntax_error),
        "now" => Ok(cx.now().to_string()),
        "random" => random(cx, argument),
        "htons" | "ntohs" => integer(argument).map(|n| (n as u16).to_be().to_string()),
        "htonl" | "ntohl" => integer(argument).map(|n| (n as u32).to_be().to_string()),
        "cat" => file(argument),
        "catq" => file(argument).map(|text| format!("\"{}\"", quote_inside(&text))),
        "kill" => kill(argument),
        _ => return None,
    })
}

fn syntax_error() -> String {
    "syntax error".to_owned()
}

fn words(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (word, rest) = shift_word(text);
        text = rest;
        (!word.is_empty()).then_some(word)
    })
}

/// An integer as long as that is exact, else a real number.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    fn parse(word: &str) -> Option<Self> {
        let real = || f64::parse_plain(word).ok().map(Self::Real);
        i64::parse_plain(word).ok().map(Self::Whole).or_else(real)
    }

    fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    fn show(self) -> String {
        match self {
            Self::Whole(whole) => whole.to_string(),
            Self::Real(real) => show_real(real),
        }
    }
}

fn arithmetic(name: &str, argument: &str) -> Result<String, String> {
    let real = matches!(name, "div" | "idiv");
    let mut sum: Option<Number> = None;
    for word in words(argument) {
        let number = Number::parse(word).ok_or("expected list of numbers")?;
        let number = if real { Number::Real(number.real()) } else { number };
        sum = Some(sum.map_or(number, |sum| combine(name, sum, number)));
    }
    let empty = if matches!(name, "add" | "sub") { 0 } else { 1 };
    let sum = sum.unwrap_or(if real { Number::Real(1.0) } else { Number::Whole(empty) });
    // As the processor does it: what does not fit is the smallest integer.
    let cut = |real: f64| if (-9.3e18..9.2e18).contains(&real) { real as i64 } else { i64::MIN };
    Ok(if name == "idiv" { cut(sum.real()).to_string() } else { sum.show() })
}

fn combine(name: &str, a: Number, b: Number) -> Number {
    if let (Number::Whole(a), Number::Whole(b)) = (a, b) {
        return Number::Whole(match name {
            "add" => a.wrapping_add(b),
            "sub" => a.wrapping_sub(b),
            "min" => a.min(b),
            "max" => a.max(b),
            _ => a.wrapping_mul(b),
        });
    }
    let (a, b) = (a.real(), b.real());
    Number::Real(match name {
        "add" => a + b,
        "sub" => a - b,
        "min" => a.min(b),
        "max" => a.max(b),
        "mul" => a * b,
        _ => a / b,
    })
}

fn two(argument: &str) -> Result<(&str, &str), String> {
    let mut words = words(argument);
    match (words.next(), words.next(), words.next()) {
        (Some(a), Some(b), None) => Ok((a, b)),
        _ => Err("expected two numbers".to_owned()),
    }
}

fn remainder(name: &str, argument: &str) -> Result<String, String> {
    let (a, b) = two(argument)?;
    match (Number::parse(a), Number::parse(b)) {
        (Some(Number::Whole(_)), Some(Number::Whole(0))) => Err("division by zero".to_owned()),
        (Some(Number::Whole(a)), Some(Number::Whole(b))) => Ok(a.wrapping_rem(b).to_string()),
        (Some(a), Some(b)) if name == "rem" => Ok(show_real(a.real() % b.real())),
        _ => Err("expected two numbers".to_owned()),
    }
}

fn one_number(name: &str, argument: &str) -> Result<String, String> {
    let number = Number::parse(argument).ok_or("expected one number")?;
    Ok(match number {
        Number::Whole(n) if name == "neg" || n < 0 => Number::Whole(n.wrapping_neg()),
        Number::Real(n) => Number::Real(if name == "neg" { -n } else { n.abs() }),
        whole => whole,
    }
    .show())
}

/// Numbers are compared as numbers, anything else as text.
fn compare(name: &str, argument: &str) -> Result<String, String> {
    let (a, b) = two(argument)?;
    let order = match (Number::parse(a), Number::parse(b)) {
        (Some(Number::Whole(a)), Some(Number::Whole(b))) => a.cmp(&b),
        (Some(a), Some(b)) => a.real().partial_cmp(&b.real()).unwrap_or(std::cmp::Ordering::Equal),
        _ => unquote(a).cmp(&unquote(b)),
    };
    let holds = match name {
        "eq" => order.is_eq(),
        "ne" => order.is_ne(),
        "lt" => order.is_lt(),
        "gt" => order.is_gt(),
        "le" => order.is_le(),
        _ => order.is_ge(),
    };
    Ok(holds.to_string())
}

fn truth(word: &str) -> Result<bool, String> {
    bool::parse_plain(word).map_err(|_| syntax_error())
}

/// Whether some word has that truth value; words behind it do not matter.
fn find_truth(argument: &str, wanted: bool) -> Result<bool, String> {
    for word in words(argument) {
        if truth(word)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn choose(argument: &str) -> Result<String, String> {
    let (condition, rest) = shift_word(argument);
    let chosen = if truth(condition)? { 0 } else { 1 };
    Ok(words(rest).nth(chosen).unwrap_or_default().to_owned())
}

fn is_among(argument: &str) -> bool {
    let (wanted, rest) = shift_word(argument);
    let wanted = unquote(wanted);
    !wanted.is_empty() && words(rest).any(|word| unquote(word) == wanted)
}

fn integer(argument: &str) -> Result<i32, String> {
    i32::parse_plain(argument).map_err(|_| syntax_error())
}

/// `random`, `random N`, `random N1 N2`.
fn random(cx: &mut Cx<'_>, argument: &str) -> Result<String, String> {
    let limits = words(argument).map(u32::parse_plain).collect::<Result<Vec<_>, _>>()?;
    let (low, high) = match *limits.as_slice() {
        [] => (0, i32::MAX as u32),
        [n] if n > 0 => (0, n - 1),
        [n1, n2] if n1 <= n2 => (n1, n2),
        _ => return Err("bad N".to_owned()),
    };
    let span = u64::from(high - low) + 1;
    Ok((u64::from(low) + cx.random() % span).to_string())
}

fn file(argument: &str) -> Result<String, String> {
    let name = plain(argument);
    if name.is_empty() {
        return Err("bad FILE".to_owned());
    }
    let wrong = |error| trouble(&name, &error);
    let mut text = Vec::new();
    let file = std::fs::File::open(&name).map_err(wrong)?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut text).map_err(wrong)?;
    if text.len() > LONGEST {
        return Err(format!("{name}: longer than {LONGEST} bytes"));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// `kill SIGNAL PID...`
fn kill(argument: &str) -> Result<String, String> {
    use rustix::process::{Pid, Signal, kill_process};
    let (signal, rest) = shift_word(argument);
    let number = super::signals::number(signal);
    let signal = number.and_then(Signal::from_named_raw).ok_or("bad SIGNO")?;
    for word in words(rest) {
        let pid = i32::parse_plain(word).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
        let pid = pid.ok_or("bad PID")?;
        let wrong = |error| format!("kill({}, {}): {error}", pid.as_raw_nonzero(), signal.as_raw());
        kill_process(pid, signal).map_err(wrong)?;
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    /// The value of `$(call)`.
    fn value(call: &str) -> String {
        let mut bench = Bench::new("s :: Script(TYPE PASSIVE, return 0);");
        let (name, argument) = call.split_once(' ').unwrap_or((call, ""));
        let value = bench.router.read_handler_with("s", name, argument);
        value.unwrap_or_else(|error| format!("! {error}"))
    }

    #[test]
    fn numbers_are_calculated_as_integers_while_they_can_be() {
        let cases = [
            ("add 10 5 2", "17"),
            ("add", "0"),
            ("add 1 2.5", "3.5"),
            ("add 1 x", "! expected list of numbers"),
            ("sub 10 5 2", "3"),
            ("mul 0x10 3", "48"),
            ("mul", "1"),
            ("div 7 2", "3.5"),
            ("div 6 2", "3"),
            ("div 1 0", "inf"),
            ("idiv 7 2", "3"),
            ("idiv -7 2", "-3"),
            ("min 5 10 2", "2"),
            ("max 5 10.5 2", "10.5"),
            ("mod 7 3", "1"),
            ("mod 7.5 2", "! expected two numbers"),
            ("mod 7 0", "! division by zero"),
            ("rem 7.5 2", "1.5"),
            ("rem 1", "! expected two numbers"),
            ("neg 5", "-5"),
            ("abs -2.5", "2.5"),
            ("abs x", "! expected one number"),
            ("htons 258", "513"),
            ("ntohl 1", "16777216"),
            ("htonl x", "! syntax error"),
        ];
        for (call, wanted) in cases {
            assert_eq!(value(call), wanted, "{call}");
        }
    }

    #[test]
    fn comparisons_and_logic_give_truth_values() {
        let cases = [
            ("eq 10 0xA", "true"),
            ("le 9 8", "false"),
            ("eq 10x 10x", "true"),
            ("eq \"a b\" 'a b'", "true"),
            ("lt abc abd", "true"),
            ("ge 2.5 2.5", "true"),
            ("ne 1 2", "true"),
            ("gt 1", "! expected two numbers"),
            ("not true", "false"),
            ("not 5", "! syntax error"),
            ("and true 1 yes", "true"),
            ("and true false x", "false"),
            ("nand true true", "false"),
            ("or false true", "true"),
            ("or", "false"),
            ("nor false false", "true"),
            ("if true a b", "a"),
            ("if false a b", "b"),
            ("in foo bar 'foo'", "true"),
            ("in foo bar", "false"),
        ];
        for (call, wanted) in cases {
            assert_eq!(value(call), wanted, "{call}");
        }
    }

    #[test]
    fn text_is_taken_apart_and_formatted() {
        let cases = [
            ("first 'a b' c", "'a b'"),
            ("length abcdef", "6"),
            ("unquote \"a\\tb\"", "a\tb"),
            ("sprintf \"%03d-%s\" 7 x", "007-x"),
            ("sprintf %d", "! syntax error"),
            ("now", "1.000000"),
        ];
        for (call, wanted) in cases {
            assert_eq!(value(call), wanted, "{call}");
        }
    }

    #[test]
    fn random_numbers_lie_within_their_limits() {
        for _ in 0..20 {
            assert!(value("random 3").parse::<u32>().unwrap() < 3);
            assert!((5..=7).contains(&value("random 5 7").parse::<u32>().unwrap()));
        }
        assert_eq!(value("random 0"), "! bad N");
        assert_eq!(value("random 5 4"), "! bad N");
    }

    #[test]
    fn files_and_signals_are_for_the_script_itself() {
        for call in ["cat /etc/passwd", "catq /etc/passwd", "kill TERM 1"] {
            assert!(value(call).starts_with("! no handler"), "{call}");
        }
    }
}
