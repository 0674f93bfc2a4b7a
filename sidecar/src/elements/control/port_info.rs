//! PortInfo: names for TCP and UDP ports, known before any element is configured.

use crate::config::{Named, Names, Value, split_arguments, split_words};
use crate::element::{Arg, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "PortInfo",
    summary: "specifies named TCP/UDP ports",
    ports: "0/0",
    args: &[Arg::rest("NAME", "NAME PORT[/PROTOCOL]", "a name and the port it stands for")],
    global: true,
    details: "Names for TCP and UDP ports, in place of those of /etc/services. A cut copies it to every part that uses a name of it.",
    example: r#"
        PortInfo(game 7777/udp, proxy 3128);
        InfiniteSource(DATA "data", LIMIT 2, STOP true)
            -> UDPIPEncap(10.0.0.1, proxy, 10.0.0.9, game)
            -> c :: IPClassifier(dst udp port game, -)
            -> IPPrint(game) -> Discard;
        c[1] -> IPPrint(other) -> Discard;
    "#,
    build: |_| Ok(Box::new(PortInfo)),
    ..Descriptor::BASE
};

struct PortInfo;

impl Element for PortInfo {}

/// Adds the names that `config` defines; returns what is wrong with it.
pub(super) fn define(element: &str, config: &str, names: &mut Names) -> Vec<String> {
    let mut problems = Vec::new();
    for argument in split_arguments(config) {
        let words = split_words(&argument);
        let [name, port, ..] = words.as_slice() else {
            problems.push(format!("'{argument}': expected 'NAME PORT[/PROTOCOL]'"));
            continue;
        };
        let number = port.split('/').next().unwrap_or(port);
        match u16::parse_plain(number) {
            Ok(port) => {
                names.define(element, name, Named { port: Some(port), ..Default::default() });
            }
            Err(problem) => problems.push(format!("\"{name}\": {problem}")),
        }
    }
    problems
}
