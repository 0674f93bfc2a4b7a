//! What a cut edge costs: a source and a sink in two processes, joined by a link, against the same two in one router.
//!
//! The source is never short of packets, so the rate is what the link carries when both ends share the machine. The
//! control is the same graph uncut, in one router: what is left is the cost of the cut.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Figure, engine, quantile};
use crate::Error;
use crate::lab::{Example, Lab, Places, Transport};

const BENCH: &str = "edge";
const RUNS: usize = 5;
const RUN_LENGTH: Duration = Duration::from_secs(1);
/// Clock ticks a second in `/proc`.
const TICKS: f64 = 100.0;

/// Names of the cases: where the two ends run.
pub const CASES: [&str; 2] = ["same node, UNIX", "two nodes, TCP"];

fn function(sink_node: &str) -> String {
    format!(
        r"
metadata: {{name: edge-cost}}
spec:
  click: |
    src :: InfiniteSource(LENGTH 64) -> sink :: Counter -> done :: Discard;
  subFunctions:
  - {{name: source, elements: [src], placement: {{nodeSelector: {{kubernetes.io/hostname: a}}}}}}
  - {{name: sink, elements: [sink, done], placement: {{nodeSelector: {{kubernetes.io/hostname: {sink_node}}}}}}}
"
    )
}

/// Measures one of [`CASES`]: the time and the processor time that a packet takes from one process to the other.
pub fn measure(case: &str, programs: &Path, work: &Path) -> Result<Vec<Figure>, Error> {
    let (sink_node, transport) =
        if case == CASES[0] { ("a", Transport::Unix) } else { ("b", Transport::Tcp) };
    let example = Example::parse("edge-cost", &function(sink_node))?;
    let uncut = engine::uncut(example.whole(), "sink.count")?;
    let places = Places { programs: programs.to_owned(), work: work.join("edge") };
    let lab = Lab::start_with(example, places, transport)?;
    let (source, sink) = (lab.owner("source")?, lab.owner("sink")?);
    thread::sleep(RUN_LENGTH);
    let (mut times, mut processor_times) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let cpu = || Ok::<_, Error>(cpu_seconds(source.process.id())? + cpu_seconds(sink.process.id())?);
        let (started, packets, cpu_before) = (Instant::now(), lab.status(sink)?.packets, cpu()?);
        thread::sleep(RUN_LENGTH);
        let (elapsed, carried) = (started.elapsed(), (lab.status(sink)?.packets - packets) as f64);
        if carried == 0.0 {
            return Err(Error::invalid(case, "no packet crossed the link"));
        }
        times.push(elapsed.as_nanos() as f64 / carried);
        processor_times.push((cpu()? - cpu_before) * 1e9 / carried);
    }
    let figure = |metric: &str, values: &[f64]| Figure {
        bench: BENCH.into(),
        case: case.into(),
        metric: metric.into(),
        value: quantile(values, 0.5),
        unit: "ns".into(),
        control: Some(quantile(&uncut, 0.5)),
        runs: RUNS,
    };
    Ok(vec![figure("time a packet", &times), figure("cpu a packet", &processor_times)])
}

/// Processor time that a process has used.
fn cpu_seconds(process: u32) -> Result<f64, Error> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).map_err(Error::io(format!("read {path}")))?;
    // Behind the name, which may hold anything: user time is the 12th field, system time the 13th.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / TICKS)
}
