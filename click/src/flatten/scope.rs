//! Names to elements and classes. A scope is the file or one version of a compound class: its elements (own,
//! anonymous, and the pseudoelements that groups and compounds connect through), its connections, its
//! variables. A name means an element declared earlier in its scope, else a class; an unknown word is taken
//! for a class, and settling says whether there is one.

mod classes;
mod names;

use std::collections::HashMap;

use crate::ast::{Ast, Chain, ClassBody, Formal, Reference, Statement, What};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Pos, Report};
use crate::limits;

pub(super) use classes::{Class, ClassId, Scopes};

use super::ports::{self, Side};

/// Index of an element in its scope.
pub(super) type Slot = usize;

/// The file, or one version of a compound class.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) place: Place,
    /// Scopes around this one; the file has 0.
    pub(super) depth: usize,
    pub(super) formals: Vec<Formal>,
    pub(super) defines: Vec<(String, String)>,
    pub(super) members: Vec<Member>,
    pub(super) wires: Vec<Wire>,
    pub(super) inputs: u32,
    pub(super) outputs: u32,
    /// Version to try if this one does not fit.
    pub(super) next: Option<Class>,
    names: HashMap<String, Slot>,
    /// Members that do not count in the numbers of anonymous elements.
    offset: usize,
}

/// An element of a scope.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) is: Is,
    pub(super) config: String,
    pub(super) place: Place,
    anonymous: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Is {
    Element(Class),
    /// `input` or `output` of a compound, or one end of a group: connections pass through. A group is three
    /// members: itself, then its `input`, then its `output`.
    Passage,
    /// The outside of a group.
    Group,
}

/// A connection inside a scope.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire {
    pub(super) from: (Slot, u32),
    pub(super) to: (Slot, u32),
    pub(super) pos: Pos,
}

/// Resolves a whole text.
pub(super) fn resolve(ast: &Ast) -> Result<Scopes, Diagnostics> {
    let place = Place { file: ast.file.clone(), pos: Pos { line: 1, column: 1 } };
    let mut resolver = Resolver {
        scopes: Scopes::default(),
        open: vec![Scope::new("", place, 0)],
        classes: vec![HashMap::new()],
        ends: Vec::new(),
        later: vec![names::declared(&ast.statements)],
        report: Report::default(),
    };
    resolver.statements(&ast.statements);
    resolver.name_the_anonymous();
    resolver.scopes.file = resolver.open.pop();
    let Resolver { scopes, report, .. } = resolver;
    report.finish(scopes)
}

/// `input` and `output` as they are called where a chain is read: of the compound, or of the innermost group.
#[derive(Clone, Copy)]
struct Ends {
    input: Slot,
    output: Slot,
}

struct Resolver {
    scopes: Scopes,
    /// Scopes under construction, innermost last.
    open: Vec<Scope>,
    /// Classes that each open scope has defined so far.
    classes: Vec<HashMap<String, Class>>,
    ends: Vec<Ends>,
    /// Names that each open scope declares somewhere: to say that a use comes too early.
    later: Vec<HashMap<String, Place>>,
    report: Report,
}

impl Scope {
    fn new(name: &str, place: Place, depth: usize) -> Self {
        Self {
            name: name.to_owned(),
            place,
            depth,
            formals: Vec::new(),
            defines: Vec::new(),
            members: Vec::new(),
            wires: Vec::new(),
            inputs: 0,
            outputs: 0,
            next: None,
            names: HashMap::new(),
            offset: 0,
        }
    }

    /// How a message calls it.
    pub(super) fn printable_name(&self) -> &str {
        if self.name.is_empty() { "<anonymous>" } else { &self.name }
    }

    fn add_pseudoelements(&mut self) {
        for name in ["input", "output"] {
            self.names.insert(name.to_owned(), self.members.len());
            self.members.push(Member {
                name: name.to_owned(),
                is: Is::Passage,
                config: String::new(),
                place: self.place.clone(),
                anonymous: false,
            });
        }
        self.offset = self.members.len();
    }

    fn next_number(&self) -> usize {
        self.members.len() - self.offset + 1
    }
}

