//! Which ports a connector joins. `->` joins one to one, one to many or many to one; `=>` joins ports in
//! order, and ports left out or an open list (`[0,]`) stretch to what the other side has.

use super::scope::{Slot, Wire};
use crate::ast::{Connector, PortList};
use crate::diagnostic::{Place, Report};

/// An element of a stage with the ports around it.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) slot: Slot,
    pub(super) inputs: PortList,
    pub(super) outputs: PortList,
}

/// One side of a connector, as a sequence of ports.
struct Row<'a> {
    places: Vec<(Slot, &'a PortList)>,
    /// Ports that are named (an element without a list counts one).
    count: usize,
    /// Open lists in it.
    open: usize,
}

impl<'a> Row<'a> {
    fn new(places: Vec<(Slot, &'a PortList)>) -> Self {
        let count = places.iter().map(|(_, list)| list.ports.len().max(1)).sum();
        let open = places.iter().filter(|(_, list)| list.open).count();
        Self { places, count, open }
    }

    /// `=>` next to a list: a lone element without ports takes as many as the list has.
    fn stretch_if_bare(&mut self, other: &Row<'_>) {
        if self.count == 1 && other.count > 1 && self.places.iter().all(|(_, list)| list.is_absent()) {
            self.open = 1;
        }
    }

    fn is_many(&self) -> bool {
        self.count > 1 || self.open > 0
    }

    /// All ports in order, the open list `extra` longer.
    fn ports(&self, mut extra: usize) -> Vec<(Slot, u32)> {
        let mut all = Vec::new();
        for (slot, list) in &self.places {
            let zero = [0];
            let ports = if list.is_absent() { &zero[..] } else { &list.ports[..] };
            all.extend(ports.iter().map(|port| (*slot, *port)));
            if list.open || (list.is_absent() && self.open > 0) {
                let last = ports.last().copied().unwrap_or(0);
                all.extend((1..=extra as u32).map(|more| (*slot, last + more)));
                extra = 0;
            }
        }
        all
    }
}

/// The connections between two stages.
pub(super) fn connect(
    left: &[Side],
    right: &[Side],
    connector: Connector,
    place: &Place,
    report: &mut Report,
) -> Vec<Wire> {
    let mut from = Row::new(left.iter().map(|side| (side.slot, &side.outputs)).collect());
    let mut to = Row::new(right.iter().map(|side| (side.slot, &side.inputs)).collect());
    if from.places.is_empty() || to.places.is_empty() {
        return Vec::new(); // reported where the element could not be read
    }
    if from.open + to.open > 1 {
        report.error(place, "at most one expandable port allowed per connection");
        return Vec::new();
    }
    if connector == Connector::Each {
        from.stretch_if_bare(&to);
        to.stretch_if_bare(&from);
    }
    if from.is_many() && to.is_many() {
        if connector != Connector::Each {
            report.error(place, "syntax error: many-to-many connections require ‘=>’");
            return Vec::new();
        }
        if let Some(mismatch) = mismatch(&from, &to) {
            report.error(place, mismatch);
            return Vec::new();
        }
    }
    let stretch = |row: &Row<'_>, other: &Row<'_>| {
        if row.open > 0 { other.count.saturating_sub(row.count) } else { 0 }
    };
    let from_ports = from.ports(stretch(&from, &to));
    let to_ports = to.ports(stretch(&to, &from));
    let wire = |from: (Slot, u32), to: (Slot, u32)| Wire { from, to, pos: place.pos };
    match (&from_ports[..], &to_ports[..]) {
        ([one], many) => many.iter().map(|to| wire(*one, *to)).collect(),
        (many, [one]) => many.iter().map(|from| wire(*from, *one)).collect(),
        _ => from_ports.iter().zip(&to_ports).map(|(from, to)| wire(*from, *to)).collect(),
    }
}

fn mismatch(from: &Row<'_>, to: &Row<'_>) -> Option<String> {
    let (outputs, inputs) = (from.count, to.count);
    if from.open == 0 && to.open == 0 && outputs != inputs {
        Some(format!("connection mismatch: {outputs} outputs connected to {inputs} inputs"))
    } else if to.open == 0 && from.open > 0 && inputs < outputs {
        Some(format!("connection mismatch: {outputs} or more outputs connected to {inputs} inputs"))
    } else if from.open == 0 && to.open > 0 && outputs < inputs {
        Some(format!("connection mismatch: {outputs} outputs connected to {inputs} or more inputs"))
    } else {
        None
    }
}
