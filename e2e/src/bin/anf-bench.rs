//! anf-bench: measures and prints a table; writes one JSON object a figure.

use std::path::PathBuf;

use anf_e2e::Error;
use anf_e2e::bench::{Figure, dataplane, edge, engine, handover, state, table_head, write};
use anf_e2e::lab::Example;
use anf_e2e::process::end_orderly_on_signals;
use anyhow::{Context, bail};
use clap::Parser;
use regex::Regex;

/// The measured figures.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Measure only cases whose "bench: case" matches this regular expression.
    #[arg(long, default_value = ".")]
    only: Regex,
    /// Moves of each distribution of the gap.
    #[arg(long, default_value_t = 200)]
    moves: u32,
    /// The function.
    #[arg(long, default_value = "examples/nat.yaml")]
    function: PathBuf,
    /// Folder for results and logs.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    end_orderly_on_signals()?;
    let arguments = Arguments::parse();
    let own = std::env::current_exe().context("find this program")?;
    let programs = own.parent().context("find the folder of this program")?;
    let work = std::path::absolute(&arguments.out)?.join("work");
    let example = Example::read(&arguments.function)?;
    let wanted = |bench: &str, case: &str| arguments.only.is_match(&format!("{bench}: {case}"));
    let mut results = Results::default();
    println!("{}", table_head());
    for case in engine::CASES.into_iter().filter(|case| wanted("engine", case)) {
        results.take(case, engine::measure(case, &example).map(|figure| vec![figure]));
    }
    for case in dataplane::CASES.iter().filter(|case| wanted("dataplane", case.name)) {
        results.take(case.name, dataplane::measure(case, programs, &work.join("traces")));
    }
    for case in state::CASES.into_iter().filter(|case| wanted("state", case.0)) {
        results.take(case.0, state::measure(case));
    }
    for case in edge::CASES.iter().filter(|case| wanted("edge", case.name)) {
        results.take(case.name, edge::measure(case, programs, &work));
    }
    for case in handover::CASES.into_iter().filter(|(case, _)| wanted("handover", case)) {
        results.take(case.0, handover::measure(case, arguments.moves, &arguments.function, programs, &work));
    }
    let file = arguments.out.join("results.jsonl");
    write(&file, &results.figures)?;
    println!("\nresults  {}", file.display());
    if !results.problems.is_empty() {
        bail!("not measured:\n  {}", results.problems.join("\n  "));
    }
    Ok(())
}

#[derive(Default)]
struct Results {
    figures: Vec<Figure>,
    problems: Vec<String>,
}

impl Results {
    /// One case that cannot be measured does not keep the others from being.
    fn take(&mut self, case: &str, measured: Result<Vec<Figure>, Error>) {
        match measured {
            Ok(figures) => {
                figures.iter().for_each(|figure| println!("{}", figure.row()));
                self.figures.extend(figures);
            }
            Err(error) => {
                println!("{case}: {error}");
                self.problems.push(format!("{case}: {error}"));
            }
        }
    }
}
