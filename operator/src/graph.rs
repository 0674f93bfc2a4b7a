//! From the text of a function to its cut, checked with the sidecar's own code.
//!
//! Pure. A spec becomes one Click text, which is parsed, flattened, settled, cut and configured; what passes here
//! runs. What is wrong is reported with line and column in the text that the user wrote, more than the first.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anf_click::{Composed, Cut, Diagnostic, Diagnostics, FlatGraph, PartSpec, Place, Pos, SubEdge, SubText};
use anf_crds::AtomicFunctionSpec;
use anf_sidecar::engine::Router;
use anf_sidecar::manifest::device_names;
use anf_sidecar::registry::Registry;

/// File name of a function's one text; a sub-function's own text has the sub-function's name.
pub const WHOLE: &str = "click";

/// What is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// One word, for conditions and events.
    pub reason: &'static str,
    /// What is wrong, one sentence each.
    pub messages: Vec<String>,
}

impl Rejection {
    /// The first few messages in one text.
    pub fn text(&self) -> String {
        const SHOWN: usize = 5;
        let mut text = self.messages.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
        if self.messages.len() > SHOWN {
            // Writing to a string cannot fail.
            let _ = write!(text, "\nand {} more", self.messages.len() - SHOWN);
        }
        text
    }
}

/// The cut of a function's graph.
///
/// # Errors
/// Everything that is wrong with the text, the cut or the ports.
pub fn compile(spec: &AtomicFunctionSpec) -> Result<Cut, Rejection> {
    examine(spec)
        .map_err(|(reason, found)| Rejection { reason, messages: found.iter().map(message).collect() })
}

/// What is wrong, with places: the file is [`WHOLE`] or the sub-function whose own text it is.
pub type Findings = (&'static str, Vec<Diagnostic>);

/// As [`compile`], for a reader who knows where the texts stand.
///
/// # Errors
/// One word, and everything that is wrong.
pub fn examine(spec: &AtomicFunctionSpec) -> Result<Cut, Findings> {
    let registry = Registry::standard();
    let Composed { text, parts } = source(spec).map_err(reject)?;
    let flat =
        anf_click::parse(WHOLE, &text).and_then(|ast| anf_click::flatten(&ast, &[])).map_err(reject)?;
    check_ports(spec, &flat)?;
    let settled = anf_click::settle(flat, &registry).map_err(reject)?;
    // The whole is configured before the cut: messages then have the places that the user wrote.
    Router::check(&settled, &registry).map_err(reject)?;
    let cut = anf_click::cut(&settled, &parts, &registry).map_err(reject)?;
    for part in &cut.parts {
        anf_click::settle(part.graph.clone(), &registry)
            .and_then(|settled| Router::check(&settled, &registry))
            .map_err(reject)?;
    }
    Ok(cut)
}

/// One text and the cut, from either form of a spec.
fn source(spec: &AtomicFunctionSpec) -> Result<Composed, Diagnostics> {
    if let Some(text) = &spec.click {
        let parts = spec.sub_functions.iter();
        let parts = parts.map(|sub| PartSpec { name: sub.name.clone(), elements: sub.elements.clone() });
        return Ok(Composed { text: text.clone(), parts: parts.collect() });
    }
    let texts = spec.sub_functions.iter();
    let texts: Vec<SubText> = texts
        .map(|sub| SubText { name: sub.name.clone(), text: sub.click.clone().unwrap_or_default() })
        .collect();
    let port = |number: i32| u32::try_from(number).unwrap_or(u32::MAX);
    let edges: Vec<SubEdge> = spec
        .edges
        .iter()
        .map(|edge| SubEdge {
            from: edge.from.clone(),
            from_port: port(edge.from_port),
            to: edge.to.clone(),
            to_port: port(edge.to_port),
        })
        .collect();
    anf_click::compose(&texts, &edges)
}

/// Every device name of the text needs a port, and every port a device name.
fn check_ports(spec: &AtomicFunctionSpec, flat: &FlatGraph) -> Result<(), Findings> {
    let devices: BTreeSet<String> = device_names(flat).into_iter().collect();
    let ports: BTreeSet<String> = spec.ports.iter().map(|port| port.name.clone()).collect();
    let list = |names: &BTreeSet<String>| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.iter().cloned().collect::<Vec<_>>().join(", ")
        }
    };
    let unbound = devices.difference(&ports).map(|device| {
        format!("the device \"{device}\" of the graph is bound to nothing; spec.ports has: {}", list(&ports))
    });
    let unused = ports.difference(&devices).map(|port| {
        format!("the port \"{port}\" names no device of the graph; its devices are: {}", list(&devices))
    });
    let nowhere = Place { file: "".into(), pos: Pos::default() };
    let found: Vec<Diagnostic> =
        unbound.chain(unused).map(|text| Diagnostic::error(&nowhere, text)).collect();
    if found.is_empty() { Ok(()) } else { Err(("InvalidPorts", found)) }
}

fn reject(diagnostics: Diagnostics) -> Findings {
    ("InvalidGraph", diagnostics.0)
}

