//! EPONTransmitter: the OLT's way down. One packet after the other at 1 Gb/s; control frames get their time stamp as they
//! leave, behind every queue, since round trips are measured by it.

use std::time::Duration;

use super::line::{LONGEST, Llid, NO_PREAMBLE, PREAMBLE, TO_ADDRESS, clock, occupied, pad};
use super::mpcp::stamp;
use crate::element::{
    Annotations, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
    Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const TOO_LONG: &str = "frame too long";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EPONTransmitter",
    summary: "sends frames with EPON preamble down the fiber at 1 Gb/s, with the time in control frames",
    processing: "l/h",
    writes: Annotations::TIMESTAMP.union(Annotations::FIRST_TIMESTAMP),
    drops: &[NO_PREAMBLE, TOO_LONG],
    handlers: &[
        Handler::read("count", "packets sent"),
        Handler::read("busy", "time that packets, with the gaps behind them, took in all, in nanoseconds"),
    ],
    state: StateKind::Small,
    details: "Packets are pulled when the line is free, so a PrioSched in front lets control frames pass. Short frames \
              are padded; those of more than 2000 octets (with check sequence) are dropped. A control frame gets the \
              OLT's clock when its destination address leaves, in units of 16 ns (IEEE 802.3, 64.2.2). The timestamp \
              says when the first bit left.",
    example: r#"
        // A frame of 64 octets takes 672 ns.
        InfiniteSource(DATA \<0180c2000001 020000000001 8808 0003 00000000>, LIMIT 3)
            -> EPONEncap(1)
            -> Queue
            -> t :: EPONTransmitter
            -> Print(MAXLENGTH 32, TIMESTAMP true)
            -> Discard;
        DriverManager(wait 1ms, print "$(t.count) in $(t.busy) ns");
    "#,
    build,
    ..Descriptor::BASE
};

/// See the module's head.
#[derive(Default)]
struct Transmitter {
    /// When the line is free again.
    free: Time,
    /// Nothing was missing since the last packet: the next one follows it closely.
    back_to_back: bool,
    count: u64,
    busy: Duration,
}

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Transmitter::default()))
}

/// Why a packet cannot be sent.
fn refusal(packet: &Packet) -> Option<&'static str> {
    match Llid::split(packet.data()) {
        None => Some(NO_PREAMBLE),
        Some((_, frame)) if frame.len() > LONGEST => Some(TOO_LONG),
        Some(_) => None,
    }
}

impl Transmitter {
    fn send(&mut self, now: Time, packet: &mut Packet) {
        let start = if self.back_to_back { self.free } else { now };
        pad(packet);
        stamp(packet, clock(start + TO_ADDRESS));
        packet.anno_mut().timestamp = start;
        packet.anno_mut().first_timestamp = Time(0);
        let taken = occupied(packet.len() - PREAMBLE);
        self.free = start + taken;
        self.back_to_back = true;
        self.busy += taken;
        self.count += 1;
    }
}

impl Element for Transmitter {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.schedule();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if cx.now() < self.free {
            cx.set_timer(self.free);
            return false;
        }
        loop {
            cx.pull(0, batch, 1);
            let Some(mut packet) = batch.pop() else {
                self.back_to_back = false;
                return false;
            };
            if let Some(reason) = refusal(&packet) {
                cx.drop(reason, packet);
                continue;
            }
            self.send(cx.now(), &mut packet);
            batch.push(packet);
            cx.set_timer(self.free);
            return true;
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        self.task(cx, batch);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "busy" => Ok(self.busy.as_nanos().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Transmitter {
    fn schema(&self) -> Schema {
        Schema { name: "epon/transmitter", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.free.0);
        w.put_bool(self.back_to_back);
        w.put_u64(self.count);
        w.put_u64(self.busy.as_nanos() as u64);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.free = Time(r.get_u64()?);
        self.back_to_back = r.get_bool()?;
        self.count = r.get_u64()?;
        self.busy = Duration::from_nanos(r.get_u64()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::element::Time;
    use crate::testing::Bench;

    const TEXT: &str =
        "in :: TestIn -> EPONEncap(1) -> q :: Queue -> t :: EPONTransmitter -> out :: TestOut;";

    #[test]
    fn frames_follow_each_other_without_rest_and_short_ones_are_padded() {
        let mut bench = Bench::new(TEXT);
        for length in [20, 1514, 60] {
            bench.push("in", &vec![0; length]);
        }
        let start = bench.now;
        bench.advance(Duration::from_millis(1));
        let packets = bench.take_packets("out");
        let sent: Vec<_> = packets.iter().map(|packet| packet.anno().timestamp.since(start)).collect();
        assert_eq!(sent, [0, 672, 672 + 12_304].map(Duration::from_nanos));
        assert_eq!(packets[0].len(), 68);
        assert_eq!((bench.read("t", "count"), bench.read("t", "busy")), ("3".into(), "13648".into()));
    }

    #[test]
    fn control_frames_say_when_their_address_left() {
        let mut bench = Bench::new(TEXT);
        let mut frame = vec![0; 60];
        frame[12..16].copy_from_slice(&[0x88, 0x08, 0, 2]);
        bench.now = Time((1 << 36) + 1_000_000 * 16);
        bench.push("in", &frame);
        bench.advance(Duration::from_millis(1));
        let packet = bench.take_packets("out").remove(0);
        assert_eq!(packet.data()[24..28], 1_000_004_u32.to_be_bytes());
    }

    #[test]
    fn what_is_no_frame_of_the_line_is_dropped() {
        let mut bench = Bench::new(
            "in :: TestIn -> q :: Queue -> t :: EPONTransmitter -> out :: TestOut; in[1] -> EPONEncap(1) -> q;",
        );
        bench.push("in", &[0; 60]);
        bench.push_packets("in", 1, [crate::element::Packet::zeroed(1997)]);
        bench.push_packets("in", 1, [crate::element::Packet::zeroed(1996)]);
        bench.advance(Duration::from_millis(1));
        assert_eq!(bench.take("out").len(), 1);
        assert_eq!((bench.drops("t", "no EPON preamble"), bench.drops("t", "frame too long")), (1, 1));
    }
}
