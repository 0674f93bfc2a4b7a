//! The reference of element classes, out of their descriptors: text for a terminal, and a page a class in Markdown.

use std::fmt::Write as _;

use super::example;
use crate::element::{Arg, ArgKind, Descriptor, Handler, Outside, StateKind};
use crate::elements::GROUPS;

/// A file of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its name.
    pub file: String,
    /// What it contains.
    pub text: String,
}

/// All pages: one a class, and the list of them.
pub fn pages() -> Vec<Page> {
    let classes = GROUPS.iter().flat_map(|(_, group)| group.iter());
    let pages = classes.map(|class| Page { file: format!("{}.md", class.class), text: page(class) });
    pages.chain([Page { file: "README.md".to_owned(), text: index() }]).collect()
}

fn index() -> String {
    let mut text = "# Elements\n\nMade from the descriptors by `make reference`; do not edit. \
        `anf-sidecar elements CLASS` prints the same on a terminal.\n"
        .to_owned();
    for (title, group) in GROUPS {
        let _ = write!(text, "\n## {title}\n\n| class | what it does |\n|---|---|\n");
        let mut group: Vec<_> = group.to_vec();
        group.sort_by_key(|class| class.class);
        for class in group {
            let _ = writeln!(text, "| [{0}]({0}.md) | {1} |", class.class, cell(class.summary));
        }
    }
    text
}

fn page(class: &Descriptor) -> String {
    let mut text =
        format!("# {}\n\n{}\n\n    {}({})\n", class.class, class.summary, class.class, usage(class));
    if !class.details.is_empty() {
        let _ = write!(text, "\n{}\n", class.details);
    }
    text.push_str("\n| | |\n|---|---|\n");
    for (what, value) in facts(class) {
        let _ = writeln!(text, "| {what} | {} |", cell(&value));
    }
    if !class.args.is_empty() {
        text.push_str("\n## Arguments\n\n| name | type | default | |\n|---|---|---|---|\n");
    }
    for arg in class.args {
        let cells = [arg.name, &given(arg), arg.default, arg.summary].map(cell);
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if !class.handlers.is_empty() {
        text.push_str("\n## Handlers\n\n| name | | |\n|---|---|---|\n");
    }
    for handler in class.handlers {
        let _ = writeln!(text, "| {} | {} | {} |", handler.name, access(handler), cell(handler.summary));
    }
    let notes = (class.notes)();
    if !notes.is_empty() {
        let _ = write!(text, "\n```\n{}\n```\n", notes.trim_end());
    }
    if !class.example.is_empty() {
        let _ = write!(text, "\n## Example\n\n```click\n{}\n```\n", class.example_text());
        if let Ok(Some(output)) = example::output(&class.example_text()) {
            let _ = write!(text, "\nRun with `--simtime`, it prints\n\n```\n{}\n```\n", output.trim_end());
        }
    }
    text
}

/// Everything that a descriptor says, for a terminal.
pub(super) fn describe(class: &Descriptor) -> String {
    let mut text = format!("{}: {}\n\n    {}({})\n\n", class.class, class.summary, class.class, usage(class));
    if !class.details.is_empty() {
        let _ = write!(text, "{}\n\n", class.details);
    }
    for (what, value) in facts(class) {
        let _ = writeln!(text, "{what}: {value}");
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
        let _ = writeln!(text, "  {:16} {}: {}", handler.name, access(handler), handler.summary);
    }
    let notes = (class.notes)();
    if !notes.is_empty() {
        let _ = write!(text, "\n{notes}");
    }
    if !class.example.is_empty() {
        let _ = writeln!(text, "\nExample:\n\n{}", class.example_text());
    }
    text
}

/// What there is to say besides arguments and handlers.
fn facts(class: &Descriptor) -> Vec<(&'static str, String)> {
    let names = |set: anf_click::Annotations| set.names().collect::<Vec<_>>().join(", ");
    let state = match class.state {
        StateKind::None => "none",
        StateKind::Small => "small, saved whole",
        StateKind::Tables => "flow tables, tracked change by change",
    };
    let order = if class.keeps_order { "" } else { "may change the order of packets" };
    let outside = match class.outside {
        Outside::Nothing => "",
        Outside::File => "reads or writes a file",
        Outside::Device(_) => "uses a network device: bound by `spec.ports` in a pod",
        Outside::Socket => "opens sockets",
        Outside::Link => "the other end of its edge is in another part: a link carries the packets",
    };
    let facts = [
        ("Ports", class.ports.to_owned()),
        ("Processing", class.processing.to_owned()),
        ("Flow", class.flow.to_owned()),
        ("Reads annotations", names(class.reads)),
        ("Writes annotations", names(class.writes)),
        ("State", state.to_owned()),
        ("Order", order.to_owned()),
        ("Drops packets", class.drops.join(", ")),
        ("Outside", outside.to_owned()),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
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

/// The type of an argument, and how it is given if not by position.
fn given(arg: &Arg) -> String {
    match arg.kind {
        ArgKind::Keyword => format!("{}, keyword", arg.ty),
        ArgKind::RequiredKeyword => format!("{}, keyword, required", arg.ty),
        ArgKind::Required => format!("{}, required", arg.ty),
        ArgKind::Optional | ArgKind::Rest => arg.ty.to_owned(),
    }
}

fn access(handler: &Handler) -> &'static str {
    match (handler.readable, handler.writable) {
        (true, true) => "read/write",
        (true, false) => "read",
        _ => "write",
    }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn every_class_can_be_described() {
        for class in Registry::standard().descriptors() {
            assert!(describe(class).contains(class.summary));
        }
    }
}
