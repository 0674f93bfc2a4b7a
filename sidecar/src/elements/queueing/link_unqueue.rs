//! LinkUnqueue: a link of some latency and bandwidth. Pulls packets while the link has room, and pushes each on when it
//! has come out of the link's far end.
//!
//! The timestamp of a packet on the link is the time that its last bit arrives. There is room as long as the last packet
//! has left the sender: as long as less than the latency is to go until it arrives.

use std::collections::VecDeque;
use std::time::Duration;

use super::interval::{get_duration, put_duration, show_interval};
use crate::config::Bandwidth;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    Queueing, StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::packet::BATCH;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const RESET: &str = "link reset";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "LinkUnqueue",
    summary: "link emulator",
    processing: "l/h",
    args: &[
        Arg::required("LATENCY", "time", "time on the link"),
        Arg::required("BANDWIDTH", "bandwidth", "bytes a second; at least 100"),
    ],
    reads: Annotations::EXTRA_LENGTH,
    writes: Annotations::TIMESTAMP,
    queueing: Queueing { stores: true, ..Queueing::NONE },
    handlers: &[
        Handler::both("latency", "time on the link; setting it resets the link"),
        Handler::both("bandwidth", "bytes a second; setting it resets the link"),
        Handler::read("size", "packets on the link"),
        Handler::write("reset", "drops all packets on the link"),
    ],
    drops: &[RESET],
    state: StateKind::Small,
    details: "Models a link: a packet arrives when it was sent (its length, with the extra length annotation, \
              over BANDWIDTH) and LATENCY has passed. The next one is pulled when the last one has been sent; \
              what does not fit stays upstream. Timestamps are set to when packets arrive. Setting `latency` \
              or `bandwidth` drops what is on the link.",
    example: r#"
        // A packet of 100 bytes takes 10 ms to be sent, and 50 ms on the way.
        InfiniteSource(LENGTH 100, LIMIT 14)
            -> q :: Queue
            -> l :: LinkUnqueue(50ms, 80kbps)
            -> Print(MAXLENGTH 4, TIMESTAMP true)
            -> Discard;
        DriverManager(wait 45ms, print "$(q.length) wait, $(l.size) are on the link",
            wait 40ms, print "$(q.length) wait, $(l.size) are on the link",
            write l.bandwidth 160kbps, write l.latency 20ms,
            print "$(l.bandwidth) bytes a second, $(l.latency); lost: $(l.drop_reasons)",
            wait 50ms, print "$(q.length) wait, $(l.size) are on the link");
    "#,
    build,
    ..Descriptor::BASE
};

/// See the module's head.
pub(super) struct LinkUnqueue {
    latency: Duration,
    /// In units of 100 bytes a second, as Click counts.
    bandwidth: u64,
    packets: VecDeque<Packet>,
    /// The sender has not paused since the last packet: the next one follows it closely.
    back_to_back: bool,
}

/// The bandwidth in units of 100 bytes a second.
fn hundreds(Bandwidth(bandwidth): Bandwidth) -> Result<u64, String> {
    if bandwidth < 100 {
        return Err("bandwidth too small, minimum 100Bps".to_owned());
    }
    Ok(bandwidth / 100)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(LinkUnqueue {
        latency: args.need("LATENCY")?,
        bandwidth: hundreds(args.need("BANDWIDTH")?)?,
        packets: VecDeque::new(),
        back_to_back: false,
    }))
}

impl LinkUnqueue {
    /// Packets on the link.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// When the last packet arrives.
    fn last_arrival(&self) -> Option<Time> {
        self.packets.back().map(|packet| packet.anno().timestamp)
    }

    fn first_arrival(&self) -> Option<Time> {
        self.packets.front().map(|packet| packet.anno().timestamp)
    }

    fn has_room(&self, now: Time) -> bool {
        self.last_arrival().is_none_or(|at| at <= now + self.latency)
    }

    /// How long the packet takes to be sent, in whole microseconds.
    fn sending_time(&self, packet: &Packet) -> Duration {
        let length = packet.len() as u64 + u64::from(packet.anno().extra_length);
        Duration::from_micros(length * 10_000 / self.bandwidth)
    }

