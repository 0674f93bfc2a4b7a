//! EPONReceiver: the burst receiver of an OLT, and the detector of collisions. The light of two ONUs may never meet.
//!
//! A frame is held from its first bit to its last, in case other light meets it. The light of a burst lasts from when
//! its laser went on, which each of its frames says, to the end of its last frame, and as long as the laser takes to go
//! off.

use std::collections::VecDeque;
use std::time::Duration;

use super::line::{Llid, NO_PREAMBLE, PREAMBLE, first_bit, shining};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind, Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const COLLISION: &str = "collision";
const CONTENTION: &str = "contention";
const TOO_MANY: &str = "too many frames at once";
/// Frames held, and bursts remembered, at most.
const MOST: usize = 256;
/// How long after its end a burst can still meet another that comes to light late.
const MEMORY: Duration = Duration::from_millis(2);

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EPONReceiver",
    summary: "receives bursts of ONUs, and detects collisions",
    ports: "1/1-2",
    processing: "h/h",
    args: &[Arg::keyword(
        "LASER_OFF",
        "time",
        "512ns",
        "how long a laser shines on behind the last bit of its burst",
    )],
    reads: Annotations::TIMESTAMP.union(Annotations::FIRST_TIMESTAMP),
    drops: &[NO_PREAMBLE, COLLISION, CONTENTION, TOO_MANY],
    handlers: &[
        Handler::read("count", "frames received whole"),
        Handler::read("busy", "time that they shone in all, in nanoseconds"),
        Handler::read(
            "collisions",
            "frames of registered ONUs whose light met another burst's: never, if grants are right",
        ),
        Handler::read(
            "contentions",
            "frames of unregistered ONUs whose light met another's in a discovery window",
        ),
    ],
    state: StateKind::Small,
    details: "A frame leaves with its last bit; its timestamp says when its first one came. Where the light of two ONUs \
              overlaps, from one laser's going on to its being off, all frames that are being received are lost: they \
              leave by output 1, if it is connected. ONUs are told apart by their logical links, unregistered ones by \
              their Ethernet addresses. That unregistered ONUs meet in a discovery window is contention, and no fault.",
    example: r#"
        // Frames of 60 octets from two ONUs, at 1 ms one after the other, at 2 ms together.
        one :: TimedSource(1ms, DATA \<0180c2000001 020000000001 8808>, LIMIT 2) -> EPONEncap(1) -> r :: EPONReceiver;
        two :: TimedSource(2ms, DATA \<0180c2000001 020000000002 8808>, LIMIT 1) -> EPONEncap(2) -> r;
        r[0] -> Print(good, MAXLENGTH 8, TIMESTAMP true) -> Discard;
        r[1] -> Print(lost, MAXLENGTH 8, TIMESTAMP true) -> Discard;
        DriverManager(wait 5ms, print "$(r.count) received, $(r.collisions) lost to collisions");
    "#,
    build,
    ..Descriptor::BASE
};

/// Who sends: a registered link, or an ONU without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Link(u16),
    Unregistered([u8; 6]),
}

/// The light of a burst, so far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Light {
    sender: Sender,
    on: Time,
    off: Time,
}

impl Light {
    fn meets(&self, other: &Self) -> bool {
        self.sender != other.sender && self.on < other.off && other.on < self.off
    }
}

/// A frame that is being received.
struct Held {
    light: Light,
    /// When its last bit is here.
    end: Time,
    /// The reason to drop it.
    lost: Option<&'static str>,
    packet: Packet,
}

/// See the module's head.
struct Receiver {
    laser_off: Duration,
    held: Vec<Held>,
    bursts: VecDeque<Light>,
    count: u64,
    busy: Duration,
    collisions: u64,
    contentions: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Receiver {
        laser_off: args.or("LASER_OFF", Duration::from_nanos(512))?,
        held: Vec::new(),
        bursts: VecDeque::new(),
        count: 0,
        busy: Duration::ZERO,
        collisions: 0,
        contentions: 0,
    }))
}

impl Sender {
    fn of(llid: Llid, frame: &[u8]) -> Self {
        match frame[6..].first_chunk() {
            Some(address) if llid.id == Llid::ALL => Self::Unregistered(*address),
            _ => Self::Link(llid.id),
        }
    }
}

