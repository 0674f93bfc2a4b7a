//! The client's books: what was sent and what came back, for the whole run and for each marked interval.
//!
//! A packet belongs to the interval in which it was *sent*, wherever the mark falls while it is under way; so an
//! interval is settled only when all of its packets are back or the drain time has passed. Pure: time comes as an
//! argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arrivals::{Arrival, Arrivals, Counts};
use super::download::DownloadReport;
use super::message::Message;

/// The counts of an interval, and of the whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The name given with the mark; `total` for the whole run.
    pub name: String,
    /// Its length.
    pub seconds: f64,
    /// Number of flows.
    pub flows: u32,
    /// Packets sent by the client.
    pub sent: u64,
    /// Different packets that came back.
    pub received: u64,
    /// Packets that did not come back.
    pub lost: u64,
    /// Of these, lost before the server.
    pub lost_forward: u64,
    /// Of these, lost after the server.
    pub lost_backward: u64,
    /// Further copies, in both directions.
    pub duplicated: u64,
    /// Of these, seen by the server.
    pub duplicated_forward: u64,
    /// Packets that came after a later one of the same flow, in both directions.
    pub reordered: u64,
    /// Of these, seen by the server.
    pub reordered_forward: u64,
    /// Packets whose content was altered.
    pub corrupted: u64,
    /// The longest time between two arrivals over all flows, by the kernel's time stamps.
    pub longest_gap_ms: f64,
    /// The longest time between two sendings: the client's own part in the gap.
    pub longest_send_gap_ms: f64,
    /// Time from sending to the return.
    pub round_trip_ms: RoundTrip,
    /// The download, if there is one.
    pub tcp: Option<DownloadReport>,
}

impl Report {
    /// Nothing lost, doubled, out of order or altered, and the download stands.
    pub fn is_perfect(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.reordered == 0
            && self.corrupted == 0
            && self.tcp.as_ref().is_none_or(|tcp| tcp.ok)
    }
}

/// Round-trip times in milliseconds, to within 13 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// Half of the packets were at least as fast.
    pub p50: f64,
    /// 99 of 100 packets were at least as fast.
    pub p99: f64,
    /// The slowest packet, exactly.
    pub max: f64,
}

#[derive(Clone)]
struct Flow {
    sent: u32,
    /// Numbers below this were sent before the last mark.
    marked: u32,
    arrivals: Arrivals,
    server: Counts,
}

#[derive(Clone, Default)]
struct Tally {
    started_ns: u64,
    sent: u64,
    received: u64,
    duplicated: u64,
    duplicated_forward: u64,
    reordered: u64,
    reordered_forward: u64,
    /// Numbers that the server misses; goes down again when they come late.
    missing_forward: i64,
    corrupted: u64,
    longest_gap_ns: u64,
    longest_send_gap_ns: u64,
    round_trips: RoundTrips,
}

struct Closing {
    name: String,
    tally: Tally,
    ended_ns: u64,
    tcp: Option<DownloadReport>,
}

/// The books of a run.
pub struct Ledger {
    flows: Vec<Flow>,
    total: Tally,
    current: Tally,
    closing: Option<Closing>,
    drain: Duration,
    last_arrival_ns: Option<u64>,
    last_sending_ns: Option<u64>,
}

impl Ledger {
    /// Opens the books; `drain` is how long a packet may be under way before it counts as lost.
    pub fn new(flows: u32, drain: Duration, now_ns: u64) -> Self {
        let flow = Flow { sent: 0, marked: 0, arrivals: Arrivals::default(), server: Counts::default() };
        let tally = Tally { started_ns: now_ns, ..Tally::default() };
        Self {
            flows: vec![flow; flows as usize],
            total: tally.clone(),
            current: tally,
            closing: None,
            drain,
            last_arrival_ns: None,
            last_sending_ns: None,
        }
    }

    /// The number that the next packet of a flow carries.
    pub fn next_sequence(&self, flow: u32) -> u32 {
        self.flows[flow as usize].sent
    }

    /// Notes that this packet has left.
    pub fn sent(&mut self, flow: u32, now_ns: u64) {
        self.flows[flow as usize].sent += 1;
        let gap = now_ns.saturating_sub(self.last_sending_ns.replace(now_ns).unwrap_or(now_ns));
        for tally in [&mut self.total, &mut self.current] {
            tally.sent += 1;
            tally.longest_send_gap_ns = tally.longest_send_gap_ns.max(gap);
        }
    }

    /// Notes that something arrived at this time, in the order of the times.
    pub fn arrived(&mut self, at_ns: u64) {
        let last = self.last_arrival_ns.unwrap_or(at_ns);
        let gap = at_ns.saturating_sub(last);
        self.last_arrival_ns = Some(last.max(at_ns));
        for tally in [&mut self.total, &mut self.current] {
            tally.longest_gap_ns = tally.longest_gap_ns.max(gap);
        }
    }

