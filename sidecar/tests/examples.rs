//! What holds for every element, shown on the examples of all classes: see the names of the tests.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

mod moved;

use anf_sidecar::driver::example::Example;
use anf_sidecar::driver::reference;
use anf_sidecar::element::{Batch, Descriptor, Outside, Packet};
use anf_sidecar::engine::Router;
use anf_sidecar::registry::Registry;
use moved::{restore, save};

/// Passes of an example that are looked at.
const PASSES: usize = 3000;
/// At how many places of its run an example is stopped.
const STOPS: usize = 60;

fn classes() -> impl Iterator<Item = &'static Descriptor> {
    let outside =
        |class: &&Descriptor| matches!(class.outside, Outside::Device(_) | Outside::Socket | Outside::Link);
    classes_with_outside().filter(move |class| !outside(class))
}

/// Examples name files from the root of the repository on.
fn at_root() {
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the repository");
}

fn classes_with_outside() -> impl Iterator<Item = &'static Descriptor> {
    at_root();
    // `EXAMPLE=Class` looks at one class only.
    let only = std::env::var("EXAMPLE").ok();
    let wanted = move |class: &&Descriptor| only.as_ref().is_none_or(|only| only == class.class);
    let classes: Vec<_> = Registry::standard().descriptors().filter(wanted).collect();
    classes.into_iter().filter(|class| !class.example.is_empty())
}

fn example(class: &Descriptor) -> Example {
    Example::new(&class.example_text()).unwrap_or_else(|found| {
        let lines: Vec<String> = found.0.iter().map(ToString::to_string).collect();
        panic!("the example of {} is wrong:\n{}", class.class, lines.join("\n"));
    })
}

/// Everything that can be read of a router's elements.
fn handlers(router: &mut Router) -> String {
    let elements: Vec<(String, &'static Descriptor)> =
        router.classes().map(|(name, class)| (name.to_owned(), class)).collect();
    let mut all = String::new();
    for (name, class) in elements {
        for handler in class.handlers.iter().filter(|handler| handler.readable) {
            let value = router.read_handler(&name, handler.name);
            all += &format!("{name}.{}: {}\n", handler.name, value.unwrap_or_else(|error| error.to_string()));
        }
    }
    let drops: Vec<String> = router.drops().map(|(e, r, n)| format!("{e} dropped {n}: {r}\n")).collect();
    all + &drops.concat()
}

#[test]
fn every_class_has_an_example_that_uses_it() {
    let without = |class: &&Descriptor| !class.example.contains(class.class);
    let missing: Vec<_> =
        Registry::standard().descriptors().filter(without).map(|class| class.class).collect();
    assert!(missing.is_empty(), "{} classes: {}", missing.len(), missing.join(" "));
}

#[test]
fn every_example_prints_something_and_ends() {
    at_root();
    let pages = reference::pages();
    for class in classes() {
        let page = pages.iter().find(|page| page.file == format!("{}.md", class.class));
        let text = page.map(|page| page.text.as_str()).unwrap_or_default();
        assert!(text.contains("it prints"), "the example of {} does not run", class.class);
        assert!(!text.contains("(it goes on)"), "the example of {} does not end", class.class);
    }
}

#[test]
fn the_reference_is_up_to_date() {
    at_root();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/elements");
    let pages = reference::pages();
    for page in &pages {
        let found = std::fs::read_to_string(format!("{folder}/{}", page.file)).unwrap_or_default();
        assert!(found == page.text, "docs/elements/{} is out of date: run `make reference`", page.file);
    }
    for file in std::fs::read_dir(folder).expect("docs/elements").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(pages.iter().any(|page| page.file == name), "docs/elements/{name} belongs to no class");
    }
}

/// A run stopped after any pass, saved, restored into a fresh router and continued prints the same and ends with the
/// same handlers as the run that was not stopped.
#[test]
fn a_run_can_be_stopped_saved_and_continued_anywhere() {
    let wrong: Vec<String> = classes().filter_map(|class| stop_and_continue(class).err()).collect();
    assert!(wrong.is_empty(), "{} classes\n{}", wrong.len(), wrong.join("\n"));
}

fn stop_and_continue(class: &Descriptor) -> Result<(), String> {
    let mut whole = example(class);
    let mut printed = vec![whole.printed()];
    for _ in 0..PASSES {
        let more = whole.step();
        printed.push(whole.printed());
        if !more {
            break;
        }
    }
    let end = handlers(&mut whole.router);
    let passes = printed.len() - 1;

    let mut first = example(class);
    for pass in 1..passes {
        first.step();
        if pass % passes.div_ceil(STOPS) != 0 {
            continue;
        }
        let mut second = example(class);
        second.printed();
        restore(&mut second.router, &save(&mut first.router));
        second.now = first.now;
        let _ended = (pass..passes).any(|_| !second.step());
        compare(class, pass, &second.printed(), &printed[pass + 1..].concat())?;
        compare(class, pass, &handlers(&mut second.router), &end)?;
    }
    Ok(())
}

fn compare(class: &Descriptor, pass: usize, found: &str, wanted: &str) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let mut lines = wanted.lines().zip(found.lines());
    let differ = lines.find(|(wanted, found)| wanted != found);
    let (wanted, found) = differ.unwrap_or_else(|| {
        let shared = wanted.lines().count().min(found.lines().count());
        (wanted.lines().nth(shared).unwrap_or("(end)"), found.lines().nth(shared).unwrap_or("(end)"))
    });
    Err(format!("{} stopped after pass {pass}: not\n  {found}\nbut\n  {wanted}", class.class))
}

/// Frames that no sender should send, and prefixes of good ones.
fn malformed() -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = vec![Vec::new()];
    for byte in [0x00, 0x45, 0x4f, 0x60, 0xff] {
        frames.extend([1, 7, 14, 19, 20, 34, 60, 1500].map(|length| vec![byte; length]));
    }
    for protocol in [1, 4, 6, 17, 47, 255] {
        let good = packet(protocol);
        for header in [&[][..], &[0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00]] {
            let good = [header, &good[..]].concat();
            frames.extend((0..good.len()).step_by(3).map(|length| good[..length].to_vec()));
            for at in header.len()..good.len().min(header.len() + 40) {
                frames.extend([0x00, 0x7f, 0xff].map(|byte| {
                    let mut bad = good.clone();
                    bad[at] = byte;
                    bad
                }));
            }
        }
    }
    frames
}

/// An IP packet from 1.0.0.1 to 2.0.0.2 with 24 bytes behind its header.
fn packet(protocol: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 44, 0, 1, 0, 0, 64, protocol, 0, 0, 1, 0, 0, 1, 2, 0, 0, 2];
    packet.extend([
        0x12, 0x34, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 0x12, 0x20, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4,
    ]);
    packet
}

/// Nothing that comes in makes an element panic or hang; and what does not belong to it does not stay in it for ever.
#[test]
fn malformed_packets_do_no_harm_anywhere() {
    let frames = malformed();
    for class in classes() {
        let mut example = example(class);
        let inputs = example.router.push_inputs();
        for frame in &frames {
            for &(id, port) in &inputs {
                let mut batch: Batch = [Packet::from_slice(frame)].into_iter().collect();
                example.router.push_into(id, port, &mut batch, example.now);
            }
            example.step();
        }
        example.printed();
    }
}
