//! The configurations of examples/click do what their heads say, and what people have is read as they wrote it.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::path::PathBuf;
use std::process::Command;

use anf_click::{Diagnostics, FlatGraph, SettledGraph};
use anf_sidecar::driver::example;
use anf_sidecar::engine::Router;
use anf_sidecar::registry::Registry;

/// What a head writes before each line that the configuration prints.
const PRINTS: &str = "//   > ";
/// Configurations whose heads say that they only flatten.
const ONLY_FLATTENS: &str = "It only flattens";

struct Configuration {
    name: String,
    text: String,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/click"))
}

fn configurations() -> Vec<Configuration> {
    let files = std::fs::read_dir(folder()).expect("examples/click").flatten();
    let named = files.map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()));
    let mut found: Vec<Configuration> = named
        .filter(|(name, _)| name.ends_with(".click"))
        .map(|(name, path)| Configuration { name, text: std::fs::read_to_string(path).expect("a text") })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() >= 9, "{} configurations", found.len());
    found
}

fn flatten(name: &str, text: &str) -> FlatGraph {
    let flat = anf_click::parse(name, text).and_then(|tree| anf_click::flatten(&tree, &[]));
    flat.unwrap_or_else(|found| panic!("{}", lines(&found)))
}

fn settle(name: &str, text: &str) -> SettledGraph {
    let settled = anf_click::settle(flatten(name, text), &Registry::standard());
    settled.unwrap_or_else(|found| panic!("{}", lines(&found)))
}

fn lines(found: &Diagnostics) -> String {
    found.0.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

fn check(name: &str, text: &str) {
    Router::check(&settle(name, text), &Registry::standard())
        .unwrap_or_else(|found| panic!("{}", lines(&found)));
}

/// Runs the script of examples/click.
fn make_router(words: &[String]) -> Result<String, String> {
    let output = Command::new("python3").arg(folder().join("make-router")).args(words).output();
    let output = output.expect("python3 runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn interfaces(count: usize) -> Vec<String> {
    let one = |i| [format!("eth{i}"), format!("10.{i}.0.1/24"), format!("02:00:0a:{i:02x}:00:01")];
    (1..=count).flat_map(one).collect()
}

fn same_after_printing(name: &str, text: &str) {
    let flat = flatten(name, text);
    let printed = flat.to_string();
    assert!(flatten("printed", &printed).same_as(&flat), "{name} changes when it is printed:\n{printed}");
}

#[test]
fn every_configuration_is_the_same_when_it_is_printed_and_read_again() {
    for Configuration { name, text } in configurations() {
        same_after_printing(&name, &text);
    }
    same_after_printing("make-router", &make_router(&interfaces(3)).expect("a router"));
}

#[test]
fn every_head_says_how_to_run_it() {
    for Configuration { name, text } in configurations() {
        let head: String = text.lines().take_while(|line| line.starts_with("//")).collect();
        for needed in ["anf-sidecar ", &format!("examples/click/{name}")] {
            assert!(head.contains(needed), "the head of {name} does not mention {needed}");
        }
        assert!(head.contains("What to see") || head.contains(ONLY_FLATTENS), "{name}: what to see?");
    }
}

#[test]
fn configurations_whose_classes_exist_are_right() {
    let registry = Registry::standard();
    for Configuration { name, text } in configurations() {
        let flat = flatten(&name, &text);
        let missing: Vec<&str> = flat
            .elements
            .iter()
            .map(|e| e.class.as_str())
            .filter(|c| registry.descriptor(c).is_none())
            .collect();
        let only_flattens = text.contains(ONLY_FLATTENS);
        assert_eq!(!missing.is_empty(), only_flattens, "{name}: no class {missing:?}");
        if !only_flattens {
            check(&name, &text);
        }
    }
}

#[test]
fn configurations_without_devices_print_what_their_heads_promise() {
    let mut ran = Vec::new();
    for Configuration { name, text } in configurations() {
        let promised: String = text
            .lines()
            .filter_map(|line| line.strip_prefix(PRINTS))
            .map(|line| format!("{line}\n"))
            .collect();
        if text.contains(ONLY_FLATTENS) {
            continue;
        }
        let printed = example::output(&text).unwrap_or_else(|found| panic!("{name}: {}", lines(&found)));
        assert_eq!(printed.unwrap_or_default(), promised, "{name} prints something else");
        if !promised.is_empty() {
            ran.push(name);
        }
    }
    assert_eq!(ran, ["delay.click", "epon.click", "monitor.click", "traffic.click"]);
}

#[test]
fn routers_of_any_size_are_right() {
    for count in [1, 2, 4, 8] {
        let mut words = interfaces(count);
        check("make-router", &make_router(&words).expect("a router"));
        words.extend(["--default".to_owned(), "10.1.0.254".to_owned()]);
        let text = make_router(&words).expect("a router");
        check("make-router", &text);
        let devices =
            |class: &str| flatten("make-router", &text).elements.iter().filter(|e| e.class == class).count();
        assert_eq!((devices("FromDevice"), devices("ToDevice")), (count, count));
    }
}

#[test]
fn what_makes_no_router_is_refused() {
    let with = |at: usize, word: &str| {
        let mut words = interfaces(2);
        words.splice(at..=at, [word.to_owned()]);
        make_router(&words).expect_err(word)
    };
    for (at, word, message) in [
        (3, "eth1", "interface eth1 twice"),
        (3, "eth1) -> Discard; x :: Idle(", "is no name of an interface"),
        (4, "10.1.0.7/16", "overlap"),
        (4, "10.2.0.1", "has no prefix length"),
        (4, "10.2.0/24", "10.2.0"),
        (5, "02:00:0a:02:00", "is no Ethernet address"),
    ] {
        let error = with(at, word);
        assert!(error.contains(message) && error.starts_with("make-router: "), "{word}: {error}");
    }
    assert!(make_router(&[]).is_err());
    let far = [interfaces(1), vec!["--default".to_owned(), "10.9.0.1".to_owned()]].concat();
    assert!(make_router(&far).expect_err("far").contains("behind no interface"));
}

#[test]
fn all_unknown_classes_are_reported_at_once() {
    let text = "FromVoid -> Qeueu -> Unqueue -> Discard;\nIdle -> Wormhole9 -> Discard;\n";
    let settled = anf_click::settle(flatten("config", text), &Registry::standard());
    let found = lines(&settled.expect_err("three unknown classes"));
    let unknown: Vec<&str> = found.lines().filter(|line| line.contains("unknown element class")).collect();
    assert_eq!(unknown.len(), 3, "{found}");
    for (line, class) in unknown.iter().zip(["config:1", "config:1", "config:2"]) {
        assert!(line.starts_with(class), "{found}");
    }
    assert!(found.contains("Queue"), "no suggestion: {found}");
}
