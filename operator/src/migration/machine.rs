//! The next phase of a migration, as a pure function of what is observed.
//!
//! ```text
//!             queue free, owner found,        target has         target ready,
//!             a node can take it              a node             handover asked for
//!   Pending ───────────────────▶ Scheduling ──────────▶ Preparing ──────────▶ Syncing
//!     │ refused                    │ no place             │ does not start      │ S begins the cut
//!     │                            │                      │                     ▼
//!     ▼                            ▼                      ▼                CuttingOver
//!   Failed ◀───────────────────────┴──────────────────────┴── S aborted ────────┤
//!   Aborted (the same, when the user asked)                                     │ T owns
//!                                                                               ▼
//!                                        Succeeded ◀── report, or 15 s ──── Finishing
//! ```
//!
//! Only S, the source's sidecar, decides between commit and abort. Once the handover was asked for, nothing here ends
//! a migration as failed while S could still seal: it asks S to abort and waits for the answer. T's word that it owns
//! is final. Every act may be repeated.

use std::net::SocketAddr;
use std::time::Duration;

use anf_crds::{
    Endpoint, Failure, FunctionMigrationSpec, FunctionMigrationStatus, MigrationPhase, MigrationPolicy, Plan,
    names as labels,
};
use anf_sidecar::control::{HandoverPhase as Phase, HandoverStatus, Report, Role};
use k8s_openapi::jiff::Timestamp;

use super::choose::Refusal;
use crate::sidecars::Control;

/// How long the peers' report, and the function's status, are waited for once the target owns.
const REPORT: Duration = Duration::from_secs(15);
/// How long a target is given to notice that a source that is gone had sealed.
const SETTLE: Duration = Duration::from_secs(5);

/// A watch of nodes may be behind the API server by this much.
const WATCH_LAG: Duration = Duration::from_secs(2);

/// What is known of the function.
#[derive(Debug, Clone)]
pub enum Setting {
    /// There is no such function.
    NoFunction,
    /// The function has no such sub-function; these it has.
    NoSubFunction(Vec<String>),
    /// The function was not built yet.
    NotBuilt,
    /// It is there.
    Known {
        /// How the sub-function is moved.
        policy: MigrationPolicy,
        /// A port that it owns.
        pinned_by: Option<String>,
        /// Its strategy allows moves.
        movable: bool,
    },
}

/// A pod that runs or is to run the sub-function.
#[derive(Debug, Clone, Default)]
pub struct Runner {
    /// Its name.
    pub pod: String,
    /// Its node.
    pub node: Option<String>,
    /// It is being deleted or has ended.
    pub leaving: bool,
    /// It passes its readiness probe.
    pub ready: bool,
    /// The scheduler's text, if it finds no node.
    pub unschedulable: Option<String>,
    /// Why its container does not run.
    pub trouble: Option<String>,
    /// What its sidecar says that it is.
    pub role: Option<Role>,
    /// The epoch that its sidecar knows.
    pub epoch: u64,
    /// Whether its sidecar reaches the state store.
    pub store_reachable: Option<bool>,
    /// Where it takes links.
    pub link: Option<SocketAddr>,
    /// Where its control API listens.
    pub control: Option<Control>,
}

/// What a sidecar says of the handover.
#[derive(Debug, Clone)]
pub enum Told {
    /// It was not asked, or there is no pod.
    Nothing,
    /// It does not answer, and why.
    Silent(String),
    /// It knows nothing of it.
    Unknown,
    /// How far it is.
    Status(Box<HandoverStatus>),
}

impl Told {
    fn phase(&self) -> Option<Phase> {
        self.status().map(|status| status.phase)
    }

    /// The status, if one was told.
    pub fn status(&self) -> Option<&HandoverStatus> {
        match self {
            Self::Status(status) => Some(status),
            Self::Nothing | Self::Silent(_) | Self::Unknown => None,
        }
    }

    fn report(&self) -> Option<&Report> {
        self.status().and_then(|status| status.report.as_ref())
    }
}

