//! Which classes exist: class name to descriptor. Groups of elements register by their static lists.

use std::collections::BTreeMap;

use anf_click::{Catalog, ClassInfo};

use crate::element::Descriptor;
use crate::elements;

/// All known classes.
#[derive(Debug, Clone)]
pub struct Registry {
    classes: BTreeMap<&'static str, &'static Descriptor>,
}

impl Registry {
    /// The classes of this sidecar.
    pub fn standard() -> Self {
        Self::of(elements::GROUPS.iter().map(|(_, group)| *group))
    }

    /// The classes of these groups; of two with one name, the later.
    pub fn of(groups: impl IntoIterator<Item = &'static [&'static Descriptor]>) -> Self {
        let classes = groups.into_iter().flat_map(|group| group.iter()).map(|class| (class.class, *class));
        Self { classes: classes.collect() }
    }

    /// Adds a class, in place of one with the same name.
    pub fn add(&mut self, class: &'static Descriptor) {
        self.classes.insert(class.class, class);
    }

    /// What is known of a class.
    pub fn descriptor(&self, class: &str) -> Option<&'static Descriptor> {
        self.classes.get(class).copied()
    }

    /// All classes, by name.
    pub fn descriptors(&self) -> impl Iterator<Item = &'static Descriptor> {
        self.classes.values().copied()
    }
}

impl Catalog for Registry {
    fn class(&self, class: &str) -> Option<ClassInfo> {
        let known = self.descriptor(class)?;
        Some(ClassInfo {
            ports: known.ports,
            processing: known.processing,
            flow: known.flow,
            reads: known.reads,
            writes: known.writes,
            global: known.global,
            keeps_order: known.keeps_order,
            queueing: known.queueing,
            load: crate::elements::load(class),
        })
    }

    fn class_with(&self, class: &str, config: &str) -> Option<ClassInfo> {
        let known = self.descriptor(class)?;
        self.class(class).map(|info| ClassInfo { reads: info.reads | (known.reads_if)(config), ..info })
    }

    fn class_names(&self) -> Vec<&str> {
        self.classes.keys().copied().collect()
    }

    fn ties(&self, class: &str, config: &str) -> Vec<String> {
        self.descriptor(class).map(|known| (known.ties)(config)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_described() {
        for class in Registry::standard().descriptors() {
            assert!(!class.summary.is_empty(), "{} has no summary", class.class);
            assert!(class.args.iter().all(|arg| !arg.summary.is_empty()), "{}: argument", class.class);
            assert!(class.ports.contains('/') && class.processing.contains('/'), "{}", class.class);
        }
    }

    #[test]
    fn an_argument_that_calls_a_handler_ties_the_elements() {
        let registry = Registry::standard();
        for class in registry.descriptors() {
            for arg in class.args.iter().filter(|arg| arg.ty.contains("HANDLER")) {
                let count = if arg.ty.starts_with('N') { "10 " } else { "" };
                let config = format!("{} {count}p/s.run 3", arg.name);
                assert_eq!(registry.ties(class.class, &config), ["p/s"], "{} of {}", arg.name, class.class);
            }
        }
        assert!(registry.ties("InfiniteSource", "DATA \"END_CALL a.b\", LIMIT 3, END_CALL stop").is_empty());
    }

    #[test]
    fn no_class_is_registered_twice() {
        let total: usize = elements::GROUPS.iter().map(|(_, group)| group.len()).sum();
        assert_eq!(Registry::standard().descriptors().count(), total);
    }
}
