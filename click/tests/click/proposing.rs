//! Proposals where to cut.

use anf_click::{Counts, Diagnostics, Proposal, flatten, parse, propose, propose_cut, settle};

use crate::support::Classes;

fn settled(text: &str) -> anf_click::SettledGraph {
    settle(flatten(&parse("t", text).unwrap(), &[]).unwrap(), &Classes).unwrap()
}

fn proposed(text: &str, count: usize, counts: &[(&str, f64)]) -> Result<Proposal, Diagnostics> {
    let counts: Counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let (proposal, cut) = propose_cut(&settled(text), &Classes, count, &counts)?;
    assert_eq!(cut.parts.len(), count);
    assert_eq!(cut.edges.len(), proposal.crossings.len());
    Ok(proposal)
}

fn parts(proposal: &Proposal) -> Vec<String> {
    proposal.parts.iter().map(|part| part.spec.elements.join(" ")).collect()
}

const CHAIN: &str = "s :: Source -> a :: Null -> b :: Null -> c :: Null -> d :: Null -> e :: Discard";

#[test]
fn a_chain_is_cut_in_its_middle_and_parts_are_numbered_along_the_way() {
    let proposal = proposed(CHAIN, 2, &[]).unwrap();
    assert_eq!(parts(&proposal), ["s a b", "c d e"]);
    assert_eq!(proposal.crossings[0].connection, "b[0] -> [0]c");
    assert_eq!(proposal.parts[1].spec.name, "part2");
}

#[test]
fn a_cut_goes_where_fewer_packets_pass() {
    let text = "s :: Source -> r :: RadixIPLookup; r[0] -> a :: Null -> b :: Null -> d :: Discard; r[1] -> c :: Null -> e :: Discard";
    let few = |rare: &str| {
        let counts = [
            ("s", 1000.0),
            ("a", if rare == "a" { 1.0 } else { 999.0 }),
            ("c", if rare == "c" { 1.0 } else { 999.0 }),
        ];
        proposed(text, 2, &counts).unwrap().crossings
    };
    for rare in ["a", "c"] {
        assert!(few(rare).iter().all(|crossing| crossing.packets < 0.01), "{:?}", few(rare));
    }
}

#[test]
fn what_is_tied_and_what_a_scheduler_chooses_from_stay_together() {
    let text = "s :: Source -> rw :: IPRewriter(pattern - - - - 0 0, drop) -> d :: Discard;
                i :: Source -> icmp :: ICMPRewriter(rw) -> Discard;
                a :: Source -> q :: Queue -> n :: Null -> sched :: RoundRobinSched -> Unqueue -> Discard;
                b :: Source -> p :: Queue -> [1]sched";
    for count in 2..=6 {
        let proposal = proposed(text, count, &[]).unwrap();
        assert!(proposal.together.contains(&vec!["rw".to_owned(), "icmp".to_owned()]));
        assert!(proposal.together.contains(&vec!["n".to_owned(), "sched".to_owned()]));
    }
}

#[test]
fn a_pull_edge_is_cut_directly_behind_its_queue_if_at_all() {
    let text = "s :: Source -> q :: Queue -> a :: Null -> b :: Null -> u :: Unqueue -> d :: Discard";
    let proposal = proposed(text, 2, &[]).unwrap();
    for crossing in &proposal.crossings {
        assert!(
            crossing.mode == anf_click::Mode::Push || crossing.connection.starts_with("q["),
            "{proposal}"
        );
    }
}

#[test]
fn a_compound_that_one_part_holds_whole_is_named_as_one() {
    let text = "elementclass C { input -> Null -> Null -> output } s :: Source -> c :: C -> IPRewriter(drop) -> d :: Discard";
    let proposal = proposed(text, 2, &[]).unwrap();
    assert_eq!(parts(&proposal)[0], "s c");
}

#[test]
fn every_count_that_is_possible_gives_so_many_parts() {
    for count in 1..=6 {
        assert_eq!(proposed(CHAIN, count, &[]).unwrap().parts.len(), count);
    }
    for count in [0, 7] {
        let found = propose(&settled(CHAIN), &Classes, count, &Counts::new()).unwrap_err();
        assert_eq!(found.0[0].message, format!("cannot cut into {count} parts: 1 to 6 are possible"));
    }
}

#[test]
fn counts_of_elements_that_are_not_there_are_refused() {
    let found = proposed(CHAIN, 2, &[("x", 1.0)]).unwrap_err();
    assert_eq!(found.0[0].message, "the counts name \"x\", which is no element of the graph");
}

#[test]
fn a_loop_that_multiplies_packets_has_a_finite_estimate() {
    let text = "Source -> a :: Null -> t :: Tee; t[1] -> a; t[0] -> d :: Discard";
    let proposal = proposed(text, 2, &[]).unwrap();
    assert!(proposal.whole.is_finite() && proposal.whole < 1e6, "{proposal}");
}

#[test]
fn a_proposal_explains_itself() {
    assert_eq!(
        proposed(CHAIN, 2, &[("s", 50.0)]).unwrap().to_string(),
        "\
estimated costs, in ns for each packet that enters the graph (whole: 24)
  part1: 52 = 12 for 3 elements + 40 for links
  part2: 52 = 12 for 3 elements + 40 for links
with a core for each part 0.5 times the rate of the whole
crossed by, of 100 packets:
  100 b[0] -> [0]c (push)
"
    );
}
