//! anf-lab: moves a sub-function to and fro between two nodes that are network namespaces, under real traffic.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anf_e2e::Error;
use anf_e2e::hogs::Hogs;
use anf_e2e::lab::{Example, Handover, Lab, Places, Traffic};
use anf_e2e::process::{end_orderly_on_signals, interrupted};
use anf_e2e::report::{Move, RunReport, table_head, table_row};
use anyhow::{Context, bail};
use clap::Parser;

/// The handover without Kubernetes: real sidecars, a real Redis, kernels' own TCP and UDP, in network namespaces.
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
    /// Leave everything running at the end, until interrupted.
    #[arg(long)]
    keep: bool,
    /// The function.
    #[arg(long, default_value = "examples/nat.yaml")]
    function: PathBuf,
    /// The sub-function that moves.
    #[arg(long, default_value = "nat")]
    sub_function: String,
    /// Folder for the report, manifests and logs.
    #[arg(long, default_value = "target/lab")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    end_orderly_on_signals()?;
    let arguments = Arguments::parse();
    let own = std::env::current_exe().context("find this program")?;
    let programs = own.parent().context("find the folder of this program")?.to_owned();
    let places = Places { programs, work: std::path::absolute(&arguments.out)?.join("work") };
    let work = places.work.clone();
    let mut lab = Lab::start(Example::read(&arguments.function)?, places)?;
    let hogs = arguments.busy.then(|| Hogs::start(&work.join("hogs.log"))).transpose()?;
    let report = run(&arguments, &mut lab)?;
    drop(hogs);
    report.write(&arguments.out.join("report.json"))?;
    print!("\n{}", report.summary());
    println!("report   {}", arguments.out.join("report.json").display());
    if arguments.keep {
        println!("everything keeps running (namespaces: ip netns); end it with Ctrl-C");
        while !interrupted() {
            thread::sleep(Duration::from_millis(100));
        }
    }
    let broken = report.broken_promises();
    if !broken.is_empty() {
        bail!("the promise was broken:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

fn run(arguments: &Arguments, lab: &mut Lab) -> anyhow::Result<RunReport> {
    let mut traffic = lab.start_traffic(arguments.flows, arguments.pps, arguments.tcp_rate)?;
    // Every flow has to have sent once before the first move, so that the move carries all of them.
    thread::sleep(Duration::from_secs_f64(1.0 + f64::from(arguments.flows) / f64::from(arguments.pps)));
    let before = traffic.mark("before")?;
    println!(
        "{} flows, {} packets/s, round trip {:.2} ms (p99 {:.2}), longest gap without a move {:.2} ms\n",
        before.flows,
        arguments.pps,
        before.round_trip_ms.p50,
        before.round_trip_ms.p99,
        before.longest_gap_ms
    );
    println!("{}", table_head());
    let mut moves = Vec::new();
    for number in 1..=arguments.moves {
        let done = one_move(lab, &mut traffic, &arguments.sub_function, number)?;
        println!("{}", table_row(&done));
        moves.push(done);
    }
    let outcome = traffic.stop()?;
    Ok(RunReport {
        kind: "lab".into(),
        cpus: thread::available_parallelism().map_or(1, usize::from),
        busy: arguments.busy,
        moves,
        client: outcome.total,
        client_cpu_percent: outcome.cpu_percent,
    })
}

fn one_move(lab: &mut Lab, traffic: &mut Traffic, part: &str, number: u32) -> Result<Move, Error> {
    let node = lab.other_node(part)?;
    let done = match lab.move_to(part, node)? {
        Handover::Finished(done) => *done,
        Handover::Aborted { reason, message } => {
            Move { sub_function: part.into(), failure: format!("{reason}: {message}"), ..Move::default() }
        }
    };
    lab.check_owners()?;
    let client = traffic.mark(&format!("move {number}"))?;
    Ok(Move { number, ..done }.with_client(client))
}
