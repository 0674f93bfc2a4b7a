//! EPONONU: an optical network unit. It registers at the OLT, queues what its subscribers send by class, sends it in the
//! grants of the OLT, and reports what waits.

use std::collections::VecDeque;
use std::time::Duration;

use self::queues::Queues;
use self::schedule::{Purpose, Schedule, Slot};
use super::line::{LONGEST, Llid, NO_PREAMBLE, TO_ADDRESS, first_bit, occupied, pad, quanta, shining, span};
use super::mpcp::{
    Control, GROUP_ADDRESS, Gate, LENGTH, MALFORMED, Message, QUEUES, Register, RegisterAck, RegisterRequest,
    Verdict, stamp,
};
use super::times;
use crate::config::{EtherAddr, split_words};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind, Time,
};

mod queues;
mod schedule;
mod state;

const OTHER: &str = "another logical link";
const FULL: &str = "queue full";
const TOO_LONG: &str = "frame too long";
const TOO_MANY: &str = "too many frames at once";

/// Without a control frame for so long, an ONU is no longer registered (64.3.3.1, mpcp_timeout).
const TIMEOUT: Duration = Duration::from_secs(1);
/// Frames being received at most.
const MOST_ARRIVING: usize = 256;
/// The back-off doubles so many times at most: up to 63 windows are let pass.
const MOST_DOUBLINGS: u8 = 6;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EPONONU",
    summary: "an optical network unit: registration, grants, reports, and a queue for each class of traffic",
    ports: "2-9/2",
    processing: "h/h",
    args: &[
        Arg::required("MAC", "Ethernet address", "its address"),
        Arg::keyword("CAPACITY", "unsigned", "1048576", "octets that the queue of a class holds"),
        Arg::keyword(
            "WEIGHTS",
            "unsigned, one a class",
            "",
            "shares of the classes; without, the first goes first",
        ),
        Arg::keyword("PENDING", "1-255", "8", "grants that it can keep"),
        Arg::keyword("DRIFT", "time", "128ns", "how far the OLT's time may be from its own (64.2.2.1)"),
        times::LASER_ON,
        times::LASER_OFF,
    ],
    reads: Annotations::TIMESTAMP,
    writes: Annotations::MAC_HEADER,
    drops: &[NO_PREAMBLE, OTHER, MALFORMED, FULL, TOO_LONG, TOO_MANY],
    handlers: &[
        Handler::read("state", "silent, asking, confirming or registered"),
        Handler::read("llid", "its logical link; 32767 if it has none"),
        Handler::read("requests", "requests for registration sent"),
        Handler::read("registrations", "how often it was registered"),
        Handler::read("grants", "grants used to send"),
        Handler::read("missed", "grants that came too late, or that there was no room for"),
        Handler::read("count", "frames of subscribers sent"),
        Handler::read("queues", "class, frames and octets that wait, a line each"),
        Handler::read(
            "delays",
            "class, frames sent, mean and longest wait until their last bit left, a line each",
        ),
        Handler::write("reset_delays", "forgets the waits"),
    ],
    state: StateKind::Small,
    details: "Input 0 and output 1 are the fiber; output 0 is the subscribers' side, and inputs 1, 2 and so on are what \
              they send, the most urgent class first. Frames that come by the fiber for its own logical link, or for \
              all, leave by output 0 with their last bit. An ONU that is not registered asks in a discovery window, at \
              a random time; if no answer comes before the next window, it lets a random number of windows pass, up to \
              twice as many with each failure. In a grant it sends frames as long as they fit, by class or by WEIGHTS, \
              and the REPORT at the end.",
    example: r#"
        // One ONU, 5 km from a small OLT that grants it a time to send now and then.
        onu :: EPONONU(02:00:00:00:01:01);
        RatedSource(DATA \<ffffffffffff 020000000099 0800>, RATE 1000, LIMIT 3) -> [1]onu;
        onu[0] -> Print(subscriber) -> Discard;
        d :: EPONDiscovery(02:00:00:00:00:01, PERIOD 10ms, WINDOW 20us);
        d -> [1]dba :: EPONDBA(02:00:00:00:00:01) -> Queue -> EPONTransmitter -> [0]f :: EPONFiber(5) -> [0]onu;
        onu[1] -> [1]f[1] -> EPONReceiver -> kind :: Classifier(20/8808, -);
        kind[0] -> t :: Tee -> d; t[1] -> [0]dba;
        kind[1] -> EPONDecap -> Print(up) -> Discard;
        DriverManager(wait 8ms, print "$(onu.state), link $(onu.llid)", print $(onu.delays), print $(d.onus));
    "#,
    build,
    ..Descriptor::BASE
};

