//! Every rule of the cut.

use anf_click::{Annotations as A, Cut, Diagnostics, Mode, settle};

use crate::support::{Classes, cut_up, lines, parts};

const NAT: &str = "elementclass In { input -> cl :: Classifier(12/0800, -); cl[0] -> Strip(14) -> CheckIPHeader -> output; cl[1] -> Discard }
lan :: Source -> in :: In -> rw :: IPRewriter(pattern - - - - 0 1, drop);
wan :: Source -> Paint(2) -> MarkIPHeader -> [1]rw;
rw[0] -> q :: Queue -> u :: Unqueue -> out :: EtherEncap -> sink :: Discard;
rw[1] -> back :: EtherEncap -> Discard;
icmp :: ICMPRewriter(rw); Source -> icmp -> Discard;
";

#[track_caller]
fn is_told(text: &str, specs: &[(&str, &[&str])], expected: &[(&str, &str)]) {
    let Err(Diagnostics(found)) = cut_up(text, specs) else { panic!("{specs:?} is legal") };
    let told: Vec<(&str, &str)> =
        found.iter().map(|d| (d.message.as_str(), d.help.as_deref().unwrap_or_default())).collect();
    assert_eq!(told, expected);
}

fn edges(cut: &Cut) -> Vec<String> {
    let edge = |e: &anf_click::CutEdge| {
        let cycle = if e.in_cycle { " cycle" } else { "" };
        format!(
            "{} {}:{} -> {}:{} {} {}{cycle}",
            e.id, e.from_part, e.from, e.to_part, e.to, e.mode, e.annotations
        )
    };
    cut.edges.iter().map(edge).collect()
}

fn each_part_settles(cut: &Cut) {
    for part in &cut.parts {
        if let Err(errors) = settle(part.graph.clone(), &Classes) {
            panic!("{}:\n{}\n{errors}", part.name, part.graph);
        }
    }
}

#[test]
fn push_edges_end_in_link_elements_and_the_rest_stays_in_main() {
    let cut = cut_up(NAT, &[("nat", &["rw"]), ("egress", &["q", "u", "out", "sink"])]).unwrap();
    assert_eq!(
        cut.parts.iter().map(|p| (p.name.as_str(), p.elements)).collect::<Vec<_>>(),
        [("nat", 2), ("egress", 4), ("main", 12)]
    );
    each_part_settles(&cut);
    let nat = cut.part("nat").unwrap();
    assert_eq!(
        lines(&nat.graph),
        [
            "rw :: IPRewriter(pattern - - - - 0 1, drop)",
            "icmp :: ICMPRewriter(rw)",
            "anf_in_0 :: FromLink(EDGE 0, FROM main)",
            "anf_out_1 :: ToLink(EDGE 1, TO egress)",
            "anf_out_2 :: ToLink(EDGE 2, TO main)",
            "anf_in_3 :: FromLink(EDGE 3, FROM main)",
            "anf_out_4 :: ToLink(EDGE 4, TO main)",
            "anf_in_5 :: FromLink(EDGE 5, FROM main)",
            "anf_in_0[0] -> [1]rw",
            "rw[0] -> [0]anf_out_1",
            "rw[1] -> [0]anf_out_2",
            "anf_in_3[0] -> [0]icmp",
            "icmp[0] -> [0]anf_out_4",
            "anf_in_5[0] -> [0]rw",
        ]
    );
}

#[test]
fn pull_edges_are_cut_with_pulling_links() {
    let text = "Source -> q :: Queue -> n :: Null -> u :: Unqueue -> Discard";
    let cut = cut_up(text, &[("a", &["Source@1", "q"]), ("b", &["n"]), ("c", &["u", "Discard*"])]).unwrap();
    assert_eq!(edges(&cut), ["0 a:q[0] -> b:[0]n pull none", "1 b:n[0] -> c:[0]u pull none"]);
    each_part_settles(&cut);
    let b = lines(&cut.part("b").unwrap().graph);
    // Directly behind a queue packets are pulled ahead; behind anything else only as they are asked for.
    assert!(b.contains(&"anf_in_0 :: FromLinkPull(EDGE 0, FROM a, SIGNAL 2, AHEAD 64)".to_owned()), "{b:?}");
    assert!(b.contains(&"anf_out_1 :: ToLinkPull(EDGE 1, TO c, SIGNAL 3)".to_owned()), "{b:?}");
    assert!(cut.part("main").is_none());
}