/// `line 7, column 12: no element class "IPRewrite"; did you mean "IPRewriter"?`
fn message(diagnostic: &Diagnostic) -> String {
    let mut text = match &*diagnostic.file {
        WHOLE | "" => String::new(),
        sub_function => format!("sub-function {sub_function}, "),
    };
    if diagnostic.pos.line > 0 {
        let _ = write!(text, "line {}, column {}: ", diagnostic.pos.line, diagnostic.pos.column);
    } else if let Some(name) = text.strip_suffix(", ") {
        text = format!("{name}: ");
    }
    text.push_str(&diagnostic.message);
    if let Some(help) = &diagnostic.help {
        let _ = write!(text, "; {help}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: serde_json::Value) -> AtomicFunctionSpec {
        serde_json::from_value(value).expect("a spec")
    }

    #[track_caller]
    fn rejected(value: serde_json::Value) -> Rejection {
        match compile(&spec(value)) {
            Ok(_) => panic!("it was accepted"),
            Err(rejection) => rejection,
        }
    }

    #[test]
    fn a_graph_is_cut_into_its_sub_functions_and_the_rest() {
        let cut = compile(&spec(json!({
            "click": "i :: InfiniteSource(LIMIT 1) -> c :: Counter -> Discard;",
            "subFunctions": [{"name": "count", "elements": ["c"]}]
        })))
        .expect("a cut");
        let names: Vec<&str> = cut.parts.iter().map(|part| part.name.as_str()).collect();
        assert!(names.contains(&"count") && names.contains(&"main"), "{names:?}");
        assert_eq!(cut.edges.len(), 2);
    }

    #[test]
    fn texts_of_sub_functions_are_joined_by_edges() {
        let cut = compile(&spec(json!({
            "subFunctions": [
                {"name": "a", "click": "InfiniteSource(LIMIT 1) -> output;"},
                {"name": "b", "click": "input -> Discard;"}
            ],
            "edges": [{"from": "a", "to": "b"}]
        })))
        .expect("a cut");
        assert_eq!(cut.edges.len(), 1);
    }

    #[test]
    fn an_unknown_class_is_reported_with_its_place_and_a_suggestion() {
        let rejection = rejected(json!({"click": "Idle\n -> Countr -> Discard;"}));
        assert_eq!(rejection.reason, "InvalidGraph");
        let text = rejection.text();
        assert!(
            text.contains("line 2, column") && text.contains("Countr") && text.contains("Counter"),
            "{text}"
        );
    }

    #[test]
    fn a_text_that_does_not_parse_is_reported_with_its_place() {
        let text = rejected(json!({"click": "Idle -> -> Discard;"})).text();
        assert!(text.starts_with("line 1, column "), "{text}");
    }

    #[test]
    fn a_message_about_a_sub_functions_own_text_names_the_sub_function() {
        let text = rejected(json!({
            "subFunctions": [{"name": "a", "click": "Idle -> output"}, {"name": "b", "click": "input\n -> Discrad;"}],
            "edges": [{"from": "a", "to": "b"}]
        }))
        .text();
        assert!(text.contains("sub-function b, line 2, column"), "{text}");
    }

    #[test]
    fn a_configuration_is_checked_with_the_sidecars_own_code() {
        let text = rejected(json!({"click": "Idle\n -> Paint(red)\n -> Discard;"})).text();
        assert!(text.contains("line 2"), "{text}");
    }

    #[test]
    fn an_element_that_another_needs_must_be_there_and_nothing_is_opened_to_find_out() {
        let text = rejected(json!({"click": "Idle\n -> ICMPRewriter(rw)\n -> Discard;"})).text();
        assert!(text.contains("line 2") && text.contains("rw not an IP rewriter"), "{text}");
        let file = std::env::temp_dir().join(format!("anf-check-{}.pcap", std::process::id()));
        let click =
            format!("Idle -> ToDump({}) -> Discard; FromDump(/no/such.pcap) -> Discard;", file.display());
        compile(&spec(json!({"click": click}))).expect("what a pod finds in its files is not known here");
        assert!(!file.exists());
    }

    #[test]
    fn a_control_socket_has_no_place_in_a_pod() {
        let text = rejected(json!({"click": "Idle -> Discard;\nControlSocket(tcp, 7777);"})).text();
        assert!(text.contains("line 2") && text.contains("by the control API"), "{text}");
    }

    #[test]
    fn devices_and_ports_must_name_each_other() {
        let rejection = rejected(json!({
            "click": "FromDevice(lan) -> Discard;", "ports": [{"name": "wan", "node": {"interface": "eth0"}}]
        }));
        assert_eq!(rejection.reason, "InvalidPorts");
        let text = rejection.text();
        assert!(text.contains("device \"lan\"") && text.contains("spec.ports has: wan"), "{text}");
        assert!(text.contains("port \"wan\"") && text.contains("devices are: lan"), "{text}");
    }

    #[test]
    fn a_sub_function_that_takes_nothing_is_reported() {
        let text = rejected(json!({
            "click": "Idle -> Discard;", "subFunctions": [{"name": "nat", "elements": ["rw"]}]
        }))
        .text();
        assert!(text.contains("rw"), "{text}");
    }
}
