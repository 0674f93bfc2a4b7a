//! The source of a handover (S in the design): the one that decides between SEAL and ABORT.
//!
//! ```text
//! Preparing ──announce──▶ Syncing ──arm──▶ Arming ──cut──▶ Cutting ──seal──▶ Sealing ──stored──▶ Sealed ▶ Started ▶ Finished
//!     └──────────────┴────────────────┴──────────────┴── abort ▶ Aborted          (never from here on)
//! ```
//! Pure: it is told what happened and what time it is, and answers what to do next.

use std::collections::BTreeSet;

use crate::control::{Breakdown, HandoverPhase, HandoverRequest, HandoverStatus, Report, Side};

use super::dialer::{Destination, Dialer};

/// All must answer ARM within this time.
const ARM_PATIENCE: u64 = 500_000_000;
/// ARM is repeated to those that are not ready this often.
const ARM_AGAIN: u64 = 10_000_000;
/// A round of ARM within this time shows that all parties are awake, so that the cut will be short.
const QUIET_ROUND: u64 = 2_000_000;
/// A round that was slower is repeated for this long, in the hope of a quieter moment; then the cut comes as it may.
const QUIET_PATIENCE: u64 = 2_000_000_000;
/// Shortest time that a cut gets.
const CUT_PATIENCE: u64 = 50_000_000;
/// Nothing is waited for longer than this after the seal.
const FINISH_PATIENCE: u64 = 10_000_000_000;

/// A party that must answer ARM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The upstream of in-link *i*.
    Upstream(usize),
    /// The downstream of out-link *j*.
    Downstream(usize),
    /// The target.
    Target,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Tell peers and target.
    Announce,
    /// Ask these whether they are ready.
    Arm(Vec<Party>),
    /// Ask the upstreams to end their frames.
    Cut,
    /// Stop, and store the final frame.
    Seal,
    /// Call it off: reason and sentence.
    Abort(&'static str, String),
}

/// What the source has to know of its surroundings.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The first peer without a connection.
    pub missing_link: Option<String>,
    /// Whether an append is under way.
    pub journal_busy: bool,
    /// Whether the store is away.
    pub store_down: bool,
    /// Flows now.
    pub flows: u64,
}

/// The source's side of one handover.
#[derive(Debug)]
pub struct Source {
    /// What was asked for.
    pub request: HandoverRequest,
    /// The new owner's epoch.
    pub epoch: u64,
    /// Keeps the connection to the target.
    pub target: Dialer,
    phase: HandoverPhase,
    failure: Option<(&'static str, String)>,
    downstreams: usize,
    waiting: BTreeSet<Party>,
    refusal: Option<String>,
    next_arm: u64,
    markers: Vec<Vec<Option<u64>>>,
    synced: (u64, bool),
    flows: u64,
    begun_at: u64,
    announced_at: Option<u64>,
    armed_at: Option<u64>,
    round_at: u64,
    answered_at: u64,
    cut_at: Option<u64>,
    seal_at: Option<u64>,
    done_at: Option<u64>,
    breakdown: Breakdown,
    report: Option<Report>,
}

fn millis(from: Option<u64>, to: u64) -> f64 {
    from.map_or(0.0, |from| to.saturating_sub(from) as f64 / 1e6)
}

impl Source {
    /// Begins. `epoch` is the source's; `in_edges` has the number of edges of each in-link, `downstreams` is the number
    /// of out-links.
    pub fn new(
        request: HandoverRequest,
        epoch: u64,
        in_edges: &[usize],
        downstreams: usize,
        now: u64,
    ) -> Self {
        Self {
            target: Dialer::to(Destination {
                owner: request.target_owner_id.clone(),
                address: request.target_link_addr.clone(),
            }),
            request,
            epoch: epoch + 1,
            phase: HandoverPhase::Preparing,
            failure: None,
            downstreams,
            waiting: BTreeSet::new(),
            refusal: None,
            next_arm: 0,
            markers: in_edges.iter().map(|edges| vec![None; *edges]).collect(),
            synced: (0, false),
            flows: 0,
            begun_at: now,
            announced_at: None,
            armed_at: None,
            round_at: 0,
            answered_at: 0,
            cut_at: None,
            seal_at: None,
            done_at: None,
            breakdown: Breakdown::default(),
            report: None,
        }
    }

