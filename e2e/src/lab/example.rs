//! A function from a Kubernetes manifest, cut the way the operator cuts it, but without Kubernetes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anf_click::{Cut, FlatGraph, PartSpec};
use anf_sidecar::manifest::{FunctionRef, Manifest, OnUnavailable, Port, StoreSpec};
use anf_sidecar::registry::Registry;
use serde::Deserialize;

use crate::Error;

/// The label by which the examples place sub-functions on nodes.
const HOST_NAME_LABEL: &str = "kubernetes.io/hostname";

#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    click: String,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    sub_functions: Vec<SubFunction>,
}

#[derive(Debug, Deserialize)]
struct SubFunction {
    name: String,
    #[serde(default)]
    elements: Vec<String>,
    #[serde(default)]
    placement: Placement,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placement {
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
}

/// A function that the lab can run.
#[derive(Debug)]
pub struct Example {
    object: Object,
    whole: FlatGraph,
    cut: Cut,
}

impl Example {
    /// Reads and cuts an AtomicFunction.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(Error::io(format!("read {file}")))?;
        Self::parse(&file, &text)
    }

    /// Cuts the AtomicFunction of this text; `file` is for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let object: Object = serde_yaml::from_str(text).map_err(|error| Error::invalid(file, error))?;
        let (whole, cut) = cut(file, &object.spec)?;
        Ok(Self { object, whole, cut })
    }

    /// The graph before the cut.
    pub fn whole(&self) -> &FlatGraph {
        &self.whole
    }

    /// The graph of a sub-function, with its ends of the links.
    pub fn part(&self, name: &str) -> Result<&FlatGraph, Error> {
        let part = self.cut.parts.iter().find(|part| part.name == name);
        part.map(|part| &part.graph)
            .ok_or_else(|| Error::invalid(self.name(), format!("no sub-function {name}")))
    }

    /// The number of the first edge from one sub-function to another.
    pub fn edge(&self, from: &str, to: &str) -> Result<u16, Error> {
        let edge = self.cut.edges.iter().find(|edge| edge.from_part == from && edge.to_part == to);
        edge.map(|edge| edge.id)
            .ok_or_else(|| Error::invalid(self.name(), format!("no edge from {from} to {to}")))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.object.metadata.name
    }

    /// Its sub-functions.
    pub fn parts(&self) -> Vec<String> {
        self.cut.parts.iter().map(|part| part.name.clone()).collect()
    }

    /// The nodes that its placement names, but at least two.
    pub fn node_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.object.spec.sub_functions.iter().filter_map(node_of).map(String::from).collect();
        names.sort();
        names.dedup();
        while names.len() < 2 {
            names.push(format!("node{}", names.len() + 1));
        }
        names
    }

    /// The node where a sub-function starts: where its placement says, else on the first.
    pub fn first_node(&self, part: &str) -> usize {
        let sub_function =
            self.object.spec.sub_functions.iter().find(|sub_function| sub_function.name == part);
        let wanted = sub_function.and_then(node_of);
        self.node_names().iter().position(|name| Some(name.as_str()) == wanted).unwrap_or(0)
    }

    /// What the sidecar of a sub-function is told.
    pub fn manifest(&self, part: &str, redis_url: &str) -> Result<Manifest, Error> {
        let name = self.name().to_owned();
        let function = FunctionRef { namespace: "lab".into(), uid: format!("lab-{name}"), name };
        let store = StoreSpec { url: redis_url.to_owned(), on_unavailable: OnUnavailable::FailOpen };
        Manifest::from_cut(function, &self.cut, part, &self.object.spec.ports, store)
            .map_err(|error| Error::invalid(self.name(), error))
    }
}

fn node_of(sub_function: &SubFunction) -> Option<&str> {
    sub_function.placement.node_selector.get(HOST_NAME_LABEL).map(String::as_str)
}

fn cut(file: &str, spec: &Spec) -> Result<(FlatGraph, Cut), Error> {
    let registry = Registry::standard();
    let parts: Vec<PartSpec> = spec
        .sub_functions
        .iter()
        .map(|sub_function| PartSpec {
            name: sub_function.name.clone(),
            elements: sub_function.elements.clone(),
        })
        .collect();
    anf_click::parse(file, &spec.click)
        .and_then(|ast| anf_click::flatten(&ast, &[]))
        .and_then(|flat| Ok((flat.clone(), anf_click::settle(flat, &registry)?)))
        .and_then(|(flat, settled)| Ok((flat, anf_click::cut(&settled, &parts, &registry)?)))
        .map_err(|diagnostics| Error::invalid(file, diagnostics))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = r"
metadata: {name: f}
spec:
  click: |
    in :: InfiniteSource -> c :: Counter -> out :: Discard;
  subFunctions:
  - {name: count, elements: [c], placement: {nodeSelector: {kubernetes.io/hostname: w2}}}
  - {name: sink, elements: [out], placement: {nodeSelector: {kubernetes.io/hostname: w1}}}
";

    #[test]
    fn a_function_is_cut_and_placed_as_its_manifest_says() {
        let example = Example::parse("f.yaml", FUNCTION).unwrap();
        let mut parts = example.parts();
        parts.sort();
        assert_eq!(parts, ["count", "main", "sink"]);
        assert_eq!(example.node_names(), ["w1", "w2"]);
        assert_eq!((example.first_node("count"), example.first_node("main")), (1, 0));
        let manifest = example.manifest("count", "redis://r").unwrap();
        assert_eq!((manifest.in_links.len(), manifest.out_links.len()), (1, 1));
    }

    #[test]
    fn a_text_that_does_not_parse_is_reported_with_its_place() {
        let error = Example::parse("f.yaml", &FUNCTION.replace("-> out", "-> -> out")).unwrap_err();
        assert!(error.to_string().contains("f.yaml:1:"), "{error}");
    }
}