impl Resolver {
    fn scope(&mut self) -> &mut Scope {
        let last = self.open.len() - 1; // the file's scope is open from first to last
        &mut self.open[last]
    }

    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Chain(chain) => self.chain(chain),
                Statement::ElementClass { name, place, is } => {
                    let class = match is {
                        ClassBody::Alias(of) => self.class_named(of),
                        ClassBody::Compound(compound) => self.compound(name, compound),
                    };
                    self.define_class(name, place, class);
                }
                Statement::Require(packages) => self.scopes.requirements.extend(packages.iter().cloned()),
                Statement::Define(variables) => self.define_variables(variables),
            }
        }
    }

    fn define_variables(&mut self, variables: &[(String, String, Place)]) {
        for (name, value, place) in variables {
            let scope = self.scope();
            let taken = scope.defines.iter().any(|(n, _)| n == name)
                || scope.formals.iter().any(|formal| formal.variable == *name);
            if taken {
                self.report.error(place, format!("parameter ‘${name}’ multiply defined"));
            } else {
                scope.defines.push((name.clone(), value.clone()));
            }
        }
    }

    fn chain(&mut self, chain: &Chain) {
        let mut left: Option<Vec<Side>> = None;
        for (index, stage) in chain.stages.iter().enumerate() {
            let right: Vec<Side> = stage.iter().filter_map(|reference| self.reference(reference)).collect();
            if let Some(left) = &left {
                let place = stage.first().map_or_else(|| self.scope().place.clone(), |r| r.place.clone());
                let wires =
                    ports::connect(left, &right, chain.connectors[index - 1], &place, &mut self.report);
                self.add_wires(wires, &place);
            }
            left = Some(right);
        }
    }

    fn add_wires(&mut self, wires: Vec<Wire>, place: &Place) {
        let scope = self.scope();
        if scope.wires.len() + wires.len() > limits::CONNECTIONS {
            let message = format!("more than {} connections", limits::CONNECTIONS);
            self.report.error(place, message);
            self.report.close();
            return;
        }
        scope.wires.extend(wires);
    }

    fn reference(&mut self, reference: &Reference) -> Option<Side> {
        let place = &reference.place;
        let mut side = Side { slot: 0, inputs: reference.inputs.clone(), outputs: reference.outputs.clone() };
        side.slot = match &reference.what {
            What::Word { word, class, config } => {
                self.word(word, class.as_ref(), config.as_deref(), place)?
            }
            What::Compound { body, config } => {
                let class = self.compound("", body);
                self.add_anonymous("", Is::Element(class), config.as_deref(), place)?
            }
            What::Group { statements } => return self.group(statements, side, place),
            What::Input => self.ends.last()?.input,
            What::Output => self.ends.last()?.output,
        };
        Some(side)
    }

    /// `( … )`: connections inside belong to the scope around it; all of its inputs and outputs are meant
    /// unless ports are given.
    fn group(&mut self, statements: &[Statement], mut side: Side, place: &Place) -> Option<Side> {
        let outside = self.add_anonymous("", Is::Group, None, place)?;
        let input = self.add_anonymous("", Is::Passage, None, place)?;
        let output = self.add_anonymous("", Is::Passage, None, place)?;
        let scope = self.scope();
        let before =
            scope.names.insert("input".into(), input).zip(scope.names.insert("output".into(), output));
        self.ends.push(Ends { input, output });
        self.statements(statements);
        self.ends.pop();
        let scope = self.scope();
        match before {
            Some((outer_input, outer_output)) => {
                scope.names.insert("input".into(), outer_input);
                scope.names.insert("output".into(), outer_output);
            }
            None => {
                scope.names.remove("input");
                scope.names.remove("output");
            }
        }
        let (inputs, outputs) = self.check_ends("<anonymous group>", place, input, output);
        side.slot = outside;
        if side.inputs.is_absent() {
            side.inputs.ports = (0..inputs).collect();
        }
        if side.outputs.is_absent() {
            side.outputs.ports = (0..outputs).collect();
        }
        Some(side)
    }

    /// Counts the ports of a compound or group; each must be used, and only on its own side.
    fn check_ends(&mut self, name: &str, place: &Place, input: Slot, output: Slot) -> (u32, u32) {
        let last = self.open.len() - 1;
        let wires = &self.open[last].wires;
        let mut used = [vec![], vec![]];
        let mut mark = |side: usize, port: u32| {
            let used: &mut Vec<bool> = &mut used[side];
            let port = port as usize;
            used.resize(used.len().max(port + 1), false);
            used[port] = true;
        };
        let (mut to_input, mut from_output) = (false, false);
        for wire in wires {
            if wire.from.0 == input {
                mark(0, wire.from.1);
            }
            if wire.to.0 == output {
                mark(1, wire.to.1);
            }
            to_input |= wire.to.0 == input;
            from_output |= wire.from.0 == output;
        }
        if to_input {
            let message = format!("‘{name}’ pseudoelement ‘input’ may only be used as output");
            self.report.push(Diagnostic::error(place, message));
        }
        if from_output {
            let message = format!("‘{name}’ pseudoelement ‘output’ may only be used as input");
            self.report.push(Diagnostic::error(place, message));
        }
        for (kind, used) in ["input", "output"].iter().zip(&used) {
            for port in used.iter().enumerate().filter(|(_, used)| !**used).map(|(port, _)| port) {
                self.report.error(place, format!("‘{name}’ {kind} {port} missing"));
            }
        }
        (used[0].len() as u32, used[1].len() as u32)
    }
}
