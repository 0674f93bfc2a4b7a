//! Runs a graph whole and cut, with a tap on every connection, and finds the first difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anf_click::{
    Annotations, Catalog as _, Connection, Counts, Cut, Element as Declared, ElementId as Id, FlatGraph,
    Mode, PartSpec, PortRef, SettledGraph,
};
use anf_sidecar::driver::example::START;
use anf_sidecar::driver::parts::Parts;
use anf_sidecar::element::{Args, Cx, Descriptor, Element, Packet, StateKind};
use anf_sidecar::engine::{Console, Env, Router, Time};
use anf_sidecar::link_map::LinkMap;
use anf_sidecar::registry::Registry;

use crate::chance::Chance;

/// Virtual time that a graph which does not end is looked at, and passes.
const HORIZON: Time = Time(START.0 + 5_000_000_000);
const PASSES: usize = 20_000;

static TAP: Descriptor = Descriptor {
    class: "CutTap",
    summary: "notes each packet that passes",
    build: |_: &Args<'_>| Ok(Box::new(Tap)),
    ..Descriptor::BASE
};

struct Tap;

impl Element for Tap {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        let mut line = String::with_capacity(packet.len() * 2);
        for byte in packet.data() {
            let _ = write!(line, "{byte:02x}");
        }
        cx.message(line);
        Some(packet)
    }
}

/// The classes, and the tap.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::standard();
    registry.add(&TAP);
    crate::devices::stand_in(&mut registry);
    registry
}

/// A graph to compare.
pub(crate) struct Case {
    graph: SettledGraph,
    registry: Registry,
    /// It ends when there is nothing left to do: nothing stops it earlier, with packets on their way.
    drains: bool,
}

/// What was seen of a run.
pub(crate) struct Run {
    /// What each element printed; taps print what passes.
    printed: BTreeMap<String, Vec<u8>>,
    /// `element.handler`, or `element dropped: reason`.
    values: BTreeMap<String, String>,
    /// Whether it ended by itself.
    pub(crate) ended: bool,
    /// When it was left.
    until: Time,
}

/// How far a cut promises to keep what is seen at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// The same, in the same order.
    Same,
    /// Packets of two ways may interleave differently.
    AnyOrder,
    /// Which packets there are may depend on that.
    Nothing,
}

/// What a cut promises of each element.
pub(crate) struct Promises {
    pub(crate) of: Vec<Promise>,
    /// A cut lies between the element and what pushes into it, or what pulls out of it: of what happens in one pass,
    /// either may come first.
    raced: Vec<bool>,
}

