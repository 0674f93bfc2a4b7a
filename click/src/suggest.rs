//! "Did you mean": the known names nearest to a wrong one, by edit distance.

/// Longest name that is compared; beyond it nobody mistypes.
const LONGEST: usize = 64;

/// Up to three of `known` that are near `wrong`, nearest first.
pub(crate) fn near<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if wrong.is_empty() || wrong.len() > LONGEST {
        return Vec::new();
    }
    let limit = 1 + wrong.len() / 4;
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|name| !name.is_empty() && *name != wrong && name.len().abs_diff(wrong.len()) <= limit)
        .filter_map(|name| {
            let distance = distance(&wrong.to_ascii_lowercase(), &name.to_ascii_lowercase());
            (distance <= limit && distance < name.len()).then_some((distance, name))
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `did you mean "a" or "b"?`, or nothing when nothing is near.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = near(wrong, known);
    if near.is_empty() {
        return None;
    }
    let quoted: Vec<String> = near.iter().map(|name| format!("\"{name}\"")).collect();
    Some(format!("did you mean {}?", quoted.join(" or ")))
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other
/// (Damerau–Levenshtein distance).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_letter_a_swap_and_a_wrong_case_are_near() {
        assert_eq!(near("IPRewrite", ["IPRewriter", "Queue"]), ["IPRewriter"]);
        assert_eq!(near("Quuee", ["Queue", "Paint"]), ["Queue"]);
        assert_eq!(near("discard", ["Discard"]), ["Discard"]);
        assert!(near("Foo", ["Classifier"]).is_empty());
        assert!(near("", ["A"]).is_empty());
    }
}
