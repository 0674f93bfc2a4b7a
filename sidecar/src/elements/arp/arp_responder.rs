//! ARPResponder: answers ARP requests for its addresses.

use std::net::Ipv4Addr;

use crate::config::{EtherAddr, IpPrefix, Value, split_words};
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::packet::HEADROOM;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::{ArpIpv4, Ethernet, MacAddress, arp, ethernet};

const NOT_OURS: &str = "no ARP request for an address of ours";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ARPResponder",
    summary: "generates responses to ARP queries",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::rest("ENTRY", "IP[/MASK] ... ETH", "addresses or networks, and the MAC address that they have"),
        Arg::keyword("TIMESTAMP", "bool", "true", "whether answers get a timestamp"),
    ],
    writes: Annotations::MAC_HEADER,
    drops: &[NOT_OURS],
    handlers: &[
        Handler::read("table", "all entries"),
        Handler::read("lookup", "IP: the MAC address that it has"),
        Handler::write("add", "IP[/MASK] ... ETH"),
        Handler::write("remove", "IP[/MASK]"),
    ],
    state: StateKind::Small,
    details: "A question for an address of the table is answered by a frame to whoever asked; of several networks, the \
              smallest counts. All other packets leave by output 1, or are dropped.",
    example: r#"
        r :: ARPResponder(10.0.0.1 2:0:0:0:0:1, 10.1.0.0/16 10.2.0.0/16 2:0:0:0:0:2);
        r[0] -> ARPPrint(answer, TIMESTAMP false, ETHER true) -> Discard;
        r[1] -> ARPPrint("not mine", TIMESTAMP false) -> Discard;
        RatedSource(DATA \<ffffffffffff 020000000009 0806 0001 0800 06 04 0001
            020000000009 0a000009 000000000000 0a000001>, RATE 1, LIMIT 2) -> q :: MarkIPHeader(14) -> r;
        RatedSource(DATA \<ffffffffffff 020000000009 0806 0001 0800 06 04 0001
            020000000009 0a000009 000000000000 0a020001>, RATE 1, LIMIT 3) -> q;
        DriverManager(print $(r.lookup 10.2.0.1), wait 0.5s, write r.add 10.2.0.1 2:0:0:0:0:3,
            write r.remove 10.0.0.1, wait 2s, print $(r.table));
    "#,
    build,
    ..Descriptor::BASE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    network: u32,
    mask: u32,
    mac: MacAddress,
}

struct ArpResponder {
    entries: Vec<Entry>,
    timestamp: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mut responder = ArpResponder { entries: Vec::new(), timestamp: args.or("TIMESTAMP", true)? };
    let mut problems = Vec::new();
    for (number, text) in args.rest().iter().enumerate() {
        let network = |word: &str| args.parse::<IpPrefix>("entry", word).ok();
        let mac = |word: &str| args.parse::<EtherAddr>("entry", word).ok();
        match parse_entries(text, network, mac) {
            Ok(entries) => responder.put(entries),
            Err(problem) => problems.push(format!("argument {number}: {problem}")),
        }
    }
    if problems.is_empty() { Ok(Box::new(responder)) } else { Err(ConfigError(problems)) }
}

/// Parses `IP[/MASK] ... ETH`; a name may stand for both.
fn parse_entries(
    text: &str,
    network: impl Fn(&str) -> Option<IpPrefix>,
    mac: impl Fn(&str) -> Option<EtherAddr>,
) -> Result<Vec<Entry>, String> {
    let words = split_words(text);
    let (mut prefixes, mut hardware) = (Vec::new(), None);
    for word in &words {
        match (network(word), mac(word)) {
            (Some(prefix), _) => prefixes.push(prefix),
            (None, Some(_)) if hardware.is_some() => return Err("more than one ETH".to_owned()),
            (None, Some(mac)) => hardware = Some(mac),
            (None, None) => return Err("expected IP/MASK ETH".to_owned()),
        }
    }
    if prefixes.is_empty() {
        return Err("missing IP/MASK".to_owned());
    }
    let hardware = hardware.or_else(|| words.iter().find_map(|word| mac(word))).ok_or("missing ETH")?;
    let entry = |prefix: IpPrefix| Entry {
        network: prefix.network().into(),
        mask: prefix.mask.into(),
        mac: MacAddress(hardware.0),
    };
    Ok(prefixes.into_iter().map(entry).collect())
}

