//! ARPTable: a table of neighbours that several ARPQueriers share.

use std::any::Any;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::cache::{Cache, Limits};
use crate::config::{EtherAddr, Value, split_words};
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::MacAddress;

pub(super) const LIMIT_ARGS: [Arg; 5] = [
    Arg::keyword("CAPACITY", "unsigned", "2048", "most packets that wait; 0 for no limit"),
    Arg::keyword("ENTRY_CAPACITY", "unsigned", "0", "most neighbours; 0 for no limit"),
    Arg::keyword(
        "ENTRY_PACKET_CAPACITY",
        "unsigned",
        "0",
        "most packets that wait for one neighbour; 0 for no limit",
    ),
    Arg::keyword("CAPACITY_SLIM_FACTOR", "unsigned", "2", "of more than CAPACITY, one part in so many goes"),
    Arg::keyword("TIMEOUT", "time", "300", "after which an address is no longer good; 0 for never"),
];

pub(super) const TABLE_HANDLERS: [Handler; 6] = [
    Handler::read("table", "all neighbours, the oldest first: address, good or not, MAC address, age"),
    Handler::read("length", "packets that wait"),
    Handler::read("count", "neighbours"),
    Handler::write("insert", "IP ETH"),
    Handler::write("delete", "IP: its address is no longer known"),
    Handler::write("clear", "forgets all neighbours"),
];

pub(super) const FORGOTTEN: &str = "too many packets wait for neighbours";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ARPTable",
    summary: "stores IP-to-Ethernet address mappings",
    ports: "0/0",
    args: &LIMIT_ARGS,
    handlers: &[
        TABLE_HANDLERS[0],
        TABLE_HANDLERS[1],
        TABLE_HANDLERS[2],
        TABLE_HANDLERS[3],
        TABLE_HANDLERS[4],
        TABLE_HANDLERS[5],
        Handler::read("drops", "packets dropped while they waited"),
    ],
    drops: &[FORGOTTEN],
    state: StateKind::Small,
    details: "ARPQueriers share it by their TABLE argument. An address that was not confirmed for TIMEOUT is forgotten, and \
              the packets that wait for it are dropped; so are the oldest neighbours above ENTRY_CAPACITY.",
    example: r#"
        arp :: ARPTable(TIMEOUT 5);
        q0 :: ARPQuerier(10.0.0.1, 2:0:0:0:0:1, TABLE arp) -> Print("from q0", 14) -> Discard;
        q1 :: ARPQuerier(10.0.0.2, 2:0:0:0:0:2, TABLE arp) -> Print("from q1", 14) -> Discard;
        RatedSource(RATE 1, LIMIT 4) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.9, 53) -> q0;
        RatedSource(RATE 1, LIMIT 4) -> UDPIPEncap(10.0.0.2, 5000, 10.0.0.8, 53) -> q1;
        Idle -> [1] q0; Idle -> [1] q1;
        DriverManager(write arp.insert 10.0.0.9 2:0:0:0:0:9, wait 1.5s, print $(arp.table),
            write arp.delete 10.0.0.9, wait 2s, print $(arp.table), print $(arp.length), wait 10s, print $(arp.drops));
    "#,
    build,
    ..Descriptor::BASE
};

/// The element.
pub(super) struct ArpTable {
    pub(super) cache: Cache,
}

/// The limits that an ARPTable's or ARPQuerier's arguments set.
pub(super) fn limits(args: &Args<'_>) -> Result<Limits, ConfigError> {
    let slim_factor = args.or("CAPACITY_SLIM_FACTOR", 2)?;
    if slim_factor == 0 {
        return Err("CAPACITY_SLIM_FACTOR cannot be zero".into());
    }
    Ok(Limits {
        packets: args.or("CAPACITY", 2048)?,
        packets_of_one: args.or("ENTRY_PACKET_CAPACITY", 0)?,
        slim_factor,
        entries: args.or("ENTRY_CAPACITY", 0)?,
        timeout: nanoseconds(args.or("TIMEOUT", Duration::from_secs(300))?),
    })
}

pub(super) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(ArpTable { cache: Cache::new(limits(args)?) }))
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

/// Obeys the write handlers of a table. As in Click, packets that wait for an address that is inserted go on waiting for
/// its answer.
pub(super) fn write_table(
    cache: &mut Cache,
    now: u64,
    handler: &str,
    value: &str,
) -> Result<(), HandlerError> {
    match handler {
        "insert" => {
            let (ip, mac) = parse_entry(value)?;
            cache.insert(ip, mac, now);
        }
        "delete" => {
            let ip = Ipv4Addr::parse_plain(value).map_err(HandlerError::Refused)?;
            cache.insert(ip.into(), MacAddress::BROADCAST, now);
        }
        "clear" => cache.clear(),
        other => return Err(HandlerError::NoHandler(other.to_owned())),
    }
    Ok(())
}

/// Forgets what expired, and sets the timer to do so again.
pub(super) fn expire(cache: &mut Cache, cx: &mut Cx<'_>) {
    let before = cache.drops();
    cache.slim(cx.now().0);
    cx.count_drops(FORGOTTEN, cache.drops() - before);
    if let Some(interval) = cache.slim_interval() {
        cx.set_timer(cx.now() + Duration::from_nanos(interval));
    }
}

impl Element for ArpTable {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        expire(&mut self.cache, cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        expire(&mut self.cache, cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "drops" => Ok(self.cache.drops().to_string()),
            other => read_table(&self.cache, cx.now().0, other),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        write_table(&mut self.cache, cx.now().0, handler, value)
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
        Schema { name: "arp/table", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        self.cache.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.cache.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    #[test]
    fn neighbours_are_shown_by_age_and_forgotten_after_the_timeout() {
        let mut bench = Bench::new("t :: ARPTable(TIMEOUT 10, ENTRY_CAPACITY 2);");
        let write =
            |bench: &mut Bench, handler: &str, value: &str| bench.router.write_handler("t", handler, value);
        write(&mut bench, "insert", "10.0.0.1 02:00:00:00:00:01").unwrap();
        bench.now += Duration::from_millis(1500);
        write(&mut bench, "insert", "10.0.0.2 02:00:00:00:00:02").unwrap();
        let id = bench.router.find("t").unwrap();
        assert_eq!(bench.read("t", "count"), "2");
        write(&mut bench, "insert", "10.0.0.3 02:00:00:00:00:03").unwrap();
        write(&mut bench, "delete", "10.0.0.2").unwrap();
        bench.pass();
        let table = bench.read("t", "table");
        assert!(
            table.contains("10.0.0.3 1 02-00-00-00-00-03 ")
                && table.contains("10.0.0.2 0 FF-FF-FF-FF-FF-FF "),
            "{table}"
        );
        bench.advance(Duration::from_secs(30));
        assert_eq!(bench.read("t", "count"), "0");
        assert!(bench.router.state_of(id).is_some());
        assert!(write(&mut bench, "insert", "10.0.0.2").is_err());
        let error = Bench::error("ARPTable(CAPACITY_SLIM_FACTOR 0);");
        assert!(error.contains("CAPACITY_SLIM_FACTOR cannot be zero"), "{error}");
    }
}
