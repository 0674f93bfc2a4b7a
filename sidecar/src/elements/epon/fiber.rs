//! EPONFiber: a fiber with its delay, in both directions. Packets arrive in the order of light, whoever sent them.

use std::collections::VecDeque;
use std::time::Duration;

use super::line::first_bit;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

/// Nanoseconds that light takes for a kilometre of glass (group index 1.5).
const KILOMETRE: f64 = 5000.0;
/// Most packets under way in one direction: at 1 Gb/s the longest fiber holds 744 of the shortest.
const MOST: usize = 4096;
/// Kilometres of the longest fiber.
const LONGEST: f64 = 100.0;

const FULL: &str = "too many packets on the fiber";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EPONFiber",
    summary: "an optical fiber of some length, in both directions",
    ports: "1-2/=",
    processing: "h/h",
    flow: "#/#",
    args: &[Arg::required("LENGTH", "real number", "kilometres, up to 100")],
    reads: Annotations::TIMESTAMP.union(Annotations::FIRST_TIMESTAMP),
    handlers: &[
        Handler::both("length", "kilometres; a new length counts for packets that enter from then on"),
        Handler::read("size", "packets under way"),
    ],
    drops: &[FULL],
    state: StateKind::Small,
    details: "A packet that enters by an input leaves by the output of that number, 5 microseconds a kilometre later. \
              Its timestamp says when its first bit entered, and says on the far side when it came out; the first \
              timestamp, when the laser went on, moves by as much. A packet without a timestamp, or with one of the \
              future, enters now. At most 4096 packets are under way in each direction.",
    example: r#"
        // Twenty kilometres there, and an echo back.
        RatedSource(DATA \<01>, RATE 1000, LIMIT 2)
            -> Print(sent, TIMESTAMP true)
            -> [0]f :: EPONFiber(20);
        f[0] -> Print(far, TIMESTAMP true) -> [1]f;
        f[1] -> Print(back, TIMESTAMP true) -> Discard;
        DriverManager(wait 50us, print "$(f.size) under way on $(f.length) km", wait 10ms);
    "#,
    build,
    ..Descriptor::BASE
};

/// See the module's head.
struct Fiber {
    /// Kilometres.
    length: f64,
    /// By direction, in order of arrival.
    under_way: [VecDeque<Packet>; 2],
}

fn checked(length: f64) -> Result<f64, String> {
    if (0.0..=LONGEST).contains(&length) { Ok(length) } else { Err(format!("between 0 and {LONGEST} km")) }
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let length = checked(args.need("LENGTH")?).map_err(|problem| format!("LENGTH: {problem}"))?;
    Ok(Box::new(Fiber { length, under_way: Default::default() }))
}

/// When a packet that is under way arrives.
fn arrival(packet: &Packet) -> Time {
    packet.anno().timestamp
}

impl Fiber {
    fn delay(&self) -> Duration {
        Duration::from_nanos((self.length * KILOMETRE).round() as u64)
    }

    fn enter(&mut self, cx: &mut Cx<'_>, port: usize, mut packet: Packet) {
        let delay = self.delay();
        let entered = first_bit(&packet, cx.now());
        let anno = packet.anno_mut();
        anno.timestamp = entered + delay;
        if anno.first_timestamp != Time(0) {
            anno.first_timestamp += delay;
        }
        let Some(line) = self.under_way.get_mut(port) else { return };
        if line.len() >= MOST {
            cx.drop(FULL, packet);
            return;
        }
        let before = line.iter().rposition(|other| arrival(other) <= arrival(&packet));
        line.insert(before.map_or(0, |at| at + 1), packet);
    }

    /// Lets out what has arrived, and waits for the next.
    fn leave(&mut self, cx: &mut Cx<'_>) {
        for (port, line) in self.under_way.iter_mut().enumerate() {
            while line.front().is_some_and(|packet| arrival(packet) <= cx.now())
                && let Some(packet) = line.pop_front()
            {
                cx.emit(port, packet);
            }
        }
        match self.under_way.iter().filter_map(|line| line.front()).map(arrival).min() {
            Some(next) => cx.set_timer(next),
            None => cx.clear_timer(),
        }
    }
}

