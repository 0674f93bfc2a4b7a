//! ARPQuerier: gives IP packets an Ethernet header, asking for MAC addresses that it does not know.
//!
//! Input 0 takes IP packets with the next hop in their destination annotation, input 1 ARP replies. Frames leave by
//! output 0, queries by output 1 if it is connected.

use std::any::Any;
use std::net::Ipv4Addr;
use std::time::Duration;

use zerocopy::FromZeros;

use super::arp_table::{
    ArpTable, FORGOTTEN, LIMIT_ARGS, TABLE_HANDLERS, expire, limits, nanoseconds, read_table, write_table,
};
use super::cache::Cache;
use crate::config::{EtherAddr, IpPrefix, Value};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, ElementId, Handler, HandlerError,
    Packet, StateKind,
};
use crate::packet::HEADROOM;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::{ArpIpv4, Ethernet, MacAddress, arp, ethernet};

const NO_DESTINATION: &str = "no destination";
const NOT_REPLY: &str = "no ARP reply";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ARPQuerier",
    summary: "encapsulates IP packets in Ethernet headers found via ARP",
    ports: "2/1-2",
    processing: "h/h",
    flow: "xy/x",
    args: &[
        Arg::required("IP", "IP address[/MASK]", "own address, and own network"),
        Arg::optional("ETH", "Ethernet address", "", "own MAC address; may be left out when IP names both"),
        Arg::keyword("TABLE", "element name", "", "an ARPTable to share"),
        LIMIT_ARGS[0],
        LIMIT_ARGS[1],
        LIMIT_ARGS[2],
        LIMIT_ARGS[3],
        LIMIT_ARGS[4],
        Arg::keyword(
            "POLL_TIMEOUT",
            "time",
            "60",
            "after which a known address is asked for again; 0 for never",
        ),
        Arg::keyword(
            "BROADCAST",
            "IP address",
            "",
            "own network's broadcast address; by default that of IP/MASK",
        ),
        Arg::keyword("BROADCAST_POLL", "bool", "false", "whether such questions go to everybody"),
        Arg::keyword("TIMESTAMP", "bool", "true", "whether queries get the timestamp of their packet"),
    ],
    reads: Annotations(Annotations::DST_IP.0 | Annotations::NETWORK_HEADER.0),
    writes: Annotations::MAC_HEADER,
    ties: ties_to_table,
    drops: &[NO_DESTINATION, FORGOTTEN, NOT_REPLY],
    handlers: &[
        TABLE_HANDLERS[0],
        TABLE_HANDLERS[1],
        TABLE_HANDLERS[2],
        TABLE_HANDLERS[3],
        TABLE_HANDLERS[4],
        TABLE_HANDLERS[5],
        Handler::both("ipaddr", "own address"),
        Handler::both("broadcast", "own network's broadcast address"),
        Handler::read("stats", "packets dropped and queries sent, in words"),
        Handler::read("queries", "queries sent"),
        Handler::read("responses", "replies received"),
        Handler::read("drops", "packets dropped that did not wait"),
    ],
    state: StateKind::Small,
    details: "Packets for an address that is not known wait, and it is asked for, once a second at most. When the answer comes, \
              they leave in their order. An address is good for TIMEOUT; after POLL_TIMEOUT the neighbour is asked whether it \
              still has it. Packets to a broadcast or multicast address need no question. The next hop is the destination \
              annotation, which a routing table sets.",
    example: r#"
        q :: ARPQuerier(10.0.0.1/24, 2:0:0:0:0:1, TIMEOUT 6, POLL_TIMEOUT 3);
        q[0] -> Print(frame, 34) -> Discard;
        q[1] -> ARPPrint(TIMESTAMP false) -> r :: ARPResponder(10.0.0.9 2:0:0:0:0:9);
        r[0] -> ARPPrint(TIMESTAMP false) -> Queue -> DelayUnqueue(0.5s) -> [1] q;
        r[1] -> Discard;
        RatedSource(DATA \<01>, RATE 1, LIMIT 8) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.9, 53) -> q;
        RatedSource(DATA \<02>, RATE 1, LIMIT 2) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.7, 53) -> q;
        InfiniteSource(DATA \<03>, LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.255, 53) -> q;
        DriverManager(wait 2.2s, print $(q.table), write r.remove 10.0.0.9, wait 10s, print $(q.table), print $(q.stats));
    "#,
    build,
    ..Descriptor::BASE
};