    /// Pulls packets as long as there is room, a batch at most; `batch` is empty before and after.
    fn send(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> usize {
        let mut sent = 0;
        while sent < BATCH && self.has_room(cx.now()) {
            cx.pull(0, batch, 1);
            let Some(mut packet) = batch.pop() else {
                self.back_to_back = false;
                break;
            };
            let soonest = cx.now() + self.latency;
            let before = self.last_arrival().filter(|_| self.back_to_back).unwrap_or(soonest);
            packet.anno_mut().timestamp = before + self.sending_time(&packet);
            self.packets.push_back(packet);
            self.back_to_back = true;
            sent += 1;
        }
        sent
    }

    /// Puts the packets that have arrived into `batch`, as many as fit.
    fn receive(&mut self, now: Time, batch: &mut Batch) {
        while !batch.is_full() && self.first_arrival().is_some_and(|at| at <= now) {
            batch.extend(self.packets.pop_front());
        }
    }

    /// When there is something to do; `None` when a packet upstream has to come first, which wakes this task.
    fn next_time(&self, now: Time) -> Option<Time> {
        let room = self.last_arrival().map_or(now, |at| at - self.latency);
        let room = self.back_to_back.then_some(room);
        [self.first_arrival(), room].into_iter().flatten().min()
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        for packet in self.packets.drain(..) {
            cx.drop(RESET, packet);
        }
        self.back_to_back = false;
        cx.clear_timer();
        cx.schedule();
    }
}

impl Element for LinkUnqueue {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.schedule();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let sent = self.send(cx, batch);
        self.receive(cx.now(), batch);
        match self.next_time(cx.now()) {
            Some(at) if at <= cx.now() => cx.schedule(),
            Some(at) => cx.set_timer(at),
            None => {}
        }
        sent > 0 || !batch.is_empty()
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        self.task(cx, batch);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "latency" => Ok(show_interval(self.latency)),
            "bandwidth" => Ok(self.bandwidth.saturating_mul(100).to_string()),
            "size" => Ok(self.packets.len().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "latency" => self.latency = parse_handler(value)?,
            "bandwidth" => self.bandwidth = hundreds(parse_handler(value)?).map_err(HandlerError::Refused)?,
            "reset" => {}
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        self.reset(cx);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for LinkUnqueue {
    fn schema(&self) -> Schema {
        Schema { name: "link-unqueue", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        put_duration(self.latency, w);
        w.put_u64(self.bandwidth);
        w.put_bool(self.back_to_back);
        w.put_u32(self.packets.len() as u32);
        for packet in &self.packets {
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.latency = get_duration(r)?;
        self.bandwidth = match r.get_u64()? {
            0 => return Err(StateError::Invalid { what: "bandwidth", value: 0 }),
            bandwidth => bandwidth,
        };
        self.back_to_back = r.get_bool()?;
        self.packets.clear();
        for _ in 0..r.get_u32()? {
            self.packets.push_back(Packet::restore(r)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    /// A packet of 100 bytes takes 10 ms to be sent, and 50 ms on the way.
    const TEXT: &str = "in :: TestIn -> q :: Queue -> l :: LinkUnqueue(50ms, 10kBps) -> out :: TestOut;";

    fn after(bench: &mut Bench, ms: u64) -> usize {
        bench.advance(Duration::from_millis(ms));
        bench.take("out").len()
    }

    #[test]
    fn a_packet_takes_its_sending_time_and_the_latency() {
        let mut bench = Bench::new(TEXT);
        bench.push("in", &[0; 100]);
        assert_eq!((after(&mut bench, 59), after(&mut bench, 1)), (0, 1));
    }

    #[test]
    fn packets_follow_each_other_at_the_bandwidth() {
        let mut bench = Bench::new(TEXT);
        for _ in 0..3 {
            bench.push("in", &[0; 100]);
        }
        let got: Vec<_> = [59, 1, 9, 1, 9, 1].map(|ms| after(&mut bench, ms)).into();
        assert_eq!(got, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn what_does_not_fit_on_the_link_stays_in_the_queue() {
        let mut bench = Bench::new(TEXT);
        for _ in 0..20 {
            bench.push("in", &[0; 100]);
        }
        bench.advance(Duration::from_millis(5));
        assert_eq!((bench.read("l", "size"), bench.read("q", "length")), ("1".into(), "19".into()));
        bench.advance(Duration::from_millis(50));
        assert_eq!((bench.read("l", "size"), bench.read("q", "length")), ("6".into(), "14".into()));
        bench.advance(Duration::from_secs(1));
        assert_eq!(bench.take("out").len(), 20);
    }

    #[test]
    fn a_reset_drops_what_is_on_the_link() {
        let mut bench = Bench::new(TEXT);
        bench.push("in", &[0; 100]);
        bench.settle(5);
        bench.router.write_handler("l", "bandwidth", "1MBps").unwrap();
        assert_eq!((bench.read("l", "size"), bench.drops("l", "link reset")), ("0".into(), 1));
        assert_eq!(
            (bench.read("l", "bandwidth"), bench.read("l", "latency")),
            ("1000000".into(), "50ms".into())
        );
        assert!(bench.router.write_handler("l", "bandwidth", "99").is_err());
    }

    #[test]
    fn packets_on_the_link_move_along() {
        let (mut from, mut to) = (Bench::new(TEXT), Bench::new(TEXT));
        from.push("in", &[0; 100]);
        from.settle(5);
        from.move_to(&mut to);
        assert_eq!((after(&mut to, 59), after(&mut to, 1)), (0, 1));
    }

    #[test]
    fn a_bandwidth_that_is_too_small_is_refused() {
        let error = Bench::error("Idle -> LinkUnqueue(1, 99) -> Discard;");
        assert!(error.contains("bandwidth too small, minimum 100Bps"), "{error}");
    }
}
