//! Every element's class, and the number of ports it gets.

use std::collections::HashSet;

use super::codes::Counts;
use crate::catalog::{Catalog, ClassInfo};
use crate::diagnostic::{Diagnostic, Diagnostics, Report};
use crate::graph::{Element, FlatGraph};
use crate::{limits, suggest};

/// Number of inputs and outputs of each element.
pub(super) type PortCounts = Vec<(u32, u32)>;

/// A class that is not known is reported where it is first used.
pub(super) fn look_up(flat: &FlatGraph, catalog: &dyn Catalog) -> Result<Vec<ClassInfo>, Diagnostics> {
    let names = catalog.class_names();
    let mut unknown: HashSet<&str> = HashSet::new();
    let mut report = Report::default();
    let mut classes = Vec::with_capacity(flat.elements.len());
    for element in in_order_of_text(flat) {
        if catalog.class(&element.class).is_none() && unknown.insert(&element.class) {
            report.push(unknown_class(flat, element, &names));
        }
    }
    for element in &flat.elements {
        classes.extend(catalog.class_with(&element.class, &element.config));
        let own_name = element.name.rsplit('/').next().unwrap_or_default();
        if catalog.class(own_name).is_some() {
            let message = format!("class ‘{own_name}’ used as element name");
            let help = "give the element a name that no element class has";
            report.push(Diagnostic::error(&element.place(), message).with_help(help));
        }
    }
    report.finish(classes)
}

/// The elements of a compound class stand after those around it in the graph, but may stand before them in the text.
fn in_order_of_text(flat: &FlatGraph) -> Vec<&Element> {
    let mut elements: Vec<&Element> = flat.elements.iter().collect();
    if elements.windows(2).all(|pair| pair[0].file == pair[1].file) {
        elements.sort_by_key(|element| element.pos);
    }
    elements
}

/// A word alone may have been meant as an element.
fn unknown_class(flat: &FlatGraph, element: &Element, names: &[&str]) -> Diagnostic {
    let class = element.class.as_str();
    let (prefix, own_name) = match element.name.rsplit_once('/') {
        Some((compound, own)) => (format!("{compound}/"), own),
        None => (String::new(), element.name.as_str()),
    };
    let anonymous = own_name.strip_prefix(class).is_some_and(|rest| rest.starts_with('@'));
    let bare = anonymous && element.config.is_empty();
    let message = if bare && class.starts_with(|c: char| c.is_ascii_lowercase()) {
        format!("undeclared element ‘{class}’")
    } else {
        format!("unknown element class ‘{class}’")
    };
    let neighbours = flat
        .elements
        .iter()
        .filter(|_| bare)
        .filter_map(|e| e.name.strip_prefix(&prefix))
        .filter(|name| !name.contains(['/', '@']));
    let error = Diagnostic::error(&element.place(), message);
    match suggest::did_you_mean(class, names.iter().copied().chain(neighbours)) {
        Some(help) => error.with_help(help),
        None => error,
    }
}

pub(super) fn count_ports(flat: &FlatGraph, classes: &[ClassInfo]) -> Result<PortCounts, Diagnostics> {
    let mut used = vec![(0_u32, 0_u32); flat.elements.len()];
    for connection in &flat.connections {
        let outputs = &mut used[connection.from.element.index()].1;
        *outputs = (*outputs).max(connection.from.port.saturating_add(1));
        let inputs = &mut used[connection.to.element.index()].0;
        *inputs = (*inputs).max(connection.to.port.saturating_add(1));
    }
    let mut report = Report::default();
    let mut counts = Vec::with_capacity(used.len());
    let mut total = 0_usize;
    for ((element, class), (inputs, outputs)) in flat.elements.iter().zip(classes).zip(used) {
        let Some(code) = Counts::parse(class.ports) else {
            report.error(
                &element.place(),
                format!("‘{}’: bad port count ‘{}’", element.declaration(), class.ports),
            );
            continue;
        };
        let count = code.nearest(inputs, outputs);
        total += count.0 as usize + count.1 as usize;
        if total > limits::PORTS {
            report.error(&element.place(), format!("more than {} ports", limits::PORTS));
            break;
        }
        counts.push(count);
    }
    let counts = report.finish(counts)?;
    check_range(flat, counts)
}

fn check_range(flat: &FlatGraph, counts: PortCounts) -> Result<PortCounts, Diagnostics> {
    let mut report = Report::default();
    for connection in &flat.connections {
        let (from, to) = (connection.from, connection.to);
        for (port, has, kind) in
            [(from, counts[from.element.index()].1, "output"), (to, counts[to.element.index()].0, "input")]
        {
            if port.port >= has {
                let element = &flat[port.element];
                let error = Diagnostic::error(
                    &element.place(),
                    format!("‘{}’ has no {kind} {}", element.declaration(), port.port),
                );
                let plural = if has == 1 { "" } else { "s" };
                report.push(error.with_help(format!("it has {has} {kind}{plural}")));
            }
        }
    }
    report.finish(counts)
}
