//! EPONDBA: dynamic bandwidth allocation. It alone decides who shines when: it turns REPORTs into GATEs, and fits in the
//! discovery windows and grants that EPONDiscovery asks for.
//!
//! With IPACT's services an ONU is polled again as soon as its REPORT is here (interleaved polling); with `class`, all
//! are granted together, once a cycle.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use self::service::{Request, Service, by_class};
use self::upstream::Upstream;
use super::line::{LONGEST, Llid, NO_PREAMBLE, first_bit, occupied, quanta, span};
use super::mpcp::{
    Control, GROUP_ADDRESS, Gate, Grant, LENGTH, MALFORMED, Message, Register, RegisterAck, Report, Verdict,
};
use super::times::{self, BurstTimes, round_trip};
use crate::config::EtherAddr;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::elements::queueing::show_interval;

mod service;
mod state;
mod upstream;

const TOO_FAR: &str = "round trip too long";
const STRANGER: &str = "no such ONU";

/// Grants of one ONU that are ahead at most.
const MOST_AHEAD: usize = 8;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EPONDBA",
    summary: "dynamic bandwidth allocation of an EPON: turns reports into grants",
    ports: "2/1",
    processing: "h/h",
    args: &[
        Arg::required("MAC", "Ethernet address", "the OLT's address"),
        Arg::keyword(
            "SERVICE",
            "fixed, limited, gated, credit or class",
            "limited",
            "how much an ONU is granted",
        ),
        Arg::keyword(
            "CYCLE",
            "time",
            "2ms",
            "the longest time from one grant of an ONU to the next, under load",
        ),
        Arg::keyword("POLL", "time", "500us", "the shortest time from one grant of an ONU to the next"),
        Arg::keyword(
            "CREDIT",
            "unsigned",
            "2000",
            "octets that the service `credit` adds to what is asked for",
        ),
        Arg::keyword("GUARD", "time", "1us", "dark time between bursts"),
        Arg::keyword("LEAD", "time", "50us", "from a decision to the first light of an ONU next to the OLT"),
        Arg::keyword("GRACE", "time", "5ms", "how long after its grant a REPORT may come"),
        times::REACH,
        times::LASER_ON,
        times::LASER_OFF,
        times::SYNC,
    ],
    reads: Annotations::TIMESTAMP,
    drops: &[NO_PREAMBLE, MALFORMED, TOO_FAR, STRANGER],
    handlers: &[
        Handler::both("service", "how much an ONU is granted"),
        Handler::read(
            "onus",
            "link, round trip, quanta that it asks for, grants and missing reports, a line each",
        ),
        Handler::read("grants", "grants to registered ONUs"),
        Handler::read("reports", "reports that came"),
        Handler::read("missed", "grants after which no report came"),
        Handler::read("cycle", "the longest time from one grant of an ONU to its next, in microseconds"),
        Handler::write("reset_cycle", "forgets the longest time"),
    ],
    state: StateKind::Small,
    details: "Input 0 takes the control frames that come up, with EPON preamble; input 1 what EPONDiscovery sends, whose \
              GATEs get their start here and whose other frames pass. All leaves by output 0, to be sent down. A \
              window is CYCLE, over the number of ONUs, without what a burst needs beside its data, and at least one \
              frame of 2000 octets. `fixed` grants the window, `limited` what is asked for up to the window, `gated` \
              all that is asked for, `credit` CREDIT more up to the window: an ONU is granted as soon as its report is \
              here, but not sooner than POLL after its last grant. `class` grants once a CYCLE, to all ONUs: first \
              what all ask for their first queue, then the next, in equal shares where it is not enough. An ONU whose \
              report is missing is polled again.",
    example: r#"
        // Two ONUs at 1 and 20 km, and one has more to send than fits.
        dba :: EPONDBA(02:00:00:00:00:01, CYCLE 500us, POLL 250us);
        d :: EPONDiscovery(02:00:00:00:00:01, PERIOD 2ms);
        one :: EPONONU(02:00:00:00:01:01);
        two :: EPONONU(02:00:00:00:01:02, CAPACITY 100000);
        d -> [1]dba -> Queue -> EPONTransmitter -> [0]s :: EPONSplitter;
        s[1] -> [0]near :: EPONFiber(1) -> [0]one[1] -> [1]near[1] -> [1]s;
        s[2] -> [0]far :: EPONFiber(20) -> [0]two[1] -> [1]far[1] -> [2]s;
        RatedSource(LENGTH 200, RATE 2000, LIMIT 20) -> [1]one[0] -> Discard;
        InfiniteSource(LENGTH 1500, LIMIT 66) -> [1]two[0] -> Discard;
        s[0] -> r :: EPONReceiver -> kind :: Classifier(20/8808, -);
        kind[0] -> t :: Tee -> [0]dba; t[1] -> d;
        kind[1] -> links :: EPONDecap(1, 2);
        links[0] -> first :: Counter -> Discard;
        links[1] -> second :: Counter -> Discard;
        DriverManager(wait 2500us, print "asked for: $(dba.onus)", wait 6ms, print "$(dba.onus)",
            print "$(first.count) and $(second.count) frames, $(r.collisions) collisions, $(dba.missed) reports missed");
    "#,
    build,
    ..Descriptor::BASE
};