#[test]
fn a_push_edge_on_the_way_from_a_heeding_source_to_queues_has_a_way_back() {
    let signals = |text: &str| {
        let cut = cut_up(text, &[("far", &["n", "q*", "d"])]).unwrap();
        each_part_settles(&cut);
        let signal =
            |s: &anf_click::Signal| format!("{} for {}: {} -> {}", s.id, s.edge, s.from_part, s.to_part);
        cut.signals.iter().map(signal).collect::<Vec<_>>()
    };
    let full = "InfiniteSource -> n :: Null -> q :: Queue -> Unqueue -> d :: Discard";
    assert_eq!(signals(full), ["3 for 0: far -> main", "4 for 1: main -> far"]);
    // One way ends where nothing is ever full, so the source never rests.
    let mixed =
        "InfiniteSource -> t :: Tee -> n :: Null -> q :: Queue -> u :: Unqueue -> d :: Discard; t[1] -> d";
    assert_eq!(signals(mixed), ["4 for 1: main -> far"]);
    // This source does not look.
    assert_eq!(signals(&full.replace("InfiniteSource", "Source")), ["3 for 1: main -> far"]);
    // A queue that sends what does not fit elsewhere is no end.
    let over = "InfiniteSource -> n :: Null -> q :: Tee -> d :: Discard; q[1] -> Queue -> Unqueue -> Discard";
    assert_eq!(signals(over), Vec::<String>::new());
}

#[test]
fn a_scheduler_is_not_cut_from_what_it_cannot_see_across_a_link() {
    let text = "Source -> q :: Queue -> n :: Null -> s :: RoundRobinSched -> Unqueue -> Discard;
                Source -> Queue -> [1]s";
    assert!(cut_up(text, &[("x", &["q", "Source@1"])]).is_ok());
    is_told(
        text,
        &[("x", &["q", "n", "Source@1"])],
        &[(
            "cannot cut between ‘n :: Null’ in sub-function \"x\" and ‘s :: RoundRobinSched’, behind it in sub-function \"main\": \
             ‘s’ chooses by what waits at its inputs, and what waits before ‘n’ is not known across a link",
            "put \"n\" into sub-function \"main\", so that the cut is directly behind a queue",
        )],
    );
    // The same with something in between.
    let text = text.replace("-> s ::", "-> m :: Null -> s ::");
    assert!(cut_up(&text, &[("x", &["q", "n", "Source@1"])]).is_err());
}

#[test]
fn an_element_that_looks_for_queues_stays_with_those_that_it_finds() {
    let text = "Source -> r :: RED -> n :: Null -> q :: Queue -> u :: Unqueue -> Discard";
    let cut = cut_up(text, &[("x", &["r"])]).unwrap();
    assert!(cut.part("x").unwrap().graph.element("q").is_some());
    assert!(cut_up(text, &[("x", &["r"]), ("y", &["q"])]).is_err());
}

#[test]
fn several_edges_between_two_parts_stay_several() {
    let text =
        "s :: Source -> t :: Tee; t[0] -> a :: Null -> d :: Discard; t[1] -> b :: Null -> d; t[2] -> d";
    let cut = cut_up(text, &[("x", &["a", "b", "d"])]).unwrap();
    assert_eq!(
        edges(&cut),
        [
            "0 main:t[0] -> x:[0]a push none",
            "1 main:t[1] -> x:[0]b push none",
            "2 main:t[2] -> x:[0]d push none"
        ]
    );
    each_part_settles(&cut);
}

#[test]
fn compounds_are_taken_whole_by_name_and_cut_through_the_middle_by_pattern() {
    let cut = cut_up(NAT, &[("in", &["in"])]).unwrap();
    assert_eq!(cut.part("in").unwrap().elements, 4);
    let cut = cut_up(NAT, &[("front", &["lan", "*/cl", "in/Discard@4"])]).unwrap();
    assert_eq!(edges(&cut), ["0 front:in/cl[0] -> main:[0]in/Strip@2 push none"]);
    each_part_settles(&cut);
}

#[test]
fn a_class_stands_for_all_its_elements_unless_an_element_has_that_name() {
    let cut = cut_up(NAT, &[("wrap", &["EtherEncap"])]).unwrap();
    let part = cut.part("wrap").unwrap();
    assert!(part.graph.element("out").is_some() && part.graph.element("back").is_some());
    assert_eq!(part.elements, 2);
}

#[test]
fn loops_between_parts_are_marked() {
    let text = "Source -> a :: Null; a -> b :: Tee; b[1] -> a; b[0] -> c :: Discard";
    let cut = cut_up(text, &[("x", &["a"]), ("y", &["b"]), ("z", &["c"])]).unwrap();
    assert_eq!(
        edges(&cut),
        [
            "0 main:Source@1[0] -> x:[0]a push none",
            "1 x:a[0] -> y:[0]b push none cycle",
            "2 y:b[1] -> x:[0]a push none cycle",
            "3 y:b[0] -> z:[0]c push none"
        ]
    );
    each_part_settles(&cut);
}

