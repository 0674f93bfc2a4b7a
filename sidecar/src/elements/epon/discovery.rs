//! EPONDiscovery: the OLT's side of discovery and registration (IEEE 802.3, 64.3.3), and of ranging (64.3.5).
//!
//! It does not know when the way up is free: it sends its GATEs to the bandwidth allocation, as requests. In a request
//! the start of a grant is the round trip of whoever it is for (the longest one there is, for a discovery window); the
//! allocation puts the time to start in its place. All other frames pass the allocation as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::line::{Llid, NO_PREAMBLE, quanta, span};
use super::members::Members;
use super::mpcp::{
    Control, GROUP_ADDRESS, Gate, Grant, MALFORMED, Message, Register, RegisterAck, RegisterRequest, Verdict,
};
use super::times::{self, BurstTimes, round_trip};
use crate::config::EtherAddr;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const TOO_FAR: &str = "round trip too long";
const STRANGER: &str = "no such ONU";

/// How far a round trip may be from the last one (64.2.2.1, guardThresholdOLT: 12 quanta).
const DRIFT: Duration = Duration::from_nanos(192);
/// How long an ONU may take to confirm its identifier.
const CONFIRM: Duration = Duration::from_millis(50);
/// The shortest time between two windows: an answer has to come before the next one.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);
/// Most ONUs that can be configured.
const MOST: u16 = 4096;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EPONDiscovery",
    summary: "finds, ranges and registers the ONUs of an EPON",
    processing: "h/h",
    args: &[
        Arg::required("MAC", "Ethernet address", "the OLT's address"),
        Arg::keyword("ONUS", "1-4096", "64", "most ONUs that are registered"),
        Arg::keyword("PERIOD", "time", "100ms", "from one discovery window to the next"),
        Arg::keyword("WINDOW", "time", "50us", "how far the answers in a window are spread"),
        Arg::keyword("TIMEOUT", "time", "1", "how long an ONU may be silent (64.3.3.1, mpcp_timeout)"),
        Arg::keyword("DRIFT", "time", "192ns", "how far a round trip may be from the last one (64.2.2.1)"),
        times::REACH,
        times::LASER_ON,
        times::LASER_OFF,
        times::SYNC,
        Arg::keyword(
            "ONU",
            "Ethernet address and 1-4096",
            "",
            "keeps a logical link for an ONU; may be given again",
        ),
    ],
    reads: Annotations::TIMESTAMP,
    drops: &[NO_PREAMBLE, MALFORMED, TOO_FAR, STRANGER],
    handlers: &[
        Handler::read("registered", "how many ONUs are registered"),
        Handler::read("onus", "link, address, round trip in quanta, kilometres and state, a line each"),
        Handler::read("windows", "discovery windows asked for"),
        Handler::read("requests", "requests for registration that came"),
        Handler::read("refused", "requests refused because all links are taken"),
        Handler::read(
            "lost",
            "ONUs deregistered: they were silent, or their round trip changed by more than DRIFT",
        ),
        Handler::write("deregister", "deregisters the ONU of a link"),
    ],
    state: StateKind::Small,
    details: "Input and output carry MAC control frames with EPON preamble. The output goes to input 1 of an EPONDBA, \
              which fits the GATEs in: in a GATE that comes from here, the start is the round trip of its ONU. In every \
              PERIOD it opens a window for new ONUs, long enough for those at REACH; whoever asks in it is answered with \
              REGISTER and a GATE, in which the ONU confirms with REGISTER_ACK. Every control frame of an ONU tells its \
              round trip anew: when it came, without the time stamp in it.",
    example: r#"
        // An ONU at 10 km asks to be registered, and confirms in its grant. Its clock is late by the way down, and its
        // frame comes later still by the way up: it was stamped 100 us before it is here.
        Script(wait 3ms, write ask.active true, wait 1ms, write confirm.active true);
        d :: EPONDiscovery(02:00:00:00:00:01, PERIOD 2ms, WINDOW 20us);
        ask :: TimedSource(10us, DATA \<0180c2000001 020000000101 8808 0004 3a790406 01 04>, LIMIT 1, ACTIVE false)
            -> EPONEncap(32767) -> up :: SetTimestamp -> d;
        confirm :: TimedSource(10us, DATA \<0180c2000001 020000000101 8808 0006 3a79f82a 01 0001 0032>, LIMIT 1, ACTIVE false)
            -> EPONEncap(1) -> up;
        d -> Print(MAXLENGTH 40) -> Discard;
        DriverManager(wait 3.5ms, print $(d.onus), wait 2ms, print $(d.onus),
            print "$(d.requests) asked in $(d.windows) windows, $(d.registered) registered",
            write d.deregister 1, print "$(d.registered) registered");
    "#,
    build,
    ..Descriptor::BASE
};

