//! IPClassifier: sends IP packets out by the first pattern that they match.

use std::net::Ipv4Addr;

use super::ip_expression::Expression;
use super::ip_language::{GraphNames, parse};
use super::ip_program::{DROP, Program};
use crate::config::IpPrefix;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError,
};
use crate::engine::NO_PORT;
use crate::packet::Packet;

/// Also: packets that no pattern takes.
const NO_MATCH: &str = "no match";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPClassifier",
    summary: "classifies IP packets by contents",
    ports: "1/-",
    processing: "h/h",
    args: &[Arg::rest(
        "PATTERN",
        "tcpdump-like pattern",
        "one for each output; the first that matches counts",
    )],
    reads: Annotations::NETWORK_HEADER,
    drops: &[NO_MATCH],
    handlers: &[Handler::read("program", "the tests that packets go through")],
    build,
    ..Descriptor::BASE
};

/// Behind IPClassifier and IPFilter: a program, and nothing else.
pub(super) struct IpClassifier {
    program: Program,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    if args.rest().len() != args.outputs() {
        return Err(format!("need {} arguments, one per output port", args.outputs()).into());
    }
    let rules = args.rest().iter().enumerate().map(|(port, text)| (port as u32, text.as_str()));
    compile(args, "pattern", rules)
}

/// Compiles the patterns of an element; each comes with the output that it leads to.
pub(super) fn compile<'t>(
    args: &Args<'_>,
    what: &str,
    rules: impl Iterator<Item = (u32, &'t str)>,
) -> Result<Box<dyn Element>, ConfigError> {
    let mut compiled: Vec<(Expression, u32)> = Vec::new();
    let mut problems = Vec::new();
    for (number, (output, text)) in rules.enumerate() {
        match parse(text, &Scoped(args)) {
            Ok(expression) => compiled.push((expression, output)),
            Err(problem) => problems.push(format!("{what} {number}: {problem}")),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let program = Program::compile(&compiled)?;
    Ok(Box::new(IpClassifier { program }))
}

/// The names that an element sees.
struct Scoped<'a>(&'a Args<'a>);

impl GraphNames for Scoped<'_> {
    fn network(&self, name: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
        if let Ok(address) = self.0.parse::<Ipv4Addr>("address", name) {
            return Some((address, Ipv4Addr::BROADCAST));
        }
        let prefix = self.0.parse::<IpPrefix>("network", name).ok()?;
        Some((prefix.address, prefix.mask))
    }

    fn port(&self, name: &str) -> Option<u16> {
        self.0.scope().find(name)?.port
    }
}

impl IpClassifier {
    #[inline]
    fn port_of(&self, packet: &Packet) -> usize {
        match self.program.decide(packet.network()) {
            Some(DROP) | None => NO_PORT,
            Some(output) => output as usize,
        }
    }
}

impl Element for IpClassifier {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        cx.split(batch, NO_MATCH, |packet| self.port_of(packet));
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "program" => Ok(self.program.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}