/// How far the registration is (64.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not asked yet, or nobody answers.
    Silent,
    /// It has asked.
    Asking,
    /// It was given an identifier, and confirms it with the next grant.
    Confirming(u16),
    Registered(u16),
}

/// A burst that is being sent.
#[derive(Debug, Clone, Copy)]
struct Burst {
    slot: Slot,
    /// When the next frame can begin.
    at: Time,
}

/// See the module's head.
struct Onu {
    address: EtherAddr,
    pending: u8,
    laser_on: Duration,
    laser_off: Duration,
    phase: Phase,
    /// What the OLT's receiver needs to lock on, in quanta.
    sync: u16,
    /// Failures to register in a row, and windows to let pass.
    failures: u8,
    skip: u8,
    /// When the last frame for this ONU came.
    heard: Time,
    schedule: Schedule,
    burst: Option<Burst>,
    queues: Queues,
    /// Frames of which the last bit is to come, with the time of that.
    arriving: VecDeque<(Time, Packet)>,
    requests: u64,
    registrations: u64,
    grants: u64,
    count: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let classes = args.inputs().saturating_sub(1);
    let times = times::BurstTimes::from_args(args)?;
    let pending = args.or("PENDING", 8_u8)?;
    if pending == 0 {
        return Err("PENDING: between 1 and 255".into());
    }
    Ok(Box::new(Onu {
        address: args.need("MAC")?,
        pending,
        laser_on: times.laser_on(),
        laser_off: times.laser_off(),
        phase: Phase::Silent,
        sync: 0,
        failures: 0,
        skip: 0,
        heard: Time(0),
        schedule: Schedule::new(quanta(args.or("DRIFT", Duration::from_nanos(128))?)),
        burst: None,
        queues: Queues::new(classes, args.or("CAPACITY", 1 << 20)?, weights(args, classes)?),
        arriving: VecDeque::new(),
        requests: 0,
        registrations: 0,
        grants: 0,
        count: 0,
    }))
}

fn weights(args: &Args<'_>, classes: usize) -> Result<Option<Vec<u64>>, ConfigError> {
    let Some(text) = args.text("WEIGHTS") else { return Ok(None) };
    let weights: Result<Vec<u64>, ConfigError> =
        split_words(text).iter().map(|word| Ok(u64::from(args.parse::<u16>("WEIGHTS", word)?))).collect();
    let weights = weights?;
    if weights.len() != classes || weights.contains(&0) || classes > QUEUES {
        return Err(format!("WEIGHTS: {classes} numbers from 1 on are needed, one a class").into());
    }
    Ok(Some(weights))
}

impl Onu {
    fn id(&self) -> Option<u16> {
        match self.phase {
            Phase::Confirming(id) | Phase::Registered(id) => Some(id),
            Phase::Silent | Phase::Asking => None,
        }
    }

    /// The identifier is gone, and with it what was granted.
    fn leave(&mut self) {
        self.phase = Phase::Silent;
        self.schedule.clear();
        self.burst = None;
    }