fn ties_to_table(config: &str) -> Vec<String> {
    let arguments = crate::config::split_arguments(config);
    arguments.iter().filter_map(|argument| Some(argument.strip_prefix("TABLE")?.trim().to_owned())).collect()
}

/// The table: its own, or that of an ARPTable.
enum TableRef {
    Own(Cache),
    Named(String),
    Shared(ElementId),
}

struct ArpQuerier {
    ip: u32,
    mac: MacAddress,
    broadcast: u32,
    broadcast_poll: bool,
    timestamp: bool,
    table: TableRef,
    /// Age at which a known address is asked for again; 0 for never.
    poll: u64,
    /// Whether a message told of packets without destination.
    warned: bool,
    queries: u64,
    responses: u64,
    drops: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let name = args.text("IP").unwrap_or_default().to_owned();
    let mac: EtherAddr = match args.get("ETH")? {
        Some(mac) => mac,
        None => args.parse("ETH", &name)?,
    };
    let table = match args.get::<String>("TABLE")? {
        Some(name) => TableRef::Named(name),
        None => TableRef::Own(Cache::new(limits(args)?)),
    };
    let own: IpPrefix = args.need("IP")?;
    let ip = u32::from(own.address);
    let broadcast = match args.get::<Ipv4Addr>("BROADCAST")?.map(u32::from) {
        Some(broadcast) => broadcast,
        None => Some(ip | !u32::from(own.mask)).filter(|broadcast| *broadcast != ip).unwrap_or(u32::MAX),
    };
    Ok(Box::new(ArpQuerier {
        ip,
        mac: MacAddress(mac.0),
        broadcast,
        broadcast_poll: args.or("BROADCAST_POLL", false)?,
        timestamp: args.or("TIMESTAMP", true)?,
        table,
        poll: nanoseconds(args.or("POLL_TIMEOUT", Duration::from_secs(60))?),
        warned: false,
        queries: 0,
        responses: 0,
        drops: 0,
    }))
}

/// An ARP packet in a frame to `to`.
pub(super) fn frame(
    operation: u16,
    sender: (MacAddress, u32),
    target: (MacAddress, u32),
    to: MacAddress,
    headroom: usize,
) -> Packet {
    #[derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable,
        zerocopy::Unaligned,
    )]
    #[repr(C)]
    struct Frame {
        ethernet: Ethernet,
        arp: ArpIpv4,
    }
    let mut content = Frame::new_zeroed();
    content.ethernet = Ethernet { destination: to, source: sender.0, ether_type: ethernet::TYPE_ARP.into() };
    content.arp = ArpIpv4::new(operation, sender, target);
    let mut packet = Packet::with_headroom(headroom, zerocopy::IntoBytes::as_bytes(&content));
    packet.set_mac_offset(Some(0));
    packet.set_network_offset(Some(ethernet::HEADER_LENGTH as isize));
    packet
}

