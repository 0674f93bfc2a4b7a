//! RadixIPLookup and its kin: routes packets by their destination annotation, longest prefix first.
//!
//! One table behind all of Click's class names. Routes changed by handlers are state: they move with the element.

use std::fmt;
use std::net::Ipv4Addr;

use hashbrown::HashMap;

use super::route_order::{Prefix, Reuse, RouteOrder};
use super::route_trie::RouteTrie;
use crate::config::{IpPrefix, Value, split_words};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::engine::NO_PORT;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const NO_ROUTE: &str = "no route";
/// Packets without a route that a message tells of.
const MOST_TOLD: u8 = 5;

const BASE: Descriptor = Descriptor {
    summary: "IP lookup, longest prefix first",
    ports: "1/-",
    processing: "h/h",
    args: &[Arg::rest("ROUTE", "ADDR/MASK [GW] OUT", "routes; of equal prefixes the first counts")],
    reads: Annotations::DST_IP,
    writes: Annotations(0),
    drops: &[NO_ROUTE],
    handlers: &[
        Handler::read("table", "all routes: prefix, gateway or -, output"),
        Handler::read("lookup", "ADDR: output and gateway for it; -1 if there is no route"),
        Handler::write("add", "ADDR/MASK [GW] OUT; fails if the prefix has a route"),
        Handler::write("set", "ADDR/MASK [GW] OUT; replaces a route of the prefix"),
        Handler::write("remove", "ADDR/MASK [[GW] OUT]"),
        Handler::write("ctrl", "lines of add, set and remove, all or none"),
        Handler::write("flush", "removes all routes"),
    ],
    state: StateKind::Small,
    details: "Packets go by their destination annotation to the output of the longest prefix that holds it; a gateway \
              replaces the annotation. A packet without a route is dropped, and a message tells of the first five. One \
              table, compact and fast, stands behind all class names of Click; they differ in the order of `table`. \
              Routes changed by handlers move with the element.",
    build: |args| build(args, Reuse::Last, "IPRouteTable"),
    ..Descriptor::BASE
};

/// Click's simple tables.
const SIMPLE: Descriptor = Descriptor { build: |args| build(args, Reuse::First, "LinearIPLookup"), ..BASE };

pub(super) static RADIX: Descriptor = Descriptor {
    class: "RadixIPLookup",
    example: r#"
        rt :: RadixIPLookup(10.0.0.0/24 0, 10.0.1.0/24 1, 0.0.0.0/0 10.0.1.254 1);
        rt[0] -> IPPrint("out 0", TIMESTAMP false) -> Discard;
        rt[1] -> IPPrint("out 1", TIMESTAMP false) -> Discard;
        RatedSource(RATE 1, LIMIT 4) -> UDPIPEncap(10.0.1.9, 5000, 10.0.0.7, 53) -> rt;
        RatedSource(RATE 1, LIMIT 4) -> UDPIPEncap(10.0.0.7, 5000, 8.8.8.8, 53) -> rt;
        DriverManager(wait 1.5s, print $(rt.lookup 8.8.8.8), write rt.remove 0.0.0.0/0,
            write rt.add 8.0.0.0/8 10.0.0.254 0, wait 1s, write rt.set 10.0.0.0/24 1,
            write rt.remove 8.0.0.0/8 10.0.0.254 0, wait 1.5s, print $(rt.table), print $(rt.lookup 8.8.8.8));
    "#,
    ..BASE
};

pub(super) static STATIC: Descriptor = Descriptor {
    class: "StaticIPLookup",
    example: r#"
        rt :: StaticIPLookup(10.0.0.1/32 0, 10.0.0.0/24 1, 0.0.0.0/0 10.0.0.254 1);
        rt[0] -> IPPrint("to me", TIMESTAMP false) -> Discard;
        rt[1] -> IPPrint("to the network", TIMESTAMP false)
            -> arp :: ARPQuerier(10.0.0.1, 2:0:0:0:0:1)
            -> MarkIPHeader(14)
            -> ARPPrint(TIMESTAMP false)
            -> Discard;
        Idle -> [1] arp;
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.7, 5000, 10.0.0.1, 53) -> rt;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.9, 53) -> rt;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 8.8.8.8, 53) -> rt;
        DriverManager(wait 1s, print $(rt.table));
    "#,
    ..SIMPLE
};