/// See the module's head.
struct Discovery {
    address: EtherAddr,
    period: Duration,
    window: Duration,
    timeout: Duration,
    /// How far a round trip may be from the last one, and the longest one, in quanta.
    drift: u32,
    reach: u32,
    times: BurstTimes,
    members: Members,
    next_window: Time,
    windows: u64,
    requests: u64,
    refused: u64,
    lost: u64,
}

fn reserved(args: &Args<'_>, most: u16) -> Result<BTreeMap<u16, EtherAddr>, ConfigError> {
    let mut reserved = BTreeMap::new();
    for text in args.all::<String>("ONU")? {
        let wrong = || format!("ONU: expected Ethernet address and link, got '{text}'");
        let (address, id) = text.split_once(char::is_whitespace).ok_or_else(wrong)?;
        let address: EtherAddr = args.parse("ONU", address)?;
        let id: u16 = args.parse("ONU", id)?;
        if id == 0 || id > most {
            return Err(format!("ONU: link {id} is not between 1 and {most}").into());
        }
        if reserved.values().any(|other| *other == address) || reserved.insert(id, address).is_some() {
            return Err(format!("ONU: '{text}' is given twice").into());
        }
    }
    Ok(reserved)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let most = args.or("ONUS", 64_u16)?;
    let period = args.or("PERIOD", Duration::from_millis(100))?;
    if !(1..=MOST).contains(&most) {
        return Err(format!("ONUS: between 1 and {MOST}").into());
    }
    if period < SHORTEST_PERIOD {
        return Err("PERIOD: at least 1ms".into());
    }
    let (times, window) = (BurstTimes::from_args(args)?, args.or("WINDOW", Duration::from_micros(50))?);
    times.control_grant(window).ok_or("WINDOW: at most 1ms")?;
    Ok(Box::new(Discovery {
        address: args.need("MAC")?,
        period,
        window,
        timeout: args.or("TIMEOUT", Duration::from_secs(1))?,
        drift: quanta(args.or("DRIFT", DRIFT)?),
        reach: times::reach(args)?,
        times,
        members: Members::new(most, reserved(args, most)?),
        next_window: Time(0),
        windows: 0,
        requests: 0,
        refused: 0,
        lost: 0,
    }))
}

impl Discovery {
    fn frame(&self, destination: EtherAddr, llid: Llid, message: Message) -> Packet {
        Control { destination, source: self.address, timestamp: 0, message }.packet(llid)
    }

    fn ask_for_window(&mut self, cx: &mut Cx<'_>) {
        self.windows += 1;
        let length = self.times.control_grant(self.window).unwrap_or(u16::MAX);
        let gate = Gate::window(self.reach, length, self.times.sync());
        cx.emit(0, self.frame(GROUP_ADDRESS, Llid::BROADCAST, Message::Gate(gate)));
    }

    /// An ONU asks to be registered, or leaves.
    fn request(&mut self, cx: &mut Cx<'_>, address: EtherAddr, round_trip: u32, request: RegisterRequest) {
        if request.leave {
            if let Some(id) = self.members.find(address) {
                self.deregister(cx, id);
            }
            return;
        }
        self.requests += 1;
        let Some(id) = self.members.admit(address, round_trip, cx.now()) else {
            self.refused += 1;
            self.register(cx, address, 0, Verdict::Nack, request.pending);
            return;
        };
        self.register(cx, address, id, Verdict::Ack, request.pending);
        let length = self.times.control_grant(Duration::ZERO).unwrap_or(u16::MAX);
        let gate = Gate::to_one(Grant { start: round_trip, length, report: false });
        cx.emit(0, self.frame(GROUP_ADDRESS, Llid::unicast(id), Message::Gate(gate)));
    }

