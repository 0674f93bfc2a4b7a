//! Handlers: named values that can be read, and orders that can be given, per element and for the whole router.

use anf_click::Diagnostics;

use super::Router;
use super::core::Core;
use super::cx::{Cx, Slot};
use crate::element::{Descriptor, Handler, HandlerError};
use crate::registry::Registry;

/// What every element answers, whatever its class.
const FOR_ALL: &[(&str, &str)] = &[
    ("class", "class of the element"),
    ("name", "name of the element"),
    ("config", "configuration of the element"),
    ("ports", "connections of the element"),
    ("handlers", "handlers of the element"),
    ("drop_reasons", "packets dropped, a line a reason"),
];

/// Whether every element answers that handler.
pub(crate) fn is_common(handler: &str) -> bool {
    FOR_ALL.iter().any(|(known, _)| *known == handler)
}

/// What a handler allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// It can be read.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
}

const READ: Access = Access { readable: true, writable: false };
const WRITE: Access = Access { readable: false, writable: true };

/// Handlers of the router.
const OF_ROUTER: &[(&str, Access)] = &[
    ("version", READ),
    ("list", READ),
    ("classes", READ),
    ("config", READ),
    ("flatconfig", READ),
    ("requirements", READ),
    ("driver", READ),
    ("handlers", READ),
    ("stop", WRITE),
];

/// Of a router that may be replaced.
const HOT_CONFIG: (&str, Access) = ("hotconfig", WRITE);

fn of_router(core: &Core) -> Vec<(&'static str, Access)> {
    OF_ROUTER.iter().copied().chain(core.hot_swap.then_some(HOT_CONFIG)).collect()
}

fn of_element(class: &Descriptor) -> Vec<(&'static str, Access)> {
    let access = |h: &Handler| Access { readable: h.readable, writable: h.writable };
    let own = class.handlers.iter().map(|handler| (handler.name, access(handler)));
    own.chain(FOR_ALL.iter().map(|(name, _)| (*name, READ))).collect()
}

fn show(handlers: &[(&str, Access)]) -> String {
    handlers.iter().fold(String::new(), |text, (name, access)| {
        let (r, w) = (if access.readable { "r" } else { "" }, if access.writable { "w" } else { "" });
        text + name + "\t" + r + w + "\n"
    })
}

/// Handlers of one element that its class does not list.
fn more_of(elements: &[Slot], id: u32) -> Vec<(String, Access)> {
    let element = elements.get(id as usize).and_then(Option::as_ref);
    element.map(|element| element.more_handlers()).unwrap_or_default()
}

/// What handler `path` allows, as seen from element `from`; `u32::MAX` stands for the outside.
pub(super) fn access(elements: &[Slot], core: &Core, from: u32, path: &str) -> Result<Access, HandlerError> {
    let (name, handler) = split(path);
    let (handlers, more) = match name {
        "" => (of_router(core), Vec::new()),
        name => {
            let id = find(core, from, name)?;
            (of_element(core.classes[id as usize]), more_of(elements, id))
        }
    };
    let found = handlers.iter().find(|(known, _)| *known == handler).map(|(_, access)| *access);
    let more = || more.iter().find(|(known, _)| known == handler || known == "*").map(|(_, access)| *access);
    found.or_else(more).ok_or_else(|| HandlerError::NoHandler(path.to_owned()))
}

/// Splits `element.handler` at the last dot; no dot means a handler of the router.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

fn find(core: &Core, from: u32, element: &str) -> Result<u32, HandlerError> {
    let found = if from == u32::MAX { core.index.get(element).copied() } else { core.resolve(from, element) };
    found.ok_or_else(|| HandlerError::NoElement(element.to_owned()))
}

/// Reads `path` as seen from element `from`; `u32::MAX` stands for the outside.
pub(super) fn read(
    elements: &mut [Slot],
    core: &mut Core,
    from: u32,
    path: &str,
    param: &str,
) -> Result<String, HandlerError> {
    let (name, handler) = split(path);
    if name.is_empty() {
        return read_router(core, handler);
    }
    let id = find(core, from, name)?;
    let class = core.classes[id as usize];
    if is_common(handler) && !overrides(class, handler) {
        let more = more_of(elements, id);
        return Ok(read_common(core, id, handler, more));
    }
    let Some(mut element) = elements[id as usize].take() else {
        return Err(HandlerError::Busy(name.to_owned()));
    };
    let base = core.emitted.len();
    let answer = element.read(&mut Cx { elements, core, id, base }, handler, param);
    elements[id as usize] = Some(element);
    answer.map_err(|error| name_it(error, path))
}