pub(super) static LINEAR: Descriptor = Descriptor {
    class: "LinearIPLookup",
    example: r#"
        rt :: LinearIPLookup(10.0.0.0/8 0, 10.1.0.0/16 1);
        rt[0] -> IPPrint("out 0", TIMESTAMP false) -> Discard;
        rt[1] -> IPPrint("out 1", TIMESTAMP false) -> Discard;
        RatedSource(RATE 1, LIMIT 3) -> UDPIPEncap(10.1.0.9, 5000, 10.2.0.7, 53) -> rt;
        RatedSource(RATE 1, LIMIT 3) -> UDPIPEncap(10.2.0.7, 5000, 10.1.0.9, 53) -> rt;
        DriverManager(wait 0.5s, write rt.remove 10.0.0.0/8, wait 1s,
            write rt.add 10.2.0.0/16 1, wait 1s, print $(rt.table));
    "#,
    ..SIMPLE
};

pub(super) static DIRECT: Descriptor = Descriptor {
    class: "DirectIPLookup",
    example: r#"
        rt :: DirectIPLookup(10.0.0.0/24 0, 10.0.0.128/25 1);
        rt[0] -> IPPrint("out 0", TIMESTAMP false) -> Discard;
        rt[1] -> IPPrint("out 1", TIMESTAMP false) -> Discard;
        RatedSource(RATE 1, LIMIT 3) -> UDPIPEncap(10.0.0.9, 5000, 10.0.0.129, 53) -> rt;
        DriverManager(wait 0.5s, write rt.ctrl "remove 10.0.0.128/25
add 10.0.0.129/32 10.0.0.1 0",
            print $(rt.table), wait 1s, write rt.flush, wait 1s, print $(rt.drop_reasons));
    "#,
    ..BASE
};

pub(super) static RANGE: Descriptor = Descriptor {
    class: "RangeIPLookup",
    example: r#"
        rt :: RangeIPLookup(10.0.0.0/24 0, 10.0.1.0/24 1);
        rt[0] -> IPPrint("out 0", TIMESTAMP false) -> Discard;
        rt[1] -> IPPrint("out 1", TIMESTAMP false) -> Discard;
        RatedSource(RATE 1, LIMIT 3) -> UDPIPEncap(10.0.0.9, 5000, 10.0.1.7, 53) -> rt;
        DriverManager(wait 0.5s, write rt.set 10.0.1.0/24 10.0.0.1 0, wait 2s,
            print $(rt.lookup 10.0.1.7), print $(rt.lookup 10.0.2.7));
    "#,
    ..BASE
};

pub(super) static SORTED: Descriptor = Descriptor {
    class: "SortedIPLookup",
    example: r#"
        rt :: SortedIPLookup(0.0.0.0/0 0, 10.0.1.0/24 1);
        rt[0] -> IPPrint("out 0", TIMESTAMP false) -> Discard;
        rt[1] -> IPPrint("out 1", TIMESTAMP false) -> Discard;
        RatedSource(RATE 1, LIMIT 3) -> UDPIPEncap(10.0.0.9, 5000, 10.0.1.7, 53) -> rt;
        DriverManager(wait 1.5s, write rt.remove 10.0.1.0/24, wait 1s, print $(rt.table));
    "#,
    ..SIMPLE
};

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Hop {
    /// 0.0.0.0 when the destination is on the link.
    gateway: u32,
    output: u16,
}

/// A route as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    prefix: Prefix,
    hop: Hop,
}

/// Click's form, fields apart by blanks.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", show_prefix(self.prefix), show_gateway(self.hop), self.hop.output)
    }
}

fn show_prefix((network, length): Prefix) -> String {
    format!("{}/{length}", Ipv4Addr::from(network))
}

fn show_gateway(hop: Hop) -> String {
    if hop.gateway == 0 { "-".to_owned() } else { Ipv4Addr::from(hop.gateway).to_string() }
}