/// Everything that a decision depends on.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Now.
    pub now: Timestamp,
    /// The migration's UID, which is the handover's id.
    pub id: &'a str,
    /// The migration's name.
    pub name: &'a str,
    /// When it was asked for.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: &'a FunctionMigrationSpec,
    /// What was recorded last.
    pub status: FunctionMigrationStatus,
    /// The function.
    pub setting: Setting,
    /// The node whose drain asked for this, if it takes pods again (while pending).
    pub uncordoned: Option<String>,
    /// What has to end first, as a sentence (while pending).
    pub ahead: Option<String>,
    /// The owner (while pending), then the pod that was the owner when the migration began.
    pub source: Option<Runner>,
    /// The target, once it was made.
    pub target: Option<Runner>,
    /// Where it may go (while pending).
    pub plan: Option<Result<Plan, Refusal>>,
    /// Whether the function's status names the target as the sub-function's pod (while finishing).
    pub shown: bool,
    /// What the source says of the handover.
    pub on_source: Told,
    /// What the target says of the handover.
    pub on_target: Told,
}

/// Something to do. Each may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Make the target pod.
    CreateTarget,
    /// Ask the source to hand over, within this many milliseconds.
    StartHandover {
        /// Time for the handover.
        deadline_ms: u64,
    },
    /// Ask the source to call the handover off.
    AbortHandover,
    /// Give the target the owner's label, then take it from the source and delete that.
    Promote,
    /// Delete the target pod.
    DeleteTarget,
}

/// Why it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// One word.
    pub reason: String,
    /// One line.
    pub message: String,
}

/// What is next.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The phase from now on.
    pub phase: MigrationPhase,
    /// Why it waits.
    pub why: Option<Why>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What to do before the phase is recorded.
    pub acts: Vec<Act>,
    /// The source, if it was found now.
    pub source: Option<Endpoint>,
    /// The target, if more of it is known now.
    pub target: Option<Endpoint>,
    /// Where it may go.
    pub plan: Option<Plan>,
}

impl Decision {
    fn to(phase: MigrationPhase) -> Self {
        Self { phase, why: None, failure: None, acts: Vec::new(), source: None, target: None, plan: None }
    }

    fn wait(phase: MigrationPhase, reason: &str, message: impl Into<String>) -> Self {
        Self { why: Some(Why { reason: reason.to_owned(), message: message.into() }), ..Self::to(phase) }
    }

    fn with(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    fn target(self, target: Endpoint) -> Self {
        Self { target: Some(target), ..self }
    }
}

/// Decides.
pub fn decide(view: &View<'_>) -> Decision {
    match view.phase() {
        MigrationPhase::Pending => pending(view),
        MigrationPhase::Scheduling => scheduling(view),
        MigrationPhase::Preparing => preparing(view),
        MigrationPhase::Syncing | MigrationPhase::CuttingOver => under_way(view),
        MigrationPhase::Finishing => finishing(view),
        over @ (MigrationPhase::Succeeded | MigrationPhase::Failed | MigrationPhase::Aborted) => {
            Decision::to(over)
        }
    }
}

impl View<'_> {
    fn phase(&self) -> MigrationPhase {
        self.status.phase.unwrap_or_default()
    }

    fn since(&self, phase: MigrationPhase) -> Option<Duration> {
        let begun =
            self.status.phase_transitions.iter().rev().find(|transition| transition.phase == phase)?;
        Duration::try_from(self.now.duration_since(begun.at.0)).ok()
    }

    /// How long the present phase lasts already.
    pub fn in_phase(&self) -> Duration {
        self.since(self.phase()).unwrap_or_default()
    }

    fn waited(&self) -> Duration {
        Duration::try_from(self.now.duration_since(self.created)).unwrap_or_default()
    }

    fn policy(&self) -> MigrationPolicy {
        match &self.setting {
            Setting::Known { policy, .. } => policy.clone(),
            _ => MigrationPolicy::default(),
        }
    }

    /// The gap that is allowed.
    pub fn budget(&self) -> anf_crds::Duration {
        self.spec.max_downtime.unwrap_or(self.policy().max_downtime)
    }

    fn deadline(&self) -> Duration {
        self.spec.deadline.unwrap_or(self.policy().deadline).into()
    }

    /// What is left of the deadline, which runs from the end of the queue.
    fn remaining(&self) -> Duration {
        self.deadline().saturating_sub(self.since(MigrationPhase::Scheduling).unwrap_or_default())
    }

