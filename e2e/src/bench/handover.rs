//! The gap of a move as peers and the client see it, over many moves in the lab.
//!
//! The control of the peers' gap is the window of equal length just before each move; that of the client is an
//! interval without a move of the same length, measured in turn.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Figure, quantile};
use crate::Error;
use crate::lab::{Example, Handover, Lab, Places};
use crate::process::interrupted;

const BENCH: &str = "handover";
/// The server sends each packet back, so the function carries twice as many.
const SENT_PER_SECOND: u32 = 25_000;

/// Names of the cases, and their numbers of flows.
pub const CASES: [(&str, u32); 2] =
    [("nat, 1 k flows, 50 kpps", 1_000), ("nat, 10 k flows, 50 kpps", 10_000)];

#[derive(Default)]
struct Samples {
    gaps: Vec<f64>,
    baselines: Vec<f64>,
    client_gaps: Vec<f64>,
    client_controls: Vec<f64>,
    damaged: u64,
    damaged_in_controls: u64,
}

/// Measures one of [`CASES`] over so many moves.
pub fn measure(
    (case, flows): (&str, u32),
    moves: u32,
    function: &Path,
    programs: &Path,
    work: &Path,
) -> Result<Vec<Figure>, Error> {
    let places = Places { programs: programs.to_owned(), work: work.join("handover") };
    let mut lab = Lab::start(Example::read(function)?, places)?;
    let mut traffic = lab.start_traffic(flows, SENT_PER_SECOND, 0.0)?;
    thread::sleep(Duration::from_secs(2));
    traffic.mark("start")?;
    let mut samples = Samples::default();
    for number in 0..moves {
        if interrupted() {
            return Err(Error::invalid(case, "interrupted"));
        }
        let node = lab.other_node("nat")?;
        let done = match lab.move_to("nat", node)? {
            Handover::Finished(done) => done,
            Handover::Aborted { reason, message } => {
                return Err(Error::invalid(format!("{case}, move {number}"), format!("{reason}: {message}")));
            }
        };
        let client = traffic.mark("move")?;
        thread::sleep(Duration::from_secs_f64(client.seconds.min(2.0)));
        let control = traffic.mark("control")?;
        samples.gaps.push(done.gap_ms);
        samples.baselines.push(done.baseline_ms);
        samples.client_gaps.push(client.longest_gap_ms);
        samples.client_controls.push(control.longest_gap_ms);
        samples.damaged += client.lost + client.duplicated + client.reordered;
        samples.damaged_in_controls += control.lost + control.duplicated + control.reordered;
    }
    Ok(figures(case, &samples))
}

fn figures(case: &str, samples: &Samples) -> Vec<Figure> {
    let figure = |metric: String, unit: &str, value: f64, control: f64| Figure {
        bench: BENCH.into(),
        case: case.into(),
        metric,
        value,
        unit: unit.into(),
        control: Some(control),
        runs: samples.gaps.len(),
    };
    let mut figures = Vec::new();
    for (name, at) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        let peers = (quantile(&samples.gaps, at), quantile(&samples.baselines, at));
        figures.push(figure(format!("gap {name}"), "ms", peers.0, peers.1));
    }
    for (name, at) in [("p50", 0.5), ("p99", 0.99)] {
        let client = (quantile(&samples.client_gaps, at), quantile(&samples.client_controls, at));
        figures.push(figure(format!("client gap {name}"), "ms", client.0, client.1));
    }
    let (damaged, control) = (samples.damaged as f64, samples.damaged_in_controls as f64);
    figures.push(figure("lost+dup+reord".into(), "packets", damaged, control));
    figures
}