impl Entry {
    /// Whether all addresses of `other` are among its own.
    fn holds(&self, other: &Self) -> bool {
        other.network & self.mask == self.network && other.mask & self.mask == self.mask
    }

    fn show_prefix(&self) -> IpPrefix {
        IpPrefix { address: self.network.into(), mask: self.mask.into() }
    }
}

impl ArpResponder {
    /// Adds entries, each before those that hold it; of equal prefixes the last counts.
    fn put(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.entries.retain(|known| (known.network, known.mask) != (entry.network, entry.mask));
            let around = self.entries.iter().position(|known| known.holds(&entry));
            self.entries.insert(around.unwrap_or(self.entries.len()), entry);
        }
    }

    fn find(&self, ip: u32) -> Option<MacAddress> {
        self.entries.iter().find(|entry| ip & entry.mask == entry.network).map(|entry| entry.mac)
    }

    fn answer(&self, packet: &Packet) -> Option<Packet> {
        let (frame, rest) = Ethernet::parse(packet.data())?;
        let request = ArpIpv4::parse(rest)?;
        if frame.ether_type.get() != ethernet::TYPE_ARP || request.operation.get() != arp::REQUEST {
            return None;
        }
        let mac = self.find(request.target_ip.get())?;
        let to = (request.sender_mac, request.sender_ip.get());
        Some(reply((mac, request.target_ip.get()), to))
    }
}

/// An ARP reply as a frame.
fn reply(sender: (MacAddress, u32), target: (MacAddress, u32)) -> Packet {
    super::arp_querier::frame(arp::REPLY, sender, target, target.0, HEADROOM)
}

