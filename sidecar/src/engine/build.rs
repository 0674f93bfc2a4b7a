//! Making a router from a settled graph: configure every element, wire them, initialise, start.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use anf_click::{Diagnostic, Diagnostics, Mode, SettledGraph, Severity};

use super::core::Core;
use super::cx::{Cx, Slot};
use super::env::{DeviceSlot, Env};
use super::router::Router;
use super::timers::Timers;
use super::wiring::{Edge, Wiring};
use crate::config::{Args, ConfigError, Names};
use crate::element::Descriptor;
use crate::registry::Registry;

impl Router {
    /// Configures and initialises all elements of `graph` and throws them away: opens nothing and starts nothing. What
    /// admission and lint use.
    pub fn check(graph: &SettledGraph, registry: &Registry) -> Result<(), Diagnostics> {
        let mut env = Env { dry: true, ..Env::default() };
        Self::initialized(graph, registry, &mut env).map(|_| ())
    }

    /// Configures and initialises all elements of `graph`. All configuration errors are reported together.
    pub fn build(graph: &SettledGraph, registry: &Registry, env: &mut Env) -> Result<Self, Diagnostics> {
        let mut router = Self::initialized(graph, registry, env)?;
        router.start();
        Ok(router)
    }

    fn initialized(graph: &SettledGraph, registry: &Registry, env: &mut Env) -> Result<Self, Diagnostics> {
        let mut problems = Vec::new();
        let names = crate::elements::control::define_names(&graph.flat).unwrap_or_else(|found| {
            problems.extend(found);
            Names::new()
        });
        let (elements, classes) = configure(graph, registry, &names, &mut problems);
        if !problems.is_empty() {
            return Err(Diagnostics(problems));
        }
        let mut router = Self { core: make_core(graph, classes, env), elements, stack: Vec::new() };
        router.initialize(graph)?;
        Ok(router)
    }

    fn initialize(&mut self, graph: &SettledGraph) -> Result<(), Diagnostics> {
        let mut problems = Vec::new();
        for id in 0..self.elements.len() {
            let Some(mut element) = self.elements[id].take() else { continue };
            let mut cx = Cx { elements: &mut self.elements, core: &mut self.core, id: id as u32, base: 0 };
            if let Err(problem) = element.initialize(&mut cx) {
                problems.push(diagnostic(graph, id, "While initializing", &problem));
            }
            self.elements[id] = Some(element);
        }
        if problems.is_empty() { Ok(()) } else { Err(Diagnostics(problems)) }
    }

    fn start(&mut self) {
        for id in 0..self.elements.len() {
            let Some(mut element) = self.elements[id].take() else { continue };
            let mut cx = Cx { elements: &mut self.elements, core: &mut self.core, id: id as u32, base: 0 };
            element.start(&mut cx);
            self.elements[id] = Some(element);
            self.settle_handler();
        }
    }
}

fn configure(
    graph: &SettledGraph,
    registry: &Registry,
    names: &Names,
    problems: &mut Vec<Diagnostic>,
) -> (Vec<Slot>, Vec<&'static Descriptor>) {
    let (mut elements, mut classes) = (Vec::new(), Vec::new());
    for (id, declared) in graph.flat.elements.iter().enumerate() {
        let Some(descriptor) = registry.descriptor(&declared.class) else {
            problems.push(at(graph, id, format!("unknown element class '{}'", declared.class)));
            continue;
        };
        let ports = (graph.inputs[id].len(), graph.outputs[id].len());
        let built = Args::new(descriptor, &declared.name, &declared.config, ports, names)
            .and_then(|args| (descriptor.build)(&args));
        match built {
            Ok(element) => {
                elements.push(Some(element));
                classes.push(descriptor);
            }
            Err(ConfigError(messages)) => problems
                .extend(messages.iter().map(|message| diagnostic(graph, id, "While configuring", message))),
        }
    }
    (elements, classes)
}

fn make_core(graph: &SettledGraph, classes: Vec<&'static Descriptor>, env: &mut Env) -> Core {
    let flat = &graph.flat;
    let count = flat.elements.len();
    let names: Vec<String> = flat.elements.iter().map(|e| e.name.clone()).collect();
    let (mut devices, mut device_names) = (Vec::new(), HashMap::new());
    for (name, device) in env.devices.drain() {
        device_names.insert(name, devices.len());
        devices.push(DeviceSlot { device, readers: Vec::new(), writers: Vec::new(), wants_write: false });
    }
    Core {
        now: env.now,
        simulated: env.simulated,
        dry: env.dry,
        part: env.part,
        configs: flat.elements.iter().map(|e| e.config.clone()).collect(),
        index: names.iter().enumerate().map(|(id, name)| (name.clone(), id as u32)).collect(),
        names,
        classes,
        wiring: wire(graph),
        emitted: Vec::new(),
        leave: 0,
        spare: Vec::new(),
        ready: VecDeque::new(),
        queued: vec![false; count],
        timers: Timers::new(count),
        drops: vec![Vec::new(); count],
        link_output: Vec::new(),
        link_inputs: HashMap::new(),
        owed: false,
        link_pullers: Vec::new(),
        link_signals: Vec::new(),
        full: vec![false; count],
        ends: vec![Vec::new(); count],
        watchers: vec![Vec::new(); count],
        devices,
        device_names,
        opener: env.opener.take(),
        control_sockets: env.control_sockets,
        control: Vec::new(),
        stops: 0,
        finished: false,
        driver: None,
        signals: Vec::new(),
        deferred: Vec::new(),
        random: env.seed,
        console: env.console.clone(),
        text: std::mem::take(&mut env.text),
        flat: flat.to_string(),
        requirements: flat.requirements.clone(),
        hot_swap: env.hot_swap,
        next_text: None,
    }
}

fn wire(graph: &SettledGraph) -> Wiring {
    let mut wiring = Wiring::default();
    let pull = |modes: &[Mode]| modes.iter().map(|mode| *mode == Mode::Pull).collect::<Vec<_>>();
    for (inputs, outputs) in graph.inputs.iter().zip(&graph.outputs) {
        wiring.add_element(&pull(inputs), &pull(outputs));
    }
    for connection in &graph.flat.connections {
        let from = Edge { element: connection.from.element.0, port: connection.from.port };
        let to = Edge { element: connection.to.element.0, port: connection.to.port };
        wiring.connect(from, to);
    }
    wiring.finish();
    wiring
}

fn diagnostic(graph: &SettledGraph, id: usize, doing: &str, problem: &str) -> Diagnostic {
    let element = &graph.flat.elements[id];
    at(graph, id, format!("{doing} '{} :: {}': {problem}", element.name, element.class))
}

fn at(graph: &SettledGraph, id: usize, message: String) -> Diagnostic {
    let element = &graph.flat.elements[id];
    Diagnostic {
        file: Arc::clone(&element.file),
        pos: element.pos,
        severity: Severity::Error,
        message,
        help: None,
    }
}
