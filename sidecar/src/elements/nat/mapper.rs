//! RoundRobinIPMapper and SourceIPHashMapper: elements that choose among patterns for a rewriter's new flows.
//!
//! An input specification that names one asks it for the rewriting of every new flow. Several inputs and rewriters may
//! share a mapper, and with it the position in its round.

use std::net::Ipv4Addr;

use super::hash_ring::HashRing;
use super::input_spec::{InputSpec, Outputs};
use super::ip_rewriter_patterns::IpRewriterPatterns;
use super::pattern::Pattern;
use crate::config::{Value, split_words};
use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element, ElementId, StateKind};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::FlowId;

const PATTERNS: Arg = Arg::rest(
    "PATTERN",
    "pattern FOUTPUT ROUTPUT",
    "the patterns to choose from, as in an input specification",
);

pub(super) static ROUND_ROBIN: Descriptor = Descriptor {
    class: "RoundRobinIPMapper",
    summary: "round-robin mapper for IPRewriter(n)",
    ports: "0/0",
    args: &[PATTERNS],
    state: StateKind::Small,
    details: "An input specification of a rewriter may be its name: new flows then take the patterns in turn.",
    example: r#"
        servers :: RoundRobinIPMapper(- - 10.1.0.1 - 0 1, - - 10.1.0.2 - 0 1);
        RatedSource(DATA "query", RATE 10, LIMIT 8, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(20.0.0.1, 1024, 192.0.2.1, 53) -> in :: Null;
        s[1] -> UDPIPEncap(20.0.0.2, 1024, 192.0.2.1, 53) -> in;
        s[2] -> UDPIPEncap(20.0.0.3, 1024, 192.0.2.1, 53) -> in;
        in -> rw :: IPRewriter(servers, drop);
        rw[0] -> IPPrint(to_server) -> IPMirror -> [1]rw;
        rw[1] -> IPPrint(answer) -> Discard;
    "#,
    build: build_round_robin,
    ..Descriptor::BASE
};

pub(super) static SOURCE_HASH: Descriptor = Descriptor {
    class: "SourceIPHashMapper",
    summary: "source IP hash mapper for IPRewriter(n)",
    ports: "0/0",
    args: &[
        Arg::optional(
            "NNODES SEED",
            "two integers",
            "",
            "places of each server in the ring, and what they are drawn by",
        ),
        Arg::rest(
            "PATTERN",
            "pattern FOUTPUT ROUTPUT ID",
            "the patterns to choose from, each with its server's number",
        ),
    ],
    state: StateKind::Small,
    details: "An input specification of a rewriter may be its name: the source address chooses the pattern, so that a client always meets the same server.",
    example: r#"
        servers :: SourceIPHashMapper(3 0xbadbeef, - - 10.1.0.1 - 0 1 1, - - 10.1.0.2 - 0 1 2);
        RatedSource(DATA "query", RATE 10, LIMIT 8, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(20.0.0.1, 1024, 192.0.2.1, 53) -> in :: Null;
        s[1] -> UDPIPEncap(20.0.0.2, 1024, 192.0.2.1, 53) -> in;
        s[2] -> UDPIPEncap(20.0.0.1, 1025, 192.0.2.1, 53) -> in;
        in -> rw :: IPRewriter(servers, drop);
        rw[0] -> IPPrint(to_server) -> IPMirror -> [1]rw;
        rw[1] -> IPPrint(answer) -> Discard;
    "#,
    build: build_source_hash,
    ..Descriptor::BASE
};

/// How a mapper chooses.
enum Kind {
    /// Each in turn; where the next search begins.
    RoundRobin(usize),
    /// By the source address.
    SourceHash(HashRing),
}

/// The element behind both classes.
pub(crate) struct IpMapper {
    kind: Kind,
    /// Patterns, named ones until `initialize`.
    specs: Vec<InputSpec>,
}

fn parse_pattern(args: &Args<'_>, words: &[String]) -> Result<InputSpec, String> {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    InputSpec::parse_pattern(&words, &|word| args.parse::<Ipv4Addr>("address", word).ok())
}

fn build_round_robin(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    if args.rest().is_empty() {
        return Err("no patterns given".into());
    }
    let parsed = args.rest().iter().map(|text| parse_pattern(args, &split_words(text)));
    Ok(Box::new(IpMapper { kind: Kind::RoundRobin(0), specs: all(parsed)? }))
}

fn build_source_hash(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let ring = args.text("NNODES SEED").ok_or("no hash seed given")?;
    if args.rest().is_empty() {
        return Err("no patterns given".into());
    }
    let words = split_words(ring);
    let [nodes, seed] = words.as_slice() else {
        return Err("requires 2 config params: numnodes seed".into());
    };
    let nodes = i32::parse_plain(nodes).ok().and_then(|nodes| usize::try_from(nodes).ok()).filter(|n| *n > 0);
    let nodes = nodes.ok_or("number of nodes must be an integer")?;
    let seed = i32::parse_plain(seed).map_err(|_| "hash seed must be an integer".to_owned())?;
    let parsed = args.rest().iter().map(|text| {
        let words = split_words(text);
        let server = words.split_last().filter(|(_, rest)| !rest.is_empty());
        let server = server.and_then(|(id, rest)| Some((u16::parse_plain(id).ok()?, rest)));
        let (id, rest) = server.ok_or("bad server ID in pattern spec")?;
        Ok((id, parse_pattern(args, rest)?))
    });
    let (ids, specs): (Vec<_>, Vec<_>) = all(parsed)?.into_iter().unzip();
    Ok(Box::new(IpMapper { kind: Kind::SourceHash(HashRing::new(&ids, nodes, seed)?), specs }))
}

/// All that was parsed, or all that is wrong.
fn all<T>(parsed: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, ConfigError> {
    let (mut good, mut problems) = (Vec::new(), Vec::new());
    for one in parsed {
        match one {
            Ok(one) => good.push(one),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(good) } else { Err(ConfigError(problems)) }
}

impl IpMapper {
    /// The patterns of a mapper and their outputs, whether it was initialised or not. `None` if it is no mapper.
    pub(super) fn patterns(
        cx: &mut Cx<'_>,
        id: ElementId,
    ) -> Option<Result<Vec<(Pattern, Outputs)>, String>> {
        let specs = cx.element_mut::<Self>(id)?.specs.clone();
        Some(specs.iter().filter_map(|spec| pattern_of(cx, spec).transpose()).collect())
    }

    /// A mapper's name and class, as Click declares it.
    pub(super) fn declaration(cx: &Cx<'_>, id: ElementId) -> String {
        let found = cx.all_elements().find(|(known, ..)| *known == id);
        found.map_or_else(String::new, |(_, name, class)| format!("{name} :: {}", class.class))
    }

    /// Asks the patterns in the mapper's order until `rewrite` has made something of one.
    pub(super) fn choose<T>(
        &mut self,
        flow: &FlowId,
        mut rewrite: impl FnMut(&mut InputSpec) -> Option<T>,
    ) -> Option<T> {
        match &mut self.kind {
            Kind::RoundRobin(next) => (0..self.specs.len()).find_map(|_| {
                let at = std::mem::replace(next, (*next + 1) % self.specs.len());
                self.specs.get_mut(at).and_then(&mut rewrite)
            }),
            Kind::SourceHash(ring) => {
                let at = ring.server(Ipv4Addr::from(flow.source));
                self.specs.get_mut(at).and_then(rewrite)
            }
        }
    }
}

fn pattern_of(cx: &mut Cx<'_>, spec: &InputSpec) -> Result<Option<(Pattern, Outputs)>, String> {
    Ok(match spec {
        InputSpec::Rewrite { pattern, outputs, .. } => Some((*pattern, *outputs)),
        InputSpec::Named { name, outputs, .. } => Some((IpRewriterPatterns::find(cx, name)?, *outputs)),
        _ => None,
    })
}

impl Element for IpMapper {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        for spec in &mut self.specs {
            if let Some((pattern, outputs)) = pattern_of(cx, spec)? {
                *spec = InputSpec::Rewrite { pattern, outputs, next: 0 };
            }
        }
        if self.specs.len() == 1 && !cx.dry() {
            cx.message(format_args!("{}: warning: only one pattern given", cx.name()));
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IpMapper {
    fn schema(&self) -> Schema {
        Schema { name: "nat/mapper", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        let next = if let Kind::RoundRobin(next) = self.kind { next } else { 0 };
        w.put_u32(next as u32);
        for spec in &self.specs {
            w.put_u32(spec.next());
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let position = r.get_u32()?;
        if position as usize >= self.specs.len() {
            return Err(StateError::Invalid { what: "position in a round", value: u64::from(position) });
        }
        if let Kind::RoundRobin(next) = &mut self.kind {
            *next = position as usize;
        }
        for spec in &mut self.specs {
            spec.set_next(r.get_u32()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{only, tcp, verified};
    use crate::testing::Bench;

    const CLIENT: [u8; 4] = [192, 0, 2, 7];
    const VIRTUAL: ([u8; 4], u16) = ([203, 0, 113, 1], 80);

    fn bench(mapper: &str) -> Bench {
        Bench::new(&format!(
            "m :: {mapper}; in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(m, drop);
            back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;"
        ))
    }

    fn server(bench: &mut Bench, client: ([u8; 4], u16)) -> u8 {
        bench.push("in", &tcp(client, VIRTUAL, "S", b""));
        let (source, destination) = verified(&only(bench.take("out")));
        assert_eq!(source, client);
        destination.0[3]
    }

    const THREE: &str = "RoundRobinIPMapper(- - 10.0.0.1 - 0 1, - - 10.0.0.2 - 0 1, - - 10.0.0.3 - 0 1)";

    #[test]
    fn new_flows_go_to_the_servers_in_turn_and_stay_there() {
        let mut bench = bench(THREE);
        let servers: Vec<_> = (1..=7).map(|port| server(&mut bench, (CLIENT, port))).collect();
        assert_eq!(servers, [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(server(&mut bench, (CLIENT, 2)), 2);
        bench.push("back", &tcp(([10, 0, 0, 2], 80), (CLIENT, 2), "SA", b""));
        assert_eq!(verified(&only(bench.take("home"))), (VIRTUAL, (CLIENT, 2)));
    }

    #[test]
    fn the_round_goes_on_where_it_was_after_a_move() {
        let (mut before, mut after) = (bench(THREE), bench(THREE));
        assert_eq!((server(&mut before, (CLIENT, 1)), server(&mut before, (CLIENT, 2))), (1, 2));
        before.move_to(&mut after);
        assert_eq!(server(&mut after, (CLIENT, 3)), 3);
    }

    #[test]
    fn a_pattern_without_a_free_port_is_passed_over() {
        let mut bench = bench("RoundRobinIPMapper(1.0.0.1 5-5 - - 0 1, 1.0.0.2 5-5 - - 0 1)");
        let mut address = |host: u8| {
            bench.push("in", &tcp(([10, 0, 0, host], 9), (CLIENT, 80), "S", b""));
            bench.take("out").first().map(|packet| verified(packet).0.0[3])
        };
        assert_eq!([address(1), address(2), address(3)], [Some(1), Some(2), None]);
        assert_eq!(bench.read("rw", "mapping_failures"), "1");
        assert_eq!(bench.drops("rw", "no free port"), 1);
    }

    #[test]
    fn named_patterns_count_wherever_the_mapper_stands() {
        let text = |first: &str, last: &str| {
            format!(
                "{first} IPRewriterPatterns(web - - 10.0.0.9 8080);
                in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(m) -> out :: TestOut; {last}"
            )
        };
        let mapper = "m :: RoundRobinIPMapper(web 0 0, - - 10.0.0.8 - 0 0);";
        for text in [text(mapper, ""), text("", mapper)] {
            let mut bench = Bench::new(&text);
            assert_eq!((server(&mut bench, (CLIENT, 1)), server(&mut bench, (CLIENT, 2))), (9, 8));
        }
    }

    const HASHED: &str =
        "SourceIPHashMapper(20 7, - - 10.0.0.1 - 0 1 1, - - 10.0.0.2 - 0 1 2, - - 10.0.0.3 - 0 1 3)";

    #[test]
    fn a_client_is_always_sent_to_the_same_server_and_clients_are_spread() {
        let mut bench = bench(HASHED);
        let mut seen = BTreeSet::new();
        for host in 1..60 {
            let client = [192, 0, 2, host];
            let first = server(&mut bench, (client, 1));
            assert!((2..6).all(|port| server(&mut bench, (client, port)) == first));
            seen.insert(first);
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn when_a_server_goes_only_its_clients_move() {
        let mut all = bench(HASHED);
        let mut two = bench("SourceIPHashMapper(20 7, - - 10.0.0.1 - 0 1 1, - - 10.0.0.3 - 0 1 3)");
        for host in 1..60 {
            let client = ([192, 0, 2, host], 1);
            let (before, after) = (server(&mut all, client), server(&mut two, client));
            assert!(after == before || before == 2, "client {host}: {before}, then {after}");
        }
    }

    #[test]
    fn wrong_mappers_are_refused_in_click_s_words() {
        let refused = |text: &str| Bench::error(text);
        for (config, message) in [
            ("RoundRobinIPMapper()", "no patterns given"),
            ("RoundRobinIPMapper(- - 0 0)", ""),
            ("RoundRobinIPMapper(- 0)", "syntax error"),
            ("RoundRobinIPMapper(- - x - 0 0)", "bad destination address"),
            ("RoundRobinIPMapper(- - - - x 0)", "bad forward port"),
            ("RoundRobinIPMapper(- - - - 0 x)", "bad reply port"),
            ("RoundRobinIPMapper(nowhere 0 0)", "no such pattern 'nowhere'"),
            ("SourceIPHashMapper()", "no hash seed given"),
            ("SourceIPHashMapper(1 2)", "no patterns given"),
            ("SourceIPHashMapper(1, - - - - 0 0 1)", "requires 2 config params: numnodes seed"),
            ("SourceIPHashMapper(0 2, - - - - 0 0 1)", "number of nodes must be an integer"),
            ("SourceIPHashMapper(1 x, - - - - 0 0 1)", "hash seed must be an integer"),
            ("SourceIPHashMapper(1 2, - - - - 0 0 x)", "bad server ID in pattern spec"),
            ("SourceIPHashMapper(1 2, - - - - 0 0 1, - - - - 0 0 1)", "server ID 1 is given twice"),
            ("SourceIPHashMapper(100000000 2, - - - - 0 0 60000)", "too many nodes"),
        ] {
            match message {
                "" => drop(Bench::new(config)),
                message => assert!(refused(config).contains(message), "{config}: {}", refused(config)),
            }
        }
        let rewriter = |spec: &str| {
            refused(&format!(
                "m :: RoundRobinIPMapper(- - - - 0 1, - - - - 0 0); q :: Idle -> Discard;
                TestIn -> IPRewriter({spec}) -> TestOut;"
            ))
        };
        for (spec, message) in [
            ("m", "input spec 0: output port out of range in m :: RoundRobinIPMapper pattern 0"),
            ("q", "input spec 0: element is not an IPMapper"),
            ("m 0", "input spec 0: syntax error, expected element name"),
            ("nowhere", "input spec 0: unknown specification"),
        ] {
            assert!(rewriter(spec).contains(message), "{spec}: {}", rewriter(spec));
        }
    }
}
