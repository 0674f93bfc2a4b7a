//! IPClassifier: sends IP packets out by the first pattern that they match.

use std::net::Ipv4Addr;

use super::ip_expression::Expression;
use super::ip_language::{GraphNames, parse};
use super::ip_program::{DROP, Program};
use crate::config::{EtherAddr, Network};
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
    reads_if: super::ether_header,
    drops: &[NO_MATCH],
    handlers: &[Handler::read("program", "the tests that packets go through")],
    details: "Patterns are those of click's IPClassifier: primitives such as `tcp`, `src host 10.0.0.1`, `dst port www`, \
              `net 10.0.0.0/8`, `icmp type echo`, `tcp opt syn`, `ip ttl < 5`, `ip[9] 17`, `ether host 2:0:0:0:0:1`, \
              joined by `and`, `or`, `not`, `? :` and parentheses; `-`, `any` and `all` match every packet. A test of a \
              field that the packet does not reach fails. A packet that no pattern takes is dropped.",
    example: r#"
        AddressInfo(lan 10.0.0.0/24, server 10.0.1.80);
        ip :: MarkIPHeader
            -> c :: IPClassifier(icmp type echo, dst host server and dst tcp port www, src net lan and udp, -);
        InfiniteSource(LIMIT 1) -> ICMPPingEncap(10.0.0.1, 10.0.1.80) -> ip;
        InfiniteSource(DATA \<45000028 00000000 4006 0000 0a000007 0a000150 1234 0050 00000000 00000000 5002 1000 0000 0000>,
            LIMIT 2) -> ip;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.7, 5000, 10.0.9.9, 53) -> ip;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(172.16.0.1, 53, 10.0.0.7, 5000) -> ip;
        c[0] -> IPPrint(ping, TIMESTAMP false) -> Discard;
        c[1] -> IPPrint(web, TIMESTAMP false) -> Discard;
        c[2] -> IPPrint("lan udp", TIMESTAMP false) -> Discard;
        c[3] -> IPPrint(other, TIMESTAMP false) -> Discard;
        DriverManager(wait 1s, print $(c.program));
    "#,
    build,
    ..Descriptor::BASE
};

/// Behind IPClassifier and IPFilter: a program, and nothing else.
pub(super) struct IpClassifier {
    program: Program,
    looks_at_mac: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    if args.rest().len() != args.outputs() {
        return Err(format!("need {} arguments, one per output port", args.outputs()).into());
    }
    let rules = args.rest().iter().enumerate().map(|(port, text)| (port as u32, text.as_str()));
    compile(args, rules)
}

/// Compiles the patterns of an element; each comes with the output that it leads to.
pub(super) fn compile<'t>(
    args: &Args<'_>,
    rules: impl Iterator<Item = (u32, &'t str)>,
) -> Result<Box<dyn Element>, ConfigError> {
    let mut compiled: Vec<(Expression, u32)> = Vec::new();
    let mut problems = Vec::new();
    for (number, (output, text)) in rules.enumerate() {
        match parse(text, &Scoped(args)) {
            Ok(expression) => compiled.push((expression, output)),
            Err(problem) => problems.push(format!("pattern {number}: {problem}")),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let program = Program::compile(&compiled)?;
    let looks_at_mac = program.looks_at_mac();
    Ok(Box::new(IpClassifier { program, looks_at_mac }))
}

/// The names that an element sees.
struct Scoped<'a>(&'a Args<'a>);

impl GraphNames for Scoped<'_> {
    fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.0.parse("address", name).ok()
    }

    fn network(&self, name: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let Network(prefix) = self.0.parse("network", name).ok()?;
        Some((prefix.address, prefix.mask))
    }

    fn ether(&self, name: &str) -> Option<EtherAddr> {
        self.0.parse("Ethernet address", name).ok()
    }

    fn port(&self, name: &str) -> Option<u16> {
        self.0.scope().find(name)?.port
    }
}

impl IpClassifier {
    #[inline]
    fn port_of(&self, packet: &Packet) -> usize {
        let mac = if self.looks_at_mac { packet.mac() } else { &[] };
        match self.program.decide(packet.network(), mac) {
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

#[cfg(test)]
mod tests {
    use crate::element::Packet;
    use crate::testing::Bench;

    #[test]
    fn packets_leave_by_the_first_pattern_that_matches() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader(14) -> c :: IPClassifier(src ether host 0:0:0:0:0:9, udp, 10.0.0.2);
             c[0] -> a :: TestOut; c[1] -> b :: TestOut; c[2] -> d :: TestOut;",
        );
        for (mac, protocol, host) in [(9, 17, 2), (8, 17, 2), (8, 6, 2), (8, 6, 3)] {
            let mut frame = vec![0; 34];
            frame[11] = mac;
            frame[14..].copy_from_slice(&[
                0x45, 0, 0, 20, 0, 0, 0, 0, 9, protocol, 0, 0, 1, 2, 3, 4, 10, 0, 0, host,
            ]);
            let mut packet = Packet::from_slice(&frame);
            packet.set_mac_offset(Some(0));
            bench.push_packets("in", 0, [packet]);
        }
        let counts = ["a", "b", "d"].map(|out| bench.take(out).len());
        assert_eq!((counts, bench.drops("c", "no match")), ([1, 1, 1], 1));
    }

    #[test]
    fn wrong_patterns_are_refused() {
        let error = Bench::error("Idle -> c :: IPClassifier(tcp, -) -> Discard;");
        assert!(error.contains("need 1 arguments, one per output port"), "{error}");
        let error = Bench::error("Idle -> c :: IPClassifier(tcp, gargle); c[0], c[1] -> Discard;");
        assert!(error.contains("pattern 1: "), "{error}");
    }
}
