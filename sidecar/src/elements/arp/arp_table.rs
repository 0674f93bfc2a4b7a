//! ARPTable: a table of neighbours that several ARPQueriers share.

use std::any::Any;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::cache::{Cache, Limits};
use crate::config::{EtherAddr, Value, split_words};
use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::MacAddress;

pub(super) const LIMIT_ARGS: [Arg; 4] = [
    Arg::keyword("CAPACITY", "unsigned", "2048", "most packets that wait"),
    Arg::keyword("ENTRY_CAPACITY", "unsigned", "0", "most neighbours; 0 for no limit"),
    Arg::keyword("ENTRY_PACKET_CAPACITY", "unsigned", "2048", "most packets that wait for one neighbour"),
    Arg::keyword("TIMEOUT", "time", "300", "after which an address is no longer good; 0 for never"),
];

pub(super) const TABLE_HANDLERS: [Handler; 6] = [
    Handler::read("table", "all neighbours: address, good or not, MAC address, age"),
    Handler::read("length", "packets that wait"),
    Handler::read("count", "neighbours"),
    Handler::write("insert", "IP ETH"),
    Handler::write("delete", "IP"),
    Handler::write("clear", "forgets all neighbours"),
];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ARPTable",
    summary: "stores IP-to-Ethernet address mappings",
    ports: "0/0",
    args: &LIMIT_ARGS,
    handlers: &TABLE_HANDLERS,
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

/// The element.
pub(super) struct ArpTable {
    pub(super) cache: Cache,
}

/// The limits that an ARPTable's or ARPQuerier's arguments set.
pub(super) fn limits(args: &Args<'_>, poll: Duration) -> Result<Limits, ConfigError> {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let packets = args.or("CAPACITY", 2048)?;
    Ok(Limits {
        packets,
        packets_of_one: args.or("ENTRY_PACKET_CAPACITY", packets)?,
        entries: args.or("ENTRY_CAPACITY", 0)?,
        timeout: nanos(args.or("TIMEOUT", Duration::from_secs(300))?),
        poll: nanos(poll),
    })
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(ArpTable { cache: Cache::new(limits(args, Duration::from_secs(60))?) }))
}

/// Parses `IP ETH`.
pub(super) fn parse_entry(value: &str) -> Result<(u32, MacAddress), HandlerError> {
    let words = split_words(value);
    let [ip, mac] = &words[..] else { return Err(HandlerError::Refused("expected 'IP ETH'".to_owned())) };
    let ip = Ipv4Addr::parse_plain(ip).map_err(HandlerError::Refused)?;
    let mac = EtherAddr::parse_plain(mac).map_err(HandlerError::Refused)?;
    Ok((ip.into(), MacAddress(mac.0)))
}

/// Answers the read handlers of a table.
pub(super) fn read_table(cache: &Cache, now: u64, handler: &str) -> Result<String, HandlerError> {
    match handler {
        "table" => Ok(cache.show(now)),
        "length" => Ok(cache.waiting().to_string()),
        "count" => Ok(cache.len().to_string()),
        other => Err(HandlerError::NoHandler(other.to_owned())),
    }
}

/// Obeys the write handlers of a table, but for `insert`, which may set packets free.
pub(super) fn write_table(cache: &mut Cache, handler: &str, value: &str) -> Result<(), HandlerError> {
    match handler {
        "delete" => {
            let ip = Ipv4Addr::parse_plain(value).map_err(HandlerError::Refused)?;
            if !cache.remove(ip.into()) {
                return Err(HandlerError::Refused(format!("no entry for {ip}")));
            }
        }
        "clear" => cache.clear(),
        other => return Err(HandlerError::NoHandler(other.to_owned())),
    }
    Ok(())
}

impl Element for ArpTable {
    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        read_table(&self.cache, cx.now().0, handler)
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler == "insert" {
            let (ip, mac) = parse_entry(value)?;
            // What waits is set free by the next packet of its querier that finds the address known.
            for packet in self.cache.learn(ip, mac, cx.now().0) {
                cx.drop("neighbour inserted by hand", packet);
            }
            return Ok(());
        }
        write_table(&mut self.cache, handler, value)
    }

    fn take_state(&mut self, _cx: &mut Cx<'_>, old: &mut dyn Any) {
        if let Some(old) = old.downcast_mut::<Self>() {
            self.cache.take(&mut old.cache);
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for ArpTable {
    fn schema(&self) -> Schema {
        Schema { name: "arp/table", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.cache.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.cache.restore(r)
    }
}