    /// Notes a packet that came back. One that was never sent is none of ours and is ignored.
    pub fn received(&mut self, message: &Message, at_ns: u64, intact: bool) {
        let Some(flow) = self.flows.get_mut(message.flow as usize) else { return };
        if message.sequence >= flow.sent {
            return;
        }
        let arrival = flow.arrivals.note(message.sequence);
        let before = newer(&mut flow.server, message.server);
        let after = flow.server;
        let own = match &mut self.closing {
            Some(closing) if message.sequence < flow.marked => &mut closing.tally,
            _ => &mut self.current,
        };
        for tally in [&mut self.total, own] {
            tally.note(arrival, before, after);
            tally.corrupted += u64::from(!intact);
            tally.round_trips.note(at_ns.saturating_sub(message.sent_at));
        }
    }

    /// Ends the interval and begins the next. Only when the one before is settled: see [`Ledger::can_mark`].
    pub fn mark(&mut self, name: String, now_ns: u64, tcp: Option<DownloadReport>) {
        debug_assert!(self.can_mark(), "the interval before is not settled");
        for flow in &mut self.flows {
            flow.marked = flow.sent;
        }
        let next = Tally { started_ns: now_ns, ..Tally::default() };
        let tally = std::mem::replace(&mut self.current, next);
        self.closing = Some(Closing { name, tally, ended_ns: now_ns, tcp });
    }

    /// Whether the interval before is settled.
    pub fn can_mark(&self) -> bool {
        self.closing.is_none()
    }

    /// The interval that ended, once all of its packets are back or the drain time has passed.
    pub fn settle(&mut self, now_ns: u64) -> Option<Report> {
        let closing = self.closing.take_if(|closing| {
            closing.tally.received >= closing.tally.sent
                || now_ns.saturating_sub(closing.ended_ns) >= self.drain.as_nanos() as u64
        })?;
        Some(closing.tally.report(closing.name, closing.ended_ns, self.flows.len() as u32, closing.tcp))
    }

    /// Packets under way or lost.
    pub fn outstanding(&self) -> u64 {
        self.total.sent.saturating_sub(self.total.received)
    }

    /// The whole run.
    pub fn total(&self, now_ns: u64, tcp: Option<DownloadReport>) -> Report {
        self.total.report("total".into(), now_ns, self.flows.len() as u32, tcp)
    }
}

/// Keeps the newer of two counts of the server, which only grow, and answers the one before.
fn newer(known: &mut Counts, seen: Counts) -> Counts {
    let before = *known;
    let events = |counts: &Counts| u64::from(counts.unique) + u64::from(counts.duplicated);
    if events(&seen) > events(known) {
        *known = seen;
    }
    before
}

impl Tally {
    fn note(&mut self, arrival: Arrival, before: Counts, after: Counts) {
        match arrival {
            Arrival::InOrder => self.received += 1,
            Arrival::Reordered => {
                self.received += 1;
                self.reordered += 1;
            }
            Arrival::Duplicate => self.duplicated += 1,
        }
        self.duplicated_forward += u64::from(after.duplicated.saturating_sub(before.duplicated));
        self.reordered_forward += u64::from(after.reordered.saturating_sub(before.reordered));
        self.missing_forward += i64::from(after.missing()) - i64::from(before.missing());
    }

    /// A copy made before the server comes back as a copy, and a packet that overtook another before the server comes
    /// back in that order: such are counted once, as the server saw them.
    fn report(&self, name: String, now_ns: u64, flows: u32, tcp: Option<DownloadReport>) -> Report {
        let lost = self.sent.saturating_sub(self.received);
        let lost_forward = u64::try_from(self.missing_forward).unwrap_or(0).min(lost);
        Report {
            name,
            seconds: now_ns.saturating_sub(self.started_ns) as f64 / 1e9,
            flows,
            sent: self.sent,
            received: self.received,
            lost,
            lost_forward,
            lost_backward: lost - lost_forward,
            duplicated: self.duplicated.max(self.duplicated_forward),
            duplicated_forward: self.duplicated_forward,
            reordered: self.reordered.max(self.reordered_forward),
            reordered_forward: self.reordered_forward,
            corrupted: self.corrupted,
            longest_gap_ms: self.longest_gap_ns as f64 / 1e6,
            longest_send_gap_ms: self.longest_send_gap_ns as f64 / 1e6,
            round_trip_ms: self.round_trips.summary(),
            tcp,
        }
    }
}

/// Eight slots for each power of two of nanoseconds.
#[derive(Clone)]
struct RoundTrips {
    slots: Vec<u64>,
    count: u64,
    max_ns: u64,
}

impl Default for RoundTrips {
    fn default() -> Self {
        Self { slots: vec![0; 64 * 8], count: 0, max_ns: 0 }
    }
}