    fn target_node(&self) -> String {
        let node = self.status.target.as_ref().and_then(|target| target.node.clone());
        node.unwrap_or_else(|| "any other node".into())
    }

    fn target_pod(&self) -> Option<&str> {
        self.status.target.as_ref()?.pod.as_deref()
    }

    /// The target pod is gone, or on its way out.
    fn target_lost(&self) -> bool {
        self.target.as_ref().is_none_or(|target| target.leaving)
    }

    fn source_lost(&self) -> bool {
        self.source.as_ref().is_none_or(|source| source.leaving)
    }

    fn target_owns(&self) -> bool {
        let role = self.target.as_ref().and_then(|target| target.role);
        role == Some(Role::Owner) || matches!(self.on_target.phase(), Some(Phase::Started | Phase::Finished))
    }

    /// The peers' report.
    pub fn report(&self) -> Option<&Report> {
        self.on_source.report().or_else(|| self.on_target.report())
    }

    /// The end without success, as asked for or not.
    fn end(&self, reason: &str, message: impl Into<String>) -> Decision {
        let phase = if self.spec.abort { MigrationPhase::Aborted } else { MigrationPhase::Failed };
        let failure = Failure { reason: reason.to_owned(), message: message.into(), phase: self.phase() };
        let decision = Decision { failure: Some(failure), ..Decision::to(phase) };
        if self.target_pod().is_some() { decision.with(Act::DeleteTarget) } else { decision }
    }

    fn aborted_by_user(&self) -> Decision {
        self.end("AbortedByUser", "called off before the handover began; nothing was changed")
    }
}

fn pending(view: &View<'_>) -> Decision {
    use MigrationPhase::{Pending, Scheduling, Succeeded};
    if view.spec.abort {
        return view.aborted_by_user();
    }
    if let Some(node) = view.uncordoned.as_ref().filter(|_| view.waited() > WATCH_LAG) {
        let message = format!("{node} takes pods again; nothing was begun");
        let failure =
            Failure { reason: labels::REASON_UNCORDONED.to_owned(), message, phase: MigrationPhase::Pending };
        return Decision { failure: Some(failure), ..Decision::to(MigrationPhase::Aborted) };
    }
    let sub = view.spec.sub_function.as_deref().unwrap_or_default();
    let function = &view.spec.function_name;
    let (pinned_by, movable) = match &view.setting {
        Setting::NoFunction => {
            return view.end(
                "FunctionNotFound",
                format!("there is no AtomicFunction \"{function}\" in this namespace"),
            );
        }
        Setting::NoSubFunction(known) => {
            let text = format!("{function} has no sub-function \"{sub}\"; it has: {}", known.join(", "));
            return view.end("SubFunctionNotFound", text);
        }
        Setting::NotBuilt => {
            return not_yet(view, "FunctionNotReady", format!("{function} was not built yet"));
        }
        Setting::Known { pinned_by, movable, .. } => (pinned_by, *movable),
    };
    if !movable {
        return view.end("StrategyNone", format!("{sub} has the migration strategy None"));
    }
    if let Some(port) = pinned_by {
        let text =
            format!("{sub} owns the port \"{port}\" and cannot leave its node; move another sub-function");
        return view.end("PinnedByPort", text);
    }
    if let Some(ahead) = view.ahead.clone().filter(|_| !view.spec.plan) {
        return Decision::wait(Pending, "Queued", ahead);
    }
    let Some(source) = &view.source else {
        return not_yet(view, "SourceNotReady", format!("no pod owns {sub} now"));
    };
    if source.store_reachable == Some(false) {
        let text = format!("{} does not reach the state store, so flows cannot be handed over", source.pod);
        return view.end("StateStoreDown", text);
    }
    let plan = match &view.plan {
        Some(Ok(plan)) => plan.clone(),
        Some(Err(refusal)) => return view.end(refusal.reason, refusal.message.clone()),
        None => return Decision::to(Pending),
    };
    let phase = if view.spec.plan { Succeeded } else { Scheduling };
    Decision {
        source: Some(Endpoint {
            node: source.node.clone(),
            pod: Some(source.pod.clone()),
            epoch: i64::try_from(source.epoch).ok(),
        }),
        target: Some(Endpoint { node: plan.node.clone(), ..Endpoint::default() }),
        plan: Some(plan),
        ..Decision::to(phase)
    }
}

