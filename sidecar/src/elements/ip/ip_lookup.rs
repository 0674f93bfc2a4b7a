//! RadixIPLookup and its kin: routes packets by their destination annotation, longest prefix first.
//!
//! One table behind all of Click's class names. Routes changed by handlers are state: they move with the element.

use std::net::Ipv4Addr;

use hashbrown::HashMap;

use super::route_trie::RouteTrie;
use crate::config::{IpPrefix, Value, split_words};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::engine::NO_PORT;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const NO_ROUTE: &str = "no route";

const BASE: Descriptor = Descriptor {
    summary: "IP lookup, longest prefix first",
    ports: "1/-",
    processing: "h/h",
    args: &[Arg::rest("ROUTE", "ADDR/MASK [GW] OUT", "routes; of equal prefixes the last counts")],
    reads: Annotations::DST_IP,
    writes: Annotations(0),
    drops: &[NO_ROUTE],
    handlers: &[
        Handler::read("table", "all routes"),
        Handler::read("lookup", "ADDR: output and gateway for it"),
        Handler::write("add", "ADDR/MASK [GW] OUT; fails if the prefix has a route"),
        Handler::write("set", "ADDR/MASK [GW] OUT; replaces a route of the prefix"),
        Handler::write("remove", "ADDR/MASK [GW] [OUT]"),
        Handler::write("ctrl", "lines of add, set and remove, all or none"),
        Handler::write("flush", "removes all routes"),
    ],
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

pub(super) static RADIX: Descriptor = Descriptor { class: "RadixIPLookup", ..BASE };
pub(super) static STATIC: Descriptor = Descriptor { class: "StaticIPLookup", ..BASE };
pub(super) static LINEAR: Descriptor = Descriptor { class: "LinearIPLookup", ..BASE };
pub(super) static DIRECT: Descriptor = Descriptor { class: "DirectIPLookup", ..BASE };
pub(super) static RANGE: Descriptor = Descriptor { class: "RangeIPLookup", ..BASE };
pub(super) static SORTED: Descriptor = Descriptor { class: "SortedIPLookup", ..BASE };

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Hop {
    /// 0.0.0.0 when the destination is on the link.
    gateway: u32,
    output: u16,
}

/// A route as written.
#[derive(Debug, Clone, Copy)]
struct Route {
    network: u32,
    length: u8,
    hop: Hop,
}

struct IpLookup {
    trie: RouteTrie,
    /// Route number minus one to hop.
    hops: Vec<Hop>,
    numbers: HashMap<Hop, u32>,
    outputs: usize,
    changed: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mut lookup = IpLookup {
        trie: RouteTrie::new(),
        hops: Vec::new(),
        numbers: HashMap::new(),
        outputs: args.outputs(),
        changed: false,
    };
    let (mut routes, mut problems) = (Vec::new(), Vec::new());
    for (number, text) in args.rest().iter().enumerate() {
        let prefix = |word: &str| args.parse::<IpPrefix>("prefix", word).ok();
        let address = |word: &str| args.parse::<Ipv4Addr>("gateway", word).ok();
        match parse_route(text, args.outputs(), prefix, address) {
            Ok(route) => routes.push((route.network, route.length, lookup.number(route.hop))),
            Err(problem) => problems.push(format!("argument {}: {problem}", number + 1)),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    lookup.trie.extend(routes.into_iter());
    Ok(Box::new(lookup))
}

fn parse_prefix(text: &str, prefix: impl Fn(&str) -> Option<IpPrefix>) -> Result<(u32, u8), String> {
    let prefix = prefix(text).ok_or_else(|| format!("expected IP prefix, got '{text}'"))?;
    let length = prefix.length().ok_or_else(|| format!("bad mask in '{text}': it must be a prefix"))?;
    Ok((prefix.network().into(), length))
}

fn parse_route(
    text: &str,
    outputs: usize,
    prefix: impl Fn(&str) -> Option<IpPrefix>,
    address: impl Fn(&str) -> Option<Ipv4Addr>,
) -> Result<Route, String> {
    let words = split_words(text);
    let (target, gateway, output) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [target, output] => (target, "-", output),
        [target, gateway, output] => (target, gateway, output),
        _ => return Err(format!("bad route '{text}', expected 'ADDR/MASK [GATEWAY] OUTPUT'")),
    };
    let (network, length) = parse_prefix(target, prefix)?;
    let gateway = match gateway {
        "-" => 0,
        word => address(word).ok_or_else(|| format!("bad gateway '{word}'"))?.into(),
    };
    let output: u16 = output.parse().map_err(|_| format!("bad output port '{output}'"))?;
    if usize::from(output) >= outputs {
        return Err(format!("output port {output} out of range"));
    }
    Ok(Route { network, length, hop: Hop { gateway, output } })
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

    fn parse(&self, text: &str) -> Result<Route, HandlerError> {
        let prefix = |word: &str| IpPrefix::parse_plain(word).ok();
        parse_route(text, self.outputs, prefix, |word| word.parse().ok()).map_err(HandlerError::Refused)
    }

    fn add(&mut self, text: &str) -> Result<(), HandlerError> {
        let route = self.parse(text)?;
        if self.trie.exact(route.network, route.length).is_some() {
            return Err(HandlerError::Refused(format!("conflict with existing route for '{text}'")));
        }
        self.put(route);
        Ok(())
    }

    fn put(&mut self, route: Route) {
        let number = self.number(route.hop);
        self.trie.insert(route.network, route.length, number);
        self.changed = true;
    }

    fn remove(&mut self, text: &str) -> Result<(), HandlerError> {
        let refuse = |problem: String| HandlerError::Refused(problem);
        let word = split_words(text).into_iter().next().unwrap_or_default();
        let (network, length) =
            parse_prefix(&word, |word| IpPrefix::parse_plain(word).ok()).map_err(refuse)?;
        self.trie.remove(network, length).ok_or_else(|| refuse(format!("route '{text}' not found")))?;
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
            other => Err(HandlerError::Refused(format!("bad command '{other}', use add, set or remove"))),
        }
    }

    /// Obeys all lines, or none if one of them fails.
    fn control(&mut self, lines: &str) -> Result<(), HandlerError> {
        let before: Vec<_> = self.trie.iter().collect();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, text) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if let Err(error) = self.change(command, text) {
                self.trie = RouteTrie::new();
                self.trie.extend(before.into_iter());
                return Err(error);
            }
        }
        Ok(())
    }

    fn show(&self) -> String {
        let routes = self.trie.iter().filter_map(|(network, length, number)| {
            let hop = self.hops.get(number as usize - 1)?;
            let prefix = format!("{}/{length}", Ipv4Addr::from(network));
            let gateway =
                if hop.gateway == 0 { "-".to_owned() } else { Ipv4Addr::from(hop.gateway).to_string() };
            Some(format!("{prefix:<18} {gateway:<15} {}\n", hop.output))
        });
        routes.collect()
    }
}

