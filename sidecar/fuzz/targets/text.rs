//! No text makes a stage panic, and what parses prints to a text that parses to the same graph.

#![no_main]

use anf_click::{flatten, parse, settle};
use anf_sidecar::engine::Router;
use anf_sidecar::registry::Registry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(graph) = parse("fuzz", text).and_then(|ast| flatten(&ast, &[])) else { return };
    let printed = graph.to_string();
    match parse("printed", &printed).and_then(|ast| flatten(&ast, &[])) {
        Ok(again) => assert!(graph.same_as(&again), "{text}\n---\n{printed}\n---\n{again}"),
        Err(problems) => panic!("{text}\n---\n{printed}\n---\n{problems}"),
    }
    // Its errors are answers too: those of ports, and those of every element's configuration.
    let registry = Registry::standard();
    if let Ok(graph) = settle(graph, &registry) {
        let _ = Router::check(&graph, &registry);
    }
});