/// Something that may come by itself is waited for until the deadline.
fn not_yet(view: &View<'_>, reason: &str, message: String) -> Decision {
    // Time in the queue counts as well: whoever waited that long is told at once.
    if view.waited() > view.deadline() {
        return view.end(reason, message);
    }
    Decision::wait(MigrationPhase::Pending, reason, message)
}

fn scheduling(view: &View<'_>) -> Decision {
    use MigrationPhase::{Preparing, Scheduling};
    if view.spec.abort {
        return view.aborted_by_user();
    }
    let Some(target) = &view.target else {
        return match view.target_pod() {
            None => Decision::wait(Scheduling, "CreatingTarget", "the target pod is being made")
                .with(Act::CreateTarget),
            Some(pod) => {
                view.end("TargetLost", format!("the target pod {pod} was deleted before it had a node"))
            }
        };
    };
    if target.leaving {
        return view.end("TargetLost", format!("the target pod {} ended before it ran", target.pod));
    }
    if let Some(node) = &target.node {
        return Decision::to(Preparing).target(Endpoint {
            node: Some(node.clone()),
            pod: Some(target.pod.clone()),
            epoch: None,
        });
    }
    match &target.unschedulable {
        // Room may come, but a migration is not the way to wait for it.
        Some(text) if view.in_phase() > view.deadline() / 3 => view.end(
            "TargetUnschedulable",
            format!("the scheduler found no place on {}: {text}", view.target_node()),
        ),
        Some(text) => Decision::wait(Scheduling, "TargetUnschedulable", text.clone()),
        None if view.remaining().is_zero() => {
            view.end("DeadlineExceeded", format!("the target pod {} was not scheduled in time", target.pod))
        }
        None => Decision::wait(Scheduling, "WaitingForScheduler", format!("{} waits for a node", target.pod)),
    }
}

fn preparing(view: &View<'_>) -> Decision {
    use MigrationPhase::{Preparing, Syncing};
    if view.on_source.status().is_some() {
        // It was asked for already, by us or by the leader before us.
        return Decision::to(Syncing);
    }
    if view.spec.abort {
        return view.aborted_by_user();
    }
    let Some(target) = view.target.as_ref().filter(|target| !target.leaving) else {
        let pod = view.target_pod().unwrap_or_default();
        return view.end("TargetLost", format!("the target pod {pod} was lost before it was ready"));
    };
    if view.source_lost() {
        return view.end(
            "SourceLost",
            "the source pod was lost before the handover began; the function heals by itself",
        );
    }
    let late = view.in_phase() > view.deadline() / 2 || view.remaining().is_zero();
    if target.ready {
        return match &view.on_source {
            Told::Silent(cause) if late => view.end("SourceUnreachable", cause.clone()),
            Told::Silent(cause) => Decision::wait(Preparing, "SourceUnreachable", cause.clone()),
            _ => {
                let deadline_ms = u64::try_from(view.remaining().as_millis()).unwrap_or(u64::MAX).max(1000);
                Decision::to(Preparing).with(Act::StartHandover { deadline_ms })
            }
        };
    }
    let text = target.trouble.clone().unwrap_or_else(|| "is starting".into());
    let text = format!("the target pod {} on {}: {text}", target.pod, view.target_node());
    if late { view.end("TargetNotReady", text) } else { Decision::wait(Preparing, "TargetNotReady", text) }
}

/// The handover was asked for: S decides from here on.
fn under_way(view: &View<'_>) -> Decision {
    use MigrationPhase::{CuttingOver, Finishing, Syncing};
    let source = view.on_source.phase();
    if view.target_owns() || matches!(source, Some(Phase::Started | Phase::Finished)) {
        return Decision::to(Finishing);
    }
    if source == Some(Phase::Aborted) {
        return source_aborted(view);
    }
    if view.source_lost() {
        return source_lost(view);
    }
    let cutting = matches!(source, Some(Phase::Cutting | Phase::Sealed)) || view.phase() == CuttingOver;
    let phase = if cutting { CuttingOver } else { Syncing };
    if view.target_lost() {
        let pod = view.target_pod().unwrap_or_default();
        if source == Some(Phase::Sealed) {
            let text = format!("{pod} was lost after the commit; the function heals by itself, with a gap");
            return view.end("TargetLost", text);
        }
        let text = format!("the target pod {pod} was lost; the source is asked to go on");
        return Decision::wait(phase, "TargetLost", text).with(Act::AbortHandover);
    }
    if view.spec.abort && source != Some(Phase::Sealed) {
        return Decision::wait(phase, "Aborting", "the source is asked to call it off")
            .with(Act::AbortHandover);
    }
    if view.remaining().is_zero() {
        return overdue(view, phase);
    }
    match &view.on_source {
        Told::Silent(cause) => Decision::wait(phase, "SourceUnreachable", cause.clone()),
        Told::Unknown => {
            view.end("HandoverForgotten", "the source was restarted and knows nothing of the handover")
        }
        Told::Nothing | Told::Status(_) => Decision::to(phase),
    }
}

