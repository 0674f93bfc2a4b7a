//! IPFilter: lets IP packets through, drops them, or sends them to an output, by the first filter that they match.

use super::ip_classifier::compile;
use super::ip_program::DROP;
use crate::element::{Annotations, Arg, Args, ConfigError, Descriptor, Element, Handler};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPFilter",
    summary: "filters IP packets by contents",
    ports: "1/-",
    processing: "h/h",
    args: &[Arg::rest(
        "ACTION PATTERN",
        "allow, drop or port, and a pattern",
        "filters; the first that matches counts",
    )],
    reads: Annotations::NETWORK_HEADER,
    reads_if: super::ether_header,
    drops: &["no match"],
    handlers: &[Handler::read("program", "the tests that packets go through")],
    details: "Like IPClassifier, the other way round: each filter says what happens to the packets that its pattern \
              matches. `allow` is output 0, `drop` and `deny` drop the packet, a number is that output. Without a pattern, \
              a filter matches every packet; a packet that no filter takes is dropped.",
    example: r#"
        ip :: MarkIPHeader
            -> f :: IPFilter(drop src net 10.66.0.0/16, 1 icmp, allow udp && dst port dns, drop all);
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> ip;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.66.0.1, 5000, 10.0.0.2, 53) -> ip;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 80) -> ip;
        InfiniteSource(LIMIT 1) -> ICMPPingEncap(10.0.0.1, 10.0.0.2) -> ip;
        f[0] -> IPPrint(allowed, TIMESTAMP false) -> Discard;
        f[1] -> IPPrint(icmp, TIMESTAMP false) -> Discard;
        DriverManager(wait 1s, print $(f.drop_reasons));
    "#,
    build,
    ..Descriptor::BASE
};

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for (number, text) in args.rest().iter().enumerate() {
        let (action, pattern) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match output_of(action, args.outputs()) {
            Ok(output) => rules.push((output, pattern)),
            Err(problem) => problems.push(format!("pattern {number}: {problem}")),
        }
    }
    if problems.is_empty() { compile(args, rules.into_iter()) } else { Err(ConfigError(problems)) }
}

fn output_of(action: &str, outputs: usize) -> Result<u32, String> {
    match action {
        "allow" => Ok(0),
        "deny" | "drop" => Ok(DROP),
        port => match port.parse::<u32>() {
            Ok(port) if (port as usize) < outputs => Ok(port),
            Ok(port) => Err(format!("slot '{port}' out of range")),
            Err(_) => Err(format!("unknown slot ID '{action}'")),
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn filters_allow_drop_and_send_to_ports() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> f :: IPFilter(drop src host 10.0.0.9, 1 udp, allow tcp, deny all);
             f[0] -> a :: TestOut; f[1] -> b :: TestOut;",
        );
        let packet = |protocol, host| {
            let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, host, 10, 0, 0, 2];
            bytes.resize(40, 0);
            bytes
        };
        for (protocol, host) in [(6, 1), (17, 1), (17, 9), (1, 1)] {
            bench.push("in", &packet(protocol, host));
        }
        assert_eq!(bench.take("a"), [packet(6, 1)]);
        assert_eq!(bench.take("b"), [packet(17, 1)]);
        assert_eq!(bench.drops("f", "no match"), 2);
    }

    #[test]
    fn unknown_actions_and_ports_are_refused() {
        let error = Bench::error("in :: TestIn -> IPFilter(permit tcp, 7 udp, allow gargle) -> TestOut;");
        assert!(
            error.contains("pattern 0: unknown slot ID 'permit'") && error.contains("slot '7' out of range"),
            "{error}"
        );
    }

    #[test]
    fn a_filter_without_a_pattern_matches_everything() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> f :: IPFilter(drop udp, 1); f[0] -> Discard; f[1] -> out :: TestOut;",
        );
        let packet = |protocol| [0x45, 0, 0, 20, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bench.push("in", &packet(17));
        bench.push("in", &packet(6));
        assert_eq!(bench.take("out"), [packet(6)]);
        let error = Bench::error("in :: TestIn -> IPFilter(allow gargle) -> TestOut;");
        assert!(error.contains("pattern 0: "), "{error}");
    }

    #[test]
    fn names_of_the_graph_are_known() {
        let mut bench = Bench::new(
            "AddressInfo(lan 10.0.0.0/24); in :: TestIn -> MarkIPHeader -> f :: IPFilter(allow src net lan) -> a :: TestOut;",
        );
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 7, 10, 0, 9, 2];
        packet.resize(40, 0);
        bench.push("in", &packet);
        assert_eq!(bench.take("a").len(), 1);
    }

    #[test]
    fn a_name_is_its_network_after_net_and_its_address_elsewhere() {
        for (rule, taken) in [("src net lan", true), ("src host lan", false), ("src lan", false)] {
            for names in ["lan 10.0.0.1/24", "lan 10.0.0.1 10.0.0.0/24"] {
                let mut bench = Bench::new(&format!(
                    "AddressInfo({names}); in :: TestIn -> MarkIPHeader -> f :: IPFilter(allow {rule}) -> a :: TestOut;"
                ));
                for (last, expected) in [(1, true), (7, taken)] {
                    let mut packet =
                        vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, last, 10, 0, 9, 2];
                    packet.resize(40, 0);
                    bench.push("in", &packet);
                    assert_eq!(bench.take("a").len(), usize::from(expected), "{rule}, {names}: {last}");
                }
            }
        }
    }
}
