//! The same with real processes and real links: `anf-sidecar run --parts`. Compared is what the sinks capture, but for
//! times, which are real here; so the graphs have no element that looks at the clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anf_click::Cut;
use anf_sidecar::link_map::LinkMap;

use crate::chance::Chance;
use crate::compare::{Case, Promise, show};
use crate::{Capture, generator};

/// Cuts of each graph.
const CUTS: u64 = 2;

fn cases() -> u64 {
    let given = std::env::var("CUT_PROCESS_CASES").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(if cfg!(debug_assertions) { 10 } else { 40 })
}

/// A folder; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("anf-cut-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the sinks captured: of each file its packets.
fn captured(folder: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    let entries = std::fs::read_dir(folder).expect("captures").flatten();
    let captures = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "pcap"));
    captures
        .map(|entry| {
            let bytes = std::fs::read(entry.path()).expect("a capture");
            (entry.file_name().to_string_lossy().into_owned(), packets(&bytes))
        })
        .collect()
}

fn packets(capture: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &capture[24..];
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
        packets.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    packets
}

/// Writes what `kubectl anf cut --click-dir` writes.
fn write(cut: &Cut, folder: &Path) {
    let map = LinkMap::of(cut);
    for (entry, part) in map.parts.iter().zip(&cut.parts) {
        std::fs::write(folder.join(&entry.file), part.graph.to_string()).expect("a text");
    }
    let map = serde_json::to_string(&map).expect("a map");
    std::fs::write(folder.join(anf_sidecar::link_map::FILE), map).expect("a map");
}

fn run(folder: &Path) -> Result<(), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_anf-sidecar"))
        .args(["run", "--parts"])
        .arg(folder)
        .output()
        .map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stderr);
    // Elements may print; the program itself says that something is wrong.
    let fine = output.status.success() && !told.contains("anf-sidecar:");
    if fine { Ok(()) } else { Err(format!("{}: {told}", output.status)) }
}

fn check(seed: u64, capture: &str) -> Result<(), String> {
    let whole_folder = Folder::new(&format!("whole-{seed}"));
    let text = |folder: &Folder| generator::calm_text(seed, capture, &folder.0.display().to_string());
    let whole_text = text(&whole_folder);
    if !Case::untapped(&whole_text)?.run_whole()?.ended {
        return Err("the whole graph does not end".to_owned());
    }
    let whole = captured(&whole_folder.0);
    for number in 0..CUTS {
        let folder = Folder::new(&format!("parts-{seed}-{number}"));
        let case = Case::untapped(&text(&folder))?;
        let Ok(cut) = case.random_cut(&mut Chance::new(seed * 1000 + number)) else { continue };
        write(&cut, &folder.0);
        let told = |why: String| format!("cut {number}:\n{}{why}", show(&cut));
        run(&folder.0).map_err(told)?;
        compare(&case, &cut, &whole, captured(&folder.0)).map_err(told)?;
    }
    Ok(())
}

fn compare(
    case: &Case,
    cut: &Cut,
    whole: &BTreeMap<String, Vec<Vec<u8>>>,
    mut found: BTreeMap<String, Vec<Vec<u8>>>,
) -> Result<(), String> {
    for (file, packets) in whole {
        let mut packets = packets.clone();
        let mut found = found.remove(file).ok_or_else(|| format!("{file} was not written"))?;
        match case.promise(cut, file.trim_end_matches(".pcap")) {
            Promise::Same => {}
            Promise::AnyOrder => {
                packets.sort_unstable();
                found.sort_unstable();
            }
            Promise::Nothing => continue,
        }
        if packets != found {
            let (wanted, got) = (packets.len(), found.len());
            let at = packets.iter().zip(&found).position(|(a, b)| a != b);
            return Err(format!("{file}: {got} packets for {wanted}, the first other one is {at:?}"));
        }
    }
    Ok(())
}

#[test]
fn random_graphs_cut_into_processes_do_what_they_do_whole() {
    let capture = Capture::new("processes");
    let file = capture.0.display().to_string();
    let one: Option<u64> = std::env::var("CUT_SEED").ok().and_then(|text| text.parse().ok());
    let mut wrong = Vec::new();
    for seed in one.map_or(0..cases(), |seed| seed..seed + 1) {
        if let Err(why) = check(seed, &file) {
            wrong.push(seed);
            println!("CUT_SEED={seed}\n{}\n{why}\n", generator::calm_text(seed, &file, ""));
        }
    }
    assert!(wrong.is_empty(), "{} graphs differ when cut, seeds {wrong:?}", wrong.len());
}
