//! The downstream's measurement of one handover: the gap between probes, before and after ARM, and what the edges say
//! about loss. All times are the downstream's own, in nanoseconds.

use std::collections::{HashMap, VecDeque};

use crate::link::frame::PeerReport;

/// Upstreams send a probe this often while a handover is watched.
pub const PROBE_INTERVAL: u64 = 1_000_000;
/// Most arrivals remembered.
const MAX_SAMPLES: usize = 16_384;

/// The measurement of one handover at one downstream.
#[derive(Debug)]
pub struct Watch {
    id: String,
    window: u64,
    armed_at: Option<u64>,
    owner_seen: bool,
    last: HashMap<u32, u64>,
    /// (arrival, time since the probe before from the same origin)
    samples: VecDeque<(u64, u64)>,
    lost_before: u64,
}

impl Watch {
    /// Begins; `lost` is the edges' count of missing packets so far.
    pub fn new(id: String, window: u64, lost: u64) -> Self {
        Self {
            id,
            window,
            armed_at: None,
            owner_seen: false,
            last: HashMap::new(),
            samples: VecDeque::new(),
            lost_before: lost,
        }
    }

    /// The handover.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A probe from `origin` arrived.
    pub fn probe(&mut self, origin: u32, now: u64) {
        if let Some(before) = self.last.insert(origin, now) {
            if self.samples.len() == MAX_SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back((now, now.saturating_sub(before)));
        }
    }

    /// ARM: the baseline ends, the window begins. The last of several counts: the cut follows it.
    pub fn arm(&mut self, now: u64) {
        self.armed_at = Some(now);
    }

    /// The new owner is there.
    pub fn owner_seen(&mut self) {
        self.owner_seen = true;
    }

    /// Whether the window is over, so that a report can be made.
    pub fn is_complete(&self, now: u64) -> bool {
        self.owner_seen && self.armed_at.is_some_and(|armed| now >= armed + self.window)
    }

    /// When to look at [`Watch::is_complete`] next.
    pub fn deadline(&self) -> Option<u64> {
        self.armed_at.filter(|_| self.owner_seen).map(|armed| armed + self.window)
    }

    /// The figures; `lost` is the edges' count of missing packets now.
    pub fn report(&self, peer: &str, lost: u64) -> PeerReport {
        let armed = self.armed_at.unwrap_or(0);
        let longest = |from: u64, to: u64| {
            let within = self.samples.iter().filter(|(at, _)| (from..to).contains(at));
            within.map(|(_, gap)| gap.saturating_sub(PROBE_INTERVAL)).max().unwrap_or(0)
        };
        PeerReport {
            id: self.id.clone(),
            peer: peer.to_string(),
            gap_ns: longest(armed, armed + self.window),
            baseline_ns: longest(armed.saturating_sub(self.window), armed),
            probes: self.samples.iter().filter(|(at, _)| *at >= armed).count() as u64,
            lost: lost - self.lost_before.min(lost),
            ..PeerReport::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_longest_silence_in_each_window_less_the_interval_is_reported() {
        let mut watch = Watch::new("m".into(), 100 * MS, 5);
        (0..=100).filter(|ms| !(50..53).contains(ms)).for_each(|ms| watch.probe(0, ms * MS));
        watch.arm(100 * MS);
        assert!(!watch.is_complete(300 * MS), "nobody took over yet");
        watch.owner_seen();
        (108..=200).for_each(|ms| watch.probe(0, ms * MS));
        assert!(watch.is_complete(200 * MS));
        let report = watch.report("nat", 6);
        assert_eq!((report.baseline_ns, report.gap_ns, report.lost), (3 * MS, 7 * MS, 1));
    }

    #[test]
    fn probes_of_two_upstreams_do_not_hide_each_others_gaps() {
        let mut watch = Watch::new("m".into(), 100 * MS, 0);
        watch.arm(0);
        (0..100).for_each(|ms| watch.probe(0, ms * MS));
        watch.probe(1, 0);
        watch.probe(1, 20 * MS);
        assert_eq!(watch.report("nat", 0).gap_ns, 19 * MS);
    }

    #[test]
    fn a_watch_without_a_new_owner_has_no_deadline_that_could_lie_in_the_past() {
        let mut watch = Watch::new("m".into(), 100 * MS, 0);
        watch.arm(0);
        assert_eq!(watch.deadline(), None);
        watch.owner_seen();
        assert_eq!(watch.deadline(), Some(100 * MS));
    }
}
