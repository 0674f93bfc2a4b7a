//! How many flows a rewriter may have: a number of its own, or that of another rewriter, shared with all that name it.

use super::flows::Flows;
use super::table::MappingTable;
use crate::element::{Args, ConfigError, Cx, ElementId};
use crate::state::{Reader, StateError, Writer};
use crate::wire::FlowId;

/// See the module's head.
pub(super) struct Capacity {
    limit: usize,
    /// The rewriter that the configuration names in place of a number.
    named: Option<String>,
    shares: Option<ElementId>,
    /// The rewriter whose limit counts, if it is another.
    owner: Option<ElementId>,
    /// The other rewriters that share the limit.
    peers: Vec<ElementId>,
}

const UNLIMITED: usize = i32::MAX as usize;

impl Capacity {
    pub(super) fn build(args: &Args<'_>) -> Result<Self, ConfigError> {
        let word = args.text("MAPPING_CAPACITY").or_else(|| args.text("CAPACITY")).map(str::trim);
        let mut capacity =
            Self { limit: UNLIMITED, named: None, shares: None, owner: None, peers: Vec::new() };
        match word {
            Some(word) if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) => {
                // Click takes a negative capacity and lets no flow in.
                capacity.limit = args.parse::<i32>("MAPPING_CAPACITY", word)?.max(0) as usize;
            }
            word => capacity.named = word.map(str::to_owned),
        }
        Ok(capacity)
    }

    /// Finds the rewriter that the configuration names.
    pub(super) fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if let Some(name) = &self.named {
            let id = cx.find(name).filter(|id| Flows::of(cx, *id).is_some() || *id == cx.id());
            self.shares = Some(id.ok_or("bad MAPPING_CAPACITY")?);
        }
        Ok(())
    }

    /// Finds out who shares what; for when all rewriters are initialised.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        let me = cx.id();
        let owner = self.owner_of(cx, me);
        self.owner = Some(owner).filter(|owner| *owner != me);
        let others: Vec<_> = cx.all_elements().map(|(id, ..)| id).filter(|id| *id != me).collect();
        self.peers = others
            .into_iter()
            .filter(|id| Flows::of(cx, *id).is_some() && self.owner_of(cx, *id) == owner)
            .collect();
    }

    fn owner_of(&self, cx: &mut Cx<'_>, of: ElementId) -> ElementId {
        let mut at = of;
        // Rewriters that name each other in a ring share nobody's: each step is counted.
        for _ in 0..64 {
            let next = if at == cx.id() {
                self.shares
            } else {
                Flows::of(cx, at).and_then(|flows| flows.admission.capacity.shares)
            };
            match next {
                Some(next) if next != at => at = next,
                _ => break,
            }
        }
        at
    }

    /// The most flows, those of all that share it together.
    pub(super) fn limit(&self, cx: &mut Cx<'_>) -> usize {
        let owner = self.owner.and_then(|owner| Flows::of(cx, owner));
        owner.map_or(self.limit, |flows| flows.admission.capacity.limit)
    }

    /// Flows of all that share the limit.
    pub(super) fn used(&self, cx: &mut Cx<'_>, table: &MappingTable) -> usize {
        let others = self.peers.iter().filter_map(|peer| Some(Flows::of(cx, *peer)?.table.len()));
        table.len() + others.sum::<usize>()
    }

    /// Makes room for one more flow, by letting go of those that are next to go and not guaranteed. `due` is when the
    /// new flow would be due, if it has no guarantee itself. `false` if it has to stay out.
    pub(super) fn make_room(
        &self,
        cx: &mut Cx<'_>,
        table: &mut MappingTable,
        due: Option<u64>,
        now: u64,
    ) -> bool {
        let limit = self.limit(cx);
        while self.used(cx, table) >= limit {
            match self.next_to_go(cx, table, now) {
                Some((at, ..)) if due.is_some_and(|due| due < at) => return false,
                Some((_, flow, None)) => table.remove_flow(&flow),
                Some((_, flow, Some(peer))) => {
                    if let Some(flows) = Flows::of(cx, peer) {
                        flows.table.remove_flow(&flow);
                    }
                }
                None => return false,
            }
        }
        true
    }

    /// The flow that is the next to go of all that share the limit, with the rewriter that has it.
    fn next_to_go(
        &self,
        cx: &mut Cx<'_>,
        table: &mut MappingTable,
        now: u64,
    ) -> Option<(u64, FlowId, Option<ElementId>)> {
        let mine = table.next_to_go(now).map(|(due, flow)| (due, flow, None));
        let theirs = self.peers.iter().filter_map(|peer| {
            let (due, flow) = Flows::of(cx, *peer)?.table.next_to_go(now)?;
            Some((due, flow, Some(*peer)))
        });
        mine.into_iter().chain(theirs).min_by_key(|(due, flow, _)| (*due, *flow))
    }

    /// Sets the limit, whoever has it, and lets go of flows above it.
    pub(super) fn set(&mut self, cx: &mut Cx<'_>, table: &mut MappingTable, limit: usize, now: u64) {
        match self.owner.and_then(|owner| Flows::of(cx, owner)) {
            Some(flows) => flows.admission.capacity.limit = limit,
            None => self.limit = limit,
        }
        let others = self.used(cx, table) - table.len();
        table.shrink(limit.saturating_sub(others), now);
        for peer in &self.peers {
            let over = self.used(cx, table).saturating_sub(limit);
            if let Some(flows) = Flows::of(cx, *peer) {
                flows.table.shrink(flows.table.len().saturating_sub(over), now);
            }
        }
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.limit as u64);
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.limit = r.get_u64()? as usize;
        Ok(())
    }
}