    /// The handover.
    pub fn id(&self) -> &str {
        &self.request.id
    }

    /// How far it is.
    pub fn phase(&self) -> HandoverPhase {
        self.phase
    }

    /// Whether it can still be called off.
    pub fn can_abort(&self) -> bool {
        self.phase < HandoverPhase::Sealed && self.seal_at.is_none()
    }

    /// Whether the seal was asked for and no answer is known.
    pub fn is_sealing(&self) -> bool {
        self.seal_at.is_some() && self.phase == HandoverPhase::Cutting
    }

    /// What to do now.
    pub fn poll(&mut self, now: u64, facts: &Facts) -> Option<Step> {
        self.flows = facts.flows;
        if self.can_abort() {
            if facts.store_down {
                let text = "the state store is not reachable, so the state cannot be handed over";
                return Some(self.give_up("StateStoreDown", text.into(), now));
            }
            if self.announced_at.is_some() && self.target.up().is_none() {
                return Some(self.give_up("TargetLost", self.no_target(), now));
            }
        }
        match self.phase {
            HandoverPhase::Preparing => self.prepare(now, facts),
            HandoverPhase::Syncing => self.sync(now),
            HandoverPhase::Armed => self.arm(now),
            HandoverPhase::Cutting if self.seal_at.is_none() => self.cut(now, facts),
            HandoverPhase::Sealed | HandoverPhase::Started => {
                if self.done_at.is_some_and(|done| now >= done + FINISH_PATIENCE) {
                    self.phase = HandoverPhase::Finished;
                }
                None
            }
            _ => None,
        }
    }

    fn no_target(&self) -> String {
        format!(
            "no connection to the target {} at {}",
            self.request.target_owner_id, self.request.target_link_addr
        )
    }

    fn out_of_time(&self, now: u64) -> bool {
        now >= self.begun_at + self.request.deadline_ms.saturating_mul(1_000_000)
    }

    fn prepare(&mut self, now: u64, facts: &Facts) -> Option<Step> {
        if self.out_of_time(now) {
            let missing = facts.missing_link.as_ref().map(|peer| format!("no link to \"{peer}\""));
            let text = missing.unwrap_or_else(|| self.no_target());
            return Some(self.give_up("DeadlineExceeded", text, now));
        }
        if self.target.up().is_none() || facts.missing_link.is_some() {
            return None;
        }
        self.phase = HandoverPhase::Syncing;
        self.announced_at = Some(now);
        self.breakdown.prepare_ms = millis(Some(self.begun_at), now);
        Some(Step::Announce)
    }

    fn sync(&mut self, now: u64) -> Option<Step> {
        let baseline = self.announced_at.unwrap_or(now) + u64::from(self.request.watch_ms) * 1_000_000;
        if self.synced.1 && now >= baseline {
            self.phase = HandoverPhase::Armed;
            self.armed_at = Some(now);
            return Some(self.arm_all(now));
        }
        if self.out_of_time(now) {
            let text =
                format!("the target had loaded {} of {} flows at the deadline", self.synced.0, self.flows);
            return Some(self.give_up("DeadlineExceeded", text, now));
        }
        None
    }

    /// All that must answer ARM.
    pub fn parties(&self) -> Vec<Party> {
        let upstreams = (0..self.markers.len()).map(Party::Upstream);
        upstreams.chain((0..self.downstreams).map(Party::Downstream)).chain([Party::Target]).collect()
    }

    fn arm_all(&mut self, now: u64) -> Step {
        self.round_at = now;
        self.next_arm = now + ARM_AGAIN;
        self.waiting = self.parties().into_iter().collect();
        Step::Arm(self.waiting.iter().copied().collect())
    }

    fn arm(&mut self, now: u64) -> Option<Step> {
        if self.waiting.is_empty() {
            return self.cut_when_quiet(now);
        }
        if now >= self.round_at + ARM_PATIENCE {
            let who = self.waiting.iter().map(|party| format!("{party:?}")).collect::<Vec<_>>().join(", ");
            let text = self.refusal.take().unwrap_or_else(|| format!("no answer from {who} within 500 ms"));
            return Some(self.give_up("NotReady", text, now));
        }
        if now >= self.next_arm {
            self.next_arm = now + ARM_AGAIN;
            return Some(Step::Arm(self.waiting.iter().copied().collect()));
        }
        None
    }

