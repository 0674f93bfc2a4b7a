//! `kubectl anf cut`: a cut on the command line becomes a manifest, or a Click file for each part.

use std::path::{Path, PathBuf};

use anf_click::{Counts, Cut, Proposal};
use anf_crds::{AtomicFunction, Links, MigrationPolicy, SubFunction};
use anf_sidecar::link_map::{self, LinkMap};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::args::{CutArgs, OutputFormat};
use crate::error::CliError;
use crate::lint::{self, Finding};
use crate::output;
use crate::proposing;
use crate::source::{self, File, Source};
use crate::text;

/// A function with the cut of the command line in place of its own, if there is one.
pub(crate) fn load(path: &Path, parts: &CutArgs) -> Result<(AtomicFunction, Cut), CliError> {
    let file = source::read(path)?;
    let mut sources = source::functions(&file)?;
    if sources.len() > 1 {
        let names: Vec<String> = sources.iter().map(|source| source.function.name_any()).collect();
        let message = format!("has {} functions ({}): give a file with one", names.len(), names.join(", "));
        return Err(CliError::File { path: path.into(), message });
    }
    let mut source = sources.remove(0);
    if let Some(count) = parts.auto {
        let counts = parts.counts.as_deref().map(proposing::read_counts).transpose()?.unwrap_or_default();
        eprint!("{}", propose(&file, &mut source, count, &counts)?);
    }
    compile(&file, &mut source, parts).map(|cut| (source.function, cut))
}

/// Puts a proposal in place of the cut.
fn propose(file: &File, source: &mut Source, count: usize, counts: &Counts) -> Result<Proposal, CliError> {
    refuse_cut_texts(file, source, "--auto")?;
    source.function.spec.sub_functions.clear();
    check(file, source)?;
    let proposal = proposing::propose(&source.function, count, counts).map_err(|found| {
        let findings = found.0.iter().map(|diagnostic| lint::place(file, source, diagnostic));
        told(&findings.collect::<Vec<_>>())
    })?;
    let parts: Vec<(String, Vec<String>)> =
        proposal.specs().into_iter().map(|spec| (spec.name, spec.elements)).collect();
    recut(&mut source.function, &parts);
    Ok(proposal)
}

fn compile(file: &File, source: &mut Source, parts: &CutArgs) -> Result<Cut, CliError> {
    if !parts.parts.is_empty() {
        refuse_cut_texts(file, source, "--sub")?;
        recut(&mut source.function, &parts.parts);
    }
    check(file, source)
}

fn refuse_cut_texts(file: &File, source: &Source, option: &str) -> Result<(), CliError> {
    if source.function.spec.click.is_some() {
        return Ok(());
    }
    let message = format!("has a text for each sub-function: it is cut already, {option} does not apply");
    Err(CliError::File { path: file.name.clone().into(), message })
}

fn check(file: &File, source: &mut Source) -> Result<Cut, CliError> {
    lint::check(file, source).map_err(|findings| told(&findings))
}

fn told(findings: &[Finding]) -> CliError {
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    CliError::Lint(text::counted(findings.len() as i64, "message"))
}

/// Replaces the cut. Parts that keep their name keep what else is said of them.
fn recut(function: &mut AtomicFunction, parts: &[(String, Vec<String>)]) {
    let before = std::mem::take(&mut function.spec.sub_functions);
    let part = |(name, elements): &(String, Vec<String>)| {
        let known = before.iter().find(|sub| &sub.name == name).cloned();
        let plain = || SubFunction {
            name: name.clone(),
            elements: Vec::new(),
            click: None,
            resources: None,
            placement: None,
            migration: None,
        };
        SubFunction { elements: elements.clone(), ..known.unwrap_or_else(plain) }
    };
    function.spec.sub_functions = parts.iter().map(part).collect();
}

pub(crate) fn cut(
    path: &Path,
    parts: &CutArgs,
    name: Option<String>,
    click_dir: Option<PathBuf>,
    format: Option<OutputFormat>,
) -> Result<(), CliError> {
    let (mut function, cut) = load(path, parts)?;
    function.metadata.name = name.or(function.metadata.name);
    if let Some(dir) = click_dir {
        return write_parts(&dir, &function, &cut);
    }
    println!("{}", output::render(format.unwrap_or(OutputFormat::Yaml), &manifest(&function))?);
    if path.extension().is_some_and(|extension| extension == "click") && !function.spec.ports.is_empty() {
        eprintln!("note: each device name is bound to the node's interface of that name; edit spec.ports");
    }
    Ok(())
}

/// The object without what the API server would fill in anyway.
fn manifest(function: &AtomicFunction) -> Value {
    let mut spec = serde_json::to_value(&function.spec).unwrap_or_default();
    let defaults = [
        ("ports", json!([])),
        ("subFunctions", json!([])),
        ("edges", json!([])),
        ("paused", json!(false)),
        ("coLocation", json!("Prefer")),
        ("links", serde_json::to_value(Links::default()).unwrap_or_default()),
        ("migration", serde_json::to_value(MigrationPolicy::default()).unwrap_or_default()),
    ];
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|key, value| !defaults.iter().any(|(name, default)| name == key && default == value));
    }
    let mut metadata = json!({"name": function.name_any()});
    if let Some(namespace) = function.namespace() {
        metadata["namespace"] = namespace.into();
    }
    json!({"apiVersion": "atomicnf.dev/v1alpha1", "kind": "AtomicFunction", "metadata": metadata, "spec": spec})
}

