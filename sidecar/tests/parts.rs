//! `anf-sidecar run --parts`: the parts of a cut as processes, and all in one.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::PathBuf;
use std::process::{Command, Output};

use anf_click::PartSpec;
use anf_sidecar::link_map::{FILE, LinkMap};
use anf_sidecar::registry::Registry;

/// A folder with the parts of a cut; removed at the end.
struct Parts(PathBuf);

impl Parts {
    fn new(name: &str, text: &str, specs: &[(&str, &[&str])]) -> Self {
        let registry = Registry::standard();
        let flat = anf_click::flatten(&anf_click::parse("t", text).unwrap(), &[]).unwrap();
        let settled = anf_click::settle(flat, &registry).unwrap();
        let spec = |(name, elements): &(&str, &[&str])| PartSpec {
            name: (*name).into(),
            elements: elements.iter().map(ToString::to_string).collect(),
        };
        let cut = anf_click::cut(&settled, &specs.iter().map(spec).collect::<Vec<_>>(), &registry).unwrap();
        let dir = std::env::temp_dir().join(format!("anf-test-parts-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let map = LinkMap::of(&cut);
        for (entry, part) in map.parts.iter().zip(&cut.parts) {
            std::fs::write(dir.join(&entry.file), part.graph.to_string()).unwrap();
        }
        std::fs::write(dir.join(FILE), serde_json::to_string(&map).unwrap()).unwrap();
        Self(dir)
    }

    fn run(&self, options: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anf-sidecar"));
        let Output { status, stdout, stderr } =
            command.args(["run", "--parts"]).arg(&self.0).args(options).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn nothing_is_lost_however_fast_the_source_and_however_slow_the_part_behind_it() {
    let text = "s :: InfiniteSource(LENGTH 64, LIMIT 60000, BURST 32) -> a :: Counter -> t :: Tee
                -> b :: Counter -> p :: PaintSwitch -> d :: Discard; t[1] -> c :: Counter -> d";
    let parts = Parts::new("fast", text, &[("near", &["s", "a"]), ("middle", &["t", "b"])]);
    let (status, out, told) = parts.run(&["-h", "b.count", "-h", "d.count"]);
    assert_eq!((status, told.as_str()), (0, ""));
    assert_eq!(out, "b.count:\n60000\n\nd.count:\n120000\n\n");
}

#[test]
fn processes_and_one_process_give_the_same() {
    let text =
        "s :: InfiniteSource(LIMIT 500) -> q :: Queue(10) -> u :: Unqueue(3) -> c :: Counter -> d :: Discard";
    let parts = Parts::new("same", text, &[("source", &["s"]), ("queue", &["q"])]);
    let handlers = ["-h", "c.count", "-h", "q.drops", "-h", "q.length"];
    let processes = parts.run(&handlers);
    assert_eq!(processes, (0, "c.count:\n500\n\nq.drops:\n0\n\nq.length:\n0\n\n".into(), String::new()));
    assert_eq!(parts.run(&[handlers.as_slice(), &["--in-process"]].concat()), processes);
}

#[test]
fn a_driver_script_in_one_part_decides_about_stop_requests_of_the_others() {
    let text = "a :: RatedSource(RATE 1000, LIMIT 5, STOP true) -> d :: Discard;
                b :: RatedSource(RATE 1000, LIMIT 3, STOP true) -> d; c :: TimedSource(1ms) -> Discard;
                DriverManager(wait_stop 2, print \"both\")";
    let parts = Parts::new("driver", text, &[("x", &["a"]), ("y", &["b"]), ("z", &["c", "Discard@*"])]);
    assert_eq!(parts.run(&["-h", "d.count"]), (0, "both\n8\n".into(), String::new()));
}

#[test]
fn a_part_that_stops_ends_the_run_and_what_it_sent_arrives() {
    let text = "a :: RatedSource(RATE 1000, LIMIT 5, STOP true) -> c :: Counter -> d :: Discard; TimedSource(1ms) -> Discard";
    let parts = Parts::new("stop", text, &[("x", &["a"]), ("y", &["c"])]);
    assert_eq!(parts.run(&["-h", "d.count"]), (0, "5\n".into(), String::new()));
}

#[test]
fn what_is_wrong_is_told_with_its_part_and_ends_all() {
    let parts = Parts::new("wrong", "s :: TimedSource(1) -> d :: Discard", &[("x", &["s"])]);
    std::fs::write(parts.0.join("x.click"), "Discrad;").unwrap();
    let (status, _, told) = parts.run(&[]);
    assert_eq!(status, 1);
    assert!(told.contains("x.click:1") && told.contains("Discrad"), "{told}");
    assert!(told.contains("part \"x\" did not start"), "{told}");
    std::fs::remove_file(parts.0.join("x.click")).unwrap();
    let (status, _, told) = parts.run(&["--in-process"]);
    assert!(status == 1 && told.contains("x.click"), "{told}");
    std::fs::write(parts.0.join(FILE), "{}").unwrap();
    let (status, _, told) = parts.run(&[]);
    assert!(status == 1 && told.contains("links.json is not the map of a cut"), "{told}");
}

#[test]
fn an_element_that_no_part_has_is_told() {
    let parts = Parts::new("none", "s :: InfiniteSource(LIMIT 1) -> d :: Discard", &[("x", &["s"])]);
    let (status, out, told) = parts.run(&["-h", "e.count"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(told.contains("no element named 'e'"), "{told}");
}
