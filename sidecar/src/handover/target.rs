//! The target of a handover (T in the design): loads the state, follows the log, parks what the upstreams send, and
//! takes over when the seal is stored. It never decides; it serves from the moment that it owns.

use std::collections::{BTreeMap, VecDeque};

use crate::control::{Breakdown, HandoverPhase, HandoverStatus, Report, Side};
use crate::link::frame::{Data, PeerReport, Prepare, Probe};

use super::dialer::ConnId;
use super::loader::Loader;
use super::parked::Parked;
use super::state_frame::StateFrame;

/// After the start, reports are waited for this much longer than the window of measurement.
const REPORT_PATIENCE: u64 = 1_000_000_000;

/// The target's side of one handover.
#[derive(Debug)]
pub struct Target {
    /// What was announced.
    pub prepare: Prepare,
    /// Connection from the source.
    pub source: Option<ConnId>,
    /// Loads the state.
    pub loader: Loader,
    phase: HandoverPhase,
    failure: Option<(&'static str, String)>,
    parked: Parked,
    probes: BTreeMap<u32, Probe>,
    /// Final frame from the source; waits for its seal.
    last: Option<StateFrame>,
    sealed: bool,
    reported_ready: bool,
    next_progress: u64,
    reports: Vec<PeerReport>,
    reports_expected: usize,
    prepared_at: u64,
    last_at: u64,
    started_at: u64,
    flows: u64,
    breakdown: Breakdown,
}

impl Target {
    /// Begins.
    pub fn new(prepare: Prepare, source: ConnId, session: u64, now: u64) -> Self {
        Self {
            prepare,
            source: Some(source),
            loader: Loader::new(session),
            phase: HandoverPhase::Syncing,
            failure: None,
            parked: Parked::default(),
            probes: BTreeMap::new(),
            last: None,
            sealed: false,
            reported_ready: false,
            next_progress: 0,
            reports: Vec::new(),
            reports_expected: 0,
            prepared_at: now,
            last_at: 0,
            started_at: 0,
            flows: 0,
            breakdown: Breakdown::default(),
        }
    }

    /// The handover.
    pub fn id(&self) -> &str {
        &self.prepare.id
    }

    /// How far it is.
    pub fn phase(&self) -> HandoverPhase {
        self.phase
    }

    /// Whether it owns because of this handover.
    pub fn has_started(&self) -> bool {
        matches!(self.phase, HandoverPhase::Started | HandoverPhase::Finished)
    }

    /// Whether it still may take over.
    pub fn is_waiting(&self) -> bool {
        self.phase < HandoverPhase::Started
    }

    /// Progress to tell the source: at once when it is ready, else now and then.
    pub fn take_progress(&mut self, flows: u64, now: u64) -> Option<(u64, bool)> {
        self.flows = flows;
        let ready = self.loader.is_synced();
        let news = ready && !self.reported_ready;
        if !news && (now < self.next_progress || self.phase != HandoverPhase::Syncing) {
            return None;
        }
        if news {
            self.breakdown.sync_ms = (now - self.prepared_at) as f64 / 1e6;
        }
        self.reported_ready |= ready;
        self.next_progress = now + 100_000_000;
        Some((flows, ready))
    }

    /// ARM: ready, or why not.
    pub fn arm(&mut self, missing_link: Option<&str>) -> Result<(), String> {
        if !self.loader.is_synced() {
            return Err("the target has not caught up with the log".into());
        }
        if let Some(peer) = missing_link {
            return Err(format!("the target has no link to \"{peer}\" yet"));
        }
        self.phase = self.phase.max(HandoverPhase::Armed);
        Ok(())
    }

    /// A batch that came before the start. `false` when there is no room: the sender keeps it and sends it again.
    pub fn park(&mut self, link: usize, data: Data) -> bool {
        self.parked.push(link, data)
    }

    /// Where the parked batches of an edge end.
    pub fn parked_end(&self, link: usize, edge: u16) -> Option<u64> {
        self.parked.end_of(link, edge)
    }

