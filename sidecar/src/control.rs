//! The control API of a sidecar: the JSON that the operator, the lab and people exchange with it over HTTP.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The sub-function.
    pub sub_function: String,
    /// This sidecar's id.
    pub owner_id: String,
    /// What it is now.
    pub role: Role,
    /// Its epoch; 0 when it never owned.
    pub epoch: u64,
    /// Hash of the cut.
    pub graph_hash: String,
    /// Elements of the part.
    pub elements: u32,
    /// Records in its flow tables.
    pub flows: u64,
    /// Packets per second, over the last second.
    pub packet_rate: f64,
    /// Packets taken in since the start.
    pub packets: u64,
    /// Its links.
    pub links: Vec<LinkStatus>,
    /// The state store as it sees it.
    pub store: StoreStatus,
    /// The handover that it is in, or was in last.
    pub handover: Option<HandoverStatus>,
    /// Dropped packets by `element/reason`, links included.
    pub drops: BTreeMap<String, u64>,
    /// How often connections of links ended, by cause: `closed-by-peer`, `system`, `malformed-frame`, `broken-seal`,
    /// `tampered-ring`, or why the ends did not meet.
    #[serde(default)]
    pub link_ends: BTreeMap<String, u64>,
    /// Why it is not ready, if it is not.
    pub not_ready: Option<String>,
}

/// What a sidecar is to its sub-function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It claims ownership or loads state.
    Starting,
    /// It runs the sub-function.
    Owner,
    /// It could.
    Standby,
    /// It did, and handed over or was fenced.
    Sealed,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Owner => "owner",
            Self::Standby => "standby",
            Self::Sealed => "sealed",
        })
    }
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// The sub-function at the other end.
    pub peer: String,
    /// Which way packets go.
    pub direction: Direction,
    /// `tcp`, `unix`, `ring` or empty when not connected.
    pub transport: String,
    /// Numbers of the edges that it carries.
    pub edges: Vec<u16>,
    /// Whether a connection is up.
    pub connected: bool,
    /// Packets so far.
    pub packets: u64,
    /// Packets that it dropped because the peer did not keep up (out), or that never came (in).
    pub lost: u64,
    /// Packets sent again (out), or that came again and were left out (in).
    pub repeated: u64,
    /// Packets kept until they are safe (out).
    pub kept: u64,
    /// Bytes that wait to be sent or, in a ring, to be taken by the peer.
    #[serde(default)]
    pub unread_bytes: u64,
}

/// What carries a link now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carrier {
    /// `tcp`, `unix`, `ring` or empty.
    pub transport: &'static str,
    /// Bytes that wait to be sent or, in a ring, to be taken by the peer.
    pub unread_bytes: u64,
}

/// Which way packets go on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To this sidecar.
    In,
    /// From it.
    Out,
}

/// The state store as a sidecar sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Whether it answers.
    pub reachable: bool,
    /// Frames issued and not yet stored.
    pub lag_frames: u64,
    /// Number of the last stored frame.
    pub last_frame: u64,
    /// Why it is not reachable.
    pub reason: Option<String>,
}

/// `POST /v1/handover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandoverRequest {
    /// The migration's UID: a repeated request with the same id changes nothing.
    pub id: String,
    /// Id of the sidecar that takes over.
    pub target_owner_id: String,
    /// Where it takes links, IP:PORT or unix:PATH.
    pub target_link_addr: String,
    /// The node that it runs on.
    #[serde(default)]
    pub target_node: String,
    /// The epoch that the caller believes to hold; another one refuses the request.
    pub expected_epoch: u64,
    /// Longest time between CUT and SEAL, in milliseconds, before the handover is given up. At least 50.
    #[serde(default)]
    pub max_downtime_ms: u64,
    /// Time for everything before the cut, in milliseconds.
    #[serde(default = "default_deadline_ms")]
    pub deadline_ms: u64,
    /// Length of the windows in which gap and baseline are measured, in milliseconds.
    #[serde(default = "default_watch_ms")]
    pub watch_ms: u32,
}

fn default_deadline_ms() -> u64 {
    60_000
}

/// Usual length of the windows of measurement, in milliseconds: many times what a cut takes, and not so long that
/// most of what it shows are other things that the machine does.
pub const WATCH_MS: u32 = 100;

fn default_watch_ms() -> u32 {
    WATCH_MS
}

/// `GET /v1/handover/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandoverStatus {
    /// The handover.
    pub id: String,
    /// Which side tells.
    pub side: Side,
    /// How far it is.
    pub phase: HandoverPhase,
    /// Flows that the source has.
    pub flows_total: u64,
    /// Flows that the target has loaded.
    pub flows_synced: u64,
    /// For a handover that was given up: one word.
    pub reason: Option<String>,
    /// And a sentence.
    pub message: Option<String>,
    /// How long each step took.
    pub breakdown: Breakdown,
    /// What the peers measured; once finished.
    pub report: Option<Report>,
}

/// The sides of a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The owner before.
    Source,
    /// The owner after.
    Target,
}

/// How far a handover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandoverPhase {
    /// Connections are made.
    Preparing,
    /// The target loads state and follows the log.
    Syncing,
    /// All are asked whether they are ready.
    Armed,
    /// Upstreams end their frames to the source.
    Cutting,
    /// The source has sealed or is about to know that it has.
    Sealed,
    /// The target owns.
    Started,
    /// The peers have reported.
    Finished,
    /// Given up; the source serves as before.
    Aborted,
}

impl HandoverPhase {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Aborted)
    }
}

/// Milliseconds of each step; 0 for a step not reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breakdown {
    /// Request to announcement.
    pub prepare_ms: f64,
    /// Announcement to a target that is ready.
    pub sync_ms: f64,
    /// ARM to the last answer.
    pub arm_ms: f64,
    /// CUT to the last marker.
    pub cut_ms: f64,
    /// The seal's call.
    pub seal_ms: f64,
    /// At the target: the final frame to the first packet.
    pub start_ms: f64,
}

/// What the peers measured of a handover.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Longest time between probes at any downstream after ARM, minus the probe interval, in milliseconds.
    pub gap_ms: f64,
    /// The same in a window of equal length before ARM.
    pub baseline_ms: f64,
    /// Packets lost on links.
    pub lost: u64,
    /// Packets delivered twice on links.
    pub duplicated: u64,
    /// Packets delivered behind a later one on links.
    pub reordered: u64,
    /// Packets that waited at the target.
    pub parked: u64,
    /// Flows that moved.
    pub flows: u64,
}

/// Its figures are quotients of whole numbers by a constant, never NaN.
impl Eq for Report {}

/// The body of an answer that refuses (409, 422).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// One word, for programs.
    pub reason: String,
    /// A sentence, for people.
    pub message: String,
}