/// What a meeting of two bursts is.
fn verdict(one: &Light, other: &Light) -> &'static str {
    match (one.sender, other.sender) {
        (Sender::Unregistered(_), Sender::Unregistered(_)) => CONTENTION,
        _ => COLLISION,
    }
}

impl Receiver {
    fn begin(&mut self, cx: &mut Cx<'_>, packet: Packet) {
        let Some((llid, frame)) = Llid::split(packet.data()) else {
            cx.drop(NO_PREAMBLE, packet);
            return;
        };
        if self.held.len() >= MOST {
            cx.drop(TOO_MANY, packet);
            return;
        }
        let first = first_bit(&packet, cx.now());
        let end = first + shining(frame.len());
        let on = match packet.anno().first_timestamp {
            Time(0) => first,
            on => on.min(first),
        };
        let light = Light { sender: Sender::of(llid, frame), on, off: end + self.laser_off };
        let lost = self.meet(&light);
        self.held.push(Held { light, end, lost, packet });
    }

    /// Adds the light of a frame to what was seen. Says why the frame is lost, if other light met it, and so are the
    /// frames that it met.
    fn meet(&mut self, light: &Light) -> Option<&'static str> {
        let met = self.bursts.iter().find(|other| light.meets(other)).map(|other| verdict(light, other));
        for held in self.held.iter_mut().filter(|held| light.meets(&held.light)) {
            held.lost = Some(verdict(light, &held.light));
        }
        self.bursts.retain(|burst| burst.off + MEMORY > light.on);
        match self.bursts.iter_mut().find(|burst| burst.sender == light.sender && burst.on == light.on) {
            Some(burst) => burst.off = burst.off.max(light.off),
            None => self.bursts.push_back(*light),
        }
        if self.bursts.len() > MOST {
            self.bursts.pop_front();
        }
        met
    }

    /// Lets out the frames whose last bit is here, and waits for the next.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        while let Some(at) = self.held.iter().position(|held| held.end <= now) {
            let held = self.held.remove(at);
            match held.lost {
                Some(reason) => {
                    let counter =
                        if reason == CONTENTION { &mut self.contentions } else { &mut self.collisions };
                    *counter += 1;
                    cx.emit_or_drop(1, reason, held.packet);
                }
                None => {
                    self.count += 1;
                    self.busy += shining(held.packet.len() - PREAMBLE);
                    cx.emit(0, held.packet);
                }
            }
        }
        match self.held.iter().map(|held| held.end).min() {
            Some(next) => cx.set_timer(next),
            None => cx.clear_timer(),
        }
    }
}

