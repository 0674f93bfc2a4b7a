//! Texts that nobody should write: every one must end in a value or in messages, soon, without a panic.

use anf_click::{Diagnostics, FlatGraph, cut, draw, flatten, parse, settle};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::support::{Classes, flat, parts};

const SAMPLES: &[(&str, &str)] = &[
    ("10-iprouter", include_str!("samples/10-iprouter.click")),
    ("11-iprouter-arpquerier", include_str!("samples/11-iprouter-arpquerier.click")),
    ("20-nat", include_str!("samples/20-nat.click")),
    ("30-flowmon", include_str!("samples/30-flowmon.click")),
    ("40-classifier20", include_str!("samples/40-classifier20.click")),
    ("41-ipclassifier20", include_str!("samples/41-ipclassifier20.click")),
    ("50-split-sender", include_str!("samples/50-split-sender.click")),
    ("60-split-router-a", include_str!("samples/60-split-router-a.click")),
];

/// All stages; what comes out must print and parse to itself.
fn run(text: &str) -> Result<(), Diagnostics> {
    let graph: FlatGraph = flatten(&parse("h", text)?, &[("N".into(), "7".into())])?;
    let again = flatten(&parse("again", &graph.to_string())?, &[])?;
    assert!(graph.same_as(&again), "{text}\n---\n{graph}\n---\n{again}");
    let settled = settle(graph, &Classes)?;
    let made = cut(&settled, &parts(&[("a", &["*"])]), &Classes)?;
    draw::text(&made);
    draw::dot(&made);
    draw::mermaid(&made);
    Ok(())
}

#[test]
fn the_samples_pass_all_stages() {
    for (name, text) in SAMPLES {
        if let Err(errors) = run(text) {
            panic!("{name}:\n{errors}");
        }
    }
}

#[track_caller]
fn is_refused(text: &str, because: &str) {
    let told = flat(text).unwrap_err().to_string();
    assert!(told.contains(because), "{}", &told[..told.len().min(300)]);
}

#[test]
fn nesting_is_bounded() {
    is_refused(&"{".repeat(100_000), "nest more than 48 deep");
    is_refused(&"(".repeat(100_000), "nest more than 48 deep");
    is_refused(&"x :: {".repeat(10_000), "nest more than 48 deep");
    let mut chain = String::from("elementclass C0 { input -> output }");
    for n in 1..100 {
        chain += &format!("elementclass C{n} {{ input -> C{} -> output }}", n - 1);
    }
    is_refused(&format!("{chain} s :: S -> C99 -> s"), "nest more than 48 deep");
}

#[test]
fn doubling_is_bounded() {
    let mut classes = String::from("elementclass C0 { input -> X -> output }");
    for n in 1..40 {
        classes += &format!("elementclass C{n} {{ input -> C{p} -> C{p} -> output }}", p = n - 1);
    }
    is_refused(&format!("{classes} s :: S -> C39 -> s"), "more than 16384 elements");
    let mut fans = String::from("elementclass C0 { input -> output }");
    for n in 1..40 {
        fans += &format!(
            "elementclass C{n} {{ input -> a :: C{p} -> output; input -> b :: C{p} -> output }}",
            p = n - 1
        );
    }
    assert!(flat(&format!("{fans} s :: S -> C39 -> s")).is_err());
    let mut defines = String::new();
    for n in 1..60 {
        defines += &format!("define($v{n} ${{v{p}}}${{v{p}}})", p = n - 1);
    }
    is_refused(&format!("define($v0 0123456789) {defines} X($v59)"), "grows too large");
    let empty = format!("define($v0 ) {defines} X($v59)");
    assert!(flat(&empty).is_ok());
}

#[test]
fn numbers_and_lengths_are_bounded() {
    is_refused("a :: A; a[0-99999999999999999999] -> a", "port number should be integer");
    is_refused("a :: A; a[0-4000000000] -> a", "too large");
    is_refused(&format!("a :: A; {}", "a[0-4095] -> a;".repeat(1000)), "too many ports");
    is_refused(&"x".repeat(1000), "too long");
    is_refused(&"A;".repeat(20_000), "more than 16384 elements");
    is_refused(&" ".repeat(17 << 20), "bytes");
    is_refused("#line 99999999999999999999 \"x\"\n]", "syntax error");
}

#[test]
fn messages_are_bounded() {
    let Err(Diagnostics(found)) = flat(&"] ".repeat(10_000)) else { panic!() };
    assert_eq!(found.len(), 101);
    assert_eq!(found[100].message, "9900 more errors left out");
}

/// Pieces of the language, and of what is not.
const PIECES: &[&str] = &[
    "a",
    "b",
    "c",
    "A",
    "Null",
    "Source",
    "Discard",
    "Queue",
    "Unqueue",
    "Tee",
    "input",
    "output",
    "::",
    "->",
    "=>",
    ";",
    ",",
    "[",
    "]",
    "[0]",
    "[1]",
    "[0,1]",
    "[0-3]",
    "[]",
    "(",
    ")",
    "(x)",
    "($p)",
    "(\\<00>)",
    "{",
    "}",
    "|",
    "||",
    "...",
    "elementclass",
    "elementclass C {",
    "define($p 1)",
    "define($p $q, $q $p)",
    "require(x)",
    "$p",
    "$p |",
    "KEY $k,",
    "__REST__ $r |",
    "/*",
    "*/",
    "//",
    "\n",
    "\n#line 3 \"f\"\n",
    "\"",
    "'",
    "\\<",
    ">",
    "é",
    "\u{0}",
    "-",
    "/",
    "@",
    "9",
    "a/b",
    "a@1",
    "_",
    "#",
    "~",
    "input -> output",
    "-> Null ->",
    "a :: Null;",
    "Source -> Discard;",
];

fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES);
    let gap = prop::sample::select(&["", " "][..]);
    prop::collection::vec((piece, gap), 0..60)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, gap)| [piece, gap]).collect())
}

/// A sample with a few stretches taken out, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..40_usize, 0..3_u8, prop::sample::select(PIECES));
    (prop::sample::select(SAMPLES), prop::collection::vec(change, 1..6)).prop_map(|((_, sample), changes)| {
        let mut letters: Vec<char> = sample.chars().collect();
        for (at, len, kind, piece) in changes {
            let at = at.index(letters.len().max(1)).min(letters.len());
            let end = (at + len).min(letters.len());
            match kind {
                0 => drop(letters.drain(at..end)),
                1 => {
                    let again: Vec<char> = letters[at..end].to_vec();
                    letters.splice(end..end, again);
                }
                _ => drop(letters.splice(at..end, piece.chars())),
            }
        }
        letters.into_iter().collect()
    })
}

/// Seeds of failures once found are kept and tried first.
fn config() -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/click/hostile.seeds");
    ProptestConfig { cases: 1500, failure_persistence: Some(Box::new(seeds)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_soup_of_pieces_makes_a_stage_panic(text in soup()) {
        let _ = run(&text);
    }

    #[test]
    fn no_mutated_sample_makes_a_stage_panic(text in mutated()) {
        let _ = run(&text);
    }

    #[test]
    fn no_random_text_makes_a_stage_panic(text in "\\PC{0,80}") {
        let _ = run(&text);
    }
}