impl Element for ArpResponder {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        match self.answer(&packet) {
            Some(mut reply) => {
                if self.timestamp {
                    reply.anno_mut().timestamp = cx.now();
                }
                reply.anno_mut().vlan_tci = packet.anno().vlan_tci;
                Some(reply)
            }
            None => {
                cx.emit_or_drop(1, NOT_OURS, packet);
                None
            }
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        match handler {
            "table" => {
                let lines =
                    self.entries.iter().map(|entry| format!("{} {}\n", entry.show_prefix(), entry.mac));
                Ok(lines.collect())
            }
            "lookup" => {
                let ip = Ipv4Addr::parse_plain(param.trim());
                let ip = ip.map_err(|_| HandlerError::Refused("expected IP address".to_owned()))?;
                Ok(self.find(ip.into()).map_or(String::new(), |mac| mac.to_string()))
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let network = |word: &str| IpPrefix::parse_plain(word).ok();
        match handler {
            "add" => {
                let mac = |word: &str| EtherAddr::parse_plain(word).ok();
                self.put(parse_entries(value, network, mac).map_err(HandlerError::Refused)?);
            }
            "remove" => {
                let refuse = |problem: String| HandlerError::Refused(problem);
                let prefix = network(value.trim()).ok_or_else(|| refuse("expected IP/MASK".to_owned()))?;
                let prefix = IpPrefix { address: prefix.network(), mask: prefix.mask };
                let found = self.entries.iter().position(|entry| entry.show_prefix() == prefix);
                self.entries.remove(found.ok_or_else(|| refuse(format!("{prefix} not found")))?);
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for ArpResponder {
    fn schema(&self) -> Schema {
        Schema { name: "arp/responder", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.entries.len() as u32);
        for entry in &self.entries {
            w.put_u32(entry.network);
            w.put_u32(entry.mask);
            w.put_raw(&entry.mac.0);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let mut entries = Vec::new();
        for _ in 0..r.get_u32()? {
            let (network, mask) = (r.get_u32()?, r.get_u32()?);
            let mut mac = MacAddress::default();
            mac.0.copy_from_slice(r.get_raw(6)?);
            entries.push(Entry { network: network & mask, mask, mac });
        }
        self.entries.clear();
        self.put(entries);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn request(ip: [u8; 4]) -> Vec<u8> {
        let asker = (MacAddress([2, 0, 0, 0, 0, 9]), u32::from_be_bytes([10, 0, 0, 9]));
        let target = (MacAddress::default(), u32::from_be_bytes(ip));
        super::super::arp_querier::frame(arp::REQUEST, asker, target, MacAddress::BROADCAST, 0)
            .data()
            .to_vec()
    }

    #[test]
    fn requests_for_own_addresses_and_networks_are_answered() {
        let mut bench = Bench::new(
            "in :: TestIn -> a :: ARPResponder(10.0.0.1 10.1.0.0/16 02:00:00:00:00:01) -> out :: TestOut; a[1] -> no :: TestOut;",
        );
        bench.push("in", &request([10, 0, 0, 1]));
        bench.push("in", &request([10, 1, 7, 7]));
        bench.push("in", &request([10, 2, 7, 7]));
        let out = bench.take("out");
        let (frame, rest) = Ethernet::parse(&out[0]).unwrap();
        let answer = ArpIpv4::parse(rest).unwrap();
        assert_eq!(
            (frame.destination, frame.source),
            (MacAddress([2, 0, 0, 0, 0, 9]), MacAddress([2, 0, 0, 0, 0, 1]))
        );
        assert_eq!((answer.operation.get(), answer.sender_ip.get()), (arp::REPLY, 0x0a00_0001));
        assert_eq!(
            (answer.target_mac, answer.target_ip.get()),
            (MacAddress([2, 0, 0, 0, 0, 9]), 0x0a00_0009)
        );
        assert_eq!((out.len(), bench.take("no").len()), (2, 1));
    }

    #[test]
    fn a_name_stands_for_its_address_not_for_its_network() {
        for words in [
            "me 10.0.0.1/24 02:00:00:00:00:01",
            "me 10.0.0.1 10.0.0.0/24 2:0:0:0:0:1",
            "me 10.0.0.1 2:0:0:0:0:1",
        ] {
            let text = format!("AddressInfo({words}); in :: TestIn -> ARPResponder(me) -> out :: TestOut;");
            let mut bench = Bench::new(&text);
            for (asked, answered) in [([10, 0, 0, 1], true), ([10, 0, 0, 7], false)] {
                bench.push("in", &request(asked));
                assert_eq!(bench.take("out").len(), usize::from(answered), "{words}: {asked:?}");
            }
        }
        let text = "AddressInfo(me 10.0.0.1/24 2:0:0:0:0:1); Idle -> a :: ARPResponder(me:ipnet me:eth, me/16 me:eth) -> Discard;";
        let table = "10.0.0.0/24 02-00-00-00-00-01\n10.0.0.0/16 02-00-00-00-00-01\n";
        assert_eq!(Bench::new(text).read("a", "table"), table);
    }

    #[test]
    fn rubbish_is_never_answered() {
        let mut bench =
            Bench::new("in :: TestIn -> a :: ARPResponder(0.0.0.0/0 02:00:00:00:00:01) -> out :: TestOut;");
        let good = request([1, 2, 3, 4]);
        for length in 0..good.len() {
            bench.push("in", &good[..length]);
        }
        for at in [12, 14, 16, 18, 19, 21] {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            bench.push("in", &bad);
        }
        assert!(bench.take("out").is_empty());
    }

    #[test]
    fn entries_are_changed_by_handlers_and_move() {
        let text = "Idle -> a :: ARPResponder(10.0.0.0/8 2:0:0:0:0:1, 1.2.3.4 2:0:0:0:0:2) -> Discard;";
        let (mut bench, mut moved) = (Bench::new(text), Bench::new(text));
        bench.router.write_handler("a", "add", "10.1.0.0/16 10.0.0.0/8 2:0:0:0:0:3").unwrap();
        bench.router.write_handler("a", "remove", "1.2.3.4").unwrap();
        bench.move_to(&mut moved);
        assert_eq!(moved.read("a", "table"), "10.1.0.0/16 02-00-00-00-00-03\n10.0.0.0/8 02-00-00-00-00-03\n");
        for (handler, value, expected) in [
            ("remove", "1.2.3.4", "1.2.3.4/32 not found"),
            ("remove", "x", "expected IP/MASK"),
            ("add", "1.2.3.4", "missing ETH"),
            ("add", "2:0:0:0:0:3", "missing IP/MASK"),
            ("add", "1.2.3.4 2:0:0:0:0:3 2:0:0:0:0:4", "more than one ETH"),
        ] {
            let error = bench.router.write_handler("a", handler, value).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
        let error = Bench::error("Idle -> ARPResponder(1.2.3.4 2:0:0:0:0:3, gargle) -> Discard;");
        assert!(error.contains("argument 1: expected IP/MASK ETH"), "{error}");
    }
}
