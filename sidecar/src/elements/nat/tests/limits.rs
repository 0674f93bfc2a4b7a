//! How many flows there may be, who makes room for whom, and handlers that change a rewriter at work.

use std::time::Duration;

use super::{INSIDE, OUTSIDE, PUBLIC, copy_state, ping, read, sent, tcp, udp};
use crate::testing::Bench;

fn bench(arguments: &str) -> Bench {
    Bench::new(&format!(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 5000-5999# - - 0 0, {arguments}) -> out :: TestOut;"
    ))
}

fn flow(host: u8) -> Vec<u8> {
    udp(([10, 0, 0, host], 4000), (OUTSIDE, 53), b"")
}

fn wait(bench: &mut Bench, seconds: u64) {
    bench.now += Duration::from_secs(seconds);
}

/// The internal hosts with flows, in order.
fn hosts(bench: &mut Bench) -> Vec<String> {
    let table = read(bench, "table");
    let hosts = table.lines().filter_map(|line| line.strip_prefix("(10.0.0.")?.split_once(','));
    hosts.map(|(host, _)| host.to_owned()).collect()
}

#[test]
fn a_full_table_lets_go_of_the_flow_that_is_next_to_go_and_keeps_those_guaranteed() {
    let mut bench = bench("MAPPING_CAPACITY 2");
    bench.push("in", &flow(1));
    wait(&mut bench, 1);
    bench.push("in", &flow(2));
    // Both had a packet in the last five seconds.
    bench.push("in", &flow(3));
    assert_eq!(bench.drops("rw", "mapping capacity reached"), 1);
    wait(&mut bench, 4);
    bench.push("in", &flow(3));
    assert_eq!(hosts(&mut bench), ["2", "3"]);
    // A packet moves the guarantee on.
    wait(&mut bench, 5);
    bench.push("in", &flow(2));
    bench.push("in", &flow(4));
    assert_eq!(hosts(&mut bench), ["2", "4"]);
    assert_eq!(bench.read("rw", "mapping_failures"), "1");
}

#[test]
fn ended_connections_make_room_before_others() {
    let mut bench = bench("MAPPING_CAPACITY 3, TCP_GUARANTEE 0");
    let segment = |host: u8, flags: &str| tcp(([10, 0, 0, host], 4000), (OUTSIDE, 80), flags, b"");
    (1..=3).for_each(|host| bench.push("in", &segment(host, "S")));
    // The table is full and its order known when one of them ends.
    bench.push("in", &segment(4, "S"));
    let mut rest = hosts(&mut bench);
    bench.push("in", &segment(3, "R"));
    bench.push("in", &segment(5, "S"));
    rest.retain(|host| host != "3");
    rest.push("5".to_owned());
    assert_eq!(hosts(&mut bench), rest);
}

#[test]
fn without_a_guarantee_a_flow_that_would_go_first_does_not_come_in() {
    let mut bench = bench("MAPPING_CAPACITY 1, TCP_GUARANTEE 0, UDP_GUARANTEE 0, TCP_NODATA_TIMEOUT 400");
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    bench.push("in", &flow(1));
    assert_eq!(bench.drops("rw", "mapping capacity reached"), 1);
    wait(&mut bench, 200);
    bench.push("in", &flow(1));
    assert_eq!(hosts(&mut bench), ["1"]);
}

#[test]
fn endless_new_flows_at_the_limit_keep_to_it() {
    let mut bench = bench("MAPPING_CAPACITY 10, UDP_GUARANTEE 0");
    for port in 0..2000 {
        bench.push("in", &udp((INSIDE, port), (OUTSIDE, 53), b""));
        bench.now.0 += 1000;
    }
    assert_eq!(
        (read(&mut bench, "size").as_str(), bench.read("rw", "mapping_failures").as_str()),
        ("10", "0")
    );
    assert!(bench.read("rw", "table").contains("(10.0.0.5, 1999, "));
}

#[test]
fn who_makes_room_is_the_same_after_a_move() {
    let mut before = bench("MAPPING_CAPACITY 8, UDP_GUARANTEE 1");
    for host in [5, 3, 8, 1, 7, 2, 6, 4] {
        before.push("in", &flow(host));
        wait(&mut before, 1);
    }
    let mut after = bench("MAPPING_CAPACITY 8, UDP_GUARANTEE 1");
    copy_state(&mut before, &mut after, "rw");
    after.now = before.now;
    for host in 20..24 {
        before.push("in", &flow(host));
        after.push("in", &flow(host));
        assert_eq!(hosts(&mut after), hosts(&mut before));
    }
    // The four that had waited longest: 5, 3, 8 and 1.
    assert_eq!(hosts(&mut after), ["2", "4", "6", "7", "20", "21", "22", "23"]);
}