    fn register(&self, cx: &mut Cx<'_>, address: EtherAddr, port: u16, verdict: Verdict, pending: u8) {
        let register = Register { port, verdict, sync: self.times.sync(), pending };
        // Until it has taken its identifier, an ONU hears the broadcast only.
        let llid = if verdict == Verdict::Deregister { Llid::unicast(port) } else { Llid::BROADCAST };
        cx.emit(0, self.frame(address, llid, Message::Register(register)));
    }

    /// A frame of a registered ONU, or of one that confirms its identifier.
    fn heard(&mut self, cx: &mut Cx<'_>, id: u16, control: &Control, round_trip: u32) -> bool {
        let now = cx.now();
        let Some(member) = self.members.get_mut(id).filter(|member| member.address == control.source) else {
            return false;
        };
        let drift = member.round_trip.abs_diff(round_trip);
        member.heard = now;
        member.round_trip = round_trip;
        match control.message {
            Message::RegisterAck(RegisterAck { accepted: true, port, .. }) if port == id => {
                member.registered = true;
            }
            Message::RegisterAck(_) => {
                self.members.remove(id);
            }
            _ if drift > self.drift => {
                self.lost += 1;
                self.deregister(cx, id);
            }
            _ => {}
        }
        true
    }

    fn deregister(&mut self, cx: &mut Cx<'_>, id: u16) {
        if let Some(member) = self.members.remove(id) {
            self.register(cx, member.address, id, Verdict::Deregister, 0);
        }
    }

