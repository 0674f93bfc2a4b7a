//! Compound classes. A class lives in the scope that defines it, from its definition on; inside its own body
//! its name still means what it meant before, so no class can contain itself.

use std::collections::HashMap;

use super::{Ends, Resolver, Scope, names};
use crate::ast;
use crate::diagnostic::{Diagnostic, Place};
use crate::limits;

/// Index of a compound class's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flatten) struct ClassId(usize);

/// What a class name means.
#[derive(Debug, Clone)]
pub(in crate::flatten) enum Class {
    /// First version of a compound class.
    Compound(ClassId),
    /// Anything else, by name.
    Primitive(String),
}

/// All scopes of a text.
#[derive(Debug, Default)]
pub(in crate::flatten) struct Scopes {
    pub(in crate::flatten) file: Option<Scope>,
    pub(in crate::flatten) requirements: Vec<String>,
    versions: Vec<Scope>,
}

impl Scopes {
    pub(in crate::flatten) fn version(&self, id: ClassId) -> &Scope {
        &self.versions[id.0]
    }
}

impl Resolver {
    pub(super) fn class_named(&self, name: &str) -> Class {
        let known = self.classes.iter().rev().find_map(|classes| classes.get(name));
        known.cloned().unwrap_or_else(|| Class::Primitive(name.to_owned()))
    }

    pub(super) fn define_class(&mut self, name: &str, place: &Place, class: Class) {
        if let Some(&slot) = self.scope().names.get(name) {
            let error = Diagnostic::error(place, format!("‘{name}’ is an element, not a class"));
            let line = self.scope().members[slot].place.pos.line;
            self.report
                .push(error.with_help(format!("rename one of them; the element is declared in line {line}")));
            return;
        }
        if let Some(classes) = self.classes.last_mut() {
            classes.insert(name.to_owned(), class);
        }
    }

    /// Defines all versions of a compound; the result is the first, the others follow it.
    pub(super) fn compound(&mut self, name: &str, compound: &ast::Compound) -> Class {
        let mut next = compound.extends.is_some().then(|| self.class_named(name));
        if let (Some(place), "") = (&compound.extends, name) {
            self.report.error(place, "cannot extend unknown element class ‘’");
            next = None;
        }
        let mut ids = Vec::new();
        for version in &compound.versions {
            if self.scopes.versions.len() >= limits::CLASSES {
                self.report.error(&version.place, format!("more than {} element classes", limits::CLASSES));
                self.report.close();
                break;
            }
            let scope = self.version(name, version);
            ids.push(ClassId(self.scopes.versions.len()));
            self.scopes.versions.push(scope);
        }
        for id in ids.iter().rev() {
            self.scopes.versions[id.0].next = next.take();
            next = Some(Class::Compound(*id));
        }
        next.unwrap_or_else(|| Class::Primitive(name.to_owned()))
    }

    fn version(&mut self, name: &str, version: &ast::Version) -> Scope {
        let mut scope = Scope::new(name, version.place.clone(), self.open.len());
        scope.formals.clone_from(&version.formals);
        scope.add_pseudoelements();
        self.open.push(scope);
        self.classes.push(HashMap::new());
        self.later.push(names::declared(&version.statements));
        self.ends.push(Ends { input: 0, output: 1 });

        self.statements(&version.statements);

        self.ends.pop();
        self.later.pop();
        self.classes.pop();
        let printable = self.scope().printable_name().to_owned();
        let (inputs, outputs) = self.check_ends(&printable, &version.place, 0, 1);
        self.name_the_anonymous();
        let mut scope = match self.open.pop() {
            Some(scope) => scope,
            None => Scope::new(name, version.place.clone(), 0),
        };
        (scope.inputs, scope.outputs) = (inputs, outputs);
        scope
    }
}
