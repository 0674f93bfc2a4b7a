//! What the handover asks of the packet engine. The real engine implements it in `serve`; the simulator has a small
//! one of its own.

use bytes::{Bytes, BytesMut};

use crate::state::{Reader, StateError, Writer};

/// A body of packets that does not decode: the peer sent rubbish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a data frame on edge {edge} does not hold {count} packets")]
pub struct BadBody {
    /// The edge.
    pub edge: u16,
    /// Packets that it should hold.
    pub count: u16,
}

/// Takes the packets that leave the engine.
pub trait OutputSink {
    /// The buffer to write one packet of `edge` into; `None` when it must be dropped.
    fn open_packet(&mut self, edge: u16) -> Option<&mut BytesMut>;
}

/// The engine of one sub-function. Times are nanoseconds since the Unix epoch.
pub trait Engine {
    /// Processes the packets of one batch, but the first `skip`.
    fn inject(&mut self, edge: u16, count: u16, skip: u16, body: &Bytes, now: u64) -> Result<(), BadBody>;
    /// Runs due timers and ready tasks; returns whether something was done.
    fn run(&mut self, now: u64) -> bool;
    /// When a timer is due next; `u64::MAX` for never.
    fn next_timer(&self) -> u64;
    /// Whether something left on cut edges that was not taken.
    fn has_output(&self) -> bool;
    /// Whether the same inputs make the same outputs again: then a take-over after a crash passes over what the
    /// downstreams have. Else they may get packets twice.
    fn is_repeatable(&self) -> bool;
    /// Hands over everything that left on cut edges, in order.
    fn take_output(&mut self, sink: &mut dyn OutputSink);
    /// Starts or stops to track changes of tables.
    fn set_tracking(&mut self, on: bool);
    /// Whether a change is pending on which later outputs depend.
    fn has_strict(&mut self) -> bool;
    /// Whether any change is pending.
    fn has_changes(&mut self) -> bool;
    /// Copies the pending changes on which later outputs depend into `w`, in the form of [`Engine::take_changes`],
    /// which gives them again.
    fn take_strict(&mut self, w: &mut Writer);
    /// Moves all pending changes of all tables into `w`; returns the number of records.
    fn take_changes(&mut self, w: &mut Writer) -> u32;
    /// Number of blobs that a snapshot has now.
    fn snapshot_blobs(&mut self) -> u32;
    /// Writes one blob in the form of [`Engine::take_changes`].
    fn snapshot_blob(&mut self, index: u32, w: &mut Writer);
    /// Applies what `take_changes`, `take_strict` or `snapshot_blob` wrote, or several of them one after the other.
    fn apply_changes(&mut self, r: &mut Reader<'_>) -> Result<(), StateError>;
    /// Writes the small state of all elements.
    fn save(&mut self, w: &mut Writer);
    /// Replaces the small state of all elements.
    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError>;
    /// Back to a fresh start.
    fn reset(&mut self);
    /// Records in all tables.
    fn flows(&mut self) -> u64;
    /// The engine's time never goes back behind `now`: the owner before had got there.
    fn advance_time(&mut self, now: u64);
    /// Devices are read only while this is on.
    fn set_serving(&mut self, on: bool);
}
