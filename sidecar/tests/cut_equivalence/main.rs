//! The acceptance test of the cut: a graph cut anywhere does what the whole graph does.
//!
//! A Click text runs twice in virtual time: whole, and cut into parts that are joined by their link queues, through the
//! encoding of the links. A tap in every connection notes what passes. Compared are, byte for byte: what passes each
//! connection, what each element prints or captures, all read handlers at the end, all drop counters.
//!
//! What a cut does not promise, and what is not compared: where two ways meet of which one crossed a cut, their packets
//! may interleave differently (each way keeps its own order, which is compared before they meet). From there on the same
//! packets must come, in any order (if the run ends by itself); and behind an element that treats a packet by what came before it (a table of flows,
//! a small queue), nothing is compared. Nor is it behind a small queue that a source fills in every pass, with a cut
//! between the two, or between the queue and who pulls: of a push and a pull in one pass either may come first, and the
//! queue may lose another packet (times are compared to the microsecond: nanoseconds count passes). Nor behind a small queue that a scheduler chooses from. Graphs with elements that draw random numbers are left out.
//!
//! `CUT_CASES=n` runs n random graphs, `CUT_SEED=n` only that one, and prints it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test may fail the test"
)]

mod chance;
mod compare;
mod devices;
mod generator;
mod processes;

use std::path::PathBuf;

use anf_sidecar::element::Outside;
use anf_sidecar::registry::Registry;

use chance::Chance;
use compare::{Case, Promise};

/// Cuts of each text: a proposed one, and random ones.
const CUTS: u64 = 8;

/// Classes that draw random numbers: each part has a row of its own.
const RANDOM: &[&str] =
    &["RandomSample", "RED", "IPRateMonitor", "ProbSplitter", "RandomSwitch", "RandomSeed", "EPONONU"];

/// The example shows bytes that nobody wrote: what a buffer held before.
const NOT_COMPARABLE: &[&str] = &["Resize"];

/// The script of the example stops all at the very instant at which a source sends: either may come first.
const STOPPED_AS_A_SOURCE_SENDS: &[&str] = &["EPONDBA"];

/// What a configuration of the examples may need that has no stand-in here.
const NEED_MORE: &[&str] =
    &["KernelTun", "KernelTap", "Socket", "FromHost", "ToHost", "FromDump", "FromIPSummaryDump"];

fn cases() -> u64 {
    let given = std::env::var("CUT_CASES").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(if cfg!(debug_assertions) { 60 } else { 400 })
}

/// How much was compared.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    edges: usize,
    pulls: usize,
    refused: usize,
    places: usize,
    same: usize,
    uncompared: usize,
}

/// Compares random cuts of a text with the whole.
fn check(text: &str, seed: u64, tally: &mut Tally) -> Result<(), String> {
    devices::prepare(text, seed);
    let case = Case::new(text)?;
    if RANDOM.iter().any(|class| case.class(class)) {
        return Ok(());
    }
    let whole = case.run_whole()?;
    for number in 0..CUTS {
        let mut chance = Chance::new(seed.wrapping_mul(1000) + number);
        // The first one is what the proposals of `kubectl anf cut --auto` say, which are never refused.
        let cut = if number == 0 { case.proposed_cut(&mut chance) } else { case.random_cut(&mut chance) };
        let cut = match cut {
            Ok(cut) => cut,
            Err(why) if number > 0 && why.contains("chooses by what waits") => {
                tally.refused += 1;
                continue;
            }
            Err(why) => return Err(why),
        };
        let promises = case.promises(&cut);
        let told = |why: String| format!("cut {number}:\n{}{why}", compare::show(&cut));
        let found = case.run_cut_as_long(&cut, &whole).map_err(told)?;
        case.compare(&whole, &found, &promises).map_err(told)?;
        tally.cuts += 1;
        tally.edges += cut.edges.len();
        tally.pulls += cut.edges.iter().filter(|edge| edge.mode == anf_click::Mode::Pull).count();
        tally.places += promises.of.len();
        tally.same += promises.of.iter().filter(|promise| **promise == Promise::Same).count();
        tally.uncompared += promises.of.iter().filter(|promise| **promise == Promise::Nothing).count();
    }
    Ok(())
}

/// A file of frames; removed at the end.
struct Capture(PathBuf);

impl Capture {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("anf-cut-{name}-{}.pcap", std::process::id()));
        let mut file =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
        for number in 0..60_u8 {
            let frame = generator::packet(number.wrapping_mul(37));
            file.extend(1_000_000_u32.to_le_bytes());
            file.extend((u32::from(number) * 10).to_le_bytes());
            file.extend([frame.len() as u32, frame.len() as u32 + 4].map(u32::to_le_bytes).concat());
            file.extend(frame);
        }
        std::fs::write(&path, file).expect("a file of frames");
        Self(path)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn random_graphs_cut_anywhere_do_what_they_do_whole() {
    let capture = Capture::new("random");
    let file = capture.0.display().to_string();
    let one: Option<u64> = std::env::var("CUT_SEED").ok().and_then(|text| text.parse().ok());
    let seeds = one.map_or(0..cases(), |seed| seed..seed + 1);
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for seed in seeds {
        let text = generator::text(seed, &file);
        if one.is_some() {
            println!("{text}");
        }
        if let Err(why) = check(&text, seed, &mut tally) {
            wrong.push(seed);
            println!("CUT_SEED={seed}\n{text}{why}\n");
        }
    }
    println!("{tally:?}");
    assert!(wrong.is_empty(), "{} graphs differ when cut, seeds {wrong:?}", wrong.len());
    if one.is_none() {
        assert!(tally.edges > tally.cuts && tally.pulls > 20, "the cuts cut too little: {tally:?}");
        assert!(tally.uncompared * 3 < tally.places, "too little was compared: {tally:?}");
    }
}

#[test]
fn the_examples_of_all_classes_cut_anywhere_do_what_they_do_whole() {
    // Examples name files as the reference's readers would.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the repository");
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for class in Registry::standard().descriptors() {
        let alone = matches!(class.outside, Outside::Nothing | Outside::File);
        let left_out =
            NOT_COMPARABLE.contains(&class.class) || STOPPED_AS_A_SOURCE_SENDS.contains(&class.class);
        if class.example.is_empty() || !alone || left_out {
            continue;
        }
        if let Err(why) = check(class.example, 1, &mut tally) {
            wrong.push(class.class);
            println!("the example of {}\n{}\n{why}\n", class.class, class.example);
        }
    }
    println!("{tally:?}");
    assert!(wrong.is_empty(), "examples that differ when cut: {wrong:?}");
}

/// The configurations of the folder that need nothing but devices.
#[test]
fn the_configurations_of_the_examples_cut_anywhere_do_what_they_do_whole() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut files = Vec::new();
    for folder in [folder.to_owned(), format!("{folder}/click")] {
        let entries = std::fs::read_dir(folder).expect("examples").flatten();
        files.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "click")),
        );
    }
    files.sort();
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a configuration");
        // They are stopped at the very instant at which a source sends: either may come first.
        let stopped = file.ends_with("traffic.click") || file.ends_with("epon.click");
        if stopped || NEED_MORE.iter().any(|class| text.contains(class)) {
            continue;
        }
        if let Err(why) = check(&text, 1, &mut tally) {
            wrong.push(file.display().to_string());
            println!("{}\n{why}\n", file.display());
        }
    }
    println!("{tally:?}");
    assert!(wrong.is_empty(), "configurations that differ when cut: {wrong:?}");
    assert!(tally.edges > 100, "the cuts cut too little: {tally:?}");
}
