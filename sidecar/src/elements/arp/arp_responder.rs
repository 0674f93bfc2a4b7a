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
    writes: Annotations(Annotations::MAC_HEADER.0 | Annotations::TIMESTAMP.0),
    drops: &[NOT_OURS],
    handlers: &[
        Handler::read("table", "all entries"),
        Handler::read("lookup", "IP: the MAC address that it has"),
        Handler::write("add", "IP[/MASK] ... ETH"),
        Handler::write("remove", "IP[/MASK] ..."),
    ],
    state: StateKind::Small,
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
            Err(problem) => problems.push(format!("argument {}: {problem}", number + 1)),
        }
    }
    if problems.is_empty() { Ok(Box::new(responder)) } else { Err(ConfigError(problems)) }
}

/// Parses `IP[/MASK] ... ETH`; a single name may stand for both.
fn parse_entries(
    text: &str,
    network: impl Fn(&str) -> Option<IpPrefix>,
    mac: impl Fn(&str) -> Option<EtherAddr>,
) -> Result<Vec<Entry>, String> {
    let words = split_words(text);
    let Some(hardware) = words.last().and_then(|word| mac(word)) else {
        return Err(format!("missing Ethernet address in '{text}'"));
    };
    let networks = if words.len() == 1 { &words[..] } else { &words[..words.len() - 1] };
    let entries = networks.iter().map(|word| {
        let prefix = network(word).ok_or_else(|| format!("expected IP prefix, got '{word}'"))?;
        Ok(Entry { network: prefix.network().into(), mask: prefix.mask.into(), mac: MacAddress(hardware.0) })
    });
    entries.collect()
}

impl ArpResponder {
    fn put(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.entries.retain(|known| (known.network, known.mask) != (entry.network, entry.mask));
            self.entries.push(entry);
        }
        // The longest prefix first.
        self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.mask));
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
                let lines = self.entries.iter().map(|entry| {
                    let prefix = IpPrefix { address: entry.network.into(), mask: entry.mask.into() };
                    format!("{prefix} {}\n", entry.mac)
                });
                Ok(lines.collect())
            }
            "lookup" => {
                let ip = Ipv4Addr::parse_plain(param).map_err(HandlerError::Refused)?;
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
                for word in split_words(value) {
                    let prefix = network(&word)
                        .ok_or_else(|| HandlerError::Refused(format!("bad address '{word}'")))?;
                    let (network, mask) = (u32::from(prefix.network()), u32::from(prefix.mask));
                    self.entries.retain(|entry| (entry.network, entry.mask) != (network, mask));
                }
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
}
