//! Sub-functions with texts of their own.

use anf_click::{Composed, Diagnostics, SubEdge, SubText, compose, cut, flatten, parse, settle};

use crate::support::{Classes, lines};

fn subs(texts: &[(&str, &str)], edges: &[(&str, u32, &str, u32)]) -> Result<Composed, Diagnostics> {
    let texts: Vec<SubText> =
        texts.iter().map(|(name, text)| SubText { name: name.to_string(), text: text.to_string() }).collect();
    let edges: Vec<SubEdge> = edges
        .iter()
        .map(|(from, from_port, to, to_port)| SubEdge {
            from: from.to_string(),
            from_port: *from_port,
            to: to.to_string(),
            to_port: *to_port,
        })
        .collect();
    compose(&texts, &edges)
}

fn told(result: Result<Composed, Diagnostics>) -> Vec<String> {
    result.unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn texts_and_edges_become_one_text_and_its_cut() {
    let composed = subs(
        &[
            ("front", "Source -> c :: Classifier(a, -); c[0] -> output; c[1] -> [1]output // end"),
            ("rate-limit", "input -> q :: Queue -> Unqueue -> output"),
            ("output", "input -> Discard; input[1] -> Discard"),
        ],
        &[("front", 0, "rate-limit", 0), ("rate-limit", 0, "output", 0), ("front", 1, "output", 1)],
    )
    .unwrap();
    let flat = flatten(&parse("all", &composed.text).unwrap(), &[]).unwrap();
    assert!(lines(&flat).contains(&"rate_limit/q :: Queue".to_owned()));
    let cut = cut(&settle(flat, &Classes).unwrap(), &composed.parts, &Classes).unwrap();
    let names: Vec<_> = cut.parts.iter().map(|p| (p.name.as_str(), p.elements)).collect();
    assert_eq!(names, [("front", 2), ("rate-limit", 2), ("output", 2)]);
    assert_eq!(cut.edges.len(), 3);
}

#[test]
fn a_text_must_be_complete_by_itself() {
    assert_eq!(told(subs(&[("a", "x :: X } evil :: Y {")], &[])), ["a:1:8: error: syntax error near ‘}’"]);
    assert_eq!(told(subs(&[("a", "x :: X || y :: Y")], &[])), ["a:1:8: error: syntax error near ‘||’"]);
    assert_eq!(told(subs(&[("a", "/* open")], &[])), ["a:1:1: error: unterminated comment"]);
    assert!(subs(&[("a", "$p | input -> output")], &[]).is_err());
}

#[test]
fn later_errors_carry_the_sub_function_s_name_and_line() {
    let composed = subs(&[("a", "Source -> Discard"), ("b", "\nSource ->\n  Nope")], &[]).unwrap();
    let flat = flatten(&parse("all", &composed.text).unwrap(), &[]).unwrap();
    assert_eq!(settle(flat, &Classes).unwrap_err().to_string(), "b:3:3: error: unknown element class ‘Nope’");
}

#[test]
fn edges_must_name_sub_functions() {
    assert_eq!(
        told(subs(&[("nat", "input -> Discard")], &[("nta", 0, "nat", 0), ("nat", 9999, "nat", 0)])),
        [
            "nta: error: an edge names sub-function \"nta\", which does not exist\n  help: did you mean \"nat\"?",
            "nat: error: port numbers go to 4095",
        ]
    );
    assert!(told(subs(&[("a-b", ""), ("a_b", "")], &[]))[0].contains("cannot be told apart"));
}