impl Case {
    /// Puts a tap into every connection of a text.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let registry = registry();
        let lines = |found: anf_click::Diagnostics| found.to_string();
        let flat =
            anf_click::parse("whole", text).and_then(|ast| anf_click::flatten(&ast, &[])).map_err(lines)?;
        // Settled before it is tapped, so that a text that is wrong is told of as it is.
        anf_click::settle(flat.clone(), &registry).map_err(lines)?;
        Self::of(tapped(&flat), registry)
    }

    /// The text as it is, for what has no taps.
    pub(crate) fn untapped(text: &str) -> Result<Self, String> {
        let flat = anf_click::parse("whole", text).and_then(|ast| anf_click::flatten(&ast, &[]));
        Self::of(flat.map_err(|found| found.to_string())?, registry())
    }

    fn of(flat: FlatGraph, registry: Registry) -> Result<Self, String> {
        let graph = anf_click::settle(flat, &registry).map_err(|found| found.to_string())?;
        let stops = |element: &Declared| {
            matches!(element.class.as_str(), "DriverManager" | "Script") || element.config.contains("STOP")
        };
        let drains = !graph.flat.elements.iter().any(stops);
        Ok(Self { graph, registry, drains })
    }

    pub(crate) fn class(&self, name: &str) -> bool {
        self.graph.flat.elements.iter().any(|element| element.class == name)
    }

    /// A random cut: each group of tied elements in a random part, or in that of its neighbour; a tap where it leads to.
    pub(crate) fn random_cut(&self, chance: &mut Chance) -> Result<Cut, String> {
        let groups = anf_click::tied_groups(&self.graph, &self.registry);
        let parts = 2 + chance.below(3);
        let mut of: Vec<usize> = groups.iter().map(|_| usize::MAX).collect();
        let calm = chance.one_in(2);
        for at in 0..of.len() {
            let group = groups[at].index();
            if of[group] == usize::MAX {
                let before = self.neighbour(at).map(|other| of[groups[other].index()]);
                of[group] = match before {
                    Some(part) if calm && part != usize::MAX && !chance.one_in(5) => part,
                    _ => chance.below(parts),
                };
            }
        }
        let part_of = |id: usize| {
            let element = &self.graph.flat.elements[id];
            let led = self.graph.flat.connections.iter().find(|c| c.from.element.index() == id);
            match led {
                Some(led) if element.class == TAP.class => of[groups[led.to.element.index()].index()],
                _ => of[groups[id].index()],
            }
        };
        let mut elements: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (id, element) in self.graph.flat.elements.iter().enumerate() {
            if !self.graph.classes[id].global {
                elements.entry(part_of(id)).or_default().push(element.name.clone());
            }
        }
        let specs: Vec<PartSpec> = elements
            .into_iter()
            .map(|(part, elements)| PartSpec { name: format!("part{part}"), elements })
            .collect();
        anf_click::cut(&self.graph, &specs, &self.registry).map_err(|found| found.to_string())
    }

    /// The cut that is proposed, into as many parts as there may be up to four.
    pub(crate) fn proposed_cut(&self, chance: &mut Chance) -> Result<Cut, String> {
        let mut count = 2 + chance.below(3);
        loop {
            let proposed = anf_click::propose_cut(&self.graph, &self.registry, count, &Counts::new());
            match proposed {
                Err(found) if count > 1 && found.to_string().contains("are possible") => count -= 1,
                found => return found.map(|(_, cut)| cut).map_err(|found| found.to_string()),
            }
        }
    }

    /// An element with a smaller number that this one is connected with, over a tap.
    fn neighbour(&self, id: usize) -> Option<usize> {
        let ends = self.graph.flat.connections.iter().map(|c| (c.from.element.index(), c.to.element.index()));
        let beside = |id: usize| {
            let ends = ends.clone();
            ends.filter_map(move |(a, b)| if a == id { Some(b) } else { (b == id).then_some(a) })
        };
        beside(id).flat_map(beside).filter(|other| *other < id).max()
    }

    pub(crate) fn run_cut_as_long(&self, cut: &Cut, whole: &Run) -> Result<Run, String> {
        self.run_cut(cut, if whole.ended { HORIZON } else { whole.until })
    }

    pub(crate) fn run_whole(&self) -> Result<Run, String> {
        let console = Console::kept_apart();
        let mut env = environment(&console);
        let mut router =
            Router::build(&self.graph, &self.registry, &mut env).map_err(|found| found.to_string())?;
        let mut now = START;
        let mut ended = false;
        for _ in 0..PASSES {
            match router.run(now).next_time(now) {
                Some(next) if next <= HORIZON => now = next,
                Some(_) => break,
                None => {
                    ended = true;
                    break;
                }
            }
        }
        let mut values = BTreeMap::new();
        self.read(&mut router, &mut values);
        drop(router); // What is printed at the end is printed.
        Ok(Run { printed: console.take_apart(), values, ended, until: now })
    }

    fn run_cut(&self, cut: &Cut, until: Time) -> Result<Run, String> {
        let console = Console::kept_apart();
        let texts: Vec<String> = cut.parts.iter().map(|part| part.graph.to_string()).collect();
        let mut parts = Parts::build(&LinkMap::of(cut), &texts, &self.registry, |_| environment(&console))
            .map_err(|found| found.to_string())?;
        let mut ended = false;
        for _ in 0..4 * PASSES {
            if !parts.step() {
                ended = true;
                break;
            }
            if parts.now > until {
                break;
            }
        }
        let mut values = BTreeMap::new();
        for part in parts.parts() {
            self.read(&mut part.router, &mut values);
        }
        drop(parts);
        Ok(Run { printed: console.take_apart(), values, ended, until })
    }

    /// All that can be read of the elements of the whole graph.
    fn read(&self, router: &mut Router, values: &mut BTreeMap<String, String>) {
        let elements: Vec<(String, &'static Descriptor)> =
            router.classes().map(|(name, class)| (name.to_owned(), class)).collect();
        for (name, class) in elements {
            if class.global || self.graph.flat.element(&name).is_none() {
                continue;
            }
            for handler in class.handlers.iter().filter(|handler| handler.readable) {
                let value = router.read_handler(&name, handler.name);
                values.insert(
                    format!("{name}.{}", handler.name),
                    value.unwrap_or_else(|error| error.to_string()),
                );
            }
        }
        let drops: Vec<(String, String)> = router
            .drops()
            .filter(|(name, _, _)| self.graph.flat.element(name).is_some())
            .map(|(name, reason, count)| (format!("{name}.dropped: {reason}"), count.to_string()))
            .collect();
        values.extend(drops);
    }

    /// What the cut promises of each element: see the head of the test.
    pub(crate) fn promises(&self, cut: &Cut) -> Promises {
        let flat = &self.graph.flat;
        let cuts: BTreeSet<(&str, &str)> =
            cut.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str())).collect();
        let crossing: Vec<bool> = flat
            .connections
            .iter()
            .map(|c| {
                let from = format!("{}[{}]", flat[c.from.element].name, c.from.port);
                let to = format!("[{}]{}", c.to.port, flat[c.to.element].name);
                cuts.contains(&(from.as_str(), to.as_str()))
            })
            .collect();
        let late =
            self.spread(|at, known| crossing[at] || known[flat.connections[at].from.element.index()], false);
        let floods = |id: Id| matches!(flat[id].class.as_str(), "InfiniteSource" | "FromDump");
        let flooded = self.spread(
            |at, known| {
                let from = flat.connections[at].from.element;
                floods(from) || known[from.index()]
            },
            false,
        );
        let pulled_across = self.spread(
            |at, known| {
                let (from, to) = (flat.connections[at].from, flat.connections[at].to.element);
                let pull = self.graph.outputs(from.element)[from.port as usize] == Mode::Pull;
                // Beside a way that crossed a cut, a scheduler may choose otherwise.
                pull && (crossing[at] || late[to.index()] || known[to.index()])
            },
            true,
        );
        let chosen_from = self.spread(
            |at, known| {
                let (from, to) = (flat.connections[at].from, flat.connections[at].to.element.index());
                let pull = self.graph.outputs(from.element)[from.port as usize] == Mode::Pull;
                pull && (self.ways_into(to) > 1 || known[to])
            },
            true,
        );
        let raced: Vec<bool> =
            late.iter().zip(&pulled_across).map(|(late, across)| *late || *across).collect();
        let mut of = vec![Promise::Same; flat.elements.len()];
        for (id, promise) in of.iter_mut().enumerate() {
            let may_lose = self.is_small_queue(id) && (flooded[id] || chosen_from[id]);
            let cut_short = !self.drains && chosen_from[id];
            if raced[id] && (may_lose || cut_short) {
                *promise = Promise::Nothing;
            }
        }
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for (at, connection) in flat.connections.iter().enumerate() {
                let (from, to) = (connection.from.element.index(), connection.to.element.index());
                let mut promise = of[from].max(of[to]);
                // A scheduler that is asked over a link is asked a pass later, too.
                if (late[from] || crossing[at] || pulled_across[to]) && self.ways_into(to) > 1 {
                    promise = promise.max(Promise::AnyOrder);
                }
                if promise == Promise::AnyOrder && self.depends_on_order(to) {
                    promise = Promise::Nothing;
                }
                changed |= promise != of[to];
                of[to] = promise;
            }
        }
        for id in 0..of.len() {
            // A script tells of those that it names.
            if self.tied(id).any(|other| of[other] != Promise::Same) {
                of[id] = Promise::Nothing;
            }
        }
        Promises { of, raced }
    }

    /// What the cut promises of an element.
    pub(crate) fn promise(&self, cut: &Cut, element: &str) -> Promise {
        let id = self.graph.flat.element(element);
        id.map_or(Promise::Nothing, |id| self.promises(cut).of[id.index()])
    }

    fn tied(&self, id: usize) -> impl Iterator<Item = usize> {
        let element = &self.graph.flat.elements[id];
        let names = self.registry.ties(&element.class, &element.config);
        names.into_iter().filter_map(|name| Some(self.graph.flat.element(&name)?.index()))
    }

    /// Elements that something holds for which begins at some connections and goes on along them, or against them.
    fn spread(&self, holds: impl Fn(usize, &[bool]) -> bool, against: bool) -> Vec<bool> {
        let mut known = vec![false; self.graph.flat.elements.len()];
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for (at, connection) in self.graph.flat.connections.iter().enumerate() {
                let end = if against { connection.from } else { connection.to }.element.index();
                if !known[end] && holds(at, &known) {
                    known[end] = true;
                    changed = true;
                }
            }
        }
        known
    }

    fn ways_into(&self, id: usize) -> usize {
        self.graph.flat.connections.iter().filter(|c| c.to.element.index() == id).count()
    }

    /// Whether what an element does with a packet depends on the packets before it.
    fn depends_on_order(&self, id: usize) -> bool {
        let class = &self.graph.flat.elements[id].class;
        let tables = self.registry.descriptor(class).is_some_and(|class| class.state == StateKind::Tables);
        tables || DEPEND_ON_ORDER.contains(&class.as_str()) || self.is_small_queue(id)
    }

    /// A queue that may be full: which packets it loses depends on when they come.
    fn is_small_queue(&self, id: usize) -> bool {
        let element = &self.graph.flat.elements[id];
        let stores = self.graph.classes[id].queueing.stores;
        stores && element.config.trim().parse::<u32>().is_ok_and(|capacity| capacity < 1000)
    }

    pub(crate) fn compare(&self, whole: &Run, cut: &Run, promises: &Promises) -> Result<(), String> {
        if whole.ended && !cut.ended {
            return Err("the whole graph comes to an end, the cut one does not".to_owned());
        }
        for (id, element) in self.graph.flat.elements.iter().enumerate() {
            let nothing = Vec::new();
            let name = &element.name;
            let printed = |run: &Run| run.printed.get(name).unwrap_or(&nothing).clone();
            self.compare_printed(element, promises.of[id], printed(whole), printed(cut))?;
        }
        for (name, wanted) in &whole.values {
            let (element, handler) = name.split_once('.').unwrap_or((name, ""));
            let Some(id) = self.graph.flat.element(element) else { continue };
            let promise = promises.of[id.index()];
            if promise == Promise::AnyOrder && !self.drains {
                continue;
            }
            let shifted = promise == Promise::AnyOrder || promises.raced[id.index()];
            if promise == Promise::Nothing
                || NOT_PROMISED.contains(&handler)
                || (shifted && OF_TIME.contains(&handler))
            {
                continue;
            }
            let found = cut.values.get(name);
            if found != Some(wanted) {
                return Err(format!("{name} is {found:?}, in the whole graph {wanted:?}"));
            }
        }
        Ok(())
    }

    fn compare_printed(
        &self,
        element: &Declared,
        promise: Promise,
        whole: Vec<u8>,
        cut: Vec<u8>,
    ) -> Result<(), String> {
        let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => to_microseconds(&text),
            Err(error) => format!("{:02x?}", error.as_bytes()),
        };
        let (whole, cut) = (text(whole), text(cut));
        let lines = |text: &'_ str| -> Vec<String> {
            text.lines()
                .filter(|line| !OF_PASSES.iter().any(|word| line.ends_with(word)))
                .map(Into::into)
                .collect()
        };
        let (mut a, mut b) = (lines(&whole), lines(&cut));
        match promise {
            Promise::Nothing => return Ok(()),
            Promise::AnyOrder if !self.drains => return Ok(()),
            Promise::AnyOrder if !PRINTERS.contains(&element.class.as_str()) && element.class != "ToDump" => {
                return Ok(());
            }
            Promise::AnyOrder if element.class == "ToDump" => {
                return if whole.len() == cut.len() {
                    Ok(())
                } else {
                    Err(format!("{}: lengths differ", element.name))
                };
            }
            Promise::AnyOrder => {
                a.sort_unstable();
                b.sort_unstable();
            }
            Promise::Same => {}
        }
        let differ = a.iter().zip(&b).position(|(a, b)| a != b);
        let Some(at) = differ.or((a.len() != b.len()).then(|| a.len().min(b.len()))) else { return Ok(()) };
        let show = |lines: &[String]| lines.get(at).map_or("(nothing more)".to_owned(), ToString::to_string);
        Err(format!(
            "{} ({promise:?}): line {} of {}: not\n    {}\n  but\n    {}",
            self.place(element),
            at + 1,
            a.len(),
            show(&b),
            show(&a)
        ))
    }

    /// An element, or the connection in which a tap is.
    fn place(&self, element: &Declared) -> String {
        let Some(id) = self.graph.flat.element(&element.name).filter(|_| element.class == TAP.class) else {
            return element.declaration();
        };
        let find = |to: bool| {
            let ends = self
                .graph
                .flat
                .connections
                .iter()
                .find(|c| if to { c.from.element == id } else { c.to.element == id });
            ends.map(|c| if to { c.to } else { c.from }).map_or(String::new(), |port| {
                format!("{}[{}]", self.graph.flat[port.element].name, port.port)
            })
        };
        format!("between {} and {}", find(false), find(true))
    }
}