/// A runnable text for each part, and the map of what crosses between them.
fn write_parts(dir: &Path, function: &AtomicFunction, cut: &Cut) -> Result<(), CliError> {
    let write = |name: &Path, text: String| {
        let path = dir.join(name);
        match std::fs::write(&path, text) {
            Ok(()) => println!("{}", path.display()),
            Err(cause) => return Err(CliError::Write { path, cause: cause.to_string() }),
        }
        Ok(())
    };
    std::fs::create_dir_all(dir).map_err(|e| CliError::Write { path: dir.into(), cause: e.to_string() })?;
    let map = LinkMap::of(cut);
    for (entry, part) in map.parts.iter().zip(&cut.parts) {
        let name = function.name_any();
        let head =
            format!("// Part {} of {name}. {} says what its links carry.\n", part.name, link_map::FILE);
        write(&entry.file, format!("{head}{}", part.graph))?;
    }
    write(Path::new(link_map::FILE), output::render(OutputFormat::Json, &map)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { name: "router.click".into(), text: text.into() }
    }

    fn compiled(text: &str, parts: &[(&str, &[&str])]) -> Result<(AtomicFunction, Cut), CliError> {
        let parts = parts
            .iter()
            .map(|(name, elements)| (name.to_string(), elements.iter().map(|e| e.to_string()).collect()));
        let file = file(text);
        let mut source = source::functions(&file)?.remove(0);
        let cut = compile(&file, &mut source, &CutArgs { parts: parts.collect(), ..CutArgs::default() })?;
        Ok((source.function, cut))
    }

    const TEXT: &str = "in :: FromDevice(eth0) -> c :: Counter -> q :: Queue -> out :: ToDevice(eth1);\n";

    #[test]
    fn a_cut_text_becomes_a_manifest_with_nothing_superfluous() {
        let (function, cut) = compiled(TEXT, &[("count", &["c"])]).expect("a cut");
        assert_eq!(cut.edges.len(), 2);
        assert_eq!(
            output::render(OutputFormat::Yaml, &manifest(&function)).expect("YAML"),
            "\
apiVersion: atomicnf.dev/v1alpha1
kind: AtomicFunction
metadata:
  name: router
spec:
  click: |
    in :: FromDevice(eth0) -> c :: Counter -> q :: Queue -> out :: ToDevice(eth1);
  ports:
  - name: eth0
    node:
      interface: eth0
  - name: eth1
    node:
      interface: eth1
  subFunctions:
  - elements:
    - c
    name: count"
        );
    }

    #[test]
    fn a_proposal_becomes_the_cut_of_the_manifest() {
        let file = file(TEXT);
        let mut source = source::functions(&file).expect("a text").remove(0);
        let proposal = propose(&file, &mut source, 2, &Counts::new()).expect("a proposal");
        let cut = compile(&file, &mut source, &CutArgs::default()).expect("a cut");
        assert_eq!(cut.parts.len(), 2);
        assert_eq!(cut.edges.len(), proposal.crossings.len());
        let error = propose(&file, &mut source, 5, &Counts::new()).expect_err("refused");
        assert_eq!((error.exit_status(), error.is_told()), (1, true));
    }

    #[test]
    fn a_part_of_unknown_elements_is_refused() {
        let error = compiled(TEXT, &[("count", &["nosuch"])]).expect_err("refused");
        assert_eq!((error.exit_status(), error.is_told()), (1, true));
    }

    #[test]
    fn a_new_cut_keeps_the_placement_of_a_part_with_the_same_name() {
        let mut function: AtomicFunction = serde_yaml::from_str(
            "{apiVersion: atomicnf.dev/v1alpha1, kind: AtomicFunction, metadata: {name: a}, spec: {click: x,
              subFunctions: [{name: p, elements: [a], placement: {nodeSelector: {x: y}}}]}}",
        )
        .expect("a manifest");
        recut(&mut function, &[("p".into(), vec!["b".into()]), ("q".into(), vec!["c".into()])]);
        let subs = &function.spec.sub_functions;
        assert_eq!((subs[0].elements[0].as_str(), subs[0].placement.is_some()), ("b", true));
        assert_eq!((subs[1].elements[0].as_str(), subs[1].placement.is_some()), ("c", false));
    }

    #[test]
    fn each_part_gets_a_file_and_the_links_a_map() {
        let (function, cut) = compiled(TEXT, &[("count", &["c"])]).expect("a cut");
        let dir = std::env::temp_dir().join(format!("kubectl-anf-cut-{}", std::process::id()));
        write_parts(&dir, &function, &cut).expect("written");
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect(name);
        assert!(read("count.click").contains("c :: Counter"));
        assert!(read("main.click").contains("FromDevice(eth0)"));
        let map = LinkMap::read(&dir).expect("a map");
        assert_eq!(map, LinkMap::of(&cut));
        assert_eq!((map.edges[0].from_part.as_str(), map.edges[1].mode.as_str()), ("main", "push"));
        for entry in &map.parts {
            let ast =
                anf_click::parse(&entry.name, &read(&entry.file.display().to_string())).expect("a text");
            anf_click::flatten(&ast, &[]).expect("a graph");
        }
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
