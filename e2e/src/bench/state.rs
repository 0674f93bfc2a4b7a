//! What it costs that a function's state is logged: the same packets through the same graph, with the tables' changes
//! tracked and written out every [`FLUSH_INTERVAL`] as a pod does, and without. Runs take turns.

use std::time::Duration;

use anf_sidecar::engine::{Router, Time};
use anf_sidecar::handover::journal::FLUSH_INTERVAL;
use anf_sidecar::state::Writer;

use super::engine::{BATCHES, Memory, build, spend};
use super::{Figure, quantile, trace};
use crate::Error;

const BENCH: &str = "state";
const RUNS: usize = 7;
const FLOWS: u32 = 10_000;
const NAT: &str = "FromDevice(in) -> Strip(14) -> CheckIPHeader
  -> rw :: IPRewriter(pattern 203.0.113.1 1024-65535# - - 0 1, drop, UDP_TIMEOUT 3600, UDP_GUARANTEE 3600) -> c :: Counter -> Discard;
Idle -> [1]rw; rw[1] -> Discard;";
const MONITOR: &str =
    "FromDevice(in) -> Strip(14) -> CheckIPHeader -> FlowMonitor -> c :: Counter -> Discard;";

/// Names of the cases, with their texts.
pub const CASES: [(&str, &str); 2] = [("NAT, 10 k flows", NAT), ("flow monitor, 10 k flows", MONITOR)];

/// Measures one of [`CASES`]: what a packet costs with the log, and without as the control.
pub fn measure(case: (&str, &str)) -> Result<Vec<Figure>, Error> {
    let graph = anf_click::parse("bench", case.1).and_then(|ast| anf_click::flatten(&ast, &[]));
    let graph = graph.map_err(|error| Error::invalid("graph", error))?;
    let device = Memory::of((0..FLOWS).map(|flow| trace::frame(flow).to_vec()).collect());
    let mut router = build(&graph, vec![("in", device)])?;
    let mut passes = Passes { changes: Writer::new(), flushed: Time::system() };
    // Every flow once, so that the tables are full.
    (0..FLOWS / 32 / BATCHES as u32 + 1).for_each(|_| passes.run(&mut router, false));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for run in 0..2 * RUNS {
        let log = run % 2 == 0;
        tables(&mut router, |table| table.set_tracking(log));
        let before = packets(&mut router)?;
        let spent = spend(|| passes.run(&mut router, log));
        let cost = spent.as_nanos() as f64 / (packets(&mut router)? - before);
        if log { with.push(cost) } else { without.push(cost) }
    }
    Ok(vec![Figure {
        bench: BENCH.into(),
        case: case.0.into(),
        metric: "logged; not logged".into(),
        value: quantile(&with, 0.5),
        unit: "ns".into(),
        control: Some(quantile(&without, 0.5)),
        runs: RUNS,
    }])
}

struct Passes {
    changes: Writer,
    flushed: Time,
}

impl Passes {
    fn run(&mut self, router: &mut Router, log: bool) {
        for _ in 0..BATCHES {
            let now = Time::system();
            router.run(now);
            if log && now >= self.flushed + Duration::from_nanos(FLUSH_INTERVAL) {
                self.flushed = now;
                self.changes.clear();
                tables(router, |table| _ = table.take_changes(&mut self.changes));
            }
        }
    }
}

fn tables(router: &mut Router, mut visit: impl FnMut(&mut dyn anf_sidecar::state::Table)) {
    for id in router.ids() {
        let tables = router.state_of(id).map(|state| state.tables());
        tables.into_iter().flatten().for_each(&mut visit);
    }
}

fn packets(router: &mut Router) -> Result<f64, Error> {
    let text = router.read_handler("c", "count").map_err(|error| Error::invalid("c.count", error))?;
    text.trim().parse().map_err(|error| Error::invalid("c.count", error))
}