    /// A packet from the fiber, as its first bit comes.
    fn receive(&mut self, cx: &mut Cx<'_>, mut packet: Packet) {
        let first = first_bit(&packet, cx.now());
        let Some((llid, frame)) = Llid::split(packet.data()) else {
            cx.drop(NO_PREAMBLE, packet);
            return;
        };
        if llid != Llid::BROADCAST && (llid.broadcast || Some(llid.id) != self.id()) {
            cx.drop(OTHER, packet);
        } else if Control::is_control(frame) {
            match Control::parse(frame) {
                Some(control) => self.obey(cx, llid, &control, first + TO_ADDRESS),
                None => cx.drop(MALFORMED, packet),
            }
        } else if !matches!(self.phase, Phase::Registered(_)) {
            cx.drop(OTHER, packet);
        } else if self.arriving.len() >= MOST_ARRIVING {
            cx.drop(TOO_MANY, packet);
        } else {
            let end = first + shining(frame.len());
            Llid::decapsulate(&mut packet);
            self.arriving.push_back((end, packet));
        }
    }

    /// A control frame whose address came at `at`.
    fn obey(&mut self, cx: &mut Cx<'_>, llid: Llid, control: &Control, at: Time) {
        let in_step = self.schedule.set_clock(control.timestamp, at);
        if !in_step && self.id().is_some() {
            self.leave();
        }
        match control.message {
            Message::Gate(gate) if gate.discovery.is_some() => self.window(cx, &gate, at),
            Message::Gate(gate) if Some(llid.id) == self.id() => {
                self.heard = at;
                for grant in gate.grants() {
                    let purpose = Purpose::Send { report: grant.report };
                    self.schedule.add(grant.start, grant.length, purpose, self.pending.into());
                }
            }
            Message::Register(register) if control.destination == self.address => {
                self.heard = at;
                self.answered(&register);
            }
            _ => {}
        }
    }