/// The MAC address of an IPv4 multicast group (RFC 1112, section 6.4).
fn multicast(ip: u32) -> MacAddress {
    let [_, b, c, d] = ip.to_be_bytes();
    MacAddress([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

impl ArpQuerier {
    /// The table of neighbours, wherever it is.
    #[inline]
    fn cache<'t>(table: &'t mut TableRef, cx: &'t mut Cx<'_>) -> Option<&'t mut Cache> {
        match table {
            TableRef::Own(cache) => Some(cache),
            TableRef::Shared(id) => cx.element_mut::<ArpTable>(*id).map(|table| &mut table.cache),
            TableRef::Named(_) => None,
        }
    }

    #[inline]
    fn encapsulate(&self, packet: &mut Packet, to: MacAddress) {
        packet.grow_front(ethernet::HEADER_LENGTH);
        if let Some((header, _)) = Ethernet::parse_mut(packet.data_mut()) {
            *header = Ethernet { destination: to, source: self.mac, ether_type: ethernet::TYPE_IPV4.into() };
        }
        packet.set_mac_offset(Some(0));
    }

    /// Treats an IP packet: returns it as a frame, or keeps it.
    #[inline]
    fn send(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let (ip, now, poll) = (u32::from(packet.anno().dst_ip), cx.now().0, self.poll);
        if self.ip == 0 {
            self.drops += 1;
            cx.drop(NO_DESTINATION, packet);
            return None;
        }
        if let Some((to, ask)) = Self::cache(&mut self.table, cx)?.find(ip, now, poll) {
            if ask {
                self.query(cx, &packet, if self.broadcast_poll { MacAddress::BROADCAST } else { to });
            }
            self.encapsulate(&mut packet, to);
        } else if ip == u32::MAX || ip == self.broadcast {
            self.encapsulate(&mut packet, MacAddress::BROADCAST);
        } else if ip >> 28 == 0xe {
            self.encapsulate(&mut packet, multicast(ip));
        } else {
            self.keep(cx, ip, packet);
            return None;
        }
        Some(packet)
    }

    /// Lets a packet wait for the address of its next hop.
    #[cold]
    fn keep(&mut self, cx: &mut Cx<'_>, ip: u32, packet: Packet) {
        if ip == 0 {
            if !std::mem::replace(&mut self.warned, true) {
                let name = cx.name();
                cx.message(format_args!(
                    "{name} :: ARPQuerier: would query for 0.0.0.0; missing dest IP addr annotation?"
                ));
            }
            self.drops += 1;
            cx.drop(NO_DESTINATION, packet);
            return;
        }
        let question = self.question(&packet, MacAddress::BROADCAST);
        let now = cx.now().0;
        let Some(cache) = Self::cache(&mut self.table, cx) else { return };
        let before = cache.drops();
        let ask = cache.keep(ip, packet, now);
        let dropped = cache.drops() - before;
        cx.count_drops(FORGOTTEN, dropped);
        if ask {
            self.ask(cx, question);
        }
    }

    /// The question for the next hop of a packet.
    fn question(&self, packet: &Packet, to: MacAddress) -> Packet {
        let ip = u32::from(packet.anno().dst_ip);
        let mut query = frame(arp::REQUEST, (self.mac, self.ip), (MacAddress::default(), ip), to, HEADROOM);
        if self.timestamp {
            query.anno_mut().timestamp = packet.anno().timestamp;
        }
        query.anno_mut().vlan_tci = packet.anno().vlan_tci;
        query
    }

    #[cold]
    fn query(&mut self, cx: &mut Cx<'_>, packet: &Packet, to: MacAddress) {
        let question = self.question(packet, to);
        self.ask(cx, question);
    }

    fn ask(&mut self, cx: &mut Cx<'_>, question: Packet) {
        self.queries += 1;
        let port = usize::from(cx.outputs() > 1);
        cx.emit(port, question);
    }

    /// Learns from a reply and sends what waited for it.
    fn receive(&mut self, cx: &mut Cx<'_>, packet: Packet) {
        self.responses += u64::from(packet.len() >= ethernet::HEADER_LENGTH + arp::LENGTH);
        let reply = Ethernet::parse(packet.data())
            .filter(|(frame, _)| frame.ether_type.get() == ethernet::TYPE_ARP)
            .and_then(|(_, rest)| ArpIpv4::parse(rest))
            .filter(|arp| arp.operation.get() == arp::REPLY && !arp.sender_mac.is_group());
        let Some((ip, mac)) = reply.map(|arp| (arp.sender_ip.get(), arp.sender_mac)) else {
            cx.drop(NOT_REPLY, packet);
            return;
        };
        let now = cx.now().0;
        let Some(cache) = Self::cache(&mut self.table, cx) else { return };
        cache.insert(ip, mac, now);
        for mut packet in cache.release(ip) {
            self.encapsulate(&mut packet, mac);
            cx.emit(0, packet);
        }
    }
}

impl Element for ArpQuerier {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if let TableRef::Named(name) = &self.table {
            let id = cx.find(name).ok_or_else(|| format!("no element named '{name}'"))?;
            if cx.element_mut::<ArpTable>(id).is_none() {
                return Err(format!("element '{name}' is not an ARPTable"));
            }
            self.table = TableRef::Shared(id);
        }
        if let TableRef::Own(cache) = &mut self.table {
            expire(cache, cx);
        }
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        if let TableRef::Own(cache) = &mut self.table {
            expire(cache, cx);
        }
    }

    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        if port == 0 {
            batch.filter_map(|packet| self.send(cx, packet));
        } else {
            for packet in batch.drain() {
                self.receive(cx, packet);
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "ipaddr" => Ok(Ipv4Addr::from(self.ip).to_string()),
            "broadcast" => Ok(Ipv4Addr::from(self.broadcast).to_string()),
            "queries" => Ok(self.queries.to_string()),
            "responses" => Ok(self.responses.to_string()),
            "drops" => Ok(self.drops.to_string()),
            "stats" => {
                let waited = Self::cache(&mut self.table, cx).map_or(0, |cache| cache.drops());
                let drops = self.drops + waited;
                Ok(format!("{drops} packets killed\n{} ARP queries sent\n", self.queries))
            }
            other => {
                let now = cx.now().0;
                match Self::cache(&mut self.table, cx) {
                    Some(cache) => read_table(cache, now, other),
                    None => Err(HandlerError::Busy("ARPTable".to_owned())),
                }
            }
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let address =
            |value: &str| Ipv4Addr::parse_plain(value).map(u32::from).map_err(HandlerError::Refused);
        match handler {
            "ipaddr" => self.ip = address(value)?,
            "broadcast" => self.broadcast = address(value)?,
            other => {
                let now = cx.now().0;
                match Self::cache(&mut self.table, cx) {
                    Some(cache) => write_table(cache, now, other, value)?,
                    None => return Err(HandlerError::Busy("ARPTable".to_owned())),
                }
                if other == "clear" {
                    (self.queries, self.responses, self.drops) = (0, 0, 0);
                }
            }
        }
        Ok(())
    }

    fn take_state(&mut self, _cx: &mut Cx<'_>, old: &mut dyn Any) {
        if let TableRef::Own(cache) = &mut self.table
            && let Some(TableRef::Own(old)) = old.downcast_mut::<Self>().map(|old| &mut old.table)
        {
            cache.take(old);
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for ArpQuerier {
    fn schema(&self) -> Schema {
        Schema { name: "arp/querier", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.ip);
        w.put_u32(self.broadcast);
        w.put_bool(self.warned);
        w.put_u64(self.queries);
        w.put_u64(self.responses);
        w.put_u64(self.drops);
        if let TableRef::Own(cache) = &self.table {
            cache.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.ip = r.get_u32()?;
        self.broadcast = r.get_u32()?;
        self.warned = r.get_bool()?;
        self.queries = r.get_u64()?;
        self.responses = r.get_u64()?;
        self.drops = r.get_u64()?;
        match &mut self.table {
            TableRef::Own(cache) => cache.restore(r),
            TableRef::Named(_) | TableRef::Shared(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const CONFIG: &str = "in :: TestIn -> q :: ARPQuerier(10.0.0.1, 02:00:00:00:00:01) -> out :: TestOut;
        replies :: TestIn -> [1]q; q[1] -> ask :: TestOut;";

    fn push(bench: &mut Bench, to: [u8; 4], byte: u8) {
        let mut packet = Packet::from_slice(&[byte; 30]);
        packet.anno_mut().dst_ip = to.into();
        bench.push_packets("in", 0, [packet]);
    }

    fn reply(ip: [u8; 4], last: u8) -> Vec<u8> {
        let sender = (MacAddress([2, 0, 0, 0, 0, last]), u32::from_be_bytes(ip));
        let target = (MacAddress([2, 0, 0, 0, 0, 1]), 0x0a00_0001);
        frame(arp::REPLY, sender, target, target.0, 0).data().to_vec()
    }

    #[test]
    fn packets_wait_for_the_answer_and_leave_in_order() {
        let mut bench = Bench::new(CONFIG);
        push(&mut bench, [10, 0, 0, 9], 1);
        push(&mut bench, [10, 0, 0, 9], 2);
        assert!(bench.take("out").is_empty());
        let asked = bench.take("ask");
        assert_eq!((asked.len(), &asked[0][..6], &asked[0][38..42]), (1, &[255; 6][..], &[10, 0, 0, 9][..]));
        bench.push("replies", &reply([10, 0, 0, 9], 9));
        let out = bench.take("out");
        assert_eq!(out.iter().map(|frame| frame[14]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(out[0][..14], [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0]);
        push(&mut bench, [10, 0, 0, 9], 3);
        assert_eq!(bench.take("out").len(), 1);
    }

    #[test]
    fn questions_are_repeated_after_a_second_and_known_addresses_are_polled_then_forgotten() {
        let mut bench = Bench::new(CONFIG);
        push(&mut bench, [10, 0, 0, 9], 1);
        bench.now += Duration::from_millis(1100);
        push(&mut bench, [10, 0, 0, 9], 1);
        assert_eq!(bench.take("ask").len(), 2);
        bench.push("replies", &reply([10, 0, 0, 9], 9));
        bench.now += Duration::from_secs(61);
        bench.take("out");
        push(&mut bench, [10, 0, 0, 9], 2);
        let asked = bench.take("ask");
        assert_eq!((bench.take("out").len(), asked.len(), asked[0][5]), (1, 1, 9));
        bench.now += Duration::from_secs(240);
        push(&mut bench, [10, 0, 0, 9], 3);
        assert_eq!((bench.take("out").len(), bench.take("ask").len()), (0, 1));
    }

    #[test]
    fn broadcast_and_multicast_need_no_question() {
        let mut bench = Bench::new(CONFIG);
        push(&mut bench, [255; 4], 1);
        push(&mut bench, [224, 129, 2, 3], 1);
        push(&mut bench, [0; 4], 1);
        let out = bench.take("out");
        assert_eq!((&out[0][..6], &out[1][..6]), (&[255; 6][..], &[1, 0, 0x5e, 1, 2, 3][..]));
        assert_eq!(bench.drops("q", NO_DESTINATION), 1);
    }

    #[test]
    fn waiting_packets_are_bounded_and_move_with_the_element() {
        let text = CONFIG.replace("00:01)", "00:01, CAPACITY 3)");
        let mut bench = Bench::new(&text);
        for byte in 0..5 {
            push(&mut bench, [10, 0, 0, 9], byte);
        }
        // Of four packets, too many by one, all but two go.
        assert_eq!((bench.drops("q", FORGOTTEN), bench.read("q", "length").as_str()), (2, "3"));
        let mut target = Bench::new(&text);
        let mut w = Writer::new();
        save(&mut bench, &mut w);
        let (_, element) = target.router.elements_mut().find(|(name, _)| *name == "q").unwrap();
        element.stateful().unwrap().restore(&mut Reader::new(w.as_bytes())).unwrap();
        target.push("replies", &reply([10, 0, 0, 9], 9));
        assert_eq!(target.take("out").iter().map(|frame| frame[14]).collect::<Vec<_>>(), [2, 3, 4]);
    }

    fn save(bench: &mut Bench, w: &mut Writer) {
        let (_, element) = bench.router.elements_mut().find(|(name, _)| *name == "q").unwrap();
        element.stateful().unwrap().save(w);
    }

    #[test]
    fn a_table_can_be_shared_and_filled_by_hand() {
        let mut bench = Bench::new(
            "t :: ARPTable; in :: TestIn -> q :: ARPQuerier(10.0.0.1, 02:00:00:00:00:01, TABLE t) -> out :: TestOut;
             replies :: TestIn -> [1]q;",
        );
        bench.router.write_handler("t", "insert", "10.0.0.9 02:00:00:00:00:09").unwrap();
        push(&mut bench, [10, 0, 0, 9], 1);
        assert_eq!(bench.take("out").len(), 1);
        assert!(bench.read("q", "table").starts_with("10.0.0.9 1 02-00-00-00-00-09"));
        let unknown = CONFIG.replace("00:01)", "00:01, TABLE nix)");
        assert!(Bench::error(&unknown).contains("no element named 'nix'"));
    }

    #[test]
    fn broadcast_is_that_of_the_own_network() {
        for (ip, broadcast) in [
            ("10.0.0.1/24", "10.0.0.255"),
            ("10.0.0.1", "255.255.255.255"),
            ("10.0.0.1/24, BROADCAST 1.2.3.4", "1.2.3.4"),
        ] {
            let mut bench =
                Bench::new(&CONFIG.replace("00:01)", "00:01, BROADCAST_POLL false)").replace("10.0.0.1", ip));
            assert_eq!(bench.read("q", "broadcast"), broadcast);
            push(&mut bench, broadcast.parse::<Ipv4Addr>().unwrap().octets(), 1);
            assert_eq!(bench.take("out")[0][..6], [255; 6]);
        }
    }

    #[test]
    fn too_many_packets_for_one_neighbour_are_refused() {
        let mut bench = Bench::new(&CONFIG.replace("00:01)", "00:01, ENTRY_PACKET_CAPACITY 1)"));
        push(&mut bench, [10, 0, 0, 9], 1);
        push(&mut bench, [10, 0, 0, 9], 2);
        push(&mut bench, [10, 0, 0, 8], 3);
        assert_eq!(bench.read("q", "stats"), "1 packets killed\n2 ARP queries sent\n");
        bench.push("replies", &reply([10, 0, 0, 9], 9));
        assert_eq!(bench.take("out")[0][14], 1);
        bench.router.write_handler("q", "clear", "").unwrap();
        assert_eq!((bench.read("q", "count"), bench.read("q", "queries")), ("0".into(), "0".into()));
        let error = Bench::error(&CONFIG.replace("10.0.0.1", "10.0.0"));
        assert!(error.contains("IP: expected IP"), "{error}");
    }
}