impl Element for Receiver {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            self.begin(cx, packet);
        }
        self.finish(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        self.finish(cx);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "busy" => Ok(self.busy.as_nanos().to_string()),
            "collisions" => Ok(self.collisions.to_string()),
            "contentions" => Ok(self.contentions.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Light {
    fn save(&self, w: &mut Writer) {
        match self.sender {
            Sender::Link(id) => {
                w.put_bool(true);
                w.put_u16(id);
            }
            Sender::Unregistered(address) => {
                w.put_bool(false);
                w.put_raw(&address);
            }
        }
        w.put_u64(self.on.0);
        w.put_u64(self.off.0);
    }

    fn restore(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let sender = if r.get_bool()? {
            Sender::Link(r.get_u16()?)
        } else {
            let mut address = [0; 6];
            address.copy_from_slice(r.get_raw(6)?);
            Sender::Unregistered(address)
        };
        Ok(Self { sender, on: Time(r.get_u64()?), off: Time(r.get_u64()?) })
    }
}

impl Stateful for Receiver {
    fn schema(&self) -> Schema {
        Schema { name: "epon/receiver", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        for number in [self.count, self.busy.as_nanos() as u64, self.collisions, self.contentions] {
            w.put_u64(number);
        }
        w.put_u32(self.bursts.len() as u32);
        self.bursts.iter().for_each(|burst| burst.save(w));
        w.put_u32(self.held.len() as u32);
        for held in &self.held {
            held.light.save(w);
            w.put_u64(held.end.0);
            w.put_u8(match held.lost {
                None => 0,
                Some(CONTENTION) => 1,
                Some(_) => 2,
            });
            held.packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.busy = Duration::from_nanos(r.get_u64()?);
        self.collisions = r.get_u64()?;
        self.contentions = r.get_u64()?;
        self.bursts.clear();
        for _ in 0..r.get_u32()? {
            self.bursts.push_back(Light::restore(r)?);
        }
        self.held.clear();
        for _ in 0..r.get_u32()? {
            let (light, end) = (Light::restore(r)?, Time(r.get_u64()?));
            let lost = match r.get_u8()? {
                0 => None,
                1 => Some(CONTENTION),
                2 => Some(COLLISION),
                other => return Err(StateError::Invalid { what: "fate of a frame", value: other.into() }),
            };
            let packet = Packet::restore(r)?;
            if Llid::split(packet.data()).is_none() {
                return Err(StateError::Invalid {
                    what: "frame without preamble",
                    value: packet.len() as u64,
                });
            }
            self.held.push(Held { light, end, lost, packet });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::element::{Packet, Time};
    use crate::elements::epon::line::Llid;
    use crate::testing::Bench;

    const TEXT: &str = "in :: TestIn -> r :: EPONReceiver -> out :: TestOut; r[1] -> lost :: TestOut;";

    /// A frame that shines for 576 ns, of a burst whose laser went on 1 us before the frame's first bit.
    fn frame(llid: Llid, first: Time) -> Packet {
        let mut packet = Packet::from_slice(&[llid.id as u8; 60]);
        llid.encapsulate(&mut packet);
        packet.anno_mut().timestamp = first;
        packet.anno_mut().first_timestamp = first - Duration::from_micros(1);
        packet
    }

    /// Two frames, the second one so many nanoseconds behind the first: how many are received, how many lost.
    fn apart(nanos: u64, links: [Llid; 2]) -> (usize, usize) {
        let mut bench = Bench::new(TEXT);
        let first = bench.now;
        bench.push_packets("in", 0, [frame(links[0], first)]);
        bench.advance(Duration::from_nanos(nanos));
        let second = bench.now;
        bench.push_packets("in", 0, [frame(links[1], second)]);
        bench.advance(Duration::from_millis(1));
        (bench.take("out").len(), bench.take("lost").len())
    }

    #[test]
    fn a_frame_is_received_with_its_last_bit() {
        let mut bench = Bench::new(TEXT);
        let first = bench.now;
        bench.push_packets("in", 0, [frame(Llid::unicast(1), first)]);
        bench.advance(Duration::from_nanos(575));
        assert!(bench.take("out").is_empty());
        bench.advance(Duration::from_nanos(1));
        assert_eq!(bench.take_packets("out")[0].anno().timestamp, first);
    }

    #[test]
    fn light_of_two_links_may_not_meet_from_laser_on_to_laser_off() {
        let links = [Llid::unicast(1), Llid::unicast(2)];
        // 576 ns of frame, 512 for the laser to go off, 1000 for the next one to go on.
        assert_eq!(apart(2088, links), (2, 0));
        assert_eq!(apart(2087, links), (1, 1));
        assert_eq!(apart(575, links), (0, 2));
        assert_eq!(apart(300, [Llid::unicast(1); 2]), (2, 0));
    }

    #[test]
    fn unregistered_senders_contend_and_spoil_registered_ones() {
        let mut bench = Bench::new(TEXT);
        let first = bench.now;
        let mut other = frame(Llid::UNREGISTERED, first);
        other.data_mut()[14] = 9;
        bench.push_packets("in", 0, [frame(Llid::UNREGISTERED, first), other]);
        bench.advance(Duration::from_millis(1));
        assert_eq!((bench.read("r", "contentions"), bench.read("r", "collisions")), ("2".into(), "0".into()));
        assert_eq!(apart(100, [Llid::unicast(1), Llid::UNREGISTERED]), (0, 2));
    }

    #[test]
    fn only_so_many_frames_are_received_at_once() {
        let mut bench = Bench::new(TEXT);
        let first = bench.now;
        for _ in 0..300 {
            bench.push_packets("in", 0, [frame(Llid::unicast(1), first)]);
        }
        assert_eq!(bench.drops("r", "too many frames at once"), 44);
    }
}