    /// A discovery window: asks in it, or lets it pass.
    fn window(&mut self, cx: &mut Cx<'_>, gate: &Gate, at: Time) {
        if self.id().is_some() {
            if at.since(self.heard) <= TIMEOUT {
                return;
            }
            self.leave();
        }
        self.sync = gate.discovery.unwrap_or(0);
        if self.phase == Phase::Asking {
            self.failures = (self.failures + 1).min(MOST_DOUBLINGS);
            self.skip = (cx.random() % (1 << self.failures)) as u8;
            self.phase = Phase::Silent;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let needed = self.laser_on + span(self.sync) + occupied(LENGTH) + self.laser_off;
        for grant in gate.grants() {
            if let Some(slot) =
                self.schedule.add(grant.start, grant.length, Purpose::Ask, self.pending.into())
                && let Some(spread) = slot.length().checked_sub(needed)
            {
                slot.on += Duration::from_nanos(cx.random() % (spread.as_nanos() as u64 + 1));
                slot.off = slot.on + needed;
                return;
            }
        }
    }

    /// The OLT's answer to a request, or its wish to end the registration.
    fn answered(&mut self, register: &Register) {
        match register.verdict {
            Verdict::Ack => {
                self.leave();
                self.phase = Phase::Confirming(register.port & Llid::ALL);
                self.sync = register.sync;
                self.failures = 0;
            }
            Verdict::Deregister | Verdict::Reregister => self.leave(),
            // It was refused: the next window makes it a failure.
            Verdict::Nack => {}
        }
    }

    /// Does what is due, and waits for what comes next.
    fn run(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        while self.arriving.front().is_some_and(|(end, _)| *end <= now)
            && let Some((_, packet)) = self.arriving.pop_front()
        {
            cx.emit(0, packet);
        }
        loop {
            match self.burst {
                Some(burst) if burst.at <= now => self.send(cx, burst),
                Some(_) => break,
                None => match self.schedule.take(now) {
                    Some(slot) => {
                        self.burst = Some(Burst { slot, at: slot.on + self.laser_on + span(self.sync) });
                    }
                    None => break,
                },
            }
        }
        let sending = self.burst.map(|burst| burst.at).or(self.schedule.next());
        let arriving = self.arriving.front().map(|(end, _)| *end);
        match sending.into_iter().chain(arriving).min() {
            Some(next) => cx.set_timer(next),
            None => cx.clear_timer(),
        }
    }

    /// Sends the next frame of a burst, or ends it.
    fn send(&mut self, cx: &mut Cx<'_>, burst: Burst) {
        self.burst = None;
        let room = burst.slot.off.since(burst.at + self.laser_off);
        match (burst.slot.purpose, self.phase) {
            (Purpose::Ask, Phase::Silent) if room >= shining(LENGTH) => {
                self.phase = Phase::Asking;
                self.requests += 1;
                let request = RegisterRequest { leave: false, pending: self.pending };
                self.control(cx, burst, Llid::UNREGISTERED, Message::RegisterRequest(request));
            }
            (Purpose::Send { .. }, Phase::Confirming(id)) if room >= shining(LENGTH) => {
                self.phase = Phase::Registered(id);
                self.registrations += 1;
                let ack = RegisterAck { accepted: true, port: id, sync: self.sync };
                self.control(cx, burst, Llid::unicast(id), Message::RegisterAck(ack));
            }
            (Purpose::Send { report }, Phase::Registered(id)) => {
                let kept = if report { occupied(LENGTH) } else { Duration::ZERO };
                let next = room.checked_sub(kept).and_then(|room| self.queues.take(room));
                if let Some((class, came, frame)) = next {
                    let length = frame.len();
                    self.queues.sent(class, (burst.at + shining(length)).since(came));
                    self.count += 1;
                    self.transmit(cx, burst, Llid::unicast(id), frame);
                    self.burst = Some(Burst { at: burst.at + occupied(length), ..burst });
                    return;
                }
                self.grants += 1;
                if report && room >= kept {
                    let report = self.queues.report();
                    self.control(cx, burst, Llid::unicast(id), Message::Report(report));
                }
            }
            _ => {}
        }
    }

    fn control(&mut self, cx: &mut Cx<'_>, burst: Burst, llid: Llid, message: Message) {
        let control = Control { destination: GROUP_ADDRESS, source: self.address, timestamp: 0, message };
        self.transmit(cx, burst, llid, Packet::from_slice(&control.octets()));
    }

    /// Puts a frame on the fiber at the present time of the burst.
    fn transmit(&mut self, cx: &mut Cx<'_>, burst: Burst, llid: Llid, mut packet: Packet) {
        llid.encapsulate(&mut packet);
        pad(&mut packet);
        stamp(&mut packet, self.schedule.clock(burst.at + TO_ADDRESS));
        packet.anno_mut().timestamp = burst.at;
        packet.anno_mut().first_timestamp = burst.slot.on;
        cx.emit(1, packet);
    }

    fn state_name(&self) -> &'static str {
        match self.phase {
            Phase::Silent => "silent",
            Phase::Asking => "asking",
            Phase::Confirming(_) => "confirming",
            Phase::Registered(_) => "registered",
        }
    }
}

impl Element for Onu {
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            if port == 0 {
                self.receive(cx, packet);
            } else if packet.len() > LONGEST {
                cx.drop(TOO_LONG, packet);
            } else if let Some(packet) = self.queues.offer(port - 1, packet, cx.now()) {
                cx.drop(FULL, packet);
            }
        }
        if port == 0 {
            self.run(cx);
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        self.run(cx);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "state" => Ok(self.state_name().to_owned()),
            "llid" => Ok(self.id().unwrap_or(Llid::ALL).to_string()),
            "requests" => Ok(self.requests.to_string()),
            "registrations" => Ok(self.registrations.to_string()),
            "grants" => Ok(self.grants.to_string()),
            "missed" => Ok(self.schedule.missed.to_string()),
            "count" => Ok(self.count.to_string()),
            "queues" => Ok(self.queues.show()),
            "delays" => Ok(self.queues.show_delays()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset_delays" => self.queues.reset_delays(),
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn crate::state::Stateful> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
