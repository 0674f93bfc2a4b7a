//! Calls of kubectl: a manifest in, JSON out.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Error;
use crate::process::{run, wait_until};

const POLL: Duration = Duration::from_millis(500);

/// Runs kubectl and answers what it printed.
pub fn kubectl(arguments: &[&str]) -> Result<String, Error> {
    run(Command::new("kubectl").args(arguments))
}

/// Runs kubectl with `-o json` and reads the answer.
pub fn get_json(arguments: &[&str]) -> Result<Value, Error> {
    let text = run(Command::new("kubectl").args(arguments).args(["-o", "json"]))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::invalid(format!("kubectl {}", arguments.join(" ")), error))
}

/// Runs a `kubectl` command that reads a manifest, such as `apply` or `apply --dry-run=server`, and answers all that it
/// did.
pub fn feed(verb: &str, manifest: &str) -> Result<Output, Error> {
    let doing = || Error::io(format!("kubectl {verb} -f -"));
    let mut child = Command::new("kubectl")
        .args(verb.split(' '))
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(doing())?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(manifest.as_bytes()).map_err(doing())?;
    }
    child.wait_with_output().map_err(doing())
}

/// As [`feed`], where a refusal is an error.
pub fn feed_ok(verb: &str, manifest: &str) -> Result<(), Error> {
    let output = feed(verb, manifest)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: format!("kubectl {verb} -f -"),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Waits until an object has a condition with a status, and answers its reason and message.
pub fn wait_condition(
    kind: &str,
    name: &str,
    condition: &str,
    status: &str,
    patience: Duration,
) -> Result<(String, String), Error> {
    wait_until(&format!("{condition}={status} of {kind}/{name}"), patience, POLL, |last| {
        let object = get_json(&["get", kind, name])?;
        let Some(found) = condition_of(&object, condition) else {
            *last = format!("no such condition; phase {}", text(&object, "/status/phase"));
            return Ok(None);
        };
        let (reason, message) = (text(found, "/reason"), text(found, "/message"));
        *last = format!("{} {reason}: {message}", text(found, "/status"));
        Ok((found["status"] == status).then_some((reason, message)))
    })
}

/// A condition of an object by its type.
pub fn condition_of<'a>(object: &'a Value, condition: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|each| each["type"] == condition)
}

/// A text in an object; empty if it is not there.
pub fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A count in an object; zero if it is not there.
pub fn count(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// Milliseconds of a duration such as `0.84ms` or `1m30s`; zero if it is not there.
pub fn milliseconds(object: &Value, pointer: &str) -> f64 {
    object.pointer(pointer).and_then(Value::as_str).and_then(parse_milliseconds).unwrap_or_default()
}

fn parse_milliseconds(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_length = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_length);
        let unit_length = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        let factor = match unit {
            "ns" => 1e-6,
            "us" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_read_in_every_unit() {
        assert_eq!(parse_milliseconds("0.84ms"), Some(0.84));
        assert_eq!(parse_milliseconds("1m30s"), Some(90_000.0));
        assert_eq!(parse_milliseconds("250us"), Some(0.25));
        assert_eq!(parse_milliseconds("5"), None);
        assert_eq!(parse_milliseconds("5 parsecs"), None);
    }

    #[test]
    fn what_is_not_there_reads_as_nothing() {
        let object = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert!(condition_of(&object, "Ready").is_some());
        assert!(condition_of(&object, "Accepted").is_none());
        assert_eq!(
            (text(&object, "/x"), count(&object, "/x"), milliseconds(&object, "/x")),
            (String::new(), 0, 0.0)
        );
    }
}
