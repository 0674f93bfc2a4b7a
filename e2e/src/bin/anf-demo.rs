//! anf-demo: on a cluster with AtomicNF, moves the NAT of the example to and fro under real traffic.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anf_e2e::Error;
use anf_e2e::cluster::hosts::Traffic;
use anf_e2e::cluster::{Environment, Function, Hosts};
use anf_e2e::hogs::Hogs;
use anf_e2e::process::{end_orderly_on_signals, interrupted};
use anf_e2e::report::{Move, RunReport, table_head, table_row};
use anyhow::{Context, bail};
use clap::Parser;

const READY_PATIENCE: Duration = Duration::from_secs(180);

/// The main job: a stateful network function moves between the nodes of a real cluster, under traffic.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Moves, to and fro.
    #[arg(long, default_value_t = 20)]
    moves: u32,
    /// Concurrent UDP flows.
    #[arg(long, default_value_t = 1000)]
    flows: u32,
    /// UDP packets a second over all flows.
    #[arg(long, default_value_t = 5000)]
    pps: u32,
    /// Rate of the TCP download in Mbit/s; 0 for none.
    #[arg(long, default_value_t = 20.0)]
    tcp_rate: f64,
    /// Keep every core busy with something else.
    #[arg(long)]
    busy: bool,
    /// The function.
    #[arg(long, default_value = "examples/nat.yaml")]
    function: PathBuf,
    /// The sub-function that moves.
    #[arg(long, default_value = "nat")]
    sub_function: String,
    /// Folder for the report.
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    end_orderly_on_signals()?;
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.out).with_context(|| format!("make {}", arguments.out.display()))?;
    let environment = Environment::read()?;
    println!("kubectl apply -f {}", arguments.function.display());
    let function = Function::apply(&arguments.function, &environment)?;
    let asked = Instant::now();
    if let Err(error) = function.wait_ready(READY_PATIENCE) {
        show(&["describe", "atomicfunction", &function.name]);
        show(&["get", "pods", "-o", "wide"]);
        return Err(error.into());
    }
    println!("{} is ready after {:.1} s\n", function.name, asked.elapsed().as_secs_f64());
    show(&["anf", "status", &function.name]);
    let hosts = Hosts::start(&environment, "anf-demo")?;
    let recording = Recording::start(&arguments.out.join("kubectl-get-fm-w.txt"))?;
    let report = run(&arguments, &function, &hosts)?;
    drop(recording);
    report.write(&arguments.out.join("report.json"))?;
    print!("\n{}", report.summary());
    println!("report   {}", arguments.out.join("report.json").display());
    let broken = report.broken_promises();
    if !broken.is_empty() {
        bail!("the promise was broken:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

fn run(arguments: &Arguments, function: &Function, hosts: &Hosts) -> anyhow::Result<RunReport> {
    let hogs = arguments.busy.then(|| Hogs::start(&arguments.out.join("hogs.log"))).transpose()?;
    let mut traffic = hosts.start_traffic(arguments.flows, arguments.pps, arguments.tcp_rate)?;
    // Every flow has to have sent once before the first move, so that the move carries all of them.
    thread::sleep(Duration::from_secs_f64(1.0 + f64::from(arguments.flows) / f64::from(arguments.pps)));
    let before = traffic.mark("before")?;
    println!(
        "\n{} flows, {} packets/s, round trip {:.2} ms (p99 {:.2}), longest gap without a move {:.2} ms",
        before.flows,
        arguments.pps,
        before.round_trip_ms.p50,
        before.round_trip_ms.p99,
        before.longest_gap_ms
    );
    println!("moving {}: kubectl anf migrate {0} {} --to NODE\n", function.name, arguments.sub_function);
    println!("{}", table_head());
    let mut moves = Vec::new();
    for number in 1..=arguments.moves {
        if interrupted() {
            bail!("interrupted");
        }
        let done = one_move(function, &mut traffic, &arguments.sub_function, number)?;
        println!("{}", table_row(&done));
        moves.push(done);
    }
    let outcome = traffic.stop()?;
    drop(hogs);
    Ok(RunReport {
        kind: "demo".into(),
        cpus: thread::available_parallelism().map_or(1, usize::from),
        busy: arguments.busy,
        moves,
        client: outcome.total,
        client_cpu_percent: outcome.cpu_percent,
    })
}

fn one_move(function: &Function, traffic: &mut Traffic, part: &str, number: u32) -> Result<Move, Error> {
    let node = function.other_worker(part)?;
    let asked = Instant::now();
    let migration = function.migrate(part, &node)?;
    let total_ms = asked.elapsed().as_secs_f64() * 1e3;
    let client = traffic.mark(&format!("move {number}"))?;
    Ok(Move { number, total_ms, ..migration.as_move() }.with_client(client))
}

/// `kubectl get fm -w` beside the moves, into a file: what a user sees.
struct Recording(std::process::Child);

impl Recording {
    fn start(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("write {}", path.display()))?;
        let mut command = Command::new("kubectl");
        command.args(["get", "fm", "-w"]).stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
        Ok(Self(command.spawn().context("start kubectl get fm -w")?))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Shows a command's output; only for the eyes.
fn show(arguments: &[&str]) {
    if let Err(error) = Command::new("kubectl").args(arguments).status() {
        eprintln!("kubectl: {error}");
    }
}