/// A grant that is ahead.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    /// When its light is here.
    on: Time,
    off: Time,
    /// Quanta of data.
    data: u32,
}

/// An ONU, as the allocation knows it.
#[derive(Debug)]
struct Polled {
    /// In quanta.
    round_trip: u32,
    /// It has confirmed its identifier: it is polled.
    confirmed: bool,
    /// What it asks for, without what is granted already.
    request: Request,
    ahead: VecDeque<Ahead>,
    /// When it is to be granted next, if that is known.
    next: Option<Time>,
    /// When it was granted last, and when the light of that is here.
    granted: Time,
    last_on: Option<Time>,
    grants: u64,
    missed: u64,
}

impl Polled {
    fn new() -> Self {
        Self {
            round_trip: 0,
            confirmed: false,
            request: Request::default(),
            ahead: VecDeque::new(),
            next: None,
            granted: Time(0),
            last_on: None,
            grants: 0,
            missed: 0,
        }
    }

    fn asked(&self) -> u32 {
        self.request.iter().sum()
    }

    /// Takes what is granted off what is asked for, as the ONU will: the urgent classes first.
    fn take_off(&mut self, mut data: u32) {
        for asked in &mut self.request {
            let taken = data.min(*asked);
            *asked -= taken;
            data -= taken;
        }
    }

    /// A REPORT that came at `at` says what waits in the ONU after that burst.
    fn report(&mut self, report: &Report, at: Time) {
        self.ahead.retain(|ahead| ahead.on > at);
        for (asked, queue) in self.request.iter_mut().zip(report.queues) {
            *asked = queue.unwrap_or(0).into();
        }
        let granted = self.ahead.iter().map(|ahead| ahead.data).sum();
        self.take_off(granted);
    }
}

/// See the module's head.
struct Dba {
    address: EtherAddr,
    service: Service,
    cycle: Duration,
    poll: Duration,
    /// In quanta.
    credit: u32,
    grace: Duration,
    /// The longest round trip, in quanta.
    reach: u32,
    times: BurstTimes,
    upstream: Upstream,
    onus: BTreeMap<u16, Polled>,
    /// When `class` grants next.
    tick: Time,
    grants: u64,
    reports: u64,
    missed: u64,
    longest_cycle: Duration,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let time = |name: &str, default, least| {
        let time = args.or(name, default)?;
        let most = Duration::from_secs(1);
        let wrong = || ConfigError::from(format!("{name}: between {} and 1s", show_interval(least)));
        if (least..=most).contains(&time) { Ok(time) } else { Err(wrong()) }
    };
    let micros = Duration::from_micros;
    Ok(Box::new(Dba {
        address: args.need("MAC")?,
        service: args.or("SERVICE", Service::Limited)?,
        cycle: time("CYCLE", micros(2000), micros(100))?,
        poll: time("POLL", micros(500), micros(10))?,
        credit: args.or("CREDIT", 2000_u32)? / 2,
        grace: time("GRACE", micros(5000), micros(100))?,
        reach: times::reach(args)?,
        times: BurstTimes::from_args(args)?,
        upstream: Upstream {
            guard: time("GUARD", micros(1), Duration::from_nanos(64))?,
            lead: time("LEAD", micros(50), micros(20))?,
            free: Time(0),
        },
        onus: BTreeMap::new(),
        tick: Time(0),
        grants: 0,
        reports: 0,
        missed: 0,
        longest_cycle: Duration::ZERO,
    }))
}

