//! The arguments of one element, sorted by its descriptor.

use super::names::Names;
use super::split::split_arguments;
use super::value::Value;
use crate::element::{Arg, ArgKind, Descriptor};

/// What is wrong with an element's configuration: one or more sentences.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl From<String> for ConfigError {
    fn from(message: String) -> Self {
        Self(vec![message])
    }
}

impl From<&str> for ConfigError {
    fn from(message: &str) -> Self {
        Self(vec![message.to_owned()])
    }
}

/// The configuration of an element, its arguments found by name.
#[derive(Debug)]
pub struct Args<'a> {
    element: &'a str,
    names: &'a Names,
    ports: (usize, usize),
    raw: Vec<String>,
    /// Argument name and text, in the order given.
    given: Vec<(&'static str, String)>,
    rest: Vec<String>,
}

impl<'a> Args<'a> {
    /// Sorts the arguments of `config`: keywords that the descriptor knows first, what remains by position.
    pub fn new(
        descriptor: &'static Descriptor,
        element: &'a str,
        config: &str,
        ports: (usize, usize),
        names: &'a Names,
    ) -> Result<Self, ConfigError> {
        let raw = split_arguments(config);
        let mut args = Self { element, names, ports, raw, given: Vec::new(), rest: Vec::new() };
        let mut problems = args.sort(descriptor.args);
        for arg in descriptor.args {
            let missing = !args.given.iter().any(|(name, _)| *name == arg.name);
            match arg.kind {
                ArgKind::Required if missing => {
                    problems.push(format!("too few arguments; need '{}' ({})", arg.name, arg.ty));
                }
                ArgKind::RequiredKeyword if missing => {
                    problems.push(format!("missing mandatory {} argument", arg.name));
                }
                _ => {}
            }
        }
        if problems.is_empty() { Ok(args) } else { Err(ConfigError(problems)) }
    }

    fn sort(&mut self, known: &'static [Arg]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut positional = Vec::new();
        for text in &self.raw {
            match keyword(text, known) {
                Some((arg, value)) => self.given.push((arg.name, value.to_owned())),
                None => positional.push(text.clone()),
            }
        }
        let mut positional = positional.into_iter();
        for arg in known {
            match arg.kind {
                ArgKind::Required | ArgKind::Optional => {
                    if self.given.iter().any(|(name, _)| *name == arg.name) {
                        continue;
                    }
                    match positional.next() {
                        // An empty argument stands for its default.
                        Some(text) if text.is_empty() && arg.kind == ArgKind::Optional => {}
                        Some(text) => self.given.push((arg.name, text)),
                        None => {}
                    }
                }
                ArgKind::Rest => self.rest = positional.by_ref().collect(),
                ArgKind::Keyword | ArgKind::RequiredKeyword => {}
            }
        }
        for text in positional {
            let word = text.split_whitespace().next().unwrap_or("");
            if word.len() > 1 && word != text && is_keyword(word) {
                problems.push(format!("unknown keyword '{word}'"));
            } else {
                problems.push(format!("too many arguments, '{text}' is left over"));
            }
        }
        problems
    }

    /// The full name of the element.
    pub fn element(&self) -> &'a str {
        self.element
    }

    /// How many inputs are connected.
    pub fn inputs(&self) -> usize {
        self.ports.0
    }

    /// How many outputs are connected.
    pub fn outputs(&self) -> usize {
        self.ports.1
    }

    /// All arguments as written, keywords included.
    pub fn raw(&self) -> &[String] {
        &self.raw
    }

    /// The remaining positional arguments (`Arg::rest`), as written.
    pub fn rest(&self) -> &[String] {
        &self.rest
    }

    /// The text of an argument; the last one wins.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
    }

    /// The argument, if given.
    pub fn get<T: Value>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        self.text(name).map(|text| self.parse(name, text)).transpose()
    }

    /// The argument, or its default.
    pub fn or<T: Value>(&self, name: &str, default: T) -> Result<T, ConfigError> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// An argument that the descriptor requires.
    pub fn need<T: Value>(&self, name: &str) -> Result<T, ConfigError> {
        self.get(name)?.ok_or_else(|| ConfigError::from(format!("missing mandatory {name} argument")))
    }

    /// All values of a keyword that may be given several times.
    pub fn all<T: Value>(&self, name: &str) -> Result<Vec<T>, ConfigError> {
        let given = self.given.iter().filter(|(known, _)| *known == name);
        given.map(|(_, text)| self.parse(name, text)).collect()
    }

    /// Turns any text into a value, with the names that this element can see; `what` names it in the error.
    pub fn parse<T: Value>(&self, what: &str, text: &str) -> Result<T, ConfigError> {
        T::parse(text.trim(), &Scope { user: self.element, names: self.names })
            .map_err(|problem| ConfigError(vec![format!("{what}: {problem}")]))
    }

    /// The names that this element can see, to parse values later (in handlers).
    pub fn scope(&self) -> Scope<'_> {
        Scope { user: self.element, names: self.names }
    }
}

/// Names as one element sees them.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub(super) user: &'a str,
    pub(super) names: &'a Names,
}

impl Scope<'_> {
    /// What a name stands for here.
    pub(crate) fn find(&self, name: &str) -> Option<&super::names::Named> {
        self.names.find(self.user, name)
    }
}

fn is_keyword(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && word.bytes().any(|b| b.is_ascii_uppercase())
}

/// The argument that `text` gives by keyword, and its value.
fn keyword<'t>(text: &'t str, known: &'static [Arg]) -> Option<(&'static Arg, &'t str)> {
    let word = text.split_whitespace().next()?;
    let arg = known.iter().find(|arg| arg.name == word && arg.kind != ArgKind::Rest)?;
    Some((arg, text[word.len()..].trim_start()))
}
