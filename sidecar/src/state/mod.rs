//! State of elements: what moves with a sub-function.
//!
//! Small state (counters, positions, queue contents) is saved whole by [`Stateful::save`]. Flows are kept in
//! [`Table`]s, which track each change, so that a log of changes and a snapshot can follow them while packets go on.
//! Every form is versioned by a [`Schema`]; everything read back is untrusted and checked.

mod codec;
mod index;
mod table;

pub use codec::{Reader, Writer};
pub use index::{Index, SlotId};
pub use table::{Applied, FlowTable, Record};

/// The name and version of a binary form. A target refuses what it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Schema {
    /// A name that stays, for example `nat/flows`.
    pub name: &'static str,
    /// Goes up whenever the form changes.
    pub version: u16,
}

/// Why saved state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Fewer bytes than the form needs.
    #[error("state ends early: {wanted} bytes wanted, {found} left")]
    Truncated {
        /// Bytes the form needs here.
        wanted: usize,
        /// Bytes that were left.
        found: usize,
    },
    /// A value that the form does not allow.
    #[error("state holds an invalid {what} ({value})")]
    Invalid {
        /// What was expected.
        what: &'static str,
        /// What was found.
        value: u64,
    },
    /// Bytes are left over after a complete value.
    #[error("{0} bytes are left over after the state of an element")]
    TrailingBytes(usize),
    /// State of another schema.
    #[error(
        "state has schema {found}, this element reads {wanted}; use the same version of the sidecar on both sides"
    )]
    Schema {
        /// Name and version found.
        found: String,
        /// Name and version that the element reads.
        wanted: String,
    },
    /// State of an element that the graph does not have.
    #[error("state belongs to element \"{0}\", which this graph does not have")]
    UnknownElement(String),
}

/// An element that has state.
pub trait Stateful {
    /// The form of [`Stateful::save`].
    fn schema(&self) -> Schema;
    /// Writes the small state, whole.
    fn save(&self, w: &mut Writer);
    /// Replaces the small state by what `save` wrote.
    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError>;
    /// The flow tables, always the same ones in the same order.
    fn tables(&mut self) -> Vec<&mut dyn Table> {
        Vec::new()
    }
}

/// A flow table as the log sees it.
pub trait Table {
    /// The form of its records.
    fn schema(&self) -> Schema;
    /// Live records.
    fn len(&self) -> usize;
    /// Whether it has no live record.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Starts or stops to track changes. Off at first: a graph that runs alone pays nothing.
    fn set_tracking(&mut self, on: bool);
    /// Whether a change is pending on which later outputs depend.
    fn has_strict(&self) -> bool;
    /// Whether any change is pending.
    fn has_changes(&self) -> bool;
    /// Copies what is pending and strict, and the tombstones before it, into `w` as one run of records that
    /// [`Table::apply`] reads; returns their number. [`Table::take_changes`] gives them again: a run of strict records
    /// may be applied to a state before or after them.
    fn take_strict(&mut self, w: &mut Writer) -> u32;
    /// Moves all pending changes into `w`, as one run of records that [`Table::apply`] reads; returns their number.
    fn take_changes(&mut self, w: &mut Writer) -> u32;
    /// How many chunks a snapshot has now.
    fn chunks(&self) -> u32;
    /// Writes the live records of one chunk as a run of records; returns their number. A chunk that is gone is empty.
    fn snapshot_chunk(&self, chunk: u32, w: &mut Writer) -> u32;
    /// Applies one run of records; returns their number. Applying a run twice is harmless.
    fn apply(&mut self, r: &mut Reader<'_>) -> Result<u32, StateError>;
    /// Forgets all records and pending changes.
    fn clear(&mut self);
}