/// Classes that treat a packet by what came before, without a table.
const DEPEND_ON_ORDER: &[&str] = &[
    "RoundRobinSwitch",
    "AggregateIPFlows",
    "RatedSplitter",
    "BandwidthRatedSplitter",
    "Meter",
    "BandwidthMeter",
    "EtherSwitch",
    "FrontDropQueue",
    "MixedQueue",
    "IPFragmenter",
    "IPEncap",
    "UDPIPEncap",
    "ICMPError",
    "ICMPPingEncap",
    "IPReassembler",
    "ARPQuerier",
    "LinkUnqueue",
    "DelayUnqueue",
    "DelayShaper",
    "Counter",
];

/// Handlers that say when things happened.
const OF_TIME: &[&str] = &["rate", "bit_rate", "byte_rate", "highwater_length"];

/// Handlers that say what is not promised: which pass it is, how often a task ran, a random number.
const NOT_PROMISED: &[&str] = &["now", "random", "calls"];

/// Ends of lines that say how often a task ran.
const OF_PASSES: &[&str] = &["calls to run_task()", "empty runs", "failed pulls"];

/// Classes that print the same of a packet whatever came before.
const PRINTERS: &[&str] = &["CutTap", "Print", "IPPrint", "ARPPrint", "ToIPSummaryDump"];

