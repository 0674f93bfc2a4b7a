use super::*;
use crate::elements::epon::line::{TO_ADDRESS, clock};
use crate::elements::epon::mpcp::QUEUES;
use crate::testing::Bench;

const OLT: EtherAddr = EtherAddr([2, 0, 0, 0, 0, 1]);
const ONU: EtherAddr = EtherAddr([2, 0, 0, 0, 1, 1]);
/// What a burst takes beside its data: 512 + 800 + 512 ns, and a REPORT.
const BESIDE: u16 = 114 + 42;
const RTT: u32 = 6250;

fn bench(config: &str) -> Bench {
    Bench::new(&format!(
        "up :: TestIn -> [0]d :: EPONDBA({OLT}{config}) -> out :: TestOut; discovery :: TestIn -> [1]d;"
    ))
}

fn control(source: EtherAddr, timestamp: u32, message: Message) -> Control {
    Control { destination: GROUP_ADDRESS, source, timestamp, message }
}

/// A frame from below that comes now.
fn say(bench: &mut Bench, id: u16, round_trip: u32, message: Message) {
    let timestamp = clock(bench.now + TO_ADDRESS).wrapping_sub(round_trip);
    let mut packet = control(ONU, timestamp, message).packet(Llid::unicast(id));
    packet.anno_mut().timestamp = bench.now;
    bench.push_packets("up", 0, [packet]);
}

fn discovery_says(bench: &mut Bench, llid: Llid, message: Message) {
    bench.push_packets("discovery", 0, [control(OLT, 0, message).packet(llid)]);
}

fn join(bench: &mut Bench, id: u16) {
    let register = Register { port: id, verdict: Verdict::Ack, sync: 50, pending: 4 };
    discovery_says(bench, Llid::BROADCAST, Message::Register(register));
    say(bench, id, RTT, Message::RegisterAck(RegisterAck { accepted: true, port: id, sync: 50 }));
}

fn report(bench: &mut Bench, id: u16, classes: &[u16]) {
    let mut queues = [None; QUEUES];
    queues.iter_mut().zip(classes).for_each(|(queue, asked)| *queue = Some(*asked));
    say(bench, id, RTT, Message::Report(Report { queues }));
}

/// Links, starts and lengths of what was granted.
fn granted(bench: &mut Bench) -> Vec<(u16, u32, u16)> {
    let mut found = Vec::new();
    for packet in bench.take_packets("out") {
        let (llid, frame) = Llid::split(packet.data()).unwrap();
        if let Message::Gate(gate) = Control::parse(frame).unwrap().message {
            found.extend(gate.grants().iter().map(|grant| (llid.id, grant.start, grant.length)));
        }
    }
    found
}

/// The data that one ONU is granted after it asked for `asked` quanta.
fn answer(config: &str, asked: u16) -> u16 {
    let mut bench = bench(config);
    join(&mut bench, 1);
    granted(&mut bench);
    bench.advance(Duration::from_millis(1));
    report(&mut bench, 1, &[asked]);
    let granted = granted(&mut bench);
    assert_eq!(granted.len(), 1);
    granted[0].2 - BESIDE
}

#[test]
fn an_onu_that_has_joined_is_polled_at_once_and_granted_what_its_service_gives() {
    let mut bench = bench("");
    let now = bench.now;
    join(&mut bench, 1);
    let [(1, start, BESIDE)] = granted(&mut bench)[..] else { panic!() };
    // By the ONU's clock, which is late by the way down: 50 us from now.
    assert_eq!(start, clock(now + Duration::from_micros(50)));
    // A window of 2 ms is 125000 quanta, more than a grant can say.
    assert_eq!(answer("", 5000), 5000);
    assert_eq!(answer(", CYCLE 200us", 50_000), 12_500 - BESIDE - 63);
    assert_eq!(answer(", SERVICE fixed, CYCLE 200us", 0), 12_500 - BESIDE - 63);
    assert_eq!(answer(", SERVICE gated, CYCLE 200us", 50_000), 50_000);
    assert_eq!(answer(", SERVICE gated", 65_535), 65_535 - BESIDE);
    assert_eq!(answer(", SERVICE credit, CREDIT 3000", 0), 1500);
    assert_eq!(answer(", SERVICE credit, CREDIT 3000, CYCLE 200us", 12_000), 12_500 - BESIDE - 63);
}

#[test]
fn who_confirms_again_gets_nothing_for_it() {
    let mut bench = bench("");
    join(&mut bench, 1);
    for _ in 0..100 {
        say(&mut bench, 1, RTT, Message::RegisterAck(RegisterAck { accepted: true, port: 1, sync: 50 }));
    }
    assert_eq!(granted(&mut bench).len(), 1);
}

#[test]
fn an_onu_is_not_polled_more_often_than_said() {
    let mut bench = bench(", POLL 1ms");
    join(&mut bench, 1);
    granted(&mut bench);
    bench.advance(Duration::from_micros(200));
    report(&mut bench, 1, &[100]);
    bench.advance(Duration::from_micros(799));
    assert!(granted(&mut bench).is_empty());
    bench.advance(Duration::from_micros(1));
    assert_eq!(granted(&mut bench)[0].2, BESIDE + 100);
}