#[test]
fn only_annotations_that_the_far_side_reads_before_writing_cross() {
    let needs = |text: &str, far: &[&str]| cut_up(text, &[("far", far)]).unwrap().edges[0].annotations;
    assert_eq!(
        needs("Source -> Paint(1) -> n :: Null -> pt :: PaintTee -> Discard; pt[1] -> Discard", &["n", "pt"]),
        A::PAINT
    );
    assert_eq!(
        needs(
            "Source -> n :: Null -> Paint(1) -> pt :: PaintTee -> Discard; pt[1] -> Discard",
            &["n", "pt", "Paint*"]
        ),
        A::NONE
    );
    // Across a second cut edge, and only along the flow code.
    let text = "Source -> Paint(1) -> n :: Null -> pt :: PaintTee -> Discard; pt[1] -> Discard";
    let cut = cut_up(text, &[("mid", &["n"]), ("far", &["pt"])]).unwrap();
    assert_eq!((cut.edges[0].annotations, cut.edges[1].annotations), (A::PAINT, A::PAINT));
    let text = "p :: Pass; Source -> a :: Null -> p -> Discard; Source -> b :: Null -> [1]p; p[1] -> t :: PaintTee -> Discard; t[1] -> Discard";
    let cut = cut_up(text, &[("far", &["p", "t", "Discard*"])]).unwrap();
    assert_eq!((cut.edges[0].annotations, cut.edges[1].annotations), (A::NONE, A::PAINT));
    // One way writes, the other does not.
    let text = "Source -> t :: Tee; t[0] -> Paint(1) -> c :: PaintTee -> Discard; c[1] -> Discard; t[1] -> c";
    let cut = cut_up(text, &[("far", &["t", "c", "Paint*"])]).unwrap();
    assert_eq!(cut.edges[0].annotations, A::PAINT);
    assert_eq!(cut.edges[0].mode, Mode::Push);
}

#[test]
fn annotations_of_a_loop_reach_a_fixed_point() {
    let text = "Source -> rt :: RadixIPLookup -> n :: Null -> ICMPError -> rt; rt[1] -> PaintTee => Discard, d :: Discard";
    let cut = cut_up(text, &[("err", &["n"])]).unwrap();
    assert_eq!(cut.edges[0].annotations, A::NETWORK_HEADER | A::PAINT);
}

#[test]
fn elements_tied_by_name_go_together_or_the_cut_is_refused() {
    let cut = cut_up(NAT, &[("nat", &["rw"])]).unwrap();
    assert!(cut.part("nat").unwrap().graph.element("icmp").is_some());
    is_told(
        NAT,
        &[("nat", &["rw"]), ("errors", &["icmp"])],
        &[(
            "cannot cut between ‘rw :: IPRewriter’ in sub-function \"nat\" and ‘icmp :: ICMPRewriter’ in sub-function \"errors\": \
             they are tied by name and share what is kept in memory",
            "put \"rw\" and \"icmp\" into one sub-function, or take the reference between them out of the Click text",
        )],
    );
    // Through a third element that nobody names.
    let text = "a :: Source -> c :: Counter -> Discard; b :: Source -> d :: Counter -> Discard; Script(print $(c.count), write d.reset)";
    is_told(
        text,
        &[("x", &["c"]), ("y", &["d"])],
        &[(
            "cannot cut between ‘c :: Counter’ in sub-function \"x\" and ‘d :: Counter’ in sub-function \"y\": \
             they are tied by name and share what is kept in memory",
            "put \"c\" and \"d\" into one sub-function, or take the reference between them out of the Click text",
        )],
    );
    // Inside a compound, names are relative.
    let text = "k :: { input -> r :: IPRewriter -> output; Source -> ICMPRewriter(r) -> Discard }; Source -> k -> Discard";
    let cut = cut_up(text, &[("x", &["k/r"])]).unwrap();
    assert!(
        cut.part("x").unwrap().graph.element("k/ICMPRewriter@3").is_some()
            || cut.part("x").unwrap().elements == 2
    );
}

#[test]
fn definitions_are_copied_to_the_parts_that_use_them() {
    let text = "AddressInfo(me 10.0.0.1/24, you 10.0.0.2, both me you, nobody 1.2.3.4);
                ScheduleInfo(u 2, d 1);
                Source -> s :: Strip(me) -> Queue -> u :: Unqueue -> e :: EtherEncap(both) -> d :: Discard";
    let cut = cut_up(text, &[("x", &["s"]), ("y", &["e", "u"])]).unwrap();
    let config = |part: &str, class: &str| {
        let graph = &cut.part(part).unwrap().graph;
        graph.elements.iter().find(|e| e.class == class).map(|e| e.config.clone())
    };
    assert_eq!(config("x", "AddressInfo").unwrap(), "me 10.0.0.1/24");
    assert_eq!(config("y", "AddressInfo").unwrap(), "me 10.0.0.1/24, you 10.0.0.2, both me you");
    assert_eq!(config("main", "AddressInfo").unwrap(), "nobody 1.2.3.4");
    assert_eq!(config("y", "ScheduleInfo").unwrap(), "u 2");
    assert_eq!(config("main", "ScheduleInfo").unwrap(), "d 1");
    assert_eq!(config("x", "ScheduleInfo"), None);
    assert_eq!(cut.parts.iter().map(|p| p.elements).sum::<usize>(), 8);
    each_part_settles(&cut);
}

