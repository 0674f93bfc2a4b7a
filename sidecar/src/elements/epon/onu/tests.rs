use super::*;
use crate::elements::epon::line::{PREAMBLE, clock, quanta};
use crate::elements::epon::mpcp::{Grant, Report};
use crate::testing::Bench;

const OLT: EtherAddr = EtherAddr([2, 0, 0, 0, 0, 1]);
const ONU: EtherAddr = EtherAddr([2, 0, 0, 0, 1, 1]);

/// What laser, lock and laser take in the grants of these tests, in quanta: 512 ns, 50 quanta, 512 ns.
const BESIDE: u16 = 32 + 50 + 32;

fn bench(more: &str) -> Bench {
    Bench::new(&format!(
        "fiber :: TestIn -> o :: EPONONU({ONU}{more}) -> subscriber :: TestOut; o[1] -> up :: TestOut;
         high :: TestIn -> [1]o; low :: TestIn -> [2]o;"
    ))
}

/// A frame of the OLT that comes now. The ONU lies next to it: their clocks are the same.
fn say(bench: &mut Bench, llid: Llid, destination: EtherAddr, message: Message) {
    let timestamp = clock(bench.now + TO_ADDRESS);
    let mut packet = Control { destination, source: OLT, timestamp, message }.packet(llid);
    packet.anno_mut().timestamp = bench.now;
    bench.push_packets("fiber", 0, [packet]);
}

fn in_micros(bench: &Bench, micros: u64) -> u32 {
    clock(bench.now + Duration::from_micros(micros))
}

/// A discovery window of so many quanta in 20 us.
fn window(bench: &mut Bench, length: u16) {
    let gate = Gate::window(in_micros(bench, 20), length, 50);
    say(bench, Llid::BROADCAST, GROUP_ADDRESS, Message::Gate(gate));
}

/// A grant in 20 us with so many quanta for frames.
fn grant(bench: &mut Bench, id: u16, frames: u16, report: bool) {
    let grant = Grant { start: in_micros(bench, 20), length: BESIDE + frames, report };
    say(bench, Llid::unicast(id), GROUP_ADDRESS, Message::Gate(Gate::to_one(grant)));
}

fn answer(bench: &mut Bench, port: u16, verdict: Verdict) {
    let register = Register { port, verdict, sync: 50, pending: 4 };
    say(bench, Llid::BROADCAST, ONU, Message::Register(register));
}

/// What was sent: links, control frames (or else how long), and how long after `since` the first bit left.
fn sent(bench: &mut Bench, since: Time) -> Vec<(Llid, Result<Message, usize>, u64)> {
    let read = |packet: Packet| {
        let (llid, frame) = Llid::split(packet.data()).unwrap();
        let what = Control::parse(frame).map(|control| control.message).ok_or(frame.len());
        (llid, what, packet.anno().timestamp.since(since).as_nanos() as u64)
    };
    bench.take_packets("up").into_iter().map(read).collect()
}

fn pass(bench: &mut Bench, micros: u64) {
    bench.advance(Duration::from_micros(micros));
}

fn registered(more: &str) -> Bench {
    let mut bench = bench(more);
    window(&mut bench, 1000);
    pass(&mut bench, 100);
    answer(&mut bench, 7, Verdict::Ack);
    grant(&mut bench, 7, 42, false);
    pass(&mut bench, 100);
    bench.take("up");
    assert_eq!((bench.read("o", "state"), bench.read("o", "llid")), ("registered".into(), "7".into()));
    bench
}

#[test]
fn it_asks_in_the_window_and_confirms_in_its_grant() {
    let mut bench = bench("");
    let start = bench.now;
    window(&mut bench, BESIDE + 42 + 100);
    assert_eq!(bench.read("o", "state"), "silent");
    pass(&mut bench, 100);
    let asked = sent(&mut bench, start);
    let request = RegisterRequest { leave: false, pending: 8 };
    assert_eq!((asked[0].0, asked[0].1), (Llid::UNREGISTERED, Ok(Message::RegisterRequest(request))));
    let first = 20_000 + 512 + 800;
    assert!((first..=first + 1600).contains(&asked[0].2), "{} ns", asked[0].2);
    assert_eq!(bench.read("o", "state"), "asking");
    answer(&mut bench, 7, Verdict::Ack);
    assert_eq!(bench.read("o", "state"), "confirming");
    let start = bench.now;
    grant(&mut bench, 7, 42, false);
    pass(&mut bench, 100);
    let ack = RegisterAck { accepted: true, port: 7, sync: 50 };
    assert_eq!(sent(&mut bench, start), [(Llid::unicast(7), Ok(Message::RegisterAck(ack)), 21_312)]);
    assert_eq!(
        (bench.read("o", "state"), bench.read("o", "registrations")),
        ("registered".into(), "1".into())
    );
}