impl Element for Fiber {
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            self.enter(cx, port, packet);
        }
        self.leave(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        self.leave(cx);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "length" => Ok(self.length.to_string()),
            "size" => Ok(self.under_way.iter().map(VecDeque::len).sum::<usize>().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "length" => self.length = checked(parse_handler(value)?).map_err(HandlerError::Refused)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Fiber {
    fn schema(&self) -> Schema {
        Schema { name: "epon/fiber", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.length.to_bits());
        for line in &self.under_way {
            w.put_u32(line.len() as u32);
            line.iter().for_each(|packet| packet.save(w));
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let bits = r.get_u64()?;
        self.length = checked(f64::from_bits(bits))
            .map_err(|_| StateError::Invalid { what: "length of a fiber", value: bits })?;
        for line in &mut self.under_way {
            line.clear();
            for _ in 0..r.get_u32()? {
                line.push_back(Packet::restore(r)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::element::{Packet, Time};
    use crate::testing::Bench;

    const TEXT: &str =
        "in :: TestIn -> [0]f :: EPONFiber(1) -> out :: TestOut; in[1] -> [1]f[1] -> back :: TestOut;";

    fn sent_at(byte: u8, at: Time) -> Packet {
        let mut packet = Packet::from_slice(&[byte]);
        packet.anno_mut().timestamp = at;
        packet.anno_mut().first_timestamp = at - Duration::from_nanos(500);
        packet
    }

    #[test]
    fn light_takes_five_microseconds_a_kilometre_in_each_direction() {
        let mut bench = Bench::new(TEXT);
        let start = bench.now;
        bench.push_packets("in", 0, [sent_at(1, start)]);
        bench.push_packets("in", 1, [sent_at(2, start)]);
        bench.advance(Duration::from_nanos(4999));
        assert!(bench.take("out").is_empty() && bench.take("back").is_empty());
        bench.advance(Duration::from_nanos(1));
        let packets = bench.take_packets("out");
        assert_eq!(packets[0].anno().timestamp, start + Duration::from_micros(5));
        assert_eq!(packets[0].anno().first_timestamp, start + Duration::from_nanos(4500));
        assert_eq!(bench.take("back"), [[2]]);
    }

    #[test]
    fn what_was_sent_first_arrives_first_and_what_is_late_arrives_at_once() {
        let mut bench = Bench::new(TEXT);
        bench.advance(Duration::from_millis(1));
        let now = bench.now;
        let past = |nanos| now - Duration::from_nanos(nanos);
        bench.push_packets("in", 0, [sent_at(1, past(100)), sent_at(2, past(300)), sent_at(3, past(9000))]);
        assert_eq!(bench.take("out"), [[3]]);
        bench.advance(Duration::from_micros(5));
        assert_eq!(bench.take("out"), [[2], [1]]);
        assert_eq!(bench.read("f", "size"), "0");
    }

    #[test]
    fn a_packet_of_no_time_or_of_the_future_enters_now() {
        let mut bench = Bench::new(TEXT);
        let future = bench.now + Duration::from_secs(9);
        bench.push_packets("in", 0, [sent_at(1, Time(0)), sent_at(2, future)]);
        bench.advance(Duration::from_micros(5));
        assert_eq!(bench.take("out").len(), 2);
    }

    #[test]
    fn a_fiber_holds_only_so_much() {
        let mut bench = Bench::new(TEXT);
        for _ in 0..4100 {
            bench.push("in", b"x");
        }
        assert_eq!(bench.drops("f", "too many packets on the fiber"), 4);
    }

    #[test]
    fn a_fiber_has_a_length() {
        assert!(Bench::error("Idle -> EPONFiber(101) -> Discard;").contains("LENGTH: between 0 and 100 km"));
        let mut bench = Bench::new(TEXT);
        assert!(bench.router.write_handler("f", "length", "-1").is_err());
        bench.router.write_handler("f", "length", "2.5").unwrap();
        assert_eq!(bench.read("f", "length"), "2.5");
    }
}
