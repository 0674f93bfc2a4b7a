//! Variables of an instance: its parameters, its `define`s, and around them those of the scopes that enclose
//! the definition. A `define` may use variables in any order; its value is worked out once and kept, so that
//! no text can make the work grow faster than its own length.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::scope::Scope;
use crate::config::{self, TooLarge, Variables};

/// Bytes of one value.
const VALUE_BYTES: usize = 1 << 20;
/// How deep a value may lead to other values.
const DEEPEST_VALUE: usize = 128;

pub(super) struct Environment {
    depth: usize,
    values: RefCell<HashMap<String, Value>>,
    around: Option<Rc<Environment>>,
}

#[derive(Clone)]
enum Value {
    Known(String),
    /// As written in `define`.
    Written(String),
}

impl Environment {
    /// Of the file: parameters take precedence over its own `define`s.
    pub(super) fn of_file(file: &Scope, params: &[(String, String)]) -> Self {
        Self::new(0, file, params.iter().cloned(), None)
    }

    /// Of a version of a compound class, used by an instance in `user`.
    pub(super) fn of_version(version: &Scope, arguments: Vec<String>, user: &Rc<Environment>) -> Self {
        let mut around = Some(user);
        while let Some(environment) = around.filter(|e| e.depth >= version.depth) {
            around = environment.around.as_ref();
        }
        let names = version.formals.iter().map(|formal| formal.variable.clone());
        Self::new(version.depth, version, names.zip(arguments), around.cloned())
    }

    fn new(
        depth: usize,
        scope: &Scope,
        known: impl Iterator<Item = (String, String)>,
        around: Option<Rc<Environment>>,
    ) -> Self {
        let written = scope.defines.iter().map(|(name, value)| (name.clone(), Value::Written(value.clone())));
        let mut values: HashMap<String, Value> = written.collect();
        values.extend(known.map(|(name, value)| (name, Value::Known(value))));
        Self { depth, values: RefCell::new(values), around }
    }

    fn lookup(&self, name: &str, depth: usize) -> Result<Option<String>, TooLarge> {
        let mut environment = self;
        loop {
            let value = environment.values.borrow().get(name).cloned();
            match value {
                Some(Value::Known(value)) => return Ok(Some(value)),
                Some(Value::Written(value)) if depth >= DEEPEST_VALUE => return Ok(Some(value)),
                Some(Value::Written(value)) => return environment.work_out(name, value, depth).map(Some),
                None => {}
            }
            match &environment.around {
                Some(around) => environment = around,
                None => return Ok(None),
            }
        }
    }

    fn work_out(&self, name: &str, written: String, depth: usize) -> Result<String, TooLarge> {
        // While it is worked out it means itself, so that a value cannot contain itself.
        self.values.borrow_mut().insert(name.to_owned(), Value::Known(written.clone()));
        let value = config::expand(&written, &Within { environment: self, depth: depth + 1 }, VALUE_BYTES)?;
        self.values.borrow_mut().insert(name.to_owned(), Value::Known(value.clone()));
        Ok(value)
    }
}

impl Variables for Environment {
    fn value(&self, name: &str) -> Result<Option<String>, TooLarge> {
        self.lookup(name, 0)
    }
}

/// An environment seen from within a value.
struct Within<'a> {
    environment: &'a Environment,
    depth: usize,
}

impl Variables for Within<'_> {
    fn value(&self, name: &str) -> Result<Option<String>, TooLarge> {
        self.environment.lookup(name, self.depth)
    }
}
