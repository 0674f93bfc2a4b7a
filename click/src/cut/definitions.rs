//! Global definitions (AddressInfo, PortInfo, ScheduleInfo …): each argument begins with a name that it
//! defines. A part gets those arguments whose name it uses; what nobody uses stays with the owner.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Owners, PartId};
use crate::config;
use crate::graph::Element;
use crate::settle::SettledGraph;

/// Copies of definitions: of each part, element index and the configuration it has there.
pub(super) fn copies(graph: &SettledGraph, owners: &Owners) -> HashMap<PartId, Vec<(usize, String)>> {
    let globals: Vec<usize> =
        (0..graph.classes.len()).filter(|element| graph.classes[*element].global).collect();
    if globals.is_empty() {
        return HashMap::new();
    }
    let mut used: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); owners.names.len()];
    for (index, element) in graph.flat.elements.iter().enumerate() {
        if !graph.classes[index].global {
            used[owners.of[index]].extend(names_in(element));
        }
    }
    let arguments: Vec<Vec<String>> =
        globals.iter().map(|global| config::split(&graph.flat.elements[*global].config)).collect();
    for names in &mut used {
        follow(names, &arguments);
    }
    let mut copies: HashMap<PartId, Vec<(usize, String)>> = HashMap::new();
    for (global, arguments) in globals.iter().zip(&arguments) {
        for part in 0..owners.names.len() {
            let owns = owners.of[*global] == part;
            let wanted = |argument: &&String| {
                let name = defined(argument);
                used[part].contains(name) || (owns && !used.iter().any(|names| names.contains(name)))
            };
            let kept: Vec<&String> = arguments.iter().filter(wanted).collect();
            if owns || !kept.is_empty() {
                copies.entry(part).or_default().push((*global, config::join(&kept)));
            }
        }
    }
    copies
}

/// The name that an argument defines.
fn defined(argument: &str) -> &str {
    argument.split(|c: char| c.is_whitespace()).next().unwrap_or_default()
}

/// Words that may be names: those of the configuration, and the element's own (with every shorter form, as a
/// definition in its compound would write it).
fn names_in(element: &Element) -> impl Iterator<Item = &str> {
    let name = element.name.as_str();
    let shorter = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
    words(&element.config).chain([name]).chain(shorter)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '/' | '.' | '-');
    let whole = text.split(move |c| !letter(c)).filter(|word| !word.is_empty());
    // `NAME/24` and `NAME-x` use NAME, too.
    whole.flat_map(|word| {
        let parts = word.split(['/', '-', '.']).filter(|part| !part.is_empty());
        std::iter::once(word).chain(parts)
    })
}

/// A definition that is used may use others.
fn follow<'a>(names: &mut BTreeSet<&'a str>, arguments: &'a [Vec<String>]) {
    let mut by_name: HashMap<&str, Vec<&'a str>> = HashMap::new();
    for argument in arguments.iter().flatten() {
        by_name.entry(defined(argument)).or_default().push(argument);
    }
    let mut seen: HashSet<&str> = HashSet::new();
    let mut open: Vec<&str> = names.iter().copied().collect();
    while let Some(name) = open.pop() {
        for argument in by_name.get(name).into_iter().flatten() {
            for word in words(argument).filter(|word| seen.insert(word)) {
                if by_name.contains_key(word) {
                    names.insert(word);
                    open.push(word);
                }
            }
        }
    }
}
