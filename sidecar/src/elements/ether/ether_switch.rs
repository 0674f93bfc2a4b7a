//! EtherSwitch: a switch that learns behind which port each Ethernet address is.
//!
//! The table never holds more than [`MOST_ADDRESSES`], so that forged sources cannot use up memory: what they find no
//! room for is sent to all ports, as what is not known.

use std::time::Duration;

use super::hub::copy_to;
use crate::config::EtherAddr;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::state::{FlowTable, Reader, Record, Schema, StateError, Stateful, Table, Writer};

const SHORT: &str = "packet too short";
const SAME_PORT: &str = "destination is behind the same port";
const NOWHERE: &str = "no other port";
const MOST_ADDRESSES: usize = 1 << 16;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EtherSwitch",
    summary: "learning, forwarding Ethernet switch",
    ports: "2-/=",
    processing: "h/h",
    flow: "#/[^#]",
    args: &[Arg::keyword(
        "TIMEOUT",
        "time",
        "300",
        "how long an address is remembered, in whole seconds; 0 to learn none",
    )],
    reads: Annotations::TIMESTAMP,
    drops: &[SHORT, SAME_PORT, NOWHERE],
    handlers: &[
        Handler::read("table", "address and port, a line each"),
        Handler::both("timeout", "how long an address is remembered, in seconds"),
    ],
    state: StateKind::Tables,
    details: "It learns behind which port each source address is, from the timestamps and sources of the frames, \
              and sends frames to a known address out of its port only. Others, and those to all and to groups, \
              leave by every port but the one they came by. A frame to an address behind its own port is \
              dropped. At most 65536 addresses are kept: what finds no room is sent everywhere.",
    example: r#"
        TimedSource(1, DATA \<020000000002 020000000001 0800>, LIMIT 4) -> [0]s :: EtherSwitch(TIMEOUT 5);
        TimedSource(1.5, DATA \<020000000001 020000000002 0800>, LIMIT 1) -> [1]s;
        Idle -> [2]s;
        s[0] -> Print(zero, CONTENTS NONE, TIMESTAMP true) -> Discard;
        s[1] -> Print(one, CONTENTS NONE, TIMESTAMP true) -> Discard;
        s[2] -> Print(two, CONTENTS NONE, TIMESTAMP true) -> Discard;
        DriverManager(wait 3.5s, print $(s.table), write s.timeout 1, wait 1s,
                      print "after $(s.timeout) second:", print $(s.table), stop);
    "#,
    build,
    ..Descriptor::BASE
};

/// Behind which port an address is, and when it was last heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    port: u16,
    heard: Time,
}

impl Record for EtherAddr {
    fn put(&self, w: &mut Writer) {
        w.put_raw(&self.0);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut address = Self::default();
        address.0.copy_from_slice(r.get_raw(6)?);
        Ok(address)
    }
}

impl Record for Place {
    fn put(&self, w: &mut Writer) {
        w.put_u16(self.port);
        w.put_u64(self.heard.0);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { port: r.get_u16()?, heard: Time(r.get_u64()?) })
    }
}

struct EtherSwitch {
    table: FlowTable<EtherAddr, Place>,
    timeout: Duration,
    /// When the full table was last looked through for addresses that are too old.
    cleaned: Time,
}

fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(EtherSwitch {
        // Which address is too old depends on the timestamps of packets: it is seen when it matters.
        table: FlowTable::new(Schema { name: "ether/addresses", version: 1 }, |_, _| u64::MAX),
        timeout: whole_seconds(args.or("TIMEOUT", Duration::from_secs(300))?),
        cleaned: Time(0),
    }))
}

/// The destination and the source of a frame.
fn addresses(frame: &[u8]) -> Option<(EtherAddr, EtherAddr)> {
    let (destination, rest) = frame.split_first_chunk()?;
    Some((EtherAddr(*destination), EtherAddr(*rest.first_chunk()?)))
}

impl EtherSwitch {
    fn learn(&mut self, address: EtherAddr, place: Place) {
        if let Some(known) = self.table.get_mut_lazy(&address) {
            *known = place;
            return;
        }
        if self.table.len() >= MOST_ADDRESSES {
            self.clean(place.heard);
        }
        if self.table.len() < MOST_ADDRESSES {
            self.table.insert_lazy(address, place);
        }
    }

    /// Forgets all that is too old, once a second at most.
    #[cold]
    fn clean(&mut self, now: Time) {
        if now < self.cleaned + Duration::from_secs(1) {
            return;
        }
        self.cleaned = now;
        let old = self.table.iter().filter(|(_, place)| now >= place.heard + self.timeout);
        for address in old.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.table.remove(&address);
        }
    }

    /// The port of an address, if it is known and not too old.
    fn find(&mut self, address: EtherAddr, now: Time) -> Option<usize> {
        if address.is_group() {
            return None;
        }
        let place = *self.table.get(&address)?;
        if now < place.heard + self.timeout {
            return Some(usize::from(place.port));
        }
        self.table.remove(&address);
        None
    }

    fn forward(&mut self, cx: &mut Cx<'_>, port: usize, packet: Packet) {
        let Some((destination, source)) = addresses(packet.data()) else {
            cx.drop(SHORT, packet);
            return;
        };
        let now = packet.anno().timestamp;
        let mut to = None;
        if !self.timeout.is_zero() {
            self.learn(source, Place { port: port as u16, heard: now });
            to = self.find(destination, now);
        }
        match to {
            Some(to) if to == port => cx.drop(SAME_PORT, packet),
            Some(to) => cx.emit(to, packet),
            None => {
                let outputs = cx.outputs();
                copy_to(cx, (0..outputs).rev().filter(|to| *to != port), packet);
            }
        }
    }
}

