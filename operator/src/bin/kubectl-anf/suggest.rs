//! "Did you mean": the nearest of some names to one that does not exist.

use anf_click::distance;

/// The candidate that `name` is probably a slip of, if any is near enough.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed || begins(candidate, name))
        .min()
        .map(|(_, candidate)| candidate)
}

/// ` Did you mean "x"?`, or what there is, or nothing.
pub(crate) fn hint(name: &str, candidates: &[&str]) -> String {
    match nearest(name, candidates.iter().copied()) {
        Some(candidate) => format!("; did you mean \"{candidate}\"?"),
        None if candidates.is_empty() => String::new(),
        None => format!("; there is {}", candidates.join(", ")),
    }
}

fn begins(candidate: &str, name: &str) -> bool {
    name.len() >= 3 && candidate.starts_with(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_different_word_is_not() {
        let names = ["edge-nat", "monitor", "core-router"];
        assert_eq!(nearest("edge-nta", names), Some("edge-nat"));
        assert_eq!(nearest("monitr", names), Some("monitor"));
        assert_eq!(nearest("core", names), Some("core-router"));
        assert_eq!(nearest("firewall", names), None);
    }

    #[test]
    fn without_a_near_name_the_hint_says_what_there_is() {
        assert_eq!(hint("egres", &["classify", "egress"]), "; did you mean \"egress\"?");
        assert_eq!(hint("zzz", &["classify", "egress"]), "; there is classify, egress");
        assert_eq!(hint("zzz", &[]), "");
    }
}