    /// All are ready. On a busy machine a party may sleep for tens of milliseconds, and a cut in which one does makes
    /// the gap: so it begins when all have just answered at once.
    fn cut_when_quiet(&mut self, now: u64) -> Option<Step> {
        let armed_at = self.armed_at.unwrap_or(now);
        let round = self.answered_at.saturating_sub(self.round_at);
        if round <= QUIET_ROUND || now >= armed_at + QUIET_PATIENCE {
            self.phase = HandoverPhase::Cutting;
            self.cut_at = Some(now);
            self.breakdown.arm_ms = millis(self.armed_at, now);
            return Some(Step::Cut);
        }
        (now >= self.next_arm).then(|| self.arm_all(now))
    }

    fn cut(&mut self, now: u64, facts: &Facts) -> Option<Step> {
        let all = self.markers.iter().flatten().all(Option::is_some);
        if all && self.breakdown.cut_ms == 0.0 {
            self.breakdown.cut_ms = millis(self.cut_at, now);
        }
        if all && !facts.journal_busy {
            self.seal_at = Some(now);
            return Some(Step::Seal);
        }
        let patience = CUT_PATIENCE.max(self.request.max_downtime_ms.saturating_mul(1_000_000));
        if now >= self.cut_at.unwrap_or(now).saturating_add(patience) {
            let missing = self.markers.iter().flatten().filter(|marker| marker.is_none()).count();
            let text = match missing {
                0 => "the state store did not acknowledge the last frame before the cut in time".to_string(),
                _ => format!("{missing} upstream edges did not end within {} ms", patience / 1_000_000),
            };
            return Some(self.give_up("CutTimeout", text, now));
        }
        None
    }

    /// When [`Source::poll`] has something to do at the latest.
    pub fn deadline(&self) -> u64 {
        let patience = CUT_PATIENCE.max(self.request.max_downtime_ms.saturating_mul(1_000_000));
        match self.phase {
            HandoverPhase::Preparing | HandoverPhase::Syncing => {
                let watch = u64::from(self.request.watch_ms) * 1_000_000;
                let ready = self.announced_at.filter(|_| self.synced.1).map_or(u64::MAX, |at| at + watch);
                ready.min(self.begun_at.saturating_add(self.request.deadline_ms.saturating_mul(1_000_000)))
            }
            HandoverPhase::Armed => self.next_arm,
            HandoverPhase::Cutting if self.seal_at.is_none() => {
                self.cut_at.unwrap_or(0).saturating_add(patience)
            }
            HandoverPhase::Sealed | HandoverPhase::Started => {
                self.done_at.unwrap_or(0).saturating_add(FINISH_PATIENCE)
            }
            _ => u64::MAX,
        }
    }

    /// The target's progress.
    pub fn synced(&mut self, flows: u64, ready: bool, now: u64) {
        if ready && !self.synced.1 {
            self.breakdown.sync_ms = millis(self.announced_at, now);
        }
        self.synced = (flows, ready);
    }

    /// A party is ready.
    pub fn armed(&mut self, party: Party, now: u64) {
        if self.waiting.remove(&party) {
            self.answered_at = now;
        }
    }

    /// A party is not ready, and why. It is asked again until the time is over.
    pub fn refused(&mut self, reason: String) {
        self.refusal = Some(reason);
    }

    /// An upstream ended an edge (given by its place in the link).
    pub fn marker(&mut self, link: usize, edge: usize, next: u64) {
        if let Some(slot) = self.markers.get_mut(link).and_then(|edges| edges.get_mut(edge)) {
            *slot = Some(next);
        }
    }

    /// The seal is stored.
    pub fn sealed(&mut self, now: u64) {
        self.phase = HandoverPhase::Sealed;
        self.done_at = Some(now);
        self.breakdown.seal_ms = millis(self.seal_at, now);
    }

