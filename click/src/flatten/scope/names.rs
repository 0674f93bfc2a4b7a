//! Elements of a scope by name: declarations, references, and the names of those that have none
//! (`Class@3`, numbered as Click numbers them, so that handlers are found under the same names).

use std::collections::HashMap;

use super::{Class, Is, Member, Resolver, Slot};
use crate::ast::{self, Statement, What};
use crate::diagnostic::{Diagnostic, Place};
use crate::limits;

/// Names that statements declare (`name :: Class`), groups included, with the first place of each.
pub(super) fn declared(statements: &[Statement]) -> HashMap<String, Place> {
    let mut names = HashMap::new();
    collect(statements, &mut names);
    names
}

fn collect(statements: &[Statement], names: &mut HashMap<String, Place>) {
    for statement in statements {
        let Statement::Chain(chain) = statement else { continue };
        for reference in chain.stages.iter().flatten() {
            match &reference.what {
                What::Word { word, class: Some(_), .. } => {
                    names.entry(word.clone()).or_insert_with(|| reference.place.clone());
                }
                What::Group { statements } => collect(statements, names),
                _ => {}
            }
        }
    }
}

impl Resolver {
    /// `word`, `word(config)` or `word :: class(config)`.
    pub(super) fn word(
        &mut self,
        word: &str,
        class: Option<&ast::Class>,
        config: Option<&str>,
        place: &Place,
    ) -> Option<Slot> {
        if let Some(class) = class {
            let class = match class {
                ast::Class::Named(name) => self.class_named(name),
                ast::Class::Compound(compound) => self.compound("", compound),
            };
            return self.declare(word, class, config, place);
        }
        if let Some(&slot) = self.scope().names.get(word) {
            if config.is_some() {
                self.report.error(place, "configuration string ignored on element reference");
            }
            return Some(slot);
        }
        let known_class = self.classes.iter().any(|classes| classes.contains_key(word));
        let declared_at = self.later.last().and_then(|later| later.get(word)).cloned();
        if let Some(later) = declared_at.filter(|_| !known_class && config.is_none()) {
            let error = Diagnostic::error(place, format!("undeclared element ‘{word}’"));
            let line = later.pos.line;
            self.report
                .push(error.with_help(format!("it is declared only later, in line {line}; move that up")));
            return None;
        }
        let class = self.class_named(word);
        self.add_anonymous(word, Is::Element(class), config, place)
    }

    fn declare(&mut self, name: &str, class: Class, config: Option<&str>, place: &Place) -> Option<Slot> {
        if let Some(&slot) = self.scope().names.get(name) {
            self.report.error(place, format!("redeclaration of element ‘{name}’"));
            let before = &self.scope().members[slot];
            if !matches!(before.is, Is::Passage) {
                let (before, message) =
                    (before.place.clone(), format!("element ‘{name}’ previously declared here"));
                self.report.error(&before, message);
            }
            return None;
        }
        if self.classes.iter().any(|classes| classes.contains_key(name)) {
            self.report.error(place, format!("class ‘{name}’ used as element name"));
            return None;
        }
        if has_digits_component(name) {
            self.report.error(place, format!("element name ‘{name}’ has all-digit component"));
            return None;
        }
        let slot = self.add(name.to_owned(), Is::Element(class), config, place, false)?;
        self.scope().names.insert(name.to_owned(), slot);
        Some(slot)
    }

    pub(super) fn add_anonymous(
        &mut self,
        class: &str,
        is: Is,
        config: Option<&str>,
        place: &Place,
    ) -> Option<Slot> {
        // Such a class exists nowhere, but its element must have a name that prints and parses.
        let stem =
            if has_digits_component(class) { class.rsplit('/').next().unwrap_or_default() } else { class };
        let name = format!("{stem}@{}", self.scope().next_number());
        self.add(name, is, config, place, true)
    }

    fn add(
        &mut self,
        name: String,
        is: Is,
        config: Option<&str>,
        place: &Place,
        anonymous: bool,
    ) -> Option<Slot> {
        let slot = self.scope().members.len();
        if slot >= limits::ELEMENTS {
            self.report.error(place, format!("more than {} elements", limits::ELEMENTS));
            self.report.close();
            return None;
        }
        let config = config.unwrap_or_default().to_owned();
        self.scope().members.push(Member { name, is, config, place: place.clone(), anonymous });
        Some(slot)
    }

    /// Gives anonymous elements of the innermost scope their names; one that is taken counts on.
    pub(super) fn name_the_anonymous(&mut self) {
        let scope = self.scope();
        for slot in 0..scope.members.len() {
            let member = &mut scope.members[slot];
            if !member.anonymous || matches!(member.is, Is::Passage | Is::Group) {
                continue;
            }
            while scope.names.contains_key(&member.name) {
                let (class, number) = member.name.rsplit_once('@').unwrap_or((&member.name, "0"));
                let number = number.parse::<u64>().unwrap_or(0);
                member.name = format!("{class}@{}", number.saturating_add(1));
            }
            scope.names.insert(member.name.clone(), slot);
        }
    }
}

/// Whether a part between slashes is nothing but digits: the compound of that name would be a port.
fn has_digits_component(name: &str) -> bool {
    name.split('/').any(|part| part.bytes().all(|b| b.is_ascii_digit()))
}
