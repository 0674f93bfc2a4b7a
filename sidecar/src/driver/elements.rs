//! `elements`: the reference of classes, out of their descriptors.

use std::fmt::Write as _;

use clap::Args;

use crate::element::{ArgKind, Descriptor, StateKind};
use crate::registry::Registry;

/// Options of `elements`.
#[derive(Debug, Clone, Args)]
pub struct ElementsArgs {
    /// The class to describe; left out: a line for each class.
    class: Option<String>,
    /// Describe every class, in Markdown.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn main(args: &ElementsArgs) -> u8 {
    let registry = Registry::standard();
    if args.markdown {
        for class in registry.descriptors() {
            print!("## {}\n\n{}\n", class.class, describe(class));
        }
        return 0;
    }
    let Some(name) = &args.class else {
        for class in registry.descriptors() {
            println!("{:24} {}", class.class, class.summary);
        }
        return 0;
    };
    match registry.descriptor(name) {
        Some(class) => {
            print!("{}", describe(class));
            0
        }
        None => {
            eprintln!("no element class '{name}'; `anf-sidecar elements` lists them");
            1
        }
    }
}

/// Everything that a descriptor says, as text.
fn describe(class: &Descriptor) -> String {
    let mut text = format!("{}: {}\n\n", class.class, class.summary);
    let _ = writeln!(text, "    {}({})\n", class.class, usage(class));
    let _ = writeln!(text, "Ports: {}  Processing: {}  Flow: {}", class.ports, class.processing, class.flow);
    let names = |set: anf_click::Annotations| set.names().collect::<Vec<_>>().join(", ");
    if !class.reads.is_empty() {
        let _ = writeln!(text, "Reads annotations: {}", names(class.reads));
    }
    if !class.writes.is_empty() {
        let _ = writeln!(text, "Writes annotations: {}", names(class.writes));
    }
    let state = match class.state {
        StateKind::None => "none",
        StateKind::Small => "small, saved whole",
        StateKind::Tables => "flow tables, tracked change by change",
    };
    let _ = writeln!(text, "State: {state}");
    if !class.keeps_order {
        text.push_str("May change the order of packets\n");
    }
    if !class.drops.is_empty() {
        let _ = writeln!(text, "Drops packets: {}", class.drops.join(", "));
    }
    if !class.args.is_empty() {
        text.push_str("\nArguments:\n");
    }
    for arg in class.args {
        let default =
            if arg.default.is_empty() { String::new() } else { format!(" (default {})", arg.default) };
        let _ = writeln!(text, "  {:16} {}: {}{default}", arg.name, arg.ty, arg.summary);
    }
    if !class.handlers.is_empty() {
        text.push_str("\nHandlers:\n");
    }
    for handler in class.handlers {
        let access = match (handler.readable, handler.writable) {
            (true, true) => "read/write",
            (true, false) => "read",
            _ => "write",
        };
        let _ = writeln!(text, "  {:16} {access}: {}", handler.name, handler.summary);
    }
    text
}

/// `DATA, [LIMIT], [keywords BURST]`
fn usage(class: &Descriptor) -> String {
    let mut parts = Vec::new();
    let mut keywords = Vec::new();
    for arg in class.args {
        match arg.kind {
            ArgKind::Required => parts.push(arg.name.to_owned()),
            ArgKind::Optional => parts.push(format!("[{}]", arg.name)),
            ArgKind::Rest => parts.push(format!("{}...", arg.name)),
            ArgKind::RequiredKeyword => parts.push(format!("{} {}", arg.name, arg.ty)),
            ArgKind::Keyword => keywords.push(arg.name),
        }
    }
    if !keywords.is_empty() {
        parts.push(format!("[keywords {}]", keywords.join(", ")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_can_be_described() {
        for class in Registry::standard().descriptors() {
            assert!(describe(class).contains(class.summary));
        }
    }
}
