//! `anf-sidecar run` on Click texts that any driver of click(1)'s command line can run: what a packet costs on one core.
//!
//! Every text prints the time when it is warm and at its end; between them is the figure. Beside it stands the goal, and
//! the instructions that a packet takes, counted by callgrind: they do not depend on what else the machine does.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::trace::{Random, trace};
use super::{Figure, quantile};
use crate::Error;
use crate::process::{bound_to_us, run};

const BENCH: &str = "dataplane";
const RUNS: usize = 5;
const CONFIGS: &str = "e2e/configs";
/// Packets of a trace behind those that fill the tables.
const TRACE_PACKETS: u64 = 2_000_000;
/// Packets in the shorter of the two runs whose instructions are counted.
const COUNTED: u64 = 20_000;

/// A text and what is fed to it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    text: Text,
    /// Nanoseconds a packet that we want to reach; `None` for what is there to compare with.
    goal: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Text {
    /// Packets from the text itself.
    Own(&'static str),
    /// A capture of so many flows.
    Flows(&'static str, u32),
    /// A capture of so many flows, each packet a new one.
    NewFlows(&'static str, u32),
    /// A look-up in so many random routes.
    Routes(u32),
}

const fn case(name: &'static str, text: Text, goal: f64) -> Case {
    Case { name, text, goal: Some(goal) }
}

/// What is measured.
pub const CASES: &[Case] = &[
    case("source and sink", Text::Own("source"), 14.0),
    case("IPv4 router", Text::Own("router"), 60.0),
    case("IPv4 router, ARPQuerier", Text::Own("router-arp"), 80.0),
    case("Classifier, 20 patterns", Text::Own("classifier"), 60.0),
    case("IPClassifier, 20 rules", Text::Own("ip-classifier"), 50.0),
    Case { name: "capture alone, 1 k flows", text: Text::Flows("capture", 1_000), goal: None },
    case("NAT, 1 k flows", Text::Flows("nat", 1_000), 90.0),
    case("NAT, 10 k flows", Text::Flows("nat", 10_000), 110.0),
    case("NAT, 100 k flows", Text::Flows("nat", 100_000), 180.0),
    case("NAT, 1 M flows", Text::Flows("nat", 1_000_000), 250.0),
    case("NAT, every packet a new flow", Text::NewFlows("nat", 1_000_000), 400.0),
    case("flow monitor, 1 k flows", Text::Flows("monitor", 1_000), 80.0),
    case("flow monitor, 10 k flows", Text::Flows("monitor", 10_000), 100.0),
    case("flow monitor, 100 k flows", Text::Flows("monitor", 100_000), 170.0),
    case("flow monitor, 1 M flows", Text::Flows("monitor", 1_000_000), 250.0),
    case("100 routes", Text::Routes(100), 60.0),
    case("10 k routes", Text::Routes(10_000), 70.0),
    case("100 k routes", Text::Routes(100_000), 90.0),
];

/// Measures a case: nanoseconds and instructions a packet.
pub fn measure(case: &Case, programs: &Path, work: &Path) -> Result<Vec<Figure>, Error> {
    let sidecar = programs.join("anf-sidecar");
    let words = case.text.words(work, None)?;
    let times = (0..RUNS).map(|_| nanoseconds(&sidecar, &words)).collect::<Result<Vec<f64>, Error>>()?;
    let figure = |metric: &str, value, unit: &str, control, runs| Figure {
        bench: BENCH.into(),
        case: case.name.into(),
        metric: metric.into(),
        value,
        unit: unit.into(),
        control,
        runs,
    };
    let instructions = case.text.instructions(&sidecar, work)?;
    Ok(vec![
        figure("cost; goal", quantile(&times, 0.5), "ns", case.goal, RUNS),
        figure("instructions", instructions, "a packet", None, 1),
    ])
}

impl Text {
    /// The words behind `run`: the file and its parameters. `counted` packets where instructions are counted.
    fn words(self, work: &Path, counted: Option<u64>) -> Result<Vec<String>, Error> {
        let file = |name: &str| format!("{CONFIGS}/{name}.click");
        let capture = |flows: u32, packets: u64| {
            Ok::<_, Error>(format!("PCAP={}", trace(work, flows, packets)?.display()))
        };
        Ok(match self {
            Self::Own(name) => {
                let counted = counted.map(|packets| [format!("N={packets}"), "W=1".to_owned()]);
                [vec![file(name)], counted.into_iter().flatten().collect()].concat()
            }
            Self::Flows(name, flows) => {
                let packets = u64::from(flows) + counted.unwrap_or(TRACE_PACKETS);
                vec![file(name), capture(flows, packets)?, format!("W={flows}")]
            }
            Self::NewFlows(name, flows) => {
                // Instructions: a run that sees so many of them.
                let flows = counted.map_or(flows, |packets| packets as u32);
                vec![file(name), capture(flows, u64::from(flows))?, "W=1".to_owned()]
            }
            Self::Routes(routes) => {
                let packets = counted.unwrap_or(TRACE_PACKETS);
                vec![lookup(work, routes)?.display().to_string(), capture(100_000, 100_000 + packets)?]
            }
        })
    }

    /// Instructions of two runs of different length, divided by the packets that one has more.
    fn instructions(self, sidecar: &Path, work: &Path) -> Result<f64, Error> {
        let count = |packets: u64| count_instructions(sidecar, &self.words(work, Some(packets))?);
        Ok((count(2 * COUNTED)? - count(COUNTED)?) / COUNTED as f64)
    }
}

/// Runs a text on the second core and answers what a packet took between its two times.
fn nanoseconds(sidecar: &Path, words: &[String]) -> Result<f64, Error> {
    let mut command = bound_to_us("taskset");
    let printed = run(command.args(["-c", "1"]).arg(sidecar).arg("run").args(words))?;
    let value = |name: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        line.ok_or_else(|| Error::invalid(name, format!("not in what was printed: {printed}")))
    };
    let (begin, end, warm, packets) = (value("T0 ")?, value("T1 ")?, value("WARM ")?, value("COUNT ")?);
    Ok((end - begin) * 1e9 / (packets - warm))
}

/// Runs a text under callgrind, which counts every instruction.
fn count_instructions(sidecar: &Path, words: &[String]) -> Result<f64, Error> {
    let mut command = bound_to_us("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(sidecar).arg("run").args(words);
    let output = command.output().map_err(Error::io("run valgrind"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let total = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    total.ok_or_else(|| Error::invalid("callgrind", format!("no count in what it said: {text}")))
}

/// A text that looks every packet up in so many distinct random prefixes of 100.64.0.0/10.
fn lookup(work: &Path, routes: u32) -> Result<PathBuf, Error> {
    let mut random = Random(1);
    let lengths = [20, 22, 23, 24, 24, 24, 25, 26, 28];
    let mut prefixes = std::collections::BTreeSet::new();
    while prefixes.len() < routes as usize {
        let length = lengths[random.below(lengths.len() as u32) as usize];
        let address = (100 << 24) | (64 << 16) | random.below(1 << 22);
        prefixes.insert(((address >> (32 - length)) << (32 - length), length));
    }
    let mut text =
        String::from("define($W 100000);\nFromDump($PCAP, STOP true) -> Strip(14) -> CheckIPHeader\n");
    text.push_str("  -> rt :: RadixIPLookup(0.0.0.0/0 192.0.2.1 0");
    for (at, (address, length)) in prefixes.into_iter().enumerate() {
        let address = std::net::Ipv4Addr::from(address);
        // Writing to a string does not fail.
        let _ = write!(text, ",\n  {address}/{length} 192.0.2.{} {}", 2 + at % 100, at % 4);
    }
    text.push_str(
        ");\nrt[0] -> c :: Counter(COUNT_CALL $W mark.run) -> Discard;\nrt[1] -> c; rt[2] -> c; rt[3] -> c;\n\
         mark :: Script(TYPE PASSIVE, print \"T0 $(now)\");\n\
         DriverManager(wait_stop, print \"T1 $(now)\", print \"WARM $W\", print \"COUNT $(c.count)\");\n",
    );
    let path = work.join(format!("routes-{routes}.click"));
    let doing = || Error::io(format!("write {}", path.display()));
    fs::create_dir_all(work).map_err(doing())?;
    fs::write(&path, text).map_err(doing())?;
    Ok(path)
}
