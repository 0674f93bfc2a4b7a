//! The syntax tree: what was written, nothing resolved. Names may be elements or classes; variables are
//! unexpanded; port lists are as written. Nesting is bounded by the parser.

use std::sync::Arc;

use crate::diagnostic::Place;

/// A parsed text.
#[derive(Debug, Clone)]
pub struct Ast {
    pub(crate) file: Arc<str>,
    pub(crate) statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
pub(crate) enum Statement {
    Chain(Chain),
    ElementClass {
        name: String,
        place: Place,
        is: ClassBody,
    },
    /// Words of `require(...)` that name packages.
    Require(Vec<String>),
    /// Variable (without `$`) and value of each argument of `define(...)`.
    Define(Vec<(String, String, Place)>),
}

/// Right-hand side of `elementclass NAME`.
#[derive(Debug, Clone)]
pub(crate) enum ClassBody {
    Compound(Compound),
    Alias(String),
}

/// `{ … || … || ... }`
#[derive(Debug, Clone)]
pub(crate) struct Compound {
    pub(crate) versions: Vec<Version>,
    /// Ends in `...`: fall back on the class that had the name before.
    pub(crate) extends: Option<Place>,
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) place: Place,
    pub(crate) formals: Vec<Formal>,
    pub(crate) statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Formal {
    pub(crate) variable: String,
    /// `KEY $var`; `__REST__` takes what is left.
    pub(crate) keyword: Option<String>,
}

/// `a, b [1] -> [0] c => d`: stages joined by connectors (one fewer).
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) stages: Vec<Vec<Reference>>,
    pub(crate) connectors: Vec<Connector>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connector {
    /// `->`
    Arrow,
    /// `=>`
    Each,
}

/// One element of a stage, with the ports around it.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) place: Place,
    pub(crate) inputs: PortList,
    pub(crate) outputs: PortList,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// `name`, `Class(config)`, `name :: Class(config)`
    Word { word: String, class: Option<Class>, config: Option<String> },
    /// `{ … }(config)` or `name`-less compound with a class makes no sense and is refused by the parser.
    Compound { body: Compound, config: Option<String> },
    /// `( … )`
    Group { statements: Vec<Statement> },
    /// A chain that begins or ends with an arrow inside a compound or group.
    Input,
    /// See `Input`.
    Output,
}

/// What stands after `::`.
#[derive(Debug, Clone)]
pub(crate) enum Class {
    Named(String),
    Compound(Box<Compound>),
}

/// `[0, 2-4]`; `open` for a list that ends in a comma, or `[]`: as many more as the other side needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PortList {
    pub(crate) ports: Vec<u32>,
    pub(crate) open: bool,
}

impl PortList {
    pub(crate) fn is_absent(&self) -> bool {
        self.ports.is_empty()
    }
}