impl Dba {
    /// What a burst needs beside its data: the laser, the lock, the REPORT.
    fn overhead(&self) -> u32 {
        quanta(self.times.overhead() + occupied(LENGTH))
    }

    fn polled(&self) -> impl Iterator<Item = &Polled> {
        self.onus.values().filter(|onu| onu.confirmed)
    }

    /// The quanta of data that each of the ONUs can have in a cycle.
    fn window(&self) -> u32 {
        let count = self.polled().count().max(1) as u32;
        let share = quanta(self.cycle) / count;
        share.saturating_sub(self.overhead() + quanta(self.upstream.guard)).max(quanta(occupied(LONGEST)))
    }

    fn gate(&self, llid: Llid, gate: Gate) -> Packet {
        let message = Message::Gate(gate);
        Control { destination: GROUP_ADDRESS, source: self.address, timestamp: 0, message }.packet(llid)
    }

    /// Grants `data` quanta to an ONU, as soon as the way up is free.
    fn grant(&mut self, cx: &mut Cx<'_>, id: u16, data: u32) {
        let overhead = self.overhead();
        let length = u16::try_from(overhead.saturating_add(data)).unwrap_or(u16::MAX);
        let data = u32::from(length).saturating_sub(overhead);
        let Some(onu) = self.onus.get_mut(&id) else { return };
        let place = self.upstream.give(cx.now(), onu.round_trip, onu.round_trip, length);
        onu.take_off(data);
        onu.ahead.push_back(Ahead { on: place.on, off: place.off, data });
        onu.next = None;
        onu.granted = cx.now();
        onu.grants += 1;
        if let Some(last) = onu.last_on.replace(place.on) {
            self.longest_cycle = self.longest_cycle.max(place.on.since(last));
        }
        self.grants += 1;
        let grant = Grant { start: place.start, length, report: true };
        cx.emit(0, self.gate(Llid::unicast(id), Gate::to_one(grant)));
    }

    /// A control frame from below. Says why it means nothing.
    fn hear(&mut self, cx: &mut Cx<'_>, packet: &Packet) -> Result<(), &'static str> {
        let (llid, frame) = Llid::split(packet.data()).ok_or(NO_PREAMBLE)?;
        let control = Control::parse(frame).ok_or(MALFORMED)?;
        let round_trip = round_trip(packet, &control, cx.now());
        if round_trip > self.reach {
            return Err(TOO_FAR);
        }
        let known = self.onus.get_mut(&llid.id);
        match control.message {
            Message::Report(report) => {
                let onu = known.filter(|onu| onu.confirmed).ok_or(STRANGER)?;
                onu.round_trip = round_trip;
                onu.report(&report, first_bit(packet, cx.now()));
                self.reports += 1;
                if self.service != Service::Class && onu.ahead.is_empty() {
                    onu.next = Some(cx.now().max(onu.granted + self.poll));
                }
            }
            Message::RegisterAck(RegisterAck { accepted: true, .. }) => {
                let onu = known.ok_or(STRANGER)?;
                if !onu.confirmed {
                    onu.round_trip = round_trip;
                    onu.confirmed = true;
                    onu.next = (self.service != Service::Class).then_some(cx.now());
                }
            }
            // The business of the discovery.
            _ => {}
        }
        Ok(())
    }

    /// A frame of the discovery: its GATEs get their time.
    fn pass(&mut self, cx: &mut Cx<'_>, packet: Packet) {
        let Some((llid, frame)) = Llid::split(packet.data()) else {
            cx.drop(NO_PREAMBLE, packet);
            return;
        };
        let Some(control) = Control::parse(frame) else {
            cx.drop(MALFORMED, packet);
            return;
        };
        match control.message {
            Message::Gate(mut gate) => {
                if gate.grants().iter().any(|grant| grant.start > self.reach) {
                    cx.drop(TOO_FAR, packet);
                    return;
                }
                let window = gate.discovery.is_some();
                for grant in gate.grants_mut() {
                    let farthest = grant.start;
                    let nearest = if window { 0 } else { farthest };
                    grant.start = self.upstream.give(cx.now(), nearest, farthest, grant.length).start;
                }
                cx.emit(0, Control { message: Message::Gate(gate), ..control }.packet(llid));
            }
            Message::Register(Register { port, verdict, .. }) => {
                self.onus.remove(&port);
                if verdict == Verdict::Ack {
                    self.onus.insert(port, Polled::new());
                }
                cx.emit(0, packet);
            }
            _ => cx.drop(MALFORMED, packet),
        }
    }

    /// ONUs whose report did not come are asked again.
    fn look_for_reports(&mut self, now: Time) {
        for onu in self.onus.values_mut() {
            let late = onu.ahead.iter().filter(|ahead| ahead.off + self.grace <= now).count();
            if late > 0 {
                onu.ahead.drain(..late);
                onu.missed += late as u64;
                self.missed += late as u64;
                onu.next = (self.service != Service::Class).then_some(now);
            }
        }
    }

    /// Grants those whose time has come.
    fn grant_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        let due = self.onus.iter().filter_map(|(id, onu)| Some((onu.next.filter(|at| *at <= now)?, *id)));
        let mut due: Vec<(Time, u16)> = due.collect();
        due.sort_unstable();
        for (_, id) in due {
            let asked = self.onus.get(&id).map_or(0, Polled::asked);
            let data = self.service.size(asked, self.window(), self.credit);
            self.grant(cx, id, data);
        }
    }

