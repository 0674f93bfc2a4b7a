//! `--auto`: where to cut, from what classes cost and what elements counted.

use std::path::Path;

use anf_click::{Counts, Diagnostics, Proposal};
use anf_crds::AtomicFunction;
use anf_operator::graph::WHOLE;
use anf_sidecar::registry::Registry;

use crate::error::CliError;

/// Proposes a cut of a function with one text, which was checked.
pub(crate) fn propose(
    function: &AtomicFunction,
    count: usize,
    counts: &Counts,
) -> Result<Proposal, Diagnostics> {
    let registry = Registry::standard();
    let text = function.spec.click.as_deref().unwrap_or_default();
    let flat = anf_click::flatten(&anf_click::parse(WHOLE, text)?, &[])?;
    anf_click::propose(&anf_click::settle(flat, &registry)?, &registry, count, counts)
}

/// Reads counts from a file.
pub(crate) fn read_counts(path: &Path) -> Result<Counts, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| CliError::Read { path: path.into(), cause: cause.to_string() })?;
    parse_counts(&text).map_err(|message| CliError::File { path: path.into(), message })
}

/// Counts as several `-h ELEMENT.count` options print them: a line with the handler and a colon, then one with the
/// number.
fn parse_counts(text: &str) -> Result<Counts, String> {
    let mut counts = Counts::new();
    let mut element: Option<&str> = None;
    for (line, number) in text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty()) {
        match (element.take(), line.strip_suffix(':')) {
            (None, Some(handler)) => {
                element = Some(handler.rsplit_once('.').map_or(handler, |(name, _)| name))
            }
            (Some(name), None) => {
                let count: u64 =
                    line.parse().map_err(|_| format!("line {number}: \"{line}\" is no number of packets"))?;
                counts.insert(name.to_owned(), count as f64);
            }
            _ => {
                let hint = "a line such as \"c.count:\" goes before each number; give -h at least twice";
                return Err(format!("line {number}: {hint}"));
            }
        }
    }
    if counts.is_empty() { Err("has no counts".to_owned()) } else { Ok(counts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_handlers_are_printed() {
        let counts = parse_counts("a.count:\n120\n\np/b.count:\n3\n\n").expect("counts");
        assert_eq!((counts["a"], counts["p/b"], counts.len()), (120.0, 3.0, 2));
    }

    #[test]
    fn what_is_no_list_of_counts_is_refused_with_its_line() {
        for (text, line) in
            [("5\n", "line 1"), ("a.count:\nb.count:\n5", "line 2"), ("a.count:\nfive", "line 2")]
        {
            let message = parse_counts(text).expect_err(text);
            assert!(message.starts_with(line), "{message}");
        }
        assert_eq!(parse_counts("\n").expect_err("nothing"), "has no counts");
    }
}
