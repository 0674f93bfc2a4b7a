//! What must hold for every graph and every cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anf_click::config::{normal, split};
use anf_click::{
    Connection, Cut, Element, ElementId, FlatGraph, Mode, PartSpec, PortRef, Pos, cut, flatten, parse, settle,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::support::{Classes, settled};

/// Seeds of failures once found are kept and tried first.
fn config(cases: u32) -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/click/properties.seeds");
    ProptestConfig { cases, failure_persistence: Some(Box::new(seeds)), ..ProptestConfig::default() }
}

prop_compose! {
    fn graphs()(
        elements in prop::collection::vec(
            ("[a-z][a-z0-9_@]{0,4}(/[a-z][a-z0-9]{0,2}){0,2}", "[A-Z][A-Za-z0-9_]{0,5}", "[ -~\n]{0,12}"),
            0..12,
        ),
        joints in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u32, any::<prop::sample::Index>(), 0..4_u32), 0..20),
        requirements in prop::collection::vec("[a-z][a-z0-9_-]{0,8}", 0..3),
    ) -> FlatGraph {
        flat_graph(elements, &joints, requirements)
    }
}

type Joint = (prop::sample::Index, u32, prop::sample::Index, u32);

fn flat_graph(
    elements: Vec<(String, String, String)>,
    joints: &[Joint],
    requirements: Vec<String>,
) -> FlatGraph {
    let mut names = BTreeSet::from(["define".to_owned(), "require".to_owned(), "elementclass".to_owned()]);
    let elements: Vec<Element> = elements
        .into_iter()
        .filter(|(name, _, _)| names.insert(name.clone()))
        .map(|(name, class, config)| Element {
            name,
            class,
            config: sound(&config),
            pos: Pos::default(),
            file: Arc::from("g"),
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut connections = Vec::new();
    for (from, from_port, to, to_port) in joints {
        if elements.is_empty() {
            break;
        }
        let port = |index: &prop::sample::Index, port| PortRef {
            element: ElementId(index.index(elements.len()) as u32),
            port,
        };
        let (from, to) = (port(from, *from_port), port(to, *to_port));
        if seen.insert((from, to)) {
            connections.push(Connection { from, to, pos: Pos::default() });
        }
    }
    FlatGraph { elements, connections, requirements }
}

/// A configuration as flatten leaves it: one that parses, normal, without variables.
fn sound(config: &str) -> String {
    let config = normal(&config.replace('$', ""));
    let text = format!("a :: A({config});");
    let same = |graph: FlatGraph| graph.elements.len() == 1 && graph.elements[0].config == config;
    let parsed = parse("c", &text).and_then(|ast| flatten(&ast, &[]));
    if parsed.is_ok_and(same) { config } else { String::new() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn printing_and_parsing_a_flat_graph_changes_nothing(graph in graphs()) {
        let text = graph.to_string();
        let again = flatten(&parse("p", &text).unwrap(), &[]).unwrap();
        prop_assert!(graph.same_as(&again), "{text}\n---\n{again}");
    }

    #[test]
    fn any_configuration_that_parses_is_kept_in_a_form_that_prints_and_parses(config in "[ -~\n]{0,24}") {
        let text = format!("a :: A({config});");
        if let Ok(graph) = parse("c", &text).and_then(|ast| flatten(&ast, &[])) {
            let again = flatten(&parse("p", &graph.to_string()).unwrap(), &[]).unwrap();
            prop_assert!(graph.same_as(&again), "{text}\n---\n{graph}\n---\n{again}");
        }
    }

    #[test]
    fn a_normal_configuration_is_its_own_normal_form(config in "[ -~\n]{0,24}") {
        let once = normal(&config);
        prop_assert_eq!(normal(&once), once.clone());
        prop_assert!(split(&once).len() <= split(&config).len());
    }
}

/// A text that settles: a network of elements between sources and sinks, in layers, with back edges.
#[derive(Debug, Clone)]
struct Network {
    text: String,
    names: Vec<String>,
}

/// One element of a network: what it is, and to which earlier element its input goes.
fn network(steps: Vec<(u8, prop::sample::Index, bool)>) -> Network {
    let mut text = String::from("t0 :: Tee; s0 :: Source -> t0;\n");
    let mut names = vec!["t0".to_owned(), "s0".to_owned()];
    let mut tees = vec!["t0".to_owned()];
    let mut ports: BTreeMap<String, u32> = BTreeMap::new();
    for (number, (kind, at, back)) in steps.into_iter().enumerate() {
        let tee = tees[at.index(tees.len())].clone();
        let port = ports.entry(tee.clone()).or_default();
        let (from, n) = (format!("{tee}[{port}]"), number + 1);
        *port += 1;
        let target = if back { tees[at.index(tees.len())].clone() } else { format!("d{n}") };
        if !back {
            text += &format!("d{n} :: Discard;\n");
            names.push(format!("d{n}"));
        }
        text += &match kind % 6 {
            0 => format!("{from} -> a{n} :: Null -> {target};\n"),
            1 => format!("{from} -> a{n} :: Paint({n}) -> {target};\n"),
            2 => format!("{from} -> a{n} :: Queue -> b{n} :: Null -> c{n} :: Unqueue -> {target};\n"),
            3 => format!(
                "{from} -> a{n} :: CheckIPHeader; a{n}[0] -> b{n} :: Strip(1) -> {target}; a{n}[1] -> {target};\n"
            ),
            4 => format!("{from} -> a{n} :: PaintTee; a{n}[0] -> {target}; a{n}[1] -> {target};\n"),
            _ => format!("{from} -> a{n} :: Tee; a{n}[0] -> {target};\n"),
        };
        let inner = match kind % 6 {
            2 => 3,
            3 => 2,
            _ => 1,
        };
        names.extend(["a", "b", "c"][..inner].iter().map(|letter| format!("{letter}{n}")));
        if kind % 6 == 5 {
            tees.push(format!("a{n}"));
            ports.insert(format!("a{n}"), 1);
        }
    }
    if !ports.contains_key("t0") {
        text += "t0 -> last :: Discard;\n";
        names.push("last".into());
    }
    Network { text, names }
}

prop_compose! {
    fn networks()(steps in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<bool>()), 0..14)) -> Network {
        network(steps)
    }
}

fn check_cut(network: &Network, cut: &Cut) -> Result<(), TestCaseError> {
    let whole = settled(&network.text).map_err(|e| TestCaseError::fail(format!("{}\n{e}", network.text)))?;
    let link = |name: &str| name.starts_with("anf_");
    let mut found = Vec::new();
    let mut joints = Vec::new();
    for part in &cut.parts {
        let part_settled = settle(part.graph.clone(), &Classes);
        let part_settled = part_settled.map_err(|e| TestCaseError::fail(format!("{}\n{e}", part.graph)))?;
        for (id, element) in part.graph.ids().filter(|(_, element)| !link(&element.name)) {
            found.push(element.name.clone());
            let in_whole = whole.flat.element(&element.name).unwrap();
            prop_assert_eq!(part_settled.inputs(id), whole.inputs(in_whole));
            prop_assert_eq!(part_settled.outputs(id), whole.outputs(in_whole));
        }
        prop_assert_eq!(part.elements, part.graph.elements.iter().filter(|e| !link(&e.name)).count());
        for connection in &part.graph.connections {
            let (from, to) =
                (&part.graph[connection.from.element].name, &part.graph[connection.to.element].name);
            if !link(from) && !link(to) {
                joints.push((
                    format!("{from}[{}]", connection.from.port),
                    format!("[{}]{to}", connection.to.port),
                ));
            }
        }
    }
    for edge in &cut.edges {
        prop_assert_ne!(&edge.from_part, &edge.to_part);
        joints.push((edge.from.clone(), edge.to.clone()));
        let ends = ["anf_out", "anf_in"].map(|end| format!("{end}_{}", edge.id));
        for (part, end) in [(&edge.from_part, &ends[0]), (&edge.to_part, &ends[1])] {
            let graph = &cut.part(part).unwrap().graph;
            let class = &graph[graph.element(end).unwrap()].class;
            prop_assert_eq!(class.ends_with("Pull"), edge.mode == Mode::Pull);
        }
    }
    found.sort();
    let mut all: Vec<String> = whole.flat.elements.iter().map(|e| e.name.clone()).collect();
    all.sort();
    prop_assert_eq!(found, all);
    joints.sort();
    let mut expected: Vec<(String, String)> = whole
        .flat
        .connections
        .iter()
        .map(|c| {
            let (from, to) = (&whole.flat[c.from.element].name, &whole.flat[c.to.element].name);
            (format!("{from}[{}]", c.from.port), format!("[{}]{to}", c.to.port))
        })
        .collect();
    expected.sort();
    prop_assert_eq!(joints, expected);
    Ok(())
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn any_cut_keeps_every_element_and_every_connection_exactly_once_and_each_part_settles(
        network in networks(),
        owners in prop::collection::vec(0..4_usize, 60),
    ) {
        let mut specs: Vec<PartSpec> =
            ["a", "b", "c"].iter().map(|name| PartSpec { name: name.to_string(), elements: vec![] }).collect();
        for (name, owner) in network.names.iter().zip(&owners) {
            if let Some(spec) = specs.get_mut(*owner) {
                spec.elements.push(name.clone());
            }
        }
        specs.retain(|spec| !spec.elements.is_empty());
        let graph = settled(&network.text).map_err(|e| TestCaseError::fail(format!("{}\n{e}", network.text)))?;
        let made = cut(&graph, &specs, &Classes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        check_cut(&network, &made)?;
        prop_assert_eq!(made.hash(), cut(&graph, &specs, &Classes).unwrap().hash());
    }
}