impl RoundTrips {
    fn note(&mut self, ns: u64) {
        let ns = ns.max(8);
        let power = ns.ilog2();
        let eighth = (ns >> (power - 3)) & 7;
        self.slots[power as usize * 8 + eighth as usize] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    fn summary(&self) -> RoundTrip {
        RoundTrip { p50: self.quantile(0.5), p99: self.quantile(0.99), max: self.max_ns as f64 / 1e6 }
    }

    /// Upper edge of the slot in which the quantile lies, in milliseconds.
    fn quantile(&self, quantile: f64) -> f64 {
        let wanted = (self.count as f64 * quantile).ceil() as u64;
        let mut passed = 0;
        for (slot, count) in self.slots.iter().enumerate() {
            passed += count;
            if *count > 0 && passed >= wanted {
                let (power, eighth) = (slot / 8, slot % 8);
                let edge = (1u64 << power) as f64 * (1.0 + (eighth + 1) as f64 / 8.0);
                return edge.min(self.max_ns as f64) / 1e6;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::message::Kind;

    const MS: u64 = 1_000_000;

    /// A client and a perfect server, with a network between them that the test plays.
    struct Play {
        ledger: Ledger,
        server: Arrivals,
        now: u64,
    }

    impl Play {
        fn new() -> Self {
            Self {
                ledger: Ledger::new(1, Duration::from_millis(100), 0),
                server: Arrivals::default(),
                now: 0,
            }
        }

        fn send(&mut self) -> u32 {
            self.now += MS;
            let sequence = self.ledger.next_sequence(0);
            self.ledger.sent(0, self.now);
            sequence
        }

        fn reach_server(&mut self, sequence: u32) -> Message {
            self.server.note(sequence);
            let server = self.server.counts();
            Message { kind: Kind::Data, session: 1, flow: 0, sequence, sent_at: self.now, server }
        }

        fn return_to_client(&mut self, message: &Message) {
            self.now += MS;
            self.ledger.arrived(self.now);
            self.ledger.received(message, self.now, true);
        }

        fn carry(&mut self, sequence: u32) {
            let message = self.reach_server(sequence);
            self.return_to_client(&message);
        }

        fn total(&self) -> Report {
            self.ledger.total(self.now, None)
        }
    }

    #[test]
    fn a_perfect_network_gives_a_perfect_report() {
        let mut play = Play::new();
        for _ in 0..100 {
            let sequence = play.send();
            play.carry(sequence);
        }
        let total = play.total();
        assert!(total.is_perfect(), "{total:?}");
        assert_eq!((total.sent, total.received), (100, 100));
        assert_eq!(total.longest_gap_ms, 2.0);
    }

    #[test]
    fn a_loss_is_told_by_its_direction() {
        let mut play = Play::new();
        let _lost_forward = play.send();
        let lost_backward = play.send();
        let _ = play.reach_server(lost_backward);
        let arrives = play.send();
        play.carry(arrives);
        let total = play.total();
        assert_eq!((total.lost, total.lost_forward, total.lost_backward), (2, 1, 1));
    }

    #[test]
    fn a_packet_overtaken_before_the_server_counts_once_as_reordered() {
        let mut play = Play::new();
        let (first, second) = (play.send(), play.send());
        play.carry(second);
        play.carry(first);
        let total = play.total();
        assert_eq!((total.reordered, total.reordered_forward, total.lost), (1, 1, 0));
    }

    #[test]
    fn a_copy_made_after_the_server_counts_once_as_duplicated() {
        let mut play = Play::new();
        let sequence = play.send();
        let message = play.reach_server(sequence);
        play.return_to_client(&message);
        play.return_to_client(&message);
        let total = play.total();
        assert_eq!((total.duplicated, total.duplicated_forward), (1, 0));
    }

    #[test]
    fn a_packet_under_way_at_the_mark_belongs_to_the_interval_in_which_it_was_sent() {
        let mut play = Play::new();
        let before = play.send();
        play.ledger.mark("one".into(), play.now, None);
        let after = play.send();
        assert_eq!(play.ledger.settle(play.now), None);
        play.carry(before);
        play.carry(after);
        let interval = play.ledger.settle(play.now).unwrap();
        assert_eq!((interval.name.as_str(), interval.sent, interval.received), ("one", 1, 1));
        play.ledger.mark("two".into(), play.now, None);
        let interval = play.ledger.settle(play.now).unwrap();
        assert_eq!((interval.sent, interval.received), (1, 1));
    }

    #[test]
    fn a_lost_packet_is_charged_to_its_interval_after_the_drain_time() {
        let mut play = Play::new();
        play.send();
        play.ledger.mark("one".into(), play.now, None);
        assert_eq!(play.ledger.settle(play.now + 99 * MS), None);
        let interval = play.ledger.settle(play.now + 100 * MS).unwrap();
        assert_eq!(interval.lost, 1);
        assert!(!interval.is_perfect());
    }

    #[test]
    fn an_echo_of_something_never_sent_is_ignored() {
        let mut play = Play::new();
        play.carry(0);
        let stranger = Message { flow: 9, ..play.reach_server(0) };
        play.return_to_client(&stranger);
        assert_eq!(play.total().received, 0);
    }

    #[test]
    fn quantiles_are_within_an_eighth() {
        let mut round_trips = RoundTrips::default();
        for ms in 1..=100 {
            round_trips.note(ms * MS);
        }
        let summary = round_trips.summary();
        assert!((50.0..57.0).contains(&summary.p50), "{summary:?}");
        assert!((99.0..=100.0).contains(&summary.p99), "{summary:?}");
        assert_eq!(summary.max, 100.0);
    }
}
