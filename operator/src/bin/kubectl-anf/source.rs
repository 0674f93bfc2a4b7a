//! Files with functions: manifests (YAML or JSON, several documents) and bare Click texts. Pure but for `read`.
//!
//! A message about line 7 of a text inside a manifest must name the manifest's own line: [`TextPlace`] knows where the
//! text stands, if it is a literal block (`click: |`).

use std::io::Read;
use std::path::Path;

use anf_crds::{AtomicFunction, AtomicFunctionSpec};
use serde::Deserialize;
use serde_json::Value;

use crate::error::CliError;

/// A file's name as it is shown, and its text.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// One function of a file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) function: AtomicFunction,
    /// Where its Click texts stand, in the order of the spec; `None` if they are not written as blocks.
    pub(crate) texts: Option<Vec<TextPlace>>,
    /// Fields of the manifest that the API does not know: `spec.subFunction`.
    pub(crate) unknown: Vec<String>,
    /// A bare Click text, which names no ports: each device name is bound to a node interface of the same name.
    pub(crate) is_bare: bool,
}

/// Where a Click text stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextPlace {
    /// Lines of the file before it.
    pub(crate) lines: u32,
    /// Characters before each of its lines.
    pub(crate) columns: u32,
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<File, CliError> {
    let failed = |cause: std::io::Error| CliError::Read { path: path.into(), cause: cause.to_string() };
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(File { name: "standard input".into(), text });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(File { name: path.display().to_string(), text })
}

/// The functions of a file, at least one.
pub(crate) fn functions(file: &File) -> Result<Vec<Source>, CliError> {
    if !is_manifest(file) {
        return Ok(vec![bare(file)]);
    }
    let refuse = |message: String| CliError::File { path: file.name.clone().into(), message };
    let mut functions = Vec::new();
    for (number, document) in serde_yaml::Deserializer::from_str(&file.text).enumerate() {
        let value = Value::deserialize(document).map_err(|e| refuse(format!("is not valid YAML: {e}")))?;
        for object in objects(value) {
            if object["kind"] == "AtomicFunction" {
                let function: AtomicFunction = serde_json::from_value(object.clone()).map_err(|e| {
                    refuse(format!("document {} is no valid AtomicFunction: {e}", number + 1))
                })?;
                functions.push((unknown_fields(&object, &function), function));
            }
        }
    }
    if functions.is_empty() {
        return Err(refuse("has no AtomicFunction".into()));
    }
    Ok(with_places(functions, &blocks(&file.text)))
}

fn is_manifest(file: &File) -> bool {
    match Path::new(&file.name).extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml" | "json") => true,
        Some("click") => false,
        _ => file.text.lines().any(|line| line.starts_with("apiVersion:") || line.starts_with('{')),
    }
}

