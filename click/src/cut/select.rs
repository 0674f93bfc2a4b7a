//! Which elements the specification's patterns name.

use std::collections::{BTreeSet, HashMap};

use super::{MAIN, PartId, PartSpec, specification_error};
use crate::diagnostic::{Diagnostics, Report};
use crate::graph::FlatGraph;
use crate::suggest;

/// Letters of a part's name: together with the function's it becomes the name of a pod.
const NAME_BYTES: usize = 40;

/// Of each element, the part that names it.
pub(super) type Claims = Vec<Option<PartId>>;

pub(super) fn claims(flat: &FlatGraph, parts: &[PartSpec]) -> Result<Claims, Diagnostics> {
    let mut report = Report::default();
    check_names(parts, &mut report);
    let mut claims: Claims = vec![None; flat.elements.len()];
    let index = Index::new(flat);
    for (id, part) in parts.iter().enumerate() {
        if part.elements.is_empty() && part.name != MAIN {
            let error = specification_error(format!("sub-function \"{}\" names no elements", part.name));
            report.push(error.with_help("name at least one element of the Click text, or leave it out"));
        }
        for pattern in &part.elements {
            let matched = index.matches(pattern);
            if matched.is_empty() {
                let message = format!("sub-function \"{}\": no element matches \"{pattern}\"", part.name);
                let help = suggest::did_you_mean(pattern, index.names.keys().copied()).unwrap_or_else(|| {
                    "name an element, a compound element, or a pattern with * or ?".into()
                });
                report.push(specification_error(message).with_help(help));
            }
            for element in matched {
                match claims[element].replace(id).filter(|before| *before != id) {
                    Some(before) => {
                        let name = &flat.elements[element].name;
                        let (a, b) = (&parts[before].name, &part.name);
                        let error = specification_error(format!(
                            "sub-functions \"{a}\" and \"{b}\" both name element \"{name}\""
                        ));
                        report.push(error.with_help(format!("leave \"{name}\" to one of them")));
                    }
                    None => continue,
                }
            }
        }
    }
    report.finish(claims)
}

fn check_names(parts: &[PartSpec], report: &mut Report) {
    let mut seen = BTreeSet::new();
    for part in parts {
        let name = &part.name;
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && !name.ends_with('-')
            && name.bytes().all(letter)
            && name.len() <= NAME_BYTES;
        if !good {
            let error = specification_error(format!("\"{name}\" cannot name a sub-function"));
            report.push(error.with_help(format!(
                "use up to {NAME_BYTES} lower-case letters, digits and hyphens, a letter first and no hyphen last"
            )));
        }
        if !seen.insert(name) {
            let error = specification_error(format!("two sub-functions are named \"{name}\""));
            report.push(error.with_help("give each its own name, or join their lists of elements"));
        }
    }
}

/// Elements by name, compounds with all that is inside.
struct Index<'a> {
    names: HashMap<&'a str, Vec<usize>>,
    /// Elements by class, for patterns that name no element.
    classes: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Index<'a> {
    fn new(flat: &'a FlatGraph) -> Self {
        let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut classes: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, element) in flat.elements.iter().enumerate() {
            let name = element.name.as_str();
            let compounds = name.match_indices('/').map(|(at, _)| &name[..at]);
            for name in compounds.chain([name]) {
                names.entry(name).or_default().push(index);
            }
            classes.entry(&element.class).or_default().push(index);
        }
        Self { names, classes }
    }

    fn matches(&self, pattern: &str) -> BTreeSet<usize> {
        if !pattern.contains(['*', '?']) {
            let named = self.names.get(pattern).or_else(|| self.classes.get(pattern));
            return named.into_iter().flatten().copied().collect();
        }
        let matching =
            self.names.iter().filter(|(name, _)| matches_glob(pattern.as_bytes(), name.as_bytes()));
        matching.flat_map(|(_, elements)| elements.iter().copied()).collect()
    }
}

/// `*` stands for any letters but `/`, `?` for one. Goes back to the last `*` only, so linear in most cases
/// and quadratic at worst.
fn matches_glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') if name[n] != b'/' => {
                p += 1;
                n += 1;
                continue;
            }
            Some(letter) if *letter == name[n] => {
                p += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        match last_star {
            Some((star, from)) if name[from] != b'/' => {
                last_star = Some((star, from + 1));
                (p, n) = (star + 1, from + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_within_one_component() {
        for (pattern, name, expected) in [
            ("p*", "p0", true),
            ("p*", "p0/cl", false),
            ("p*/cl", "p0/cl", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("?0", "p0", true),
            ("?", "/", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**", "abc", true),
            ("", "", true),
        ] {
            assert_eq!(matches_glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