#[test]
fn definitions_alone_make_no_main_part() {
    let cut = cut_up("AddressInfo(a 1); Source -> d :: Discard", &[("x", &["Source@2", "d"])]).unwrap();
    assert_eq!(cut.parts.len(), 1);
    assert_eq!(cut.parts[0].elements, 3);
}

#[test]
fn patterns_that_match_nothing_or_twice_are_refused() {
    is_told(
        NAT,
        &[("nat", &["rv"])],
        &[("sub-function \"nat\": no element matches \"rv\"", "did you mean \"rw\"?")],
    );
    is_told(
        NAT,
        &[("nat", &["zzz*"])],
        &[(
            "sub-function \"nat\": no element matches \"zzz*\"",
            "name an element, a compound element, or a pattern with * or ?",
        )],
    );
    is_told(
        NAT,
        &[("a", &["r*"]), ("b", &["rw"])],
        &[("sub-functions \"a\" and \"b\" both name element \"rw\"", "leave \"rw\" to one of them")],
    );
}

#[test]
fn bad_part_names_are_refused() {
    for name in ["", "Nat", "9a", "a_b", "a-", "-a", &"a".repeat(41)] {
        let Err(Diagnostics(found)) = cut_up(NAT, &[(name, &["rw"])]) else { panic!("{name:?}") };
        assert_eq!(found[0].message, format!("\"{name}\" cannot name a sub-function"));
    }
    let Err(Diagnostics(found)) = cut_up(NAT, &[("a", &["rw"]), ("a", &["q"]), ("b", &[])]) else { panic!() };
    let told: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(told, ["two sub-functions are named \"a\"", "sub-function \"b\" names no elements"]);
}

#[test]
fn names_of_link_elements_are_reserved() {
    is_told(
        "anf_in_3 :: Source -> Discard",
        &[],
        &[(
            "element name ‘anf_in_3’ is reserved for links",
            "choose a name that does not begin with \"anf_in_\"",
        )],
    );
}

#[test]
fn a_part_may_have_no_inputs_or_no_outputs_or_neither() {
    let text = "a :: Source -> b :: Null -> c :: Discard; d :: Source -> e :: Discard; Script(wait 1)";
    let cut = cut_up(text, &[("first", &["a"]), ("last", &["c"]), ("alone", &["d", "e"])]).unwrap();
    assert_eq!(edges(&cut), ["0 first:a[0] -> main:[0]b push none", "1 main:b[0] -> last:[0]c push none"]);
    assert_eq!(lines(&cut.part("alone").unwrap().graph), ["d :: Source", "e :: Discard", "d[0] -> [0]e"]);
    each_part_settles(&cut);
}

#[test]
fn a_compound_that_only_passes_packets_on_is_no_place_to_cut_and_no_obstacle() {
    let text = "elementclass P { input -> output } s :: Source -> P -> P -> d :: Discard";
    let cut = cut_up(text, &[("x", &["d"])]).unwrap();
    assert_eq!(edges(&cut), ["0 main:s[0] -> x:[0]d push none"]);
}

#[test]
fn without_sub_functions_all_is_main() {
    let cut = cut_up(NAT, &[]).unwrap();
    assert_eq!((cut.parts.len(), cut.parts[0].name.as_str(), cut.edges.len()), (1, "main", 0));
    assert_eq!(cut_up("", &[]).unwrap().parts.len(), 1);
    let cut = cut_up(NAT, &[("main", &["rw"]), ("x", &["q"])]).unwrap();
    assert_eq!(cut.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["main", "x"]);
}

#[test]
fn the_hash_follows_parts_and_edges_and_nothing_else() {
    let hash = |text: &str, specs: &[(&str, &[&str])]| cut_up(text, specs).unwrap().hash();
    let nat = hash(NAT, &[("nat", &["rw"])]);
    assert_eq!(nat, hash(&NAT.replace('\n', "\n\n // comment\n"), &[("nat", &["rw", "icmp"])]));
    assert_ne!(nat, hash(NAT, &[("nat", &["rw", "q"])]));
    assert_ne!(nat, hash(NAT, &[("tan", &["rw"])]));
    assert_ne!(nat, hash(&NAT.replace("Strip(14)", "Strip(18)"), &[("nat", &["rw"])]));
    assert_eq!(nat.len(), 32);
    assert_eq!(parts(&[("a", &["b"])])[0].elements, ["b"]);
}