    /// A control frame from below. Says why it means nothing.
    fn hear(&mut self, cx: &mut Cx<'_>, packet: &Packet) -> Result<(), &'static str> {
        let (llid, frame) = Llid::split(packet.data()).ok_or(NO_PREAMBLE)?;
        let control = Control::parse(frame).ok_or(MALFORMED)?;
        let round_trip = round_trip(packet, &control, cx.now());
        if round_trip > self.reach {
            return Err(TOO_FAR);
        }
        match control.message {
            Message::RegisterRequest(request) => self.request(cx, control.source, round_trip, request),
            Message::Report(_) | Message::RegisterAck(_) => {
                if !self.heard(cx, llid.id, &control, round_trip) {
                    return Err(STRANGER);
                }
            }
            // What only an OLT says.
            Message::Gate(_) | Message::Register(_) => return Err(MALFORMED),
        }
        Ok(())
    }

    fn wait(&self, cx: &mut Cx<'_>) {
        let silence = self.members.next_silence(self.timeout, CONFIRM);
        cx.set_timer(silence.map_or(self.next_window, |at| at.min(self.next_window)));
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for (id, member) in self.members.iter() {
            let kilometres = span(member.round_trip).as_nanos() as f64 / 10_000.0;
            let state = if member.registered { "registered" } else { "asked" };
            let _ = writeln!(text, "{id} {} {} {kilometres:.2} {state}", member.address, member.round_trip);
        }
        text
    }
}

impl Element for Discovery {
    fn start(&mut self, cx: &mut Cx<'_>) {
        self.next_window = cx.now() + SHORTEST_PERIOD;
        cx.set_timer(self.next_window);
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            if let Err(reason) = self.hear(cx, &packet) {
                cx.drop(reason, packet);
            }
        }
        self.wait(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        while let Some(id) = self.members.silent(cx.now(), self.timeout, CONFIRM) {
            self.lost += u64::from(self.members.get_mut(id).is_some_and(|member| member.registered));
            self.deregister(cx, id);
        }
        if self.next_window <= cx.now() {
            self.next_window = cx.now() + self.period;
            self.ask_for_window(cx);
        }
        self.wait(cx);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "registered" => Ok(self.members.registered().to_string()),
            "onus" => Ok(self.show()),
            "windows" => Ok(self.windows.to_string()),
            "requests" => Ok(self.requests.to_string()),
            "refused" => Ok(self.refused.to_string()),
            "lost" => Ok(self.lost.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "deregister" => {
                let id: u16 = parse_handler(value)?;
                if self.members.get_mut(id).is_none() {
                    return Err(HandlerError::Refused(format!("no ONU has link {id}")));
                }
                self.deregister(cx, id);
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Discovery {
    fn schema(&self) -> Schema {
        Schema { name: "epon/discovery", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.next_window.0);
        for number in [self.windows, self.requests, self.refused, self.lost] {
            w.put_u64(number);
        }
        self.members.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.next_window = Time(r.get_u64()?);
        self.windows = r.get_u64()?;
        self.requests = r.get_u64()?;
        self.refused = r.get_u64()?;
        self.lost = r.get_u64()?;
        self.members.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::epon::line::{TO_ADDRESS, clock};
    use crate::testing::Bench;

    const OLT: EtherAddr = EtherAddr([2, 0, 0, 0, 0, 1]);
    const ONU: EtherAddr = EtherAddr([2, 0, 0, 0, 1, 1]);

    fn bench(more: &str) -> Bench {
        Bench::new(&format!(
            "in :: TestIn -> d :: EPONDiscovery({OLT}, PERIOD 10ms{more}) -> out :: TestOut;"
        ))
    }

    /// A frame of the ONU that comes now, after a round trip of so many quanta.
    fn say(bench: &mut Bench, llid: Llid, source: EtherAddr, round_trip: u32, message: Message) {
        let timestamp = clock(bench.now + TO_ADDRESS).wrapping_sub(round_trip);
        let control = Control { destination: GROUP_ADDRESS, source, timestamp, message };
        let mut packet = control.packet(llid);
        packet.anno_mut().timestamp = bench.now;
        bench.push_packets("in", 0, [packet]);
    }

    fn ask(bench: &mut Bench, source: EtherAddr, round_trip: u32) {
        let request = RegisterRequest { leave: false, pending: 4 };
        say(bench, Llid::UNREGISTERED, source, round_trip, Message::RegisterRequest(request));
    }

    fn confirm(bench: &mut Bench, id: u16, accepted: bool) {
        let ack = RegisterAck { accepted, port: id, sync: 25 };
        say(bench, Llid::unicast(id), ONU, 500, Message::RegisterAck(ack));
    }

    fn said(bench: &mut Bench) -> Vec<(Llid, Control)> {
        let read = |packet: Packet| {
            let (llid, frame) = Llid::split(packet.data())?;
            Some((llid, Control::parse(frame)?))
        };
        bench.take_packets("out").into_iter().map(|packet| read(packet).unwrap()).collect()
    }

    fn registered(more: &str) -> Bench {
        let mut bench = bench(more);
        ask(&mut bench, ONU, 500);
        confirm(&mut bench, 1, true);
        said(&mut bench);
        assert_eq!(bench.read("d", "registered"), "1");
        bench
    }

    #[test]
    fn a_window_is_asked_for_in_every_period() {
        let mut bench = bench("");
        bench.advance(Duration::from_millis(21));
        let windows = said(&mut bench);
        assert_eq!((windows.len(), bench.read("d", "windows")), (3, "3".into()));
        let (llid, control) = windows[0];
        let Message::Gate(gate) = control.message else { panic!("{control:?}") };
        assert_eq!((llid, control.destination, gate.discovery), (Llid::BROADCAST, GROUP_ADDRESS, Some(50)));
        // The start says the longest round trip, of 20 km and as much as clocks are off by.
        assert_eq!(gate.grants()[0].start, 12_500 + 64);
    }

    #[test]
    fn an_onu_that_asks_is_registered_and_granted_time_to_confirm() {
        let mut bench = bench("");
        ask(&mut bench, ONU, 500);
        let answers = said(&mut bench);
        let register = Register { port: 1, verdict: Verdict::Ack, sync: 50, pending: 4 };
        assert_eq!(answers[0].0, Llid::BROADCAST);
        assert_eq!((answers[0].1.destination, answers[0].1.message), (ONU, Message::Register(register)));
        let Message::Gate(gate) = answers[1].1.message else { panic!("{answers:?}") };
        assert_eq!((answers[1].0, gate.discovery, gate.grants()[0].start), (Llid::unicast(1), None, 500));
        assert!(bench.read("d", "onus").contains("02-00-00-00-01-01 500 0.80 asked"));
        confirm(&mut bench, 1, true);
        assert!(bench.read("d", "onus").contains("registered"));
    }

    #[test]
    fn an_onu_that_declines_or_does_not_confirm_is_forgotten() {
        let mut bench = bench("");
        ask(&mut bench, ONU, 500);
        confirm(&mut bench, 1, false);
        assert_eq!(bench.read("d", "onus"), "");
        ask(&mut bench, ONU, 500);
        bench.advance(CONFIRM);
        assert_eq!((bench.read("d", "onus"), bench.read("d", "lost")), ("".into(), "0".into()));
        confirm(&mut bench, 1, true);
        assert_eq!((bench.read("d", "registered"), bench.drops("d", STRANGER)), ("0".into(), 1));
    }

    #[test]
    fn a_silent_onu_is_deregistered_and_a_report_breaks_the_silence() {
        let mut bench = registered("");
        bench.advance(Duration::from_millis(900));
        say(&mut bench, Llid::unicast(1), ONU, 503, Message::Report(Default::default()));
        bench.advance(Duration::from_millis(999));
        assert_eq!(bench.read("d", "registered"), "1");
        said(&mut bench);
        bench.advance(Duration::from_millis(1));
        let farewell = said(&mut bench).into_iter().find(|(_, c)| matches!(c.message, Message::Register(_)));
        let (llid, control) = farewell.unwrap();
        let Message::Register(register) = control.message else { panic!() };
        assert_eq!((llid, register.port, register.verdict), (Llid::unicast(1), 1, Verdict::Deregister));
        assert_eq!((bench.read("d", "registered"), bench.read("d", "lost")), ("0".into(), "1".into()));
    }

    #[test]
    fn a_round_trip_that_jumps_ends_the_registration() {
        let mut bench = registered("");
        say(&mut bench, Llid::unicast(1), ONU, 512, Message::Report(Default::default()));
        assert_eq!(bench.read("d", "registered"), "1");
        say(&mut bench, Llid::unicast(1), ONU, 525, Message::Report(Default::default()));
        assert_eq!((bench.read("d", "registered"), bench.read("d", "lost")), ("0".into(), "1".into()));
    }

    #[test]
    fn an_onu_may_leave_and_be_sent_away() {
        let mut bench = registered("");
        let leave = RegisterRequest { leave: true, pending: 0 };
        say(&mut bench, Llid::unicast(1), ONU, 500, Message::RegisterRequest(leave));
        assert_eq!((bench.read("d", "registered"), said(&mut bench).len()), ("0".into(), 1));
        assert!(bench.router.write_handler("d", "deregister", "1").is_err());
        ask(&mut bench, ONU, 500);
        bench.router.write_handler("d", "deregister", "1").unwrap();
        assert_eq!(bench.read("d", "onus"), "");
    }

    #[test]
    fn without_a_free_link_an_onu_is_refused() {
        let mut bench = bench(", ONUS 2, ONU 02:00:00:00:09:09 2");
        ask(&mut bench, ONU, 500);
        ask(&mut bench, OLT, 500);
        let (_, last) = said(&mut bench).pop().unwrap();
        assert!(matches!(last.message, Message::Register(Register { verdict: Verdict::Nack, .. })));
        assert_eq!((bench.read("d", "requests"), bench.read("d", "refused")), ("2".into(), "1".into()));
        ask(&mut bench, EtherAddr([2, 0, 0, 0, 9, 9]), 500);
        assert!(bench.read("d", "onus").contains("2 02-00-00-00-09-09"));
    }

    #[test]
    fn frames_that_no_onu_of_this_network_sends_are_dropped() {
        let mut bench = registered("");
        ask(&mut bench, ONU, 12_565);
        say(&mut bench, Llid::unicast(1), OLT, 500, Message::Report(Default::default()));
        say(&mut bench, Llid::unicast(1), ONU, 500, Message::Gate(Gate::default()));
        bench.push("in", &[0; 60]);
        let drops = [TOO_FAR, STRANGER, MALFORMED, NO_PREAMBLE].map(|reason| bench.drops("d", reason));
        assert_eq!((drops, bench.read("d", "registered")), ([1; 4], "1".into()));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        for (more, problem) in [
            ("ONUS 0", "ONUS: between 1 and 4096"),
            ("PERIOD 10us", "PERIOD: at least 1ms"),
            ("WINDOW 2ms", "WINDOW: at most 1ms"),
            ("REACH 1001", "REACH: between 0 and 1000 km"),
            ("ONU 02:00:00:00:01:01", "expected Ethernet address and link"),
            ("ONU 02:00:00:00:01:01 65", "link 65 is not between 1 and 64"),
            ("ONU 02:00:00:00:01:01 1, ONU 02:00:00:00:01:02 1", "is given twice"),
        ] {
            let error = Bench::error(&format!("Idle -> EPONDiscovery({OLT}, {more}) -> Discard;"));
            assert!(error.contains(problem), "{more}: {error}");
        }
    }
}
