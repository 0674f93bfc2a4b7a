//! What all rewriters consist of: the table of mappings, who gets a new one, and what few mappings have beside it.

use super::address_rewriter::AddressRewriter;
use super::adjustment::{self, Adjustment};
use super::admission::Admission;
use super::ip_rewriter::IpRewriter;
use super::mapping::Way;
use super::table::MappingTable;
use crate::element::{Cx, ElementId, HandlerError};
use crate::state::{FlowTable, Reader, Schema, SlotId, StateError, Stateful, Table, Writer};
use crate::wire::FlowId;

/// A rewriter's state.
pub(super) struct Flows {
    /// What its small state is called.
    schema: Schema,
    pub(super) admission: Admission,
    pub(super) table: MappingTable,
    /// Of the mappings that say so.
    adjustments: FlowTable<FlowId, Adjustment>,
}

/// A rewriter's own handlers, and those that all rewriters have.
macro_rules! handlers {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            Handler::read("table_size", "mappings, two for each flow"),
            Handler::read("nmappings", "flows in the table"),
            Handler::read("mapping_failures", "new flows that got no mapping"),
            Handler::read("patterns", "the specifications of the inputs, a line each, with the number of their flows"),
            Handler::read("size", "flows of all that share the capacity"),
            Handler::both("capacity", "most flows"),
            Handler::write("clear", "removes all mappings"),
            Handler::both("pattern0", "specification of input 0, patternN of input N; writing it removes its flows"),
            Handler::both("pattern1", "see pattern0"),
            Handler::both("pattern2", "see pattern0"),
            Handler::both("pattern3", "see pattern0"),
        ]
    };
}
pub(super) use handlers;

impl Flows {
    pub(super) fn new(schema: Schema, admission: Admission, table: MappingTable) -> Self {
        // An adjustment goes with its mapping, not by itself.
        Self { schema, admission, table, adjustments: FlowTable::new(adjustment::SCHEMA, |_, _| u64::MAX) }
    }

    /// The state of another rewriter.
    pub(super) fn of<'a>(cx: &'a mut Cx<'_>, id: ElementId) -> Option<&'a mut Self> {
        if cx.element_mut::<IpRewriter>(id).is_some() {
            return cx.element_mut::<IpRewriter>(id).map(IpRewriter::flows);
        }
        cx.element_mut::<AddressRewriter>(id).map(AddressRewriter::flows)
    }

    pub(super) fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.admission.initialize(cx, &mut self.table)
    }

    /// Removes what is due.
    #[inline]
    pub(super) fn expire(&mut self, now: u64) {
        self.table.expire(now);
        self.forget_orphans();
    }

    #[inline]
    fn forget_orphans(&mut self) {
        if self.table.has_orphans() {
            for flow in self.table.take_orphans() {
                self.adjustments.remove(&flow);
            }
        }
    }

    /// Makes a mapping for a flow that has none.
    pub(super) fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        input: usize,
        flow: FlowId,
        now: u64,
    ) -> Result<SlotId, &'static str> {
        let admitted = self.admission.admit(cx, &mut self.table, input, flow, now);
        self.forget_orphans();
        admitted
    }

    /// Says that what goes `way` through the mapping at `slot` is `by` bytes longer from sequence number `trigger` on.
    pub(super) fn shift_sequence(&mut self, slot: SlotId, way: Way, trigger: u32, by: i32) -> bool {
        let Some(flow) = self.table.get(slot).map(|(flow, _)| *flow) else { return false };
        let Some(mapping) = self.table.change(slot) else { return false };
        mapping.seen.set_adjusted();
        let known = self.adjustments.find(&flow);
        let at = known.unwrap_or_else(|| self.adjustments.insert_strict(flow, Adjustment::default()));
        self.adjustments.value_mut_strict(at).is_some_and(|adjustment| adjustment.shift(way, trigger, by))
    }

    /// Shifts the sequence numbers of a segment that goes `way` through the mapping at `slot`.
    #[cold]
    pub(super) fn adjust(&mut self, slot: SlotId, way: Way, transport: &mut [u8]) {
        let found = self.table.get(slot).and_then(|(flow, _)| self.adjustments.find(flow));
        let Some(at) = found else { return };
        if let Some(adjustment) = self.adjustments.value_mut_lazy(at) {
            adjustment.apply(way, transport);
        }
    }

    /// By how much the newest bytes of a flow are shifted.
    pub(super) fn shifted_by(&self, flow: &FlowId, way: Way) -> i32 {
        self.adjustments.get(flow).map_or(0, |adjustment| adjustment.newest(way))
    }

    /// Answers the read handlers that all rewriters have, but for the tables they print.
    pub(super) fn read(&self, cx: &mut Cx<'_>, handler: &str) -> Result<String, HandlerError> {
        match handler {
            "table_size" => Ok((self.table.len() * 2).to_string()),
            "nmappings" => Ok(self.table.len().to_string()),
            other => self.admission.read(cx, &self.table, other),
        }
    }

    /// Obeys the write handlers that all rewriters have.
    pub(super) fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let written = self.admission.write(cx, &mut self.table, handler, value);
        self.forget_orphans();
        written
    }
}

impl Stateful for Flows {
    fn schema(&self) -> Schema {
        self.schema
    }

    fn save(&self, w: &mut Writer) {
        self.admission.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.admission.restore(r, &mut self.table)
    }

    fn tables(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.table, &mut self.adjustments]
    }
}