fn source_aborted(view: &View<'_>) -> Decision {
    let told = view.on_source.status();
    let (reason, message) = told.map_or((None, None), |s| (s.reason.clone(), s.message.clone()));
    let message = message.unwrap_or_else(|| "the source called the handover off".into());
    if view.target_lost() {
        let pod = view.target_pod().unwrap_or_default();
        return view
            .end("TargetLost", format!("the target pod {pod} was lost before the commit ({message})"));
    }
    view.end(reason.as_deref().unwrap_or("HandoverAborted"), message)
}

/// S is gone. It may have sealed: then T will say that it owns.
fn source_lost(view: &View<'_>) -> Decision {
    let decided_otherwise = view.target_lost() || view.in_phase() > SETTLE;
    if decided_otherwise {
        let text = "the source pod was lost during the handover; the function heals by itself, with a gap";
        return view.end("SourceLost", text);
    }
    Decision::wait(
        view.phase(),
        "SourceLost",
        "the source pod is gone; the target is given time to take over",
    )
}

fn overdue(view: &View<'_>, phase: MigrationPhase) -> Decision {
    let text = format!("not done within {}", anf_crds::Duration::from(view.deadline()));
    let total = view.since(MigrationPhase::Scheduling).unwrap_or_default();
    if matches!(view.on_source, Told::Silent(_)) && total > view.deadline() * 2 {
        return view.end("SourceUnreachable", format!("{text}, and the source does not answer"));
    }
    Decision::wait(phase, "DeadlineExceeded", format!("{text}; the source is asked to go on"))
        .with(Act::AbortHandover)
}

/// T owns. The rest is bookkeeping, which never turns a move that happened into a failure.
fn finishing(view: &View<'_>) -> Decision {
    use MigrationPhase::{Finishing, Succeeded};
    let target = Endpoint {
        node: view.target.as_ref().and_then(|target| target.node.clone()),
        pod: view.target_pod().map(str::to_owned),
        epoch: view
            .target
            .as_ref()
            .and_then(|target| i64::try_from(target.epoch).ok())
            .filter(|epoch| *epoch > 0),
    };
    let patient = view.in_phase() <= REPORT;
    let wait = |reason, text: &str| Decision::wait(Finishing, reason, text);
    if patient && view.report().is_none() {
        return wait("WaitingForReport", "the target owns; the neighbours' report is outstanding")
            .target(target);
    }
    // Who asks for the next move by what the function's status says must not read of the source there.
    if patient && !view.shown {
        return wait("WaitingForStatus", "the target owns; the function's status does not say so yet")
            .target(target);
    }
    Decision::to(Succeeded).target(target).with(Act::Promote)
}

/// The answer of the source to [`Act::StartHandover`].
pub fn started(view: &View<'_>, decision: Decision, refused: Option<Refused>) -> Decision {
    match refused {
        None => Decision { acts: Vec::new(), ..Decision::to(MigrationPhase::Syncing) },
        Some(Refused::No { reason, message }) => view.end(&reason, message),
        Some(Refused::Unreachable(cause)) => Decision {
            why: Some(Why { reason: "SourceUnreachable".into(), message: cause }),
            acts: Vec::new(),
            ..decision
        },
    }
}

/// Why the source did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It said no.
    No {
        /// One word.
        reason: String,
        /// Its text.
        message: String,
    },
    /// It did not answer.
    Unreachable(String),
}

#[cfg(test)]
mod tests;