/// Nanoseconds count passes where time is virtual: a time is compared to the microsecond.
fn to_microseconds(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_ascii_digit() && c != '.') {
        let end = word.trim_end_matches(|c: char| !c.is_ascii_digit() && c != '.').len();
        match word[..end].split_once('.') {
            Some((whole, part)) if part.len() == 9 && part.bytes().all(|b| b.is_ascii_digit()) => {
                out.extend([whole, ".", &part[..6], &word[end..]]);
            }
            _ => out.push_str(word),
        }
    }
    out
}

fn environment(console: &Console) -> Env {
    Env { simulated: true, console: console.clone(), now: START, ..Env::default() }
}

/// The graph with a tap in every connection.
fn tapped(flat: &FlatGraph) -> FlatGraph {
    let mut graph = FlatGraph { connections: Vec::new(), ..flat.clone() };
    for (number, connection) in flat.connections.iter().enumerate() {
        let tap = Id(graph.elements.len() as u32);
        let place = &flat[connection.from.element];
        graph.elements.push(Declared {
            name: format!("tap{number}"),
            class: TAP.class.to_owned(),
            config: String::new(),
            pos: connection.pos,
            file: place.file.clone(),
        });
        let port = PortRef { element: tap, port: 0 };
        graph.connections.push(Connection { from: connection.from, to: port, pos: connection.pos });
        graph.connections.push(Connection { from: port, to: connection.to, pos: connection.pos });
    }
    graph
}

/// A cut as a reader can repeat it.
pub(crate) fn show(cut: &Cut) -> String {
    let mut text = String::new();
    for part in &cut.parts {
        let own = part.graph.elements.iter().map(|element| element.name.as_str());
        let own: Vec<&str> =
            own.filter(|name| !name.starts_with("anf_") && !name.starts_with("tap")).collect();
        let _ = writeln!(text, "  {}: {}", part.name, own.join(" "));
    }
    for edge in &cut.edges {
        let pull =
            if edge.mode == Mode::Pull { format!(" pull, ahead {}", edge.ahead) } else { String::new() };
        let carries: Annotations = edge.annotations;
        let _ = writeln!(text, "  edge {}: {} -> {} ({}){pull}", edge.id, edge.from, edge.to, carries);
    }
    text
}