/// Calls write handler `path` as seen from element `from`.
pub(super) fn write(
    elements: &mut [Slot],
    core: &mut Core,
    from: u32,
    path: &str,
    value: &str,
) -> Result<(), HandlerError> {
    let (name, handler) = split(path);
    if name.is_empty() {
        return write_router(core, handler, value);
    }
    let id = find(core, from, name)?;
    let Some(mut element) = elements[id as usize].take() else {
        return Err(HandlerError::Busy(name.to_owned()));
    };
    let base = core.emitted.len();
    let answer = element.write(&mut Cx { elements, core, id, base }, handler, value);
    elements[id as usize] = Some(element);
    answer.map_err(|error| name_it(error, path))
}

fn name_it(error: HandlerError, path: &str) -> HandlerError {
    match error {
        HandlerError::NoHandler(_) => HandlerError::NoHandler(path.to_owned()),
        other => other,
    }
}

fn overrides(class: &Descriptor, handler: &str) -> bool {
    class.handlers.iter().any(|h| h.name == handler)
}

fn read_common(core: &Core, id: u32, handler: &str, more: Vec<(String, Access)>) -> String {
    let at = id as usize;
    let class = core.classes[at];
    match handler {
        "class" => class.class.to_owned(),
        "name" => core.names[at].clone(),
        "config" => core.configs[at].clone(),
        "ports" => ports(core, id),
        "handlers" => {
            let more = more.iter().map(|(name, access)| (name.as_str(), *access));
            show(&of_element(class).into_iter().chain(more).collect::<Vec<_>>())
        }
        _ => core.drops[at].iter().fold(String::new(), |text, (reason, n)| format!("{text}{reason}\t{n}\n")),
    }
}

fn ports(core: &Core, id: u32) -> String {
    let name = |element: u32| core.names.get(element as usize).map_or("-", String::as_str);
    let mut text = String::new();
    let inputs = core.wiring.input_count(id);
    text += &format!("{inputs} input{}\n", if inputs == 1 { "" } else { "s" });
    for port in 0..inputs as u32 {
        let pull = core.wiring.is_pull_input(id, port);
        let from = core.wiring.pull_source(id, port);
        text += &format!("{}\t{} [{}]\n", if pull { "pull" } else { "push" }, name(from.element), from.port);
    }
    let outputs = core.wiring.output_count(id);
    text += &format!("{outputs} output{}\n", if outputs == 1 { "" } else { "s" });
    for port in 0..outputs as u32 {
        let pull = core.wiring.is_pull_output(id, port);
        let to = core.wiring.push_target(core.wiring.output(id, port));
        text += &format!("{}\t[{}] {}\n", if pull { "pull" } else { "push" }, to.port, name(to.element));
    }
    text
}

fn read_router(core: &Core, handler: &str) -> Result<String, HandlerError> {
    match handler {
        "version" => Ok(env!("CARGO_PKG_VERSION").to_owned()),
        "list" => Ok(format!("{}\n{}\n", core.names.len(), core.names.join("\n"))),
        "driver" => Ok("atomicnf".to_owned()),
        "classes" => {
            Ok(Registry::standard().descriptors().map(|class| format!("{}\n", class.class)).collect())
        }
        "config" => Ok(core.text.clone()),
        "flatconfig" => Ok(core.flat.clone()),
        "requirements" => Ok(core.requirements.iter().map(|name| format!("{name}\n")).collect()),
        "handlers" => Ok(show(&of_router(core))),
        other => Err(HandlerError::NoHandler(other.to_owned())),
    }
}

fn write_router(core: &mut Core, handler: &str, value: &str) -> Result<(), HandlerError> {
    match handler {
        // As many requests as it says.
        "stop" => {
            let requests = value.trim().parse().unwrap_or(1);
            core.stops = core.stops.saturating_add(requests);
            Ok(())
        }
        "hotconfig" if core.hot_swap => {
            check_text(value).map_err(|found| HandlerError::Refused(found.to_string()))?;
            core.next_text = Some(value.to_owned());
            Ok(())
        }
        other => Err(HandlerError::NoHandler(other.to_owned())),
    }
}

/// Whether a router can be made of a text.
fn check_text(text: &str) -> Result<(), Diagnostics> {
    let registry = Registry::standard();
    let flat = anf_click::flatten(&anf_click::parse("hotconfig", text)?, &[])?;
    Router::check(&anf_click::settle(flat, &registry)?, &registry)
}