const SHARED: &str = "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(keep 0 0, MAPPING_CAPACITY 2, UDP_GUARANTEE 0) -> out :: TestOut;
    pin :: TestIn -> MarkIPHeader -> [0]ping :: ICMPPingRewriter(keep 0 0, MAPPING_CAPACITY rw, GUARANTEE 0) -> pout :: TestOut;
    ain :: TestIn -> MarkIPHeader -> [0]addr :: IPAddrRewriter(keep 0 0, CAPACITY ping) -> aout :: TestOut;";

#[test]
fn rewriters_share_a_capacity_and_make_room_for_each_other() {
    let mut bench = Bench::new(SHARED);
    bench.push("in", &flow(1));
    wait(&mut bench, 1);
    bench.push("pin", &ping(INSIDE, OUTSIDE, 1, false));
    assert_eq!((bench.read("rw", "size").as_str(), bench.read("rw", "nmappings").as_str()), ("2", "1"));
    wait(&mut bench, 1);
    bench.push("pin", &ping(INSIDE, OUTSIDE, 2, false));
    assert_eq!(["rw", "ping", "addr"].map(|rewriter| bench.read(rewriter, "nmappings")), ["0", "2", "0"]);
    bench.push("ain", &flow(1));
    assert_eq!(["rw", "ping", "addr"].map(|rewriter| bench.read(rewriter, "nmappings")), ["0", "1", "1"]);
    bench.router.write_handler("addr", "capacity", "1").unwrap();
    assert_eq!(["rw", "ping", "addr"].map(|rewriter| bench.read(rewriter, "capacity")), ["1", "1", "1"]);
    assert_eq!(bench.read("rw", "size"), "1");
}

#[test]
fn a_capacity_is_a_number_or_a_rewriter() {
    let refused =
        |text: &str| Bench::error(&format!("TestIn -> rw :: IPRewriter(drop, {text}) -> d :: Discard;"));
    assert!(refused("MAPPING_CAPACITY d").contains("bad MAPPING_CAPACITY"));
    assert!(refused("MAPPING_CAPACITY nobody").contains("bad MAPPING_CAPACITY"));
    assert!(refused("MAPPING_CAPACITY 99999999999").contains("out of range"));
    let ties = |config: &str| (super::super::ip_rewriter::IP_REWRITER.ties)(config);
    assert_eq!(ties("mapper, drop, keep 0 1, MAPPING_CAPACITY other, DST_ANNO true"), ["mapper", "other"]);
    assert!(ties("pattern a 0 0, MAPPING_CAPACITY 5, TCP_TIMEOUT 9").is_empty());
}

#[test]
fn handlers_clear_the_table_and_lower_the_capacity() {
    let mut bench = bench("UDP_GUARANTEE 100");
    (1..=5).for_each(|host| {
        bench.push("in", &flow(host));
        wait(&mut bench, 1);
    });
    bench.router.write_handler("rw", "capacity", "2").unwrap();
    assert_eq!((hosts(&mut bench), bench.read("rw", "capacity")), (vec!["4".into(), "5".into()], "2".into()));
    bench.router.write_handler("rw", "clear", "").unwrap();
    assert_eq!((read(&mut bench, "size").as_str(), bench.read("rw", "table").as_str()), ("0", ""));
    bench.take("out");
    assert_eq!(sent(&mut bench, &flow(1)).0.0, PUBLIC);
    assert!(bench.router.write_handler("rw", "capacity", "many").is_err());
}

#[test]
fn an_input_gets_another_specification_which_moves_too() {
    let text = "IPRewriterPatterns(other 203.0.113.9 6000-6999# - -);
        in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 5000-5999# - - 0 0, drop) -> out :: TestOut;
        back :: TestIn -> MarkIPHeader -> [1]rw;";
    let mut before = Bench::new(text);
    before.push("in", &flow(1));
    assert_eq!(before.read("rw", "pattern0"), "203.0.113.1 5000-5999 - - [1]\n");
    before.router.write_handler("rw", "pattern0", "pattern other 0 0").unwrap();
    assert_eq!(before.read("rw", "patterns"), "203.0.113.9 6000-6999 - -\n<drop>\n");
    before.take("out");
    assert_eq!(sent(&mut before, &flow(1)).0, ([203, 0, 113, 9], 6000));
    let mut after = Bench::new(text);
    copy_state(&mut before, &mut after, "rw");
    assert_eq!(sent(&mut after, &flow(2)).0, ([203, 0, 113, 9], 6001));
    for (handler, value, message) in [
        ("pattern0", "pattern nowhere 0 0", "input spec 0: no such pattern 'nowhere'"),
        ("pattern1", "keep 0 9", "input spec 1: output port out of range"),
        ("pattern9", "drop", "no handler named 'rw.pattern9'"),
    ] {
        assert_eq!(after.router.write_handler("rw", handler, value).unwrap_err().to_string(), message);
    }
}