/// The members of a List, or the object itself.
fn objects(value: Value) -> Vec<Value> {
    match value {
        Value::Object(mut object) if object.get("kind").is_some_and(|kind| kind == "List") => {
            match object.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        other => vec![other],
    }
}

fn bare(file: &File) -> Source {
    let stem = Path::new(&file.name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name: String =
        stem.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_lowercase());
    let name = if name.is_empty() { "function" } else { &name[..name.len().min(32)] };
    let spec = AtomicFunctionSpec { click: Some(file.text.clone()), ..empty_spec() };
    let texts = Some(vec![TextPlace { lines: 0, columns: 0 }]);
    Source { function: AtomicFunction::new(name, spec), texts, unknown: Vec::new(), is_bare: true }
}

fn empty_spec() -> AtomicFunctionSpec {
    AtomicFunctionSpec {
        click: None,
        ports: Vec::new(),
        sub_functions: Vec::new(),
        edges: Vec::new(),
        migration: anf_crds::MigrationPolicy::default(),
        state_store: None,
        links: anf_crds::Links::default(),
        co_location: anf_crds::CoLocation::default(),
        paused: false,
    }
}

/// Gives each function its places, provided that every text of the file is a block.
fn with_places(functions: Vec<(Vec<String>, AtomicFunction)>, blocks: &[TextPlace]) -> Vec<Source> {
    let counts: Vec<usize> = functions.iter().map(|(_, function)| text_count(&function.spec)).collect();
    let known = counts.iter().sum::<usize>() == blocks.len();
    let mut rest = blocks.iter().copied();
    let sources = functions.into_iter().zip(counts).map(|((unknown, function), count)| {
        let texts = known.then(|| rest.by_ref().take(count).collect());
        Source { function, texts, unknown, is_bare: false }
    });
    sources.collect()
}

/// What reading the object left out. The API server would prune it without a word.
fn unknown_fields(object: &Value, function: &AtomicFunction) -> Vec<String> {
    let read = serde_json::to_value(&function.spec).unwrap_or_default();
    let mut unknown = Vec::new();
    compare(&object["spec"], &read, "spec", &mut unknown);
    unknown
}

fn compare(written: &Value, read: &Value, path: &str, unknown: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match read.get(key) {
                    Some(known) => compare(value, known, &path, unknown),
                    // A known field with nothing in it may be left out, too.
                    None if is_empty(value) => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            for (i, (written, read)) in written.iter().zip(read).enumerate() {
                compare(written, read, &format!("{path}[{i}]"), unknown);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn text_count(spec: &AtomicFunctionSpec) -> usize {
    usize::from(spec.click.is_some()) + spec.sub_functions.iter().filter(|sub| sub.click.is_some()).count()
}

/// The literal blocks under keys `click`, in the order of the file. Lines inside a block are not looked at.
fn blocks(text: &str) -> Vec<TextPlace> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let key = lines[at].trim_start().trim_start_matches("- ").trim_start();
        let outer = indent(lines[at]);
        at += 1;
        let Some(header) = key.strip_prefix("click:").map(str::trim_start) else { continue };
        if !header.starts_with('|') {
            continue;
        }
        let first = lines[at..].iter().find(|line| !line.trim().is_empty()).map_or(0, |line| indent(line));
        found.push(TextPlace { lines: at as u32, columns: first as u32 });
        while at < lines.len() && (lines[at].trim().is_empty() || indent(lines[at]) > outer) {
            at += 1;
            // The block ends where something stands further left than its first line.
            if at < lines.len() && !lines[at].trim().is_empty() && indent(lines[at]) < first {
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> File {
        File { name: name.into(), text: text.into() }
    }

    const TWO: &str = "\
apiVersion: atomicnf.dev/v1alpha1
kind: AtomicFunction
metadata: {name: a}
spec:
  paused: true
  click: |

    Idle
      -> Discard;
---
kind: ConfigMap
---
apiVersion: atomicnf.dev/v1alpha1
kind: AtomicFunction
metadata: {name: b}
spec:
  subFunctions:
  - name: x
    click: |
      Idle -> output;
  - click: |
      input -> Discard;
    name: y
  edges: [{from: x, to: y}]
";

    #[test]
    fn every_function_of_a_file_is_found_with_the_places_of_its_texts() {
        let functions = functions(&file("two.yaml", TWO)).expect("two functions");
        let places: Vec<_> = functions.iter().map(|source| source.texts.clone().expect("blocks")).collect();
        assert_eq!(places[0], [TextPlace { lines: 6, columns: 4 }]);
        assert_eq!(places[1], [TextPlace { lines: 19, columns: 6 }, TextPlace { lines: 21, columns: 6 }]);
    }

    #[test]
    fn a_field_that_the_api_does_not_know_is_found() {
        let text = "{apiVersion: atomicnf.dev/v1alpha1, kind: AtomicFunction, metadata: {name: a}, spec: {click: Idle,
            subFunction: [], subFunctions: [{name: x, elements: [i], placement: {}, element: [y]}], pause: true}}";
        let unknown = &functions(&file("one.yaml", text)).expect("a function")[0].unknown;
        assert_eq!(unknown, &["spec.pause", "spec.subFunctions[0].element"]);
    }

    #[test]
    fn a_text_that_is_no_block_has_no_place() {
        let text = "{apiVersion: atomicnf.dev/v1alpha1, kind: AtomicFunction, metadata: {name: a}, spec: {click: Idle}}";
        assert_eq!(functions(&file("one.yaml", text)).expect("a function")[0].texts, None);
    }

    #[test]
    fn a_list_as_kubectl_prints_it_is_read() {
        let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "atomicnf.dev/v1alpha1", "kind": "AtomicFunction", "metadata": {"name": "a"},
             "spec": {"click": "Idle -> Discard;"}}]}"#;
        assert_eq!(functions(&file("list.json", text)).expect("a function").len(), 1);
    }

    #[test]
    fn a_bare_text_is_a_function_named_like_the_file() {
        let source =
            functions(&file("conf/My_Router.click", "Idle -> Discard;")).expect("a function").remove(0);
        assert!(source.is_bare);
        assert_eq!(source.function.metadata.name.as_deref(), Some("my-router"));
        assert_eq!(source.texts, Some(vec![TextPlace { lines: 0, columns: 0 }]));
    }

    #[test]
    fn what_is_no_function_is_refused_with_the_files_name() {
        let message = |text: &str| functions(&file("x.yaml", text)).expect_err("refused").to_string();
        assert_eq!(message("kind: Pod"), "x.yaml: has no AtomicFunction");
        assert!(message("a: [").starts_with("x.yaml: is not valid YAML"));
        assert!(
            message("{kind: AtomicFunction, spec: {click: 3}}")
                .contains("document 1 is no valid AtomicFunction")
        );
    }
}