/// The element behind all class names.
pub(crate) struct IpLookup {
    /// Who tells of packets without a route.
    name: &'static str,
    trie: RouteTrie,
    order: RouteOrder,
    /// Route number minus one to hop.
    hops: Vec<Hop>,
    numbers: HashMap<Hop, u32>,
    outputs: usize,
    changed: bool,
    /// Packets without a route that were told of.
    told: u8,
}

fn build(args: &Args<'_>, reuse: Reuse, name: &'static str) -> Result<Box<dyn Element>, ConfigError> {
    let mut lookup = IpLookup {
        name,
        trie: RouteTrie::new(),
        order: RouteOrder::new(reuse),
        hops: Vec::new(),
        numbers: HashMap::new(),
        outputs: args.outputs(),
        changed: false,
        told: 0,
    };
    let (mut routes, mut problems) = (Vec::new(), Vec::new());
    for (number, text) in args.rest().iter().enumerate() {
        let prefix = |word: &str| args.parse::<IpPrefix>("prefix", word).ok();
        let address = |word: &str| args.parse::<Ipv4Addr>("gateway", word).ok();
        let argument = number + 1;
        match parse_route(text, prefix, address) {
            Some((prefix, Some(hop))) if usize::from(hop.output) < args.outputs() => {
                if !lookup.order.contains(prefix) {
                    lookup.order.insert(prefix);
                    routes.push((prefix.0, prefix.1, lookup.number(hop)));
                }
            }
            Some((_, Some(_))) => problems.push(format!("argument {argument} bad OUTPUT")),
            _ => problems.push(format!("argument {argument} should be 'ADDR/MASK [GATEWAY] OUTPUT'")),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    lookup.trie.extend(routes.into_iter());
    Ok(Box::new(lookup))
}

/// `ADDR/MASK [GATEWAY] OUTPUT`, or without hop. An output that is no port of any element is the largest number.
fn parse_route(
    text: &str,
    prefix: impl Fn(&str) -> Option<IpPrefix>,
    address: impl Fn(&str) -> Option<Ipv4Addr>,
) -> Option<(Prefix, Option<Hop>)> {
    let words = split_words(text);
    let (target, gateway, output) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [target] => (target, "-", None),
        [target, output] => (target, "-", Some(output)),
        [target, gateway, output] => (target, gateway, Some(output)),
        _ => return None,
    };
    let target = prefix(target)?;
    let prefix = (target.network().into(), target.length()?);
    let Some(output) = output else { return Some((prefix, None)) };
    let gateway = if gateway == "-" { 0 } else { address(gateway)?.into() };
    let output = u16::try_from(output.parse::<i32>().ok()?).unwrap_or(u16::MAX);
    Some((prefix, Some(Hop { gateway, output })))
}

impl IpLookup {
    /// The number of a hop; equal hops share one.
    fn number(&mut self, hop: Hop) -> u32 {
        *self.numbers.entry(hop).or_insert_with(|| {
            self.hops.push(hop);
            self.hops.len() as u32
        })
    }

    #[inline]
    fn find(&self, address: Ipv4Addr) -> Option<Hop> {
        let number = self.trie.find(address.into())?;
        self.hops.get(number as usize - 1).copied()
    }

    /// Whether there is a route for an address.
    pub(crate) fn has_route(&self, address: Ipv4Addr) -> bool {
        self.find(address).is_some()
    }

    /// The route of exactly this prefix.
    fn exact(&self, prefix: Prefix) -> Option<Route> {
        let number = self.trie.exact(prefix.0, prefix.1)?;
        self.hops.get(number as usize - 1).map(|hop| Route { prefix, hop: *hop })
    }

    /// Reads what `add` and `set` take.
    fn parse(&self, text: &str) -> Result<Route, HandlerError> {
        let refuse = |problem: &str| HandlerError::Refused(problem.to_owned());
        match parse_plain(text) {
            Some((_, Some(hop))) if usize::from(hop.output) >= self.outputs => Err(refuse("bad OUTPUT")),
            Some((prefix, Some(hop))) => Ok(Route { prefix, hop }),
            _ => Err(refuse("expected 'ADDR/MASK [GATEWAY] OUTPUT'")),
        }
    }

    fn add(&mut self, text: &str) -> Result<(), HandlerError> {
        let route = self.parse(text)?;
        if let Some(old) = self.exact(route.prefix) {
            return Err(HandlerError::Refused(format!("conflict with existing route '{old}'")));
        }
        self.put(route);
        Ok(())
    }

    fn put(&mut self, route: Route) {
        let number = self.number(route.hop);
        self.order.insert(route.prefix);
        self.trie.insert(route.prefix.0, route.prefix.1, number);
        self.changed = true;
    }

    fn remove(&mut self, text: &str) -> Result<(), HandlerError> {
        let parsed = parse_plain(text);
        let (prefix, hop) = parsed
            .ok_or_else(|| HandlerError::Refused("expected 'ADDR/MASK [GATEWAY OUTPUT]'".to_owned()))?;
        let found = self.exact(prefix).filter(|route| hop.is_none_or(|hop| hop == route.hop));
        if found.is_none() {
            let route = match hop {
                Some(hop) => Route { prefix, hop }.to_string(),
                None => format!("{} - -1", show_prefix(prefix)),
            };
            return Err(HandlerError::Refused(format!("route '{route}' not found")));
        }
        self.order.remove(prefix);
        self.trie.remove(prefix.0, prefix.1);
        self.changed = true;
        Ok(())
    }

    fn change(&mut self, command: &str, text: &str) -> Result<(), HandlerError> {
        match command {
            "add" => self.add(text),
            "set" => {
                let route = self.parse(text)?;
                self.put(route);
                Ok(())
            }
            "remove" => self.remove(text),
            other => Err(HandlerError::Refused(format!("bad command '{other}'"))),
        }
    }

    /// Obeys all lines, or none if one of them fails.
    fn control(&mut self, lines: &str) -> Result<(), HandlerError> {
        let routes: Vec<_> = self.trie.iter().collect();
        let (order, changed) = (self.order.clone(), self.changed);
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, text) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if let Err(error) = self.change(command, text) {
                self.trie = RouteTrie::new();
                self.trie.extend(routes.into_iter());
                (self.order, self.changed) = (order, changed);
                return Err(error);
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.trie = RouteTrie::new();
        self.order.clear();
        self.changed = true;
    }

    /// All routes in columns that tabs make.
    fn show(&self) -> String {
        let column = |text: String, width: usize| {
            let tabs = if text.len() + 1 < width { "\t\t" } else { "\t" };
            text + tabs
        };
        let routes = self.order.iter().filter_map(|prefix| self.exact(prefix));
        let lines = routes.map(|Route { prefix, hop }| {
            column(show_prefix(prefix), 17) + &column(show_gateway(hop), 9) + &format!("{}\n", hop.output)
        });
        lines.collect()
    }

    /// Tells of packets without a route, if not enough were told of already.
    #[cold]
    fn tell(&mut self, cx: &Cx<'_>, addresses: &[Ipv4Addr]) {
        for address in addresses.iter().take(usize::from(MOST_TOLD.saturating_sub(self.told))) {
            cx.message(format_args!("{}: no route for {address}", self.name));
            self.told += 1;
        }
    }
}

fn parse_plain(text: &str) -> Option<(Prefix, Option<Hop>)> {
    parse_route(text, |word| IpPrefix::parse_plain(word).ok(), |word| word.parse().ok())
}

impl Element for IpLookup {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let mut lost = Vec::new();
        cx.split(batch, NO_ROUTE, |packet| match self.find(packet.anno().dst_ip) {
            Some(hop) => {
                if hop.gateway != 0 {
                    packet.anno_mut().dst_ip = Ipv4Addr::from(hop.gateway);
                }
                usize::from(hop.output)
            }
            None => {
                if self.told < MOST_TOLD {
                    lost.push(packet.anno().dst_ip);
                }
                NO_PORT
            }
        });
        if !lost.is_empty() {
            self.tell(cx, &lost);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        match handler {
            "table" => Ok(self.show()),
            "lookup" => {
                let address = Ipv4Addr::parse_plain(param.trim());
                let address = address.map_err(|_| HandlerError::Refused("expected IP address".to_owned()))?;
                Ok(match self.find(address) {
                    Some(Hop { gateway: 0, output }) => output.to_string(),
                    Some(Hop { gateway, output }) => format!("{output} {}", Ipv4Addr::from(gateway)),
                    None => "-1".to_owned(),
                })
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "add" | "set" | "remove" => self.change(handler, value),
            "ctrl" => self.control(value),
            "flush" => {
                self.flush();
                Ok(())
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IpLookup {
    fn schema(&self) -> Schema {
        Schema { name: "ip/routes", version: 2 }
    }

    /// No route while they are those of the configuration.
    fn save(&self, w: &mut Writer) {
        w.put_u8(self.told);
        w.put_bool(self.changed);
        if !self.changed {
            return;
        }
        self.order.save(w);
        for Route { hop, .. } in self.order.iter().filter_map(|prefix| self.exact(prefix)) {
            w.put_u32(hop.gateway);
            w.put_u16(hop.output);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.told = r.get_u8()?;
        if !r.get_bool()? {
            return Ok(());
        }
        let mut order = self.order.clone();
        order.restore(r)?;
        let mut routes = Vec::new();
        for (network, length) in order.iter() {
            let hop = Hop { gateway: r.get_u32()?, output: r.get_u16()? };
            let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            if length > 32 || network & host != 0 {
                return Err(StateError::Invalid { what: "prefix length", value: u64::from(length) });
            }
            if usize::from(hop.output) >= self.outputs {
                return Err(StateError::Invalid { what: "output of a route", value: u64::from(hop.output) });
            }
            routes.push((network, length, self.number(hop)));
        }
        self.trie = RouteTrie::new();
        self.trie.extend(routes.into_iter());
        self.order = order;
        self.changed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Packet;
    use crate::state::{Reader, Writer};
    use crate::testing::Bench;

    const ROUTES: &str =
        "in :: TestIn -> rt :: RadixIPLookup(10.0.1.1/32 0, 10.0.1.0/24 1, 0.0.0.0/0 10.0.1.254 1);
        rt[0] -> a :: TestOut; rt[1] -> b :: TestOut;";

    fn push(bench: &mut Bench, address: [u8; 4]) {
        let mut packet = Packet::from_slice(&address);
        packet.anno_mut().dst_ip = address.into();
        bench.push_packets("in", 0, [packet]);
    }

    #[test]
    fn packets_go_by_the_longest_prefix_and_get_the_gateway() {
        let mut bench = Bench::new(ROUTES);
        push(&mut bench, [10, 0, 1, 1]);
        push(&mut bench, [10, 0, 1, 2]);
        push(&mut bench, [8, 8, 8, 8]);
        assert_eq!(bench.take("a"), [[10, 0, 1, 1]]);
        let out = bench.take_packets("b");
        let annotations: Vec<_> = out.iter().map(|p| p.anno().dst_ip.octets()).collect();
        assert_eq!(annotations, [[10, 0, 1, 2], [10, 0, 1, 254]]);
    }

    #[test]
    fn handlers_change_routes_all_or_nothing() {
        let mut bench = Bench::new(ROUTES);
        let write =
            |bench: &mut Bench, handler: &str, value: &str| bench.router.write_handler("rt", handler, value);
        assert!(write(&mut bench, "add", "10.0.1.0/24 0").is_err());
        assert!(write(&mut bench, "set", "10.0.1.0/24 0").is_ok());
        assert!(write(&mut bench, "ctrl", "remove 0.0.0.0/0\nadd 9.9.9.0/24 7").is_err());
        assert_eq!(
            bench.router.read_handler_with("rt", "lookup", "8.8.8.8").ok().as_deref(),
            Some("1 10.0.1.254")
        );
        assert!(write(&mut bench, "ctrl", "remove 0.0.0.0/0\nadd 9.9.9.0/24 0").is_ok());
        push(&mut bench, [8, 8, 8, 8]);
        assert_eq!(bench.drops("rt", "no route"), 1);
        assert!(bench.read("rt", "table").contains("9.9.9.0/24"));
    }

    #[test]
    fn routes_that_make_no_sense_are_refused() {
        let error = Bench::error(
            "in :: TestIn -> StaticIPLookup(10.0.0.0/8, 1.2.3.4/32 9, 1.0.0.0/255.0.255.0 0, 1.0.0.0/8 - -1) -> TestOut;",
        );
        for part in [
            "argument 1 should be 'ADDR/MASK [GATEWAY] OUTPUT'",
            "argument 2 bad OUTPUT",
            "argument 3 should be",
            "argument 4 bad OUTPUT",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let mut bench = Bench::new(ROUTES);
        for (handler, value, expected) in [
            ("add", "10.0.1.0/24 0", "conflict with existing route '10.0.1.0/24 - 1'"),
            ("add", "10.0.2.0/24 7", "bad OUTPUT"),
            ("add", "10.0.2.0/24", "expected 'ADDR/MASK [GATEWAY] OUTPUT'"),
            ("remove", "10.0.2.0/24", "route '10.0.2.0/24 - -1' not found"),
            ("remove", "0.0.0.0/0 1", "route '0.0.0.0/0 - 1' not found"),
            ("remove", "x", "expected 'ADDR/MASK [GATEWAY OUTPUT]'"),
            ("ctrl", "drop 1.2.3.4", "bad command 'drop'"),
        ] {
            let error = bench.router.write_handler("rt", handler, value).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn tables_show_routes_in_the_order_of_click_s() {
        let show = |class: &str| {
            let mut bench = Bench::new(&format!(
                "Idle -> rt :: {class}(10.0.0.0/8 0, 10.0.0.0/8 1.2.3.4 0, 192.168.100.0/24 1.2.3.4 0, 1.0.0.0/8 0) -> Discard;"
            ));
            for (handler, value) in [
                ("remove", "10.0.0.0/8"),
                ("remove", "1.0.0.0/8 0"),
                ("add", "2.0.0.0/8 0"),
                ("set", "192.168.100.0/24 0"),
                ("add", "3.0.0.0/8 100.100.100.100 0"),
            ] {
                bench.router.write_handler("rt", handler, value).unwrap();
            }
            bench.read("rt", "table")
        };
        assert_eq!(
            show("RadixIPLookup"),
            "192.168.100.0/24\t-\t\t0\n3.0.0.0/8\t\t100.100.100.100\t0\n2.0.0.0/8\t\t-\t\t0\n"
        );
        assert_eq!(
            show("LinearIPLookup"),
            "2.0.0.0/8\t\t-\t\t0\n192.168.100.0/24\t-\t\t0\n3.0.0.0/8\t\t100.100.100.100\t0\n"
        );
    }

    #[test]
    fn of_equal_prefixes_the_first_counts() {
        let mut bench = Bench::new(
            "in :: TestIn -> rt :: RadixIPLookup(10.0.0.0/8 0, 10.0.0.0/8 1); rt[0] -> a :: TestOut; rt[1] -> Discard;",
        );
        push(&mut bench, [10, 0, 0, 1]);
        assert_eq!(bench.take("a").len(), 1);
    }

    #[test]
    fn changed_routes_move_and_nonsense_does_not() {
        let (mut bench, mut moved) = (Bench::new(ROUTES), Bench::new(ROUTES));
        for (handler, value) in
            [("remove", "10.0.1.0/24"), ("remove", "10.0.1.1/32"), ("add", "7.0.0.0/8 1.2.3.4 0")]
        {
            bench.router.write_handler("rt", handler, value).unwrap();
        }
        bench.move_to(&mut moved);
        assert_eq!(moved.read("rt", "table"), bench.read("rt", "table"));
        let mut w = Writer::new();
        let id = bench.router.find("rt").unwrap();
        bench.router.state_of(id).unwrap().save(&mut w);
        for at in 2..w.len() {
            let mut bytes = w.as_bytes().to_vec();
            bytes[at] ^= 0xff;
            let _ = moved.router.state_of(id).unwrap().restore(&mut Reader::new(&bytes));
            push(&mut moved, [7, 0, 0, 1]);
        }
    }
}