    /// Grants all, by class.
    fn grant_cycle(&mut self, cx: &mut Cx<'_>) {
        let ready = self.onus.iter().filter(|(_, onu)| onu.confirmed && onu.ahead.len() < MOST_AHEAD);
        let (ids, requests): (Vec<u16>, Vec<Request>) = ready.map(|(id, onu)| (*id, onu.request)).unzip();
        let farthest = self.polled().map(|onu| onu.round_trip).max().unwrap_or(0);
        // A window of the discovery may have taken some of the cycle.
        let end = cx.now() + self.upstream.lead + span(farthest) + self.cycle;
        let time = quanta(end.since(self.upstream.earliest(cx.now(), farthest)));
        let beside = (self.overhead() + quanta(self.upstream.guard)).saturating_mul(ids.len() as u32);
        let shares = by_class(&requests, time.saturating_sub(beside));
        for (id, data) in ids.into_iter().zip(shares) {
            self.grant(cx, id, data);
        }
    }

    fn run(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        self.look_for_reports(now);
        if self.service == Service::Class {
            if self.tick <= now {
                // The cycle keeps its beat, unless this comes very late.
                self.tick = (self.tick + self.cycle).max(now + self.cycle / 2);
                self.grant_cycle(cx);
            }
        } else {
            self.grant_due(cx);
        }
        let reports = self.onus.values().filter_map(|onu| Some(onu.ahead.front()?.off + self.grace)).min();
        let grants = match self.service {
            Service::Class => (self.polled().count() > 0).then_some(self.tick),
            _ => self.onus.values().filter_map(|onu| onu.next).min(),
        };
        match reports.into_iter().chain(grants).min() {
            Some(next) => cx.set_timer(next),
            None => cx.clear_timer(),
        }
    }

    /// Another service: ONUs that wait for a cycle are polled at once, or the other way round.
    fn set_service(&mut self, service: Service, now: Time) {
        self.service = service;
        self.tick = now;
        for onu in self.onus.values_mut().filter(|onu| onu.confirmed) {
            onu.next = (service != Service::Class && onu.ahead.is_empty()).then_some(now);
        }
    }

    fn show(&self) -> String {
        self.onus.iter().filter(|(_, onu)| onu.confirmed).fold(String::new(), |mut text, (id, onu)| {
            let _ = writeln!(text, "{id} {} {} {} {}", onu.round_trip, onu.asked(), onu.grants, onu.missed);
            text
        })
    }
}

impl Element for Dba {
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            if port == 1 {
                self.pass(cx, packet);
            } else if let Err(reason) = self.hear(cx, &packet) {
                cx.drop(reason, packet);
            }
        }
        self.run(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        self.run(cx);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "service" => Ok(self.service.to_string()),
            "onus" => Ok(self.show()),
            "grants" => Ok(self.grants.to_string()),
            "reports" => Ok(self.reports.to_string()),
            "missed" => Ok(self.missed.to_string()),
            "cycle" => Ok(self.longest_cycle.as_micros().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "service" => self.set_service(parse_handler(value)?, cx.now()),
            "reset_cycle" => self.longest_cycle = Duration::ZERO,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        self.run(cx);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn crate::state::Stateful> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