impl Element for EtherSwitch {
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            self.forward(cx, port, packet);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "table" => {
                let mut all: Vec<_> =
                    self.table.iter().map(|(address, place)| (*address, place.port)).collect();
                all.sort_unstable();
                Ok(all.iter().map(|(address, port)| format!("{address} {port}\n")).collect())
            }
            "timeout" => Ok(self.timeout.as_secs().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "timeout" => {
                let span = parse_handler(value);
                let wrong = |_| HandlerError::Refused("expected timeout (integer)".to_owned());
                self.timeout = whole_seconds(span.map_err(wrong)?);
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for EtherSwitch {
    fn schema(&self) -> Schema {
        Schema { name: "ether/switch", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.timeout.as_secs());
        w.put_u64(self.cleaned.0);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.timeout = Duration::from_secs(r.get_u64()?);
        self.cleaned = Time(r.get_u64()?);
        Ok(())
    }

    fn tables(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.table]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const TEXT: &str =
        "a :: TestIn -> s :: EtherSwitch -> x :: TestOut; b :: TestIn -> [1]s[1] -> y :: TestOut;
                        c :: TestIn -> [2]s[2] -> z :: TestOut;";

    fn send(bench: &mut Bench, port: &str, to: u8, from: u8, seconds: u64) {
        let mut packet = Packet::from_slice(&[2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0]);
        packet.anno_mut().timestamp = Time::from_parts(seconds, 0);
        bench.push_packets(port, 0, [packet]);
    }

    fn counts(bench: &mut Bench) -> [usize; 3] {
        ["x", "y", "z"].map(|out| bench.take(out).len())
    }

    #[test]
    fn what_is_not_known_goes_everywhere_else_and_what_is_known_to_its_port() {
        let mut bench = Bench::new(TEXT);
        send(&mut bench, "a", 2, 1, 0);
        assert_eq!(counts(&mut bench), [0, 1, 1]);
        send(&mut bench, "b", 1, 2, 1);
        assert_eq!(counts(&mut bench), [1, 0, 0]);
        send(&mut bench, "a", 1, 3, 1);
        assert_eq!((counts(&mut bench), bench.drops("s", SAME_PORT)), ([0, 0, 0], 1));
        assert_eq!(
            bench.read("s", "table"),
            "02-00-00-00-00-01 0\n02-00-00-00-00-02 1\n02-00-00-00-00-03 0\n"
        );
        bench.push("a", b"short");
        assert_eq!(bench.drops("s", SHORT), 1);
    }

    #[test]
    fn addresses_are_forgotten_and_a_timeout_of_zero_makes_a_hub() {
        let mut bench = Bench::new(TEXT);
        send(&mut bench, "a", 2, 1, 10);
        counts(&mut bench);
        send(&mut bench, "b", 1, 2, 310);
        assert_eq!(counts(&mut bench), [1, 0, 1]);
        assert_eq!(bench.read("s", "table"), "02-00-00-00-00-02 1\n");
        bench.router.write_handler("s", "timeout", "0").unwrap();
        send(&mut bench, "c", 2, 3, 310);
        assert_eq!((counts(&mut bench), bench.read("s", "timeout").as_str()), ([1, 1, 0], "0"));
        let refused = bench.router.write_handler("s", "timeout", "x").unwrap_err();
        assert_eq!(refused.to_string(), "expected timeout (integer)");
        assert!(
            Bench::error("Idle -> s :: EtherSwitch(TIMEOUT x) -> Discard; Idle -> [1]s[1] -> Discard;")
                .contains("TIMEOUT: expected time in seconds, got 'x'")
        );
    }

    #[test]
    fn forged_sources_do_not_fill_the_table_for_ever() {
        let mut switch = EtherSwitch {
            table: FlowTable::new(Schema { name: "t", version: 1 }, |_, _| u64::MAX),
            timeout: Duration::from_secs(10),
            cleaned: Time(0),
        };
        let address = |n: u32| {
            let [a, b, c, d] = n.to_be_bytes();
            EtherAddr([2, 0, a, b, c, d])
        };
        for n in 0..MOST_ADDRESSES as u32 + 5 {
            switch.learn(address(n), Place { port: 0, heard: Time::from_parts(100, 0) });
        }
        assert_eq!(switch.table.len(), MOST_ADDRESSES);
        switch.learn(address(u32::MAX), Place { port: 1, heard: Time::from_parts(110, 0) });
        assert_eq!(switch.table.len(), 1);
    }

    #[test]
    fn the_table_moves() {
        let (mut bench, mut moved) = (Bench::new(TEXT), Bench::new(TEXT));
        for bench in [&mut bench, &mut moved] {
            for (_, element) in bench.router.elements_mut() {
                let tables = element.stateful().map(Stateful::tables).unwrap_or_default();
                tables.into_iter().for_each(|table| table.set_tracking(true));
            }
        }
        send(&mut bench, "b", 9, 1, 1);
        for (from, to) in bench.router.elements_mut().zip(moved.router.elements_mut()) {
            let (Some(from), Some(to)) = (from.1.stateful(), to.1.stateful()) else { continue };
            let mut w = Writer::new();
            from.tables()[0].take_changes(&mut w);
            to.tables()[0].apply(&mut Reader::new(w.as_bytes())).unwrap();
        }
        send(&mut moved, "a", 1, 7, 2);
        assert_eq!(counts(&mut moved), [0, 1, 0]);
    }
}
