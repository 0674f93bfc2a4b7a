//! `kubectl anf lint`: what the admission of a function would say, before there is a cluster.

use std::fmt;
use std::path::PathBuf;

use anf_click::{Cut, Diagnostic};
use anf_crds::{AtomicFunction, NodePort, Port};
use anf_operator::graph::{self, WHOLE};
use anf_sidecar::manifest::device_names;
use kube::ResourceExt;
use serde::Serialize;

use crate::args::OutputFormat;
use crate::error::CliError;
use crate::output;
use crate::source::{self, File, Source};
use crate::text;

/// One message, at a place of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// 0 where a message is about no place in particular.
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: error: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: error: {}", self.file, self.column, self.message)?,
        }
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

pub(crate) fn lint(paths: &[PathBuf], format: Option<OutputFormat>) -> Result<(), CliError> {
    let mut findings = Vec::new();
    for path in paths {
        let file = source::read(path)?;
        for mut source in source::functions(&file)? {
            match check(&file, &mut source) {
                Ok(cut) if format.is_none() => println!("{}: {}", file.name, summary(&source.function, &cut)),
                Ok(_) => {}
                Err(found) => findings.extend(found),
            }
        }
    }
    match format {
        Some(format) => println!("{}", output::render(format, &findings)?),
        None => findings.iter().for_each(|finding| println!("{finding}")),
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(CliError::Lint(text::counted(findings.len() as i64, "message")))
    }
}

/// The cut of a function, or everything that is wrong with it, in the lines of its file.
pub(crate) fn check(file: &File, source: &mut Source) -> Result<Cut, Vec<Finding>> {
    let anywhere =
        |message: String| Finding { file: file.name.clone(), line: 0, column: 0, message, help: None };
    let mut findings: Vec<Finding> =
        source.unknown.iter().map(|path| anywhere(format!("unknown field {path}"))).collect();
    if let Err(errors) = source.function.validate_cel() {
        findings.extend(errors.iter().map(|error| anywhere(error.to_string())));
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    if source.is_bare {
        bind_ports(&mut source.function);
    }
    graph::examine(&source.function.spec)
        .map_err(|(_, found)| found.iter().map(|diagnostic| place(file, source, diagnostic)).collect())
}

/// Binds each device of a bare text to the node's interface of that name. A text that cannot be read has none.
fn bind_ports(function: &mut AtomicFunction) {
    let text = function.spec.click.as_deref().unwrap_or_default();
    let flat = anf_click::parse(WHOLE, text).and_then(|ast| anf_click::flatten(&ast, &[]));
    let devices = flat.map(|flat| device_names(&flat)).unwrap_or_default();
    function.spec.ports = devices
        .into_iter()
        .map(|name| Port { node: Some(NodePort { interface: name.clone() }), name, pod: None, tun: None })
        .collect();
}

/// A place in a Click text as a place in the file that holds it.
pub(crate) fn place(file: &File, source: &Source, found: &Diagnostic) -> Finding {
    let spec = &source.function.spec;
    let own =
        |name: &str| spec.sub_functions.iter().filter(|s| s.click.is_some()).position(|s| s.name == name);
    let text = match &*found.file {
        WHOLE if spec.click.is_some() => Some(0),
        part => own(part),
    };
    let known = text.and_then(|text| source.texts.as_ref()?.get(text).copied());
    let (line, column) = (found.pos.line, found.pos.column);
    let (line, column, message) = match known {
        _ if line == 0 => (0, 0, found.message.clone()),
        Some(known) => (known.lines + line, known.columns + column, found.message.clone()),
        None => (0, 0, format!("line {line}, column {column} of {}: {}", found.file, found.message)),
    };
    Finding { file: file.name.clone(), line, column, message, help: found.help.clone() }
}

/// What a function that is right consists of.
fn summary(function: &AtomicFunction, cut: &Cut) -> String {
    let elements: usize = cut.parts.iter().map(|part| part.elements).sum();
    format!(
        "{}: {}, {}, {}",
        function.name_any(),
        text::counted(cut.parts.len() as i64, "sub-function"),
        text::counted(elements as i64, "element"),
        text::counted(cut.edges.len() as i64, "cut edge"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lint_text(name: &str, text: &str) -> Vec<String> {
        let file = File { name: name.into(), text: text.into() };
        let mut sources = source::functions(&file).expect("functions");
        let found = sources.iter_mut().flat_map(|source| check(&file, source).err().unwrap_or_default());
        found.map(|finding| finding.to_string()).collect()
    }

    const EXAMPLES: [(&str, &str); 4] = [
        ("nat.yaml", include_str!("../../../../examples/nat.yaml")),
        ("nat.click", include_str!("../../../../examples/nat.click")),
        ("monitor.yaml", include_str!("../../../../examples/monitor.yaml")),
        ("olt.yaml", include_str!("../../../../examples/olt.yaml")),
    ];

    #[test]
    fn the_examples_are_right() {
        for (name, text) in EXAMPLES {
            assert_eq!(lint_text(name, text), [""; 0], "{name}");
        }
    }

    #[test]
    fn the_manifest_of_the_nat_holds_the_text_of_the_click_file() {
        let file = File { name: "nat.yaml".into(), text: EXAMPLES[0].1.into() };
        let function = source::functions(&file).expect("functions").remove(0).function;
        assert_eq!(function.spec.click.as_deref(), Some(EXAMPLES[1].1));
    }

    #[test]
    fn the_part_that_moves_owns_no_device() {
        let file = File { name: "nat.yaml".into(), text: EXAMPLES[0].1.into() };
        let mut source = source::functions(&file).expect("functions").remove(0);
        let cut = check(&file, &mut source).expect("a cut");
        let nat = cut.parts.iter().find(|part| part.name == "nat").expect("nat");
        assert_eq!(anf_sidecar::manifest::device_names(&nat.graph), [""; 0]);
    }

    #[test]
    fn a_message_about_a_text_in_a_manifest_names_the_manifests_line() {
        let text = "\
apiVersion: atomicnf.dev/v1alpha1
kind: AtomicFunction
metadata: {name: a}
spec:
  click: |
    Idle
      -> Discrad;
";
        let found = lint_text("a.yaml", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a.yaml:7:10: error: ") && found[0].contains("Discrad"), "{found:?}");
        assert!(found[0].contains("Discard"), "a suggestion: {found:?}");
    }

    #[test]
    fn a_bare_text_needs_no_ports() {
        assert_eq!(lint_text("a.click", "FromDevice(x) -> Queue -> ToDevice(y);"), [""; 0]);
    }

    #[test]
    fn a_port_that_names_no_device_is_named() {
        let text = "{apiVersion: atomicnf.dev/v1alpha1, kind: AtomicFunction, metadata: {name: a},
                     spec: {click: 'Idle -> Discard;', ports: [{name: lan, node: {interface: eth0}}]}}";
        assert!(lint_text("a.yaml", text)[0].starts_with("a.yaml: error: the port \"lan\" names no device"));
    }

    #[test]
    fn a_misspelt_field_and_a_broken_rule_are_named() {
        let text = "{apiVersion: atomicnf.dev/v1alpha1, kind: AtomicFunction, metadata: {name: a},
                     spec: {click: 'Idle -> Discard;', pause: true, ports: [{name: lan}]}}";
        let found = lint_text("a.yaml", text).join("\n");
        assert!(
            found.contains("unknown field spec.pause") && found.contains("exactly one of node, pod and tun"),
            "{found}"
        );
    }
}