#[test]
fn grants_never_overlap_at_the_olt() {
    let mut bench = bench("");
    (1..=8).for_each(|id| join(&mut bench, id));
    let gate = Gate::window(12_564, 3000, 50);
    discovery_says(&mut bench, Llid::BROADCAST, Message::Gate(gate));
    bench.advance(Duration::from_millis(1));
    (1..=8).for_each(|id| say(&mut bench, id, 100 * u32::from(id), Message::Report(Report::default())));
    let mut light: Vec<(u32, u32)> = Vec::new();
    for (n, (id, start, length)) in granted(&mut bench).into_iter().enumerate() {
        light.push(match (id, n) {
            (Llid::ALL, _) => (start, start + 12_564 + 3000),
            (_, 0..8) => (start + RTT, start + RTT + u32::from(length)),
            (id, _) => (start + 100 * u32::from(id), start + 100 * u32::from(id) + u32::from(length)),
        });
    }
    assert_eq!(light.len(), 17);
    assert!(light.windows(2).all(|pair| pair[0].1 + 62 <= pair[1].0), "{light:?}");
}

#[test]
fn the_discovery_is_fitted_in_and_its_other_frames_pass() {
    let mut bench = bench("");
    let now = bench.now;
    discovery_says(&mut bench, Llid::BROADCAST, Message::Gate(Gate::window(12_564, 3000, 50)));
    let grant = Grant { start: 500, length: 200, report: false };
    discovery_says(&mut bench, Llid::unicast(3), Message::Gate(Gate::to_one(grant)));
    let [(Llid::ALL, window, 3000), (3, confirm, 200)] = granted(&mut bench)[..] else { panic!() };
    assert_eq!(window, clock(now + Duration::from_micros(50)));
    assert!(confirm + 500 >= window + 12_564 + 3000 + 62);
    let register = Register { port: 3, verdict: Verdict::Nack, sync: 50, pending: 4 };
    discovery_says(&mut bench, Llid::BROADCAST, Message::Register(register));
    assert_eq!(bench.take("out").len(), 1);
    discovery_says(&mut bench, Llid::BROADCAST, Message::Gate(Gate::window(12_565, 3000, 50)));
    discovery_says(&mut bench, Llid::BROADCAST, Message::Report(Report::default()));
    bench.push_packets("discovery", 0, [Packet::zeroed(68)]);
    assert!(bench.take("out").is_empty());
    assert_eq!([TOO_FAR, MALFORMED, NO_PREAMBLE].map(|reason| bench.drops("d", reason)), [1; 3]);
}

#[test]
fn an_onu_that_is_deregistered_or_unknown_is_not_polled() {
    let mut bench = bench("");
    join(&mut bench, 1);
    let register = Register { port: 1, verdict: Verdict::Deregister, sync: 0, pending: 0 };
    discovery_says(&mut bench, Llid::unicast(1), Message::Register(register));
    granted(&mut bench);
    report(&mut bench, 1, &[100]);
    report(&mut bench, 9, &[100]);
    let ack = RegisterAck { accepted: true, port: 9, sync: 50 };
    say(&mut bench, 9, RTT, Message::RegisterAck(ack));
    say(&mut bench, 9, 12_565, Message::RegisterAck(ack));
    bench.push_packets("up", 0, [Packet::zeroed(68)]);
    bench.advance(Duration::from_millis(20));
    assert_eq!((granted(&mut bench), bench.read("d", "onus")), (vec![], "".into()));
    assert_eq!([STRANGER, TOO_FAR, NO_PREAMBLE].map(|reason| bench.drops("d", reason)), [3, 1, 1]);
}

#[test]
fn an_onu_whose_report_is_missing_is_asked_again() {
    let mut bench = bench("");
    join(&mut bench, 1);
    granted(&mut bench);
    bench.advance(Duration::from_millis(12));
    assert_eq!((granted(&mut bench).len(), bench.read("d", "missed")), (2, "2".into()));
    report(&mut bench, 1, &[7]);
    assert_eq!(bench.read("d", "onus"), format!("1 {RTT} 0 4 2\n"));
}

#[test]
fn by_class_all_are_granted_once_a_cycle_and_nothing_twice() {
    let mut bench = bench(", SERVICE class, CYCLE 200us");
    (1..=2).for_each(|id| join(&mut bench, id));
    bench.advance(Duration::from_millis(1));
    granted(&mut bench);
    report(&mut bench, 1, &[1000, 60_000]);
    report(&mut bench, 2, &[3000, 2000]);
    bench.advance(Duration::from_micros(200));
    let first = granted(&mut bench);
    let data = |grants: &[(u16, u32, u16)]| grants.iter().map(|grant| grant.2 - BESIDE).collect::<Vec<_>>();
    let time = 12_500 - 2 * (BESIDE + 63);
    assert_eq!(data(&first), [time - 5000, 5000]);
    bench.advance(Duration::from_micros(200));
    let second = data(&granted(&mut bench));
    assert_eq!(second[1], 0, "what was granted is not granted again");
}

#[test]
fn the_service_can_be_changed_and_what_is_wrong_is_refused() {
    let mut bench = bench("");
    join(&mut bench, 1);
    for service in ["class", "fixed", "gated", "credit", "limited"] {
        bench.router.write_handler("d", "service", service).unwrap();
        assert_eq!(bench.read("d", "service"), service);
        granted(&mut bench);
        bench.advance(Duration::from_millis(20));
        assert!(!granted(&mut bench).is_empty(), "{service} grants nothing");
    }
    assert!(bench.router.write_handler("d", "service", "best").is_err());
    for (config, problem) in [
        ("CYCLE 10us", "CYCLE: between 100us and 1s"),
        ("SERVICE best", "expected fixed, limited, gated, credit or class, got 'best'"),
        ("LEAD 1us", "LEAD: between 20us and 1s"),
        ("GUARD 2 s", "GUARD: between 64ns and 1s"),
    ] {
        let error = Bench::error(&format!("Idle -> d :: EPONDBA({OLT}, {config}) -> Discard; Idle -> [1]d;"));
        assert!(error.contains(problem), "{config}: {error}");
    }
}