#[test]
fn frames_carry_the_time_of_the_olt_and_of_the_laser() {
    let mut bench = registered("");
    let start = bench.now;
    grant(&mut bench, 7, 42, true);
    pass(&mut bench, 100);
    let packet = bench.take_packets("up").remove(0);
    let on = Time((start + Duration::from_micros(20)).0 / 16 * 16);
    assert_eq!(packet.anno().first_timestamp, on);
    let control = Control::parse(Llid::split(packet.data()).unwrap().1).unwrap();
    assert_eq!(control.timestamp, clock(packet.anno().timestamp + TO_ADDRESS));
}

#[test]
fn without_an_answer_it_lets_more_and_more_windows_pass() {
    let mut bench = bench("");
    let mut asked = Vec::new();
    for n in 0..400 {
        let before = bench.read("o", "requests");
        window(&mut bench, 1000);
        pass(&mut bench, 1000);
        if bench.read("o", "requests") != before {
            asked.push(n);
        }
    }
    let longest = asked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(asked[0] == 0 && (8..=64).contains(&longest) && asked.len() < 60, "{asked:?}");
}

#[test]
fn a_grant_is_filled_with_what_fits_and_ends_with_the_report() {
    let mut bench = registered("");
    for (class, length) in [("low", 1000), ("high", 500), ("low", 300), ("high", 200)] {
        bench.push(class, &vec![1; length]);
    }
    let start = bench.now;
    // (500 + 24), (200 + 24) and (300 + 24) octets, and the report; the frame of 1000 does not fit.
    grant(&mut bench, 7, 262 + 112 + 42 + 20, true);
    pass(&mut bench, 100);
    let sent = sent(&mut bench, start);
    let mut report = Report::default();
    (report.queues[0], report.queues[1]) = (Some(0), Some(512 + 162));
    let link = Llid::unicast(7);
    let first = 20_000 + 512 + 800;
    assert_eq!(
        sent,
        [
            (link, Err(500), first),
            (link, Err(200), first + 524 * 8),
            (link, Ok(Message::Report(report)), first + (524 + 224) * 8),
        ]
    );
    assert_eq!((bench.read("o", "count"), bench.read("o", "grants")), ("2".into(), "1".into()));
    assert_eq!(bench.read("o", "queues"), "0 0 0\n1 2 1300\n");
    assert!(bench.read("o", "delays").starts_with("0 2 26us 27us"), "{}", bench.read("o", "delays"));
}

#[test]
fn no_light_is_left_when_the_grant_is_over() {
    let mut bench = registered("");
    for length in (60..1500).step_by(7) {
        bench.push("low", &vec![1; length]);
    }
    for room in [42_u16, 43, 100, 800, 1000, 2000] {
        let grant_end = bench.now + Duration::from_micros(20) + span(BESIDE + room);
        grant(&mut bench, 7, room, true);
        pass(&mut bench, 200);
        let last = bench.take_packets("up").pop().unwrap();
        let dark = last.anno().timestamp + shining(last.len() - PREAMBLE) + Duration::from_nanos(512);
        assert!(dark <= grant_end, "room {room}: {} after {}", dark, grant_end);
    }
    grant(&mut bench, 7, 41, true);
    pass(&mut bench, 200);
    assert!(bench.take("up").is_empty());
}

#[test]
fn weights_share_a_grant() {
    let mut bench = registered(", WEIGHTS 3 1");
    for _ in 0..40 {
        bench.push("high", &[1; 476]);
        bench.push("low", &[2; 476]);
    }
    grant(&mut bench, 7, 250 * 16, false);
    pass(&mut bench, 200);
    let high = bench.take("up").iter().filter(|packet| packet[PREAMBLE] == 1).count();
    assert_eq!((high, bench.read("o", "count")), (12, "16".into()));
}

