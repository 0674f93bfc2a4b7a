//! Elements that no packet passes: names for addresses and ports, scripts, messages, control sockets.

use anf_click::{Diagnostic, FlatGraph};

use crate::config::Names;
use crate::element::Descriptor;

mod address_info;
mod control_socket;
mod message;
mod port_info;
mod random_seed;
mod scheduling;
mod script;

pub(super) use script::show_real;

pub(super) static GROUP: &[&Descriptor] = &[
    &address_info::DESCRIPTOR,
    &control_socket::DESCRIPTOR,
    &message::DESCRIPTOR,
    &message::ERROR,
    &port_info::DESCRIPTOR,
    &random_seed::DESCRIPTOR,
    &scheduling::SCHEDULE_INFO,
    &scheduling::STATIC_THREAD_SCHED,
    &script::DESCRIPTOR,
    &script::DRIVER_MANAGER,
];

/// The names that all AddressInfo and PortInfo elements of a graph define, in order; later ones win.
pub(crate) fn define_names(graph: &FlatGraph) -> Result<Names, Vec<Diagnostic>> {
    let (mut names, mut problems) = (Names::new(), Vec::new());
    for element in &graph.elements {
        let define = match element.class.as_str() {
            "AddressInfo" => address_info::define,
            "PortInfo" => port_info::define,
            _ => continue,
        };
        for problem in define(&element.name, &element.config, &mut names) {
            let message = format!("While configuring '{}': {problem}", element.declaration());
            problems.push(Diagnostic::error(&element.place(), message));
        }
    }
    if problems.is_empty() { Ok(names) } else { Err(problems) }
}