impl Element for IpLookup {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        cx.split(batch, NO_ROUTE, |packet| match self.find(packet.anno().dst_ip) {
            Some(hop) => {
                if hop.gateway != 0 {
                    packet.anno_mut().dst_ip = Ipv4Addr::from(hop.gateway);
                }
                usize::from(hop.output)
            }
            None => NO_PORT,
        });
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        match handler {
            "table" => Ok(self.show()),
            "lookup" => {
                let address = Ipv4Addr::parse_plain(param).map_err(HandlerError::Refused)?;
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
                self.trie = RouteTrie::new();
                self.changed = true;
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
        Schema { name: "ip/routes", version: 1 }
    }

    /// Nothing but a flag while the routes are those of the configuration.
    fn save(&self, w: &mut Writer) {
        w.put_bool(self.changed);
        if !self.changed {
            return;
        }
        let at = w.reserve_u32();
        let mut count = 0;
        for (network, length, number) in self.trie.iter() {
            let Some(hop) = self.hops.get(number as usize - 1) else { continue };
            w.put_u32(network);
            w.put_u8(length);
            w.put_u32(hop.gateway);
            w.put_u16(hop.output);
            count += 1;
        }
        w.fill_u32(at, count);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        if !r.get_bool()? {
            return Ok(());
        }
        let mut routes = Vec::new();
        for _ in 0..r.get_u32()? {
            let (network, length) = (r.get_u32()?, r.get_u8()?);
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
        self.changed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Packet;
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
            "in :: TestIn -> StaticIPLookup(10.0.0.0/8, 1.2.3.4/32 9, 1.0.0.0/255.0.255.0 0) -> TestOut;",
        );
        for part in ["bad route", "output port 9 out of range", "bad mask"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
