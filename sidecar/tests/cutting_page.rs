//! The commands of docs/cutting.md give what the page says. `BLESS=1` writes what they give into the page.
//!
//! `kubectl anf` is carried out with the library calls that it consists of; `anf-sidecar` is the program.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anf_click::{Counts, Cut, Diagnostics, PartSpec, SettledGraph, draw};
use anf_sidecar::link_map::{FILE, LinkMap};
use anf_sidecar::registry::Registry;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cutting.md");

/// The texts of the page, and a folder for what commands write.
struct Page {
    texts: HashMap<String, String>,
    folder: PathBuf,
    registry: Registry,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Page {
    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["kubectl", "anf", "graph", file, options @ ..] => {
                self.cut(file, options).map_or_else(|found| told(file, &found), |cut| draw::text(&cut))
            }
            ["kubectl", "anf", "cut", file, "--auto", count, ">", _] => {
                let count = count.parse().expect("a count");
                let graph = self.settled(file).expect("a graph");
                let proposed = anf_click::propose_cut(&graph, &self.registry, count, &Counts::new());
                proposed.map_or_else(|found| told(file, &found), |(proposal, _)| proposal.to_string())
            }
            ["kubectl", "anf", "cut", file, options @ .., "--click-dir", dir] => {
                let cut = self.cut(file, options).expect("a cut");
                write_parts(&cut, &self.folder, dir)
            }
            ["anf-sidecar", options @ ..] => {
                let mut program = Command::new(env!("CARGO_BIN_EXE_anf-sidecar"));
                let output = program.args(options).current_dir(&self.folder).output().expect("a run");
                String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
            }
            _ => panic!("the test does not know the command {command}"),
        }
    }

    fn settled(&self, file: &str) -> Result<SettledGraph, Diagnostics> {
        let text = self.texts.get(file).unwrap_or_else(|| panic!("the page has no text {file}"));
        anf_click::settle(anf_click::flatten(&anf_click::parse(file, text)?, &[])?, &self.registry)
    }

    fn cut(&self, file: &str, options: &[&str]) -> Result<Cut, Diagnostics> {
        let specs: Vec<PartSpec> = options
            .iter()
            .filter_map(|option| option.split_once('='))
            .map(|(name, elements)| PartSpec {
                name: name.to_owned(),
                elements: elements.split(',').map(Into::into).collect(),
            })
            .collect();
        anf_click::cut(&self.settled(file)?, &specs, &self.registry)
    }
}

/// What is wrong, as `kubectl anf` tells it.
fn told(file: &str, found: &Diagnostics) -> String {
    let mut out = String::new();
    for found in &found.0 {
        let _ = match found.pos.line {
            0 => write!(out, "{file}: error: {}", found.message),
            line => write!(out, "{file}:{line}:{}: error: {}", found.pos.column, found.message),
        };
        let _ = writeln!(
            out,
            "{}",
            found.help.iter().map(|help| format!("\n  help: {help}")).collect::<String>()
        );
    }
    out
}

fn write_parts(cut: &Cut, folder: &Path, dir: &str) -> String {
    let map = LinkMap::of(cut);
    std::fs::create_dir_all(folder.join(dir)).expect("a folder");
    let mut out = String::new();
    let mut write = |file: &Path, text: String| {
        let file = Path::new(dir).join(file);
        let _ = writeln!(out, "{}", file.display());
        std::fs::write(folder.join(file), text).expect("a file");
    };
    for (entry, part) in map.parts.iter().zip(&cut.parts) {
        write(&entry.file, part.graph.to_string());
    }
    write(Path::new(FILE), serde_json::to_string(&map).expect("a map"));
    out
}

/// The page with the output of its commands in place of what stands there.
fn carried_out(page: &str, folder: PathBuf) -> String {
    let mut state = Page { texts: HashMap::new(), folder, registry: Registry::standard() };
    let mut out = String::new();
    let mut blocks = page.split("```");
    out.push_str(blocks.next().unwrap_or_default());
    for (at, block) in blocks.enumerate() {
        out.push_str("```");
        let is_code = at % 2 == 0;
        if let Some(text) = block.strip_prefix("click\n").filter(|_| is_code) {
            let (name, _) = text.split_once('\n').expect("a text");
            state.texts.insert(name.trim_start_matches("// ").to_owned(), text.to_owned());
        }
        let Some(commands) = block.strip_prefix("console\n").filter(|_| is_code) else {
            out.push_str(block);
            continue;
        };
        out.push_str("console\n");
        for command in commands.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let _ = writeln!(out, "$ {command}");
            let given = state.run(command);
            let given = given.trim_end();
            if !given.is_empty() {
                let _ = writeln!(out, "{given}");
            }
        }
    }
    out
}

#[test]
fn the_commands_of_the_page_give_what_it_says() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let folder = std::env::temp_dir().join(format!("anf-cutting-page-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let now = carried_out(&page, folder);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(PAGE, &now).expect("the page can be written");
    } else {
        assert!(page == now, "docs/cutting.md is out of date; BLESS=1 writes it anew:\n{now}");
    }
}