    /// A probe that came before the start: the newest of each upstream is passed on then.
    pub fn park_probe(&mut self, probe: Probe) {
        if self.probes.len() < 64 {
            self.probes.insert(probe.origin, probe);
        }
    }

    /// The final frame came from the source.
    pub fn final_frame(&mut self, frame: StateFrame, now: u64) {
        self.last_at = now;
        self.last = Some(frame);
    }

    /// The source, or the store, says that the seal is stored.
    pub fn seal_stored(&mut self, now: u64) {
        self.sealed = true;
        if self.last_at == 0 {
            self.last_at = now;
        }
    }

    /// Whether the seal is known to be stored.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// The source's final frame, once.
    pub fn take_final_frame(&mut self) -> Option<StateFrame> {
        self.last.take_if(|_| self.sealed)
    }

    /// It owns now. Gives back what was parked, in order.
    pub fn start(&mut self, now: u64, reports_expected: usize) -> (VecDeque<(usize, Data)>, Vec<Probe>) {
        self.phase = HandoverPhase::Started;
        self.started_at = now;
        self.reports_expected = reports_expected;
        self.breakdown.start_ms = now.saturating_sub(self.last_at) as f64 / 1e6;
        (self.parked.take(), std::mem::take(&mut self.probes).into_values().collect())
    }

    /// A peer's measurement. At most one of each link.
    pub fn report(&mut self, report: PeerReport) {
        if report.id == self.prepare.id && self.reports.len() < self.reports_expected {
            self.reports.push(report);
        }
    }

    /// Whether all has been said; tells it once.
    pub fn take_finished(&mut self, flows: u64, now: u64) -> bool {
        if self.phase != HandoverPhase::Started {
            return false;
        }
        self.flows = flows;
        let all = self.reports.len() >= self.reports_expected;
        if all || now >= self.finish_deadline() {
            self.phase = HandoverPhase::Finished;
            return true;
        }
        false
    }

    /// When to stop waiting for reports.
    pub fn finish_deadline(&self) -> u64 {
        self.started_at + 2 * u64::from(self.prepare.watch_ms) * 1_000_000 + REPORT_PATIENCE
    }

    /// When there is something to do at the latest.
    pub fn deadline(&self) -> u64 {
        match self.phase {
            HandoverPhase::Syncing => self.next_progress,
            HandoverPhase::Started => self.finish_deadline(),
            _ => u64::MAX,
        }
    }

    /// The source called it off, or it cannot be done.
    pub fn give_up(&mut self, reason: &'static str, text: String) {
        self.phase = HandoverPhase::Aborted;
        self.failure = Some((reason, text));
        self.parked.take();
    }

    /// For the control API.
    pub fn status(&self) -> HandoverStatus {
        HandoverStatus {
            id: self.prepare.id.clone(),
            side: Side::Target,
            phase: self.phase,
            flows_total: self.flows,
            flows_synced: self.flows,
            reason: self.failure.as_ref().map(|(reason, _)| (*reason).to_string()),
            message: self.failure.as_ref().map(|(_, message)| message.clone()),
            breakdown: self.breakdown.clone(),
            report: (self.phase == HandoverPhase::Finished).then(|| self.sum_up()),
        }
    }

    /// What the peers have reported, together.
    pub fn sum_up(&self) -> Report {
        let longest =
            |of: fn(&PeerReport) -> u64| self.reports.iter().map(of).max().unwrap_or(0) as f64 / 1e6;
        let sum = |of: fn(&PeerReport) -> u64| self.reports.iter().map(of).sum();
        Report {
            gap_ms: longest(|report| report.gap_ns),
            baseline_ms: longest(|report| report.baseline_ns),
            lost: sum(|report| report.lost),
            duplicated: sum(|report| report.duplicated),
            reordered: sum(|report| report.reordered),
            parked: self.parked.total(),
            flows: self.flows,
        }
    }
}