#[test]
fn late_grants_are_missed() {
    let mut bench = registered("");
    let grant = Grant { start: in_micros(&bench, 16), length: 200, report: true };
    say(&mut bench, Llid::unicast(7), GROUP_ADDRESS, Message::Gate(Gate::to_one(grant)));
    pass(&mut bench, 100);
    assert_eq!((bench.take("up").len(), bench.read("o", "missed")), (0, "1".into()));
}

#[test]
fn subscribers_get_what_is_for_them_with_its_last_bit() {
    let mut bench = registered("");
    for (llid, octet) in [(7, 1), (8, 2), (Llid::ALL, 3)] {
        let mut packet = Packet::from_slice(&[octet; 60]);
        let llid = if llid == Llid::ALL { Llid::BROADCAST } else { Llid::unicast(llid) };
        llid.encapsulate(&mut packet);
        packet.anno_mut().timestamp = bench.now;
        bench.push_packets("fiber", 0, [packet]);
    }
    bench.advance(Duration::from_nanos(575));
    assert!(bench.take("subscriber").is_empty());
    bench.advance(Duration::from_nanos(1));
    assert_eq!(bench.take("subscriber"), [[1; 60], [3; 60]]);
    assert_eq!(bench.drops("o", OTHER), 1);
}

#[test]
fn the_olt_can_end_a_registration_and_so_does_silence_or_a_clock_that_jumps() {
    let mut bench = registered("");
    let register = Register { port: 7, verdict: Verdict::Deregister, sync: 0, pending: 0 };
    say(&mut bench, Llid::unicast(7), ONU, Message::Register(register));
    assert_eq!(bench.read("o", "state"), "silent");

    let mut bench = registered("");
    pass(&mut bench, 999_000);
    window(&mut bench, 1000);
    assert_eq!(bench.read("o", "state"), "registered");
    pass(&mut bench, 2000);
    window(&mut bench, 1000);
    assert_eq!(bench.read("o", "state"), "silent");

    let mut bench = registered("");
    let timestamp = clock(bench.now + TO_ADDRESS) + 9;
    let message = Message::Gate(Gate::default());
    let control = Control { destination: GROUP_ADDRESS, source: OLT, timestamp, message };
    bench.push_packets("fiber", 0, [control.packet(Llid::unicast(7))]);
    assert_eq!(bench.read("o", "state"), "silent");
}

#[test]
fn what_is_not_for_it_changes_nothing() {
    let mut bench = registered("");
    let register = Register { port: 9, verdict: Verdict::Ack, sync: 0, pending: 0 };
    say(&mut bench, Llid::BROADCAST, OLT, Message::Register(register));
    grant(&mut bench, 9, 100, true);
    bench.push("fiber", &[0x55; 80]);
    let mut pause =
        Control { destination: ONU, source: OLT, timestamp: 0, message: Message::Gate(Gate::default()) }
            .packet(Llid::unicast(7));
    pause.data_mut()[PREAMBLE + 15] = 1;
    bench.push_packets("fiber", 0, [pause]);
    bench.push("high", &vec![0; 1997]);
    pass(&mut bench, 100);
    assert!(bench.take("up").is_empty());
    assert_eq!(bench.read("o", "llid"), "7");
    let drops = [OTHER, NO_PREAMBLE, MALFORMED, TOO_LONG].map(|reason| bench.drops("o", reason));
    assert_eq!(drops, [1; 4]);
}

#[test]
fn full_queues_drop_and_wrong_configurations_are_refused() {
    let mut bench = registered(", CAPACITY 100");
    bench.push("high", &[0; 60]);
    bench.push("high", &[0; 60]);
    assert_eq!(bench.drops("o", FULL), 1);
    for (more, problem) in [
        ("WEIGHTS 1 2", "WEIGHTS: 1 numbers from 1 on are needed"),
        ("WEIGHTS 0", "WEIGHTS: 1 numbers from 1 on"),
        ("PENDING 0", "PENDING: between 1 and 255"),
        ("LASER_ON 1ms", "LASER_ON: at most 100us"),
    ] {
        let text = format!("Idle -> o :: EPONONU({ONU}, {more}) -> Discard; Idle -> [1]o[1] -> Discard;");
        let error = Bench::error(&text);
        assert!(error.contains(problem), "{more}: {error}");
    }
    assert_eq!(quanta(occupied(LENGTH)), 42);
}
