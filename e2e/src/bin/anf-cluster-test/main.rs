//! anf-cluster-test: the promise and every fault, on a real cluster, under traffic that never stops.
//!
//! One client runs through all tests; each test has to leave its counts perfect. Prints a line for each test as cargo
//! does, so that the same sum covers both.

mod drains;
mod faults;
mod graphs;
mod moves;
mod upgrades;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use anf_e2e::Error;
use anf_e2e::process::{end_orderly_on_signals, interrupted};
use clap::Parser;
use world::World;

/// Tests on a real cluster; run through e2e/on-cluster.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Run only tests whose name contains this.
    filter: Option<String>,
    /// List the tests.
    #[arg(long)]
    list: bool,
}

/// A test: its name is the sentence that it proves.
type Test = (&'static str, fn(&mut World) -> Result<(), Error>);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |name: &str| arguments.filter.as_deref().is_none_or(|filter| name.contains(filter));
    let groups = [moves::TESTS, graphs::TESTS, faults::TESTS, drains::TESTS, upgrades::TESTS];
    let tests: Vec<Test> = groups.concat().into_iter().filter(|(name, _)| wanted(name)).collect();
    if arguments.list {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests on the cluster", tests.len());
    let mut world = match end_orderly_on_signals().and_then(|()| World::build()) {
        Ok(world) => world,
        Err(error) => {
            println!("test the_example_starts_and_carries_traffic ... FAILED\n{error}");
            println!("\ntest result: FAILED. 0 passed; {} failed; 0 ignored", tests.len());
            return ExitCode::FAILURE;
        }
    };
    let failed = tests.iter().filter(|test| !interrupted() && !run(&mut world, test)).count();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored", tests.len() - failed);
    if failed == 0 && !interrupted() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(world: &mut World, (name, test): &Test) -> bool {
    let started = Instant::now();
    let result = world.begin(name).and_then(|()| test(world)).and_then(|()| world.judge(name));
    let seconds = started.elapsed().as_secs_f64();
    match result {
        Ok(()) => {
            println!("test {name} ... ok ({seconds:.1} s)");
            true
        }
        Err(error) => {
            println!("test {name} ... FAILED ({seconds:.1} s)\n    {error}");
            world.show();
            false
        }
    }
}
