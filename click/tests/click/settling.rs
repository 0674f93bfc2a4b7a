//! Push and pull, port numbers, unknown classes.

use anf_click::{Diagnostics, Mode, check_class};

use crate::support::{class_infos, errors, settled};

#[track_caller]
fn is_told(text: &str, expected: &[&str]) {
    assert_eq!(errors(settled(text)), expected, "{text}");
}

fn modes(text: &str, element: &str) -> String {
    let graph = settled(text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let id = graph.flat.element(element).unwrap();
    let letters = |modes: &[Mode]| -> String {
        modes.iter().map(|mode| if *mode == Mode::Push { 'h' } else { 'l' }).collect()
    };
    format!("{}/{}", letters(graph.inputs(id)), letters(graph.outputs(id)))
}

#[test]
fn the_codes_of_the_catalogue_can_be_read() {
    for class in class_infos() {
        check_class(&class).unwrap();
    }
    let mut bad = class_infos()[0];
    bad.processing = "q/h";
    assert_eq!(check_class(&bad).unwrap_err(), "bad processing code ‘q/h’");
}

#[test]
fn agnostic_elements_take_the_mode_of_what_is_around_them() {
    assert_eq!(modes("Source -> n :: Null -> Discard", "n"), "h/h");
    assert_eq!(modes("Source -> Queue -> n :: Null -> Unqueue -> Discard", "n"), "l/l");
    assert_eq!(modes("Source -> Queue -> Null -> n :: Null -> d :: Discard", "n"), "l/l");
    assert_eq!(modes("Source -> Queue -> Null -> n :: Null -> d :: Discard", "d"), "l/");
    assert_eq!(modes("InfiniteSource -> n :: Null -> Discard", "n"), "h/h");
    assert_eq!(modes("InfiniteSource -> n :: Null -> Unqueue -> Discard", "n"), "l/l");
    assert_eq!(modes("Source -> Queue -> c :: CheckIPHeader -> Discard; c[1] -> Discard", "c"), "l/lh");
}

#[test]
fn flow_codes_keep_separate_ways_through_one_element_apart() {
    let text = "p :: Pass; Source -> Queue -> p -> Discard; Source -> [1]p[1] -> Discard";
    assert_eq!(modes(text, "p"), "lh/lh");
}

#[test]
fn push_connected_to_pull_is_refused() {
    is_told(
        "Source -> Unqueue -> Discard",
        &["1:1: ‘Source@1 :: Source’ push output 0 connected to ‘Unqueue@2 :: Unqueue’ pull input 0"],
    );
    is_told(
        "Source -> Queue -> t :: Tee -> Discard",
        &["1:11: ‘Queue@2 :: Queue’ pull output 0 connected to ‘t :: Tee’ push input 0"],
    );
    is_told(
        "Source -> n :: Null -> Unqueue -> Discard",
        &["1:11: agnostic ‘n :: Null’ in mixed context: push input 0, pull output 0"],
    );
}

#[test]
fn the_wrong_number_of_ports_is_refused() {
    is_told("Source -> n :: Null; n[1] -> Discard", &["1:11: ‘n :: Null’ has no output 1"]);
    is_told("Source -> q :: ARPQuerier -> Discard", &["1:11: ‘q :: ARPQuerier’ input 1 unused"]);
    is_told("n :: Null", &["1:1: ‘n :: Null’ input 0 unused", "1:1: ‘n :: Null’ output 0 unused"]);
    is_told(
        "s :: Source; s -> Discard; s -> Discard; u :: Unqueue -> Discard; Source -> Queue -> u; Source -> Queue -> u",
        &[
            "1:1: illegal reuse of ‘s :: Source’ push output 0",
            "1:42: illegal reuse of ‘u :: Unqueue’ pull input 0",
        ],
    );
    is_told(
        "a :: Tee; Source -> a; a[2] -> Discard",
        &["1:1: ‘a :: Tee’ output 0 unused", "1:1: ‘a :: Tee’ output 1 unused"],
    );
    is_told("p :: PassPlus; Source -> p -> Discard", &["1:1: ‘p :: PassPlus’ output 1 unused"]);
}

#[test]
fn all_unknown_classes_are_told_at_once_with_suggestions() {
    let Err(Diagnostics(found)) = settled("Sourc -> q :: Qeueu -> Foobar(1) -> dst; dest :: Discard") else {
        panic!()
    };
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "t.click:1:1: error: unknown element class ‘Sourc’\n  help: did you mean \"Source\"?",
            "t.click:1:10: error: unknown element class ‘Qeueu’\n  help: did you mean \"Queue\"?",
            "t.click:1:24: error: unknown element class ‘Foobar’",
            "t.click:1:37: error: undeclared element ‘dst’\n  help: did you mean \"dest\"?",
        ]
    );
    // Each once, in the order of the text, however often a compound is used.
    is_told(
        "elementclass C { input -> Firstt -> Secondd -> output }\nSource -> C -> C -> Thirdd -> Firstt -> Discard",
        &[
            "1:27: unknown element class ‘Firstt’",
            "1:37: unknown element class ‘Secondd’",
            "2:21: unknown element class ‘Thirdd’",
        ],
    );
    is_told("Queue :: Null", &["1:1: class ‘Queue’ used as element name"]);
}

#[test]
fn a_class_that_uses_its_own_name_inside_means_an_older_class_and_cannot_recur() {
    is_told(
        "elementclass A { input -> A -> output } Source -> A -> Discard",
        &["1:27: unknown element class ‘A’"],
    );
}

#[test]
fn a_loop_of_agnostic_elements_settles_to_push() {
    assert_eq!(modes("a :: Null -> b :: Null -> a", "a"), "h/h");
}
