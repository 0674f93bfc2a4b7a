//! An OLT and its ONUs, in virtual time: the networks that `examples/click/make-olt` prints.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

mod moved;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anf_click::{Cut, PartSpec};
use anf_sidecar::driver::example::{Example, START};
use anf_sidecar::element::Batch;
use anf_sidecar::engine::{Env, Router, Time};
use anf_sidecar::registry::Registry;

/// The services of the bandwidth allocation.
const SERVICES: [&str; 5] = ["fixed", "limited", "gated", "credit", "class"];

fn make_olt(words: &[&str]) -> String {
    let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/click/make-olt"));
    let output = Command::new("python3").arg(script).args(words).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

fn examples(file: &str) -> String {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/{}"), file);
    std::fs::read_to_string(path).expect("an example")
}

/// A configuration without its head.
fn behind_head(text: &str) -> &str {
    text.split_once("\n\n").expect("a head and a text").1
}

#[test]
fn the_examples_are_what_make_olt_prints() {
    let olt = make_olt(&["4"]);
    assert_eq!(behind_head(&examples("click/olt.click")), behind_head(&olt));
    let network = make_olt(&["4", "--network", "--load", "300Mbps", "--time", "50ms"]);
    assert_eq!(behind_head(&examples("click/epon.click")), behind_head(&network));
    let manifest = examples("olt.yaml");
    let (_, click) = manifest.split_once("  click: |\n").expect("a text");
    let lines: Vec<&str> = click.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    assert_eq!(lines.join("\n") + "\n", behind_head(&olt).trim_end().to_owned() + "\n");
}

#[test]
fn what_makes_no_olt_is_refused() {
    for words in [&["0"][..], &["251"], &["4", "--cycle", "2"], &["4", "--load", "9) -> Discard; x :: Idle("]]
    {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/click/make-olt");
        let output = Command::new("python3").arg(script).args(words).output().expect("python3 runs");
        assert!(!output.status.success(), "{words:?}");
    }
}

/// A network under way.
struct Network(Example);

impl Network {
    fn new(onus: usize, words: &[&str]) -> Self {
        let onus_word = onus.to_string();
        let fixed = [onus_word.as_str(), "--network", "--time", "100s"];
        Self::of(&make_olt(&[&fixed[..], words].concat()))
    }

    fn of(text: &str) -> Self {
        Self(Example::new(text).unwrap_or_else(|found| panic!("{found}")))
    }

    fn run(&mut self, milliseconds: u64) {
        let end = self.0.now + Duration::from_millis(milliseconds);
        while self.0.now < end {
            assert!(self.0.step(), "the network stopped");
        }
    }

    fn read(&mut self, element: &str, handler: &str) -> String {
        self.0.router.read_handler(element, handler).expect("a handler")
    }

    fn number(&mut self, element: &str, handler: &str) -> u64 {
        let text = self.read(element, handler);
        text.trim().parse().unwrap_or_else(|_| panic!("{element}.{handler} is {text}"))
    }

    fn write(&mut self, element: &str, handler: &str, value: &str) {
        self.0.router.write_handler(element, handler, value).expect("a handler");
    }

    /// A handler of the ONU of each subscriber.
    fn onus(&mut self, count: usize, handler: &str) -> Vec<u64> {
        (1..=count).map(|n| self.number(&format!("sub{n}/onu"), handler)).collect()
    }

    /// Mean and longest wait of a class at an ONU, in microseconds.
    fn waits(&mut self, onu: &str, class: usize) -> (u64, u64) {
        let text = self.read(onu, "delays");
        let line = text.lines().nth(class).expect("a class");
        let times: Vec<u64> =
            line.split(' ').filter_map(|word| word.strip_suffix("us")?.parse().ok()).collect();
        (times[0], times[1])
    }

    /// What must hold of every network at any time.
    fn assert_sound(&mut self, onus: usize) {
        assert_eq!(
            self.number("disc", "registered"),
            onus as u64,
            "registered: {}",
            self.read("disc", "onus")
        );
        for (element, handler) in [("up_rx", "collisions"), ("dba", "missed"), ("disc", "lost")] {
            assert_eq!(self.number(element, handler), 0, "{element}.{handler}");
        }
        assert_eq!(self.onus(onus, "missed"), vec![0; onus], "missed grants");
        assert_eq!(self.onus(onus, "registrations"), vec![1; onus], "registrations");
    }
}

#[test]
fn sixty_four_onus_register_through_contention_and_no_burst_meets_another() {
    let mut network = Network::new(64, &["--pings", "10", "--poll", "2ms"]);
    network.run(200);
    network.assert_sound(64);
    assert!(network.number("up_rx", "contentions") > 0, "nobody contended");
    assert!(network.onus(64, "requests").iter().any(|requests| *requests > 1), "nobody asked again");
    // The round trip tells the distance: subscriber N is N / 64 of 20 km away, in link N.
    for (n, line) in (1..).zip(network.read("disc", "onus").lines()) {
        let words: Vec<&str> = line.split(' ').collect();
        let kilometres: f64 = words[3].parse().expect("kilometres");
        assert_eq!(words[0], n.to_string());
        assert!((kilometres - 20.0 * f64::from(n) / 64.0).abs() < 0.02, "{line}");
    }
}

#[test]
fn every_service_shares_an_overloaded_way_up_fairly_and_within_its_cycle() {
    for service in SERVICES {
        let mut network = Network::new(8, &["--service", service, "--load", "200Mbps"]);
        network.run(80);
        network.assert_sound(8);
        let before = (network.onus(8, "count"), network.number("up_rx", "busy"));
        network.write("dba", "reset_cycle", "");
        network.run(40);
        network.assert_sound(8);
        let sent: Vec<u64> =
            network.onus(8, "count").iter().zip(&before.0).map(|(after, before)| after - before).collect();
        let (least, most) = (sent.iter().min().expect("eight"), sent.iter().max().expect("eight"));
        // `gated` grants a whole millisecond at once: one ONU may have had a grant more than another.
        let apart = if service == "gated" { 90 } else { most / 10 };
        assert!(most - least <= apart, "{service} is not fair: {sent:?}");
        // Of 40 ms, bursts shine for at least three quarters.
        let busy = network.number("up_rx", "busy") - before.1;
        assert!(busy > 30_000_000, "{service} uses {busy} ns of 40 ms");
        // One cycle, and a discovery window that falls into it.
        let cycle = network.number("dba", "cycle");
        let limit = if service == "gated" { 8 * 1100 } else { 2000 } + 300;
        assert!(cycle <= limit, "{service}: {cycle} us from one grant to the next");
    }
}

#[test]
fn grants_pass_the_frames_that_wait_on_the_way_down() {
    let mut network = Network::new(4, &["--down", "300Mbps", "--load", "200Mbps"]);
    network.run(40);
    let busy = network.number("down_tx", "busy");
    network.run(20);
    network.assert_sound(4);
    assert!(network.number("down_tx", "busy") - busy > 19_000_000, "the way down is not full");
    assert!(network.number("down_data", "drops") > 0, "nothing was too much");
    for n in 1..=4 {
        // A quarter of what 60 ms at 1 Gb/s hold, without the time until it is registered.
        let got = network.number(&format!("sub{n}/got"), "count");
        assert!((600..=1250).contains(&got), "subscriber {n} got {got} frames");
    }
}

/// That there are no collisions says something: lasers that shine for longer than the allocation knows do collide.
#[test]
fn grants_that_leave_too_little_dark_are_found_out() {
    let text = make_olt(&["4", "--network", "--time", "100s", "--load", "300Mbps"]);
    let mut network = Network::of(&text.replace("EPONReceiver", "EPONReceiver(LASER_OFF 3us)"));
    network.run(40);
    assert!(network.number("up_rx", "collisions") > 0, "nobody collides");
}

#[test]
fn urgent_frames_do_not_wait_for_others() {
    for service in ["limited", "class"] {
        let words = ["--service", service, "--load", "200Mbps", "--pings", "1000"];
        let mut network = Network::new(8, &words);
        network.run(80);
        (1..=8).for_each(|n| network.write(&format!("sub{n}/onu"), "reset_delays", ""));
        network.run(40);
        network.assert_sound(8);
        for n in 1..=8 {
            let onu = format!("sub{n}/onu");
            let (urgent, other) = (network.waits(&onu, 0), network.waits(&onu, 1));
            // A frame comes after a report, which is granted in the next cycle and used in the one after.
            assert!(urgent.1 <= 3 * 2300, "{service}: an urgent frame waited {} us", urgent.1);
            assert!(other.0 > 5 * urgent.0, "{service}: {urgent:?} and {other:?} us");
        }
    }
}

#[test]
fn without_load_frames_wait_for_the_poll_only() {
    let mut network = Network::new(4, &["--pings", "500"]);
    network.run(50);
    (1..=4).for_each(|n| network.write(&format!("sub{n}/onu"), "reset_delays", ""));
    network.run(50);
    for n in 1..=4 {
        // Up to a poll until the next report, as long until the grant, and the way there and back in each.
        let (_, longest) = network.waits(&format!("sub{n}/onu"), 0);
        assert!(longest <= 2 * 500 + 2 * 300 + 300, "{longest} us");
    }
}

#[test]
fn hosts_reach_the_server_through_the_bridge_each_in_its_vlan() {
    let mut network = Network::new(4, &["--pings", "100"]);
    network.run(300);
    network.assert_sound(4);
    for n in 1..=4 {
        let pongs = network.number(&format!("sub{n}/pongs"), "count");
        // In 300 ms, without the time until it is registered.
        assert!((20..=30).contains(&pongs), "subscriber {n} got {pongs} answers");
        let vlan = network.read(&format!("bridge_tag{n}"), "vlan_id");
        assert_eq!(vlan.trim(), (100 + n).to_string());
    }
    let table = network.read("bridge_switch", "table");
    for n in 1..=4 {
        let line = format!("02-00-00-00-02-{n:02X} {n}");
        assert!(table.contains(&line), "{line} is not in\n{table}");
    }
}

#[test]
fn an_onu_that_was_sent_away_comes_back_under_load() {
    let mut network = Network::new(4, &["--load", "300Mbps"]);
    network.run(80);
    network.write("disc", "deregister", "2");
    network.run(1);
    assert_eq!(
        (network.number("disc", "registered"), network.read("sub2/onu", "state").as_str()),
        (3, "silent")
    );
    network.run(80);
    assert_eq!(network.number("disc", "registered"), 4);
    assert_eq!(network.onus(4, "registrations"), [1, 2, 1, 1]);
    assert_eq!((network.number("up_rx", "collisions"), network.onus(4, "missed")), (0, vec![0; 4]));
}

#[test]
fn a_service_can_be_changed_while_all_send() {
    let mut network = Network::new(4, &["--load", "300Mbps"]);
    network.run(60);
    for service in SERVICES {
        network.write("dba", "service", service);
        network.run(20);
        network.assert_sound(4);
    }
}

/// The parts of the OLT, as examples/olt.yaml has them; all else is the part `main`.
const PARTS: [(&str, &str); 5] = [
    ("upstream", "up_*"),
    ("discovery", "disc"),
    ("allocation", "dba"),
    ("downstream", "down_*"),
    ("bridge", "bridge_*"),
];

/// A network whose parts run apart, joined by the packets of their cut edges.
struct Apart {
    cut: Cut,
    /// In the order of the cut.
    routers: Vec<Router>,
    now: Time,
}

impl Apart {
    fn new(text: &str) -> Self {
        let registry = Registry::standard();
        let flat =
            anf_click::flatten(&anf_click::parse("epon", text).expect("a text"), &[]).expect("a graph");
        let settled = anf_click::settle(flat, &registry).expect("a settled graph");
        let parts =
            PARTS.map(|(name, elements)| PartSpec { name: name.into(), elements: vec![elements.into()] });
        let cut = anf_click::cut(&settled, &parts, &registry).expect("a cut");
        let routers = cut.parts.iter().map(|part| Self::build(&part.graph.to_string(), START)).collect();
        Self { cut, routers, now: START }
    }

    fn build(text: &str, now: Time) -> Router {
        let registry = Registry::standard();
        let flat =
            anf_click::flatten(&anf_click::parse("part", text).expect("a text"), &[]).expect("a graph");
        let settled = anf_click::settle(flat, &registry).expect("a settled graph");
        Router::build(&settled, &registry, &mut Env { simulated: true, now, ..Env::default() })
            .expect("a router")
    }

    fn part(&self, name: &str) -> usize {
        self.cut.parts.iter().position(|part| part.name == name).expect("a part")
    }

    /// Carries what the parts sent each other. Returns whether there was anything.
    fn carry(&mut self) -> bool {
        let mut any = false;
        while let Some(from) = self.routers.iter().position(|router| !router.link_output_is_empty()) {
            any = true;
            let sent: Vec<_> = self.routers[from].take_link_output().collect();
            for (edge, packet) in sent {
                let to = self.part(&self.cut.edges[usize::from(edge)].to_part);
                let mut batch: Batch = [packet].into_iter().collect();
                self.routers[to].inject(edge, &mut batch, self.now);
            }
        }
        any
    }

    fn run(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while self.now < end {
            let now = self.now;
            let passes: Vec<_> = self.routers.iter_mut().map(|router| router.run(now)).collect();
            let next = passes.iter().filter_map(|pass| pass.next_time(now)).min();
            self.now = if self.carry() { Time(now.0 + 1) } else { next.expect("something to come") };
        }
    }

    /// Moves a part: a fresh router goes on with its state.
    fn move_part(&mut self, name: &str) {
        let part = self.part(name);
        let mut fresh = Self::build(&self.cut.parts[part].graph.to_string(), self.now);
        moved::restore(&mut fresh, &moved::save(&mut self.routers[part]));
        self.routers[part] = fresh;
    }

    fn number(&mut self, part: &str, element: &str, handler: &str) -> u64 {
        let part = self.part(part);
        let text = self.routers[part].read_handler(element, handler).expect("a handler");
        text.trim().parse().expect("a number")
    }
}

#[test]
fn the_parts_of_the_olt_move_one_by_one_and_no_grant_is_missed() {
    let words = ["4", "--network", "--no-report", "--time", "100s", "--load", "200Mbps", "--pings", "200"];
    let mut network = Apart::new(&make_olt(&words));
    network.run(30);
    assert_eq!(network.number("discovery", "disc", "registered"), 4);
    for (part, _) in PARTS.iter().chain(&[("main", "")]) {
        network.move_part(part);
        network.run(7);
    }
    // What is still on its way arrives.
    let main = network.part("main");
    for n in 1..=4 {
        network.routers[main].write_handler(&format!("sub{n}/load"), "active", "false").expect("a handler");
    }
    network.run(20);
    let counts = [
        ("discovery", "disc", "registered", 4),
        ("discovery", "disc", "lost", 0),
        ("upstream", "up_rx", "collisions", 0),
        ("allocation", "dba", "missed", 0),
    ];
    for (part, element, handler, wanted) in counts {
        assert_eq!(network.number(part, element, handler), wanted, "{element}.{handler}");
    }
    let mut sent = 0;
    for n in 1..=4 {
        let onu = format!("sub{n}/onu");
        assert_eq!(network.number("main", &onu, "missed"), 0, "{onu}");
        assert_eq!(network.number("main", &onu, "registrations"), 1, "{onu}");
        sent += network.number("main", &format!("sub{n}/load"), "count");
    }
    let received = network.number("main", "server_load", "count");
    assert!(sent > 4000, "{sent} packets");
    assert_eq!(received, sent, "packets were lost");
}

/// Control frames of a network with one ONU, in both directions, as a capture of EPON (link type 259).
fn capture() -> Vec<u8> {
    let text = make_olt(&["1", "--network", "--time", "100s", "--pings", "0"]);
    let tapped = text
        .replace("up_kind[0] -> up_control", "up_kind[0] -> up_tap :: Tee(2) -> up_control")
        .replace("EPONTransmitter\n", "EPONTransmitter -> down_tap :: Tee(2)\n");
    let dump = "up_tap[1] -> tap :: Null -> Strip(1) -> ToDump(-, SNAPLEN 0); down_tap[1] -> tap;";
    let mut network = Network::of(&format!("{tapped}\n{dump}\n"));
    network.run(15);
    let console = network.0.console();
    drop(network);
    let mut file = console.take();
    file[20..24].copy_from_slice(&259_u32.to_le_bytes());
    file
}

/// What tshark says of each frame of the capture. `None` if there is no tshark (Debian's package of that name).
fn read_by_tshark(fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let path = std::env::temp_dir().join(format!("anf-epon-{}.pcap", std::process::id()));
    std::fs::write(&path, capture()).expect("a temporary file");
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=,"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().ok();
    let _ = std::fs::remove_file(&path);
    let output = output?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("a text");
    Some(text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

#[test]
fn tshark_reads_the_frames() {
    let fields = [
        "macc.opcode",
        "epon.mode",
        "epon.llid",
        "epon.checksum.status",
        "macc.reg.flags",
        "macc.regreq.grants",
        "macc.reg.assignedport",
        "macc.reg.synctime",
        "macc.reg.grants",
        "macc.regack.assignedport",
        "macc.regack.synctime",
        "_ws.malformed",
    ];
    let Some(frames) = read_by_tshark(&fields) else { return };
    let said = |opcode: &str| {
        let found = frames.iter().find(|frame| frame[0] == opcode);
        found.unwrap_or_else(|| panic!("no {opcode} in {frames:?}"))[1..].join(",")
    };
    // The discovery window, the request, the answer, the confirmation, a report: link and check octet are right.
    assert_eq!(said("0x0002"), "1,32767,1,,,,,,,,");
    assert_eq!(said("0x0004"), "0,32767,1,0x01,8,,,,,,");
    assert_eq!(said("0x0005"), "1,32767,1,0x03,,1,50,8,,,");
    assert_eq!(said("0x0006"), "0,1,1,0x01,,,,,1,50,");
    assert_eq!(said("0x0003"), "0,1,1,,,,,,,,");
}
