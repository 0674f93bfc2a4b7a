//! What a cut edge costs: a source and a sink in two processes, joined by a link, against the same two in one router.
//!
//! The source is never short of packets, so the rate is what the link carries. The control is the same graph uncut, in
//! one router: what is left is the cost of the cut. A round trip is a packet that goes round and round between the two.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::{Figure, engine, quantile};
use crate::Error;
use crate::lab::{Example, Lab, Places, Transport};

const BENCH: &str = "edge";
const RUNS: usize = 5;
const RUN_LENGTH: Duration = Duration::from_secs(1);
/// Clock ticks a second in `/proc`.
const TICKS: f64 = 100.0;

/// How the two ends are placed and joined.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    transport: Transport,
    /// Bytes of a packet; 0 for one packet that goes round.
    length: u32,
    cores: Cores,
}

/// Where the two ends run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cores {
    /// The source on the first core, the sink on the second.
    Own,
    /// Both on the first.
    Shared,
}

const fn case(name: &'static str, transport: Transport, length: u32, cores: Cores) -> Case {
    Case { name, transport, length, cores }
}

/// The cases.
pub const CASES: [Case; 13] = [
    case("ring, 64 B, two cores", Transport::Near, 64, Cores::Own),
    case("ring, 64 B, one core", Transport::Near, 64, Cores::Shared),
    case("ring, 1400 B, two cores", Transport::Near, 1400, Cores::Own),
    case("ring, 1400 B, one core", Transport::Near, 1400, Cores::Shared),
    case("ring, round trip, two cores", Transport::Near, 0, Cores::Own),
    case("stream, 64 B, two cores", Transport::Unix, 64, Cores::Own),
    case("stream, 64 B, one core", Transport::Unix, 64, Cores::Shared),
    case("stream, 1400 B, two cores", Transport::Unix, 1400, Cores::Own),
    case("stream, 1400 B, one core", Transport::Unix, 1400, Cores::Shared),
    case("stream, round trip, two cores", Transport::Unix, 0, Cores::Own),
    case("two nodes, TCP, 64 B, two cores", Transport::Tcp, 64, Cores::Own),
    case("two nodes, TCP, 1400 B, two cores", Transport::Tcp, 1400, Cores::Own),
    case("two nodes, TCP, round trip", Transport::Tcp, 0, Cores::Own),
];

impl Case {
    fn function(&self) -> String {
        let sink_node = if self.transport == Transport::Tcp { "b" } else { "a" };
        let (graph, sink) = match self.length {
            0 => (
                "src :: InfiniteSource(LENGTH 64, LIMIT 1) -> here :: Null -> sink :: Counter -> here;"
                    .into(),
                "sink",
            ),
            length => (
                format!(
                    "src :: InfiniteSource(LENGTH {length}, BURST 32) -> sink :: Counter -> done :: Discard;"
                ),
                "sink, done",
            ),
        };
        format!(
            r"
metadata: {{name: edge-cost}}
spec:
  click: |
    {graph}
  subFunctions:
  - {{name: source, elements: [src{}], placement: {{nodeSelector: {{kubernetes.io/hostname: a}}}}}}
  - {{name: sink, elements: [{sink}], placement: {{nodeSelector: {{kubernetes.io/hostname: {sink_node}}}}}}}
",
            if self.length == 0 { ", here" } else { "" }
        )
    }
}

/// Measures a case: the time and the processor time that a packet takes from one process to the other.
pub fn measure(case: &Case, programs: &Path, work: &Path) -> Result<Vec<Figure>, Error> {
    let example = Example::parse("edge-cost", &case.function())?;
    let uncut = match case.length {
        0 => None,
        _ => Some(quantile(&engine::uncut(example.whole(), "sink.count")?, 0.5)),
    };
    let places = Places { programs: programs.to_owned(), work: work.join("edge") };
    let everywhere = sched_getaffinity(Pid::from_raw(0)).map_err(refused)?;
    if case.cores == Cores::Shared {
        // What is started inherits it, and so knows that it has one core.
        sched_setaffinity(Pid::from_raw(0), &core(0)?).map_err(refused)?;
    }
    let lab = Lab::start_with(example, places, case.transport);
    sched_setaffinity(Pid::from_raw(0), &everywhere).map_err(refused)?;
    let (times, processor_times) = run(case, &lab?)?;
    let figure = |metric: &str, values: &[f64], control: Option<f64>| Figure {
        bench: BENCH.into(),
        case: case.name.into(),
        metric: metric.into(),
        value: quantile(values, 0.5),
        unit: "ns".into(),
        control,
        runs: RUNS,
    };
    let metric = if case.length == 0 { "round trip" } else { "time a packet" };
    Ok(vec![figure(metric, &times, uncut), figure("cpu, both ends", &processor_times, uncut)])
}

fn run(case: &Case, lab: &Lab) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (source, sink) = (lab.owner("source")?, lab.owner("sink")?);
    if case.cores == Cores::Own {
        pin(source.process.id(), 0)?;
        pin(sink.process.id(), 1)?;
    }
    thread::sleep(RUN_LENGTH);
    let (mut times, mut processor_times) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let cpu = || Ok::<_, Error>(cpu_seconds(source.process.id())? + cpu_seconds(sink.process.id())?);
        let (started, packets, cpu_before) = (Instant::now(), lab.status(sink)?.packets, cpu()?);
        thread::sleep(RUN_LENGTH);
        let (elapsed, carried) = (started.elapsed(), (lab.status(sink)?.packets - packets) as f64);
        if carried == 0.0 {
            return Err(Error::invalid(case.name, "no packet crossed the link"));
        }
        times.push(elapsed.as_nanos() as f64 / carried);
        processor_times.push((cpu()? - cpu_before) * 1e9 / carried);
    }
    Ok((times, processor_times))
}

fn core(number: usize) -> Result<CpuSet, Error> {
    let mut cores = CpuSet::new();
    cores.set(number).map_err(refused)?;
    Ok(cores)
}

/// Moves all threads of a process to one core.
fn pin(process: u32, number: usize) -> Result<(), Error> {
    let threads = format!("/proc/{process}/task");
    for thread in fs::read_dir(&threads).map_err(Error::io(format!("read {threads}")))? {
        let name = thread.map_err(Error::io(format!("read {threads}")))?.file_name();
        let id = name.to_string_lossy().parse().map_err(|error| Error::invalid(&threads, error))?;
        sched_setaffinity(Pid::from_raw(id), &core(number)?).map_err(refused)?;
    }
    Ok(())
}

fn refused(error: nix::errno::Errno) -> Error {
    Error::io("choose cores")(error.into())
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