    /// The target says that it owns.
    pub fn started(&mut self) {
        self.phase = self.phase.max(HandoverPhase::Started);
    }

    /// The target has all reports.
    pub fn finished(&mut self, report: Report) {
        if self.phase >= HandoverPhase::Sealed && self.phase != HandoverPhase::Aborted {
            self.phase = HandoverPhase::Finished;
            self.report = Some(report);
        }
    }

    /// Calls the handover off.
    pub fn give_up(&mut self, reason: &'static str, text: String, now: u64) -> Step {
        self.phase = HandoverPhase::Aborted;
        self.done_at = Some(now);
        self.seal_at = None;
        self.failure = Some((reason, text.clone()));
        Step::Abort(reason, text)
    }

    /// For the control API.
    pub fn status(&self) -> HandoverStatus {
        HandoverStatus {
            id: self.request.id.clone(),
            side: Side::Source,
            phase: self.phase,
            flows_total: self.flows,
            flows_synced: self.synced.0,
            reason: self.failure.as_ref().map(|(reason, _)| (*reason).to_string()),
            message: self.failure.as_ref().map(|(_, message)| message.clone()),
            breakdown: self.breakdown.clone(),
            report: self.report.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed_source() -> Source {
        let request = HandoverRequest {
            id: "m".into(),
            target_owner_id: "t".into(),
            target_link_addr: "t:1".into(),
            target_node: String::new(),
            expected_epoch: 1,
            max_downtime_ms: 0,
            deadline_ms: 1_000,
            watch_ms: 0,
        };
        let mut source = Source::new(request, 1, &[1, 1], 2, 0);
        source.target.connected(1);
        assert_eq!(source.poll(0, &Facts::default()), Some(Step::Announce));
        source.synced(0, true, 0);
        source
    }

    #[test]
    fn all_parties_are_asked_and_then_only_those_that_have_not_answered() {
        let mut source = armed_source();
        assert_eq!(source.poll(0, &Facts::default()), Some(Step::Arm(source.parties())));
        assert_eq!(source.parties().len(), 5);
        source.armed(Party::Downstream(0), 1);
        source.armed(Party::Downstream(1), 2);
        let rest = vec![Party::Upstream(0), Party::Upstream(1), Party::Target];
        assert_eq!(source.poll(ARM_AGAIN, &Facts::default()), Some(Step::Arm(rest.clone())));
        rest.into_iter().for_each(|party| source.armed(party, QUIET_ROUND));
        assert_eq!(source.poll(ARM_AGAIN, &Facts::default()), Some(Step::Cut));
    }

    /// Plays rounds that take so long each; answers how many there were and when the cut came.
    fn rounds_until_cut(round: impl Fn(u32) -> u64) -> (u32, u64) {
        let mut source = armed_source();
        let (mut rounds, mut now) = (0, 0);
        loop {
            match source.poll(now, &Facts::default()) {
                Some(Step::Arm(parties)) => {
                    now += round(rounds);
                    rounds += 1;
                    parties.into_iter().for_each(|party| source.armed(party, now));
                }
                Some(Step::Cut) => return (rounds, now),
                Some(step) => panic!("{step:?}"),
                None => now = source.deadline(),
            }
        }
    }

    #[test]
    fn a_slow_round_is_repeated_until_a_quick_one_and_not_for_ever() {
        let slow = QUIET_ROUND + 1;
        assert_eq!(rounds_until_cut(|_| QUIET_ROUND), (1, QUIET_ROUND));
        assert_eq!(rounds_until_cut(|number| if number < 2 { slow } else { 0 }), (3, 2 * ARM_AGAIN));
        let (rounds, cut_at) = rounds_until_cut(|_| slow);
        assert!(rounds > 100 && (QUIET_PATIENCE..QUIET_PATIENCE + ARM_AGAIN).contains(&cut_at));
    }

    #[test]
    fn a_party_that_stays_silent_calls_the_move_off() {
        let mut source = armed_source();
        source.poll(0, &Facts::default());
        assert!(matches!(source.poll(ARM_PATIENCE, &Facts::default()), Some(Step::Abort("NotReady", _))));
        assert_eq!(source.phase(), HandoverPhase::Aborted);
    }
}
