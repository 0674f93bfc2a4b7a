//! The frames of multipoint control (IEEE 802.3, 64.3.6): MAC control frames of 64 octets, check sequence included.
//!
//! Read once, at the element that acts on them, into types that hold only what the standard allows.

use crate::config::EtherAddr;
use crate::element::Packet;

use super::line::{Llid, PREAMBLE};

/// Octets of a control frame without its check sequence.
pub(super) const LENGTH: usize = 60;
/// Where control frames go, but for REGISTER (31B.1).
pub(super) const GROUP_ADDRESS: EtherAddr = EtherAddr([0x01, 0x80, 0xc2, 0, 0, 1]);
/// The Ethernet type of MAC control (31.4.1.3).
const ETHERTYPE: [u8; 2] = [0x88, 0x08];
/// Most grants of a GATE.
const MOST_GRANTS: usize = 4;
/// Queues that a REPORT can speak of.
pub(super) const QUEUES: usize = 8;

/// A control frame that means nothing.
pub(super) const MALFORMED: &str = "malformed control frame";

/// A control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) destination: EtherAddr,
    pub(super) source: EtherAddr,
    /// The sender's clock when the destination address left it, in quanta.
    pub(super) timestamp: u32,
    pub(super) message: Message,
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Gate(Gate),
    Report(Report),
    RegisterRequest(RegisterRequest),
    Register(Register),
    RegisterAck(RegisterAck),
}

/// When an ONU may send (64.3.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Gate {
    /// For ONUs that have no identifier, and how long the OLT needs to lock on to a burst, in quanta.
    pub(super) discovery: Option<u16>,
    grants: [Grant; MOST_GRANTS],
    count: usize,
}

/// A time in which to send: with the laser's going on and off, in quanta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Grant {
    /// When the laser goes on, by the clock of the ONU.
    pub(super) start: u32,
    /// Until the laser is off.
    pub(super) length: u16,
    /// Whether a REPORT is due.
    pub(super) report: bool,
}

/// How much waits in an ONU (64.3.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Report {
    /// Quanta by queue, with preambles and gaps. `None` for queues it does not speak of.
    pub(super) queues: [Option<u16>; QUEUES],
}

/// An ONU wants to join, or leaves (64.3.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RegisterRequest {
    /// It leaves.
    pub(super) leave: bool,
    /// Grants that it can keep.
    pub(super) pending: u8,
}

/// The OLT's answer (64.3.6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register {
    /// The identifier that it is about.
    pub(super) port: u16,
    pub(super) verdict: Verdict,
    /// How long the OLT needs to lock on to a burst, in quanta.
    pub(super) sync: u16,
    /// The pending grants of the request.
    pub(super) pending: u8,
}

/// What the OLT decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Reregister = 1,
    Deregister = 2,
    Ack = 3,
    Nack = 4,
}

/// The ONU has taken its identifier, or not (64.3.6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RegisterAck {
    pub(super) accepted: bool,
    pub(super) port: u16,
    pub(super) sync: u16,
}

const DISCOVERY: u8 = 1 << 3;

impl Gate {
    /// One grant to one ONU.
    pub(super) fn to_one(grant: Grant) -> Self {
        let mut gate = Self { count: 1, ..Self::default() };
        gate.grants[0] = grant;
        gate
    }

    /// A window for ONUs without identifier.
    pub(super) fn window(start: u32, length: u16, sync: u16) -> Self {
        Self { discovery: Some(sync), ..Self::to_one(Grant { start, length, report: false }) }
    }

    pub(super) fn grants(&self) -> &[Grant] {
        &self.grants[..self.count]
    }

    pub(super) fn grants_mut(&mut self) -> &mut [Grant] {
        &mut self.grants[..self.count]
    }

    fn parse(octets: &mut Octets<'_>) -> Option<Self> {
        let flags = octets.u8()?;
        let count = usize::from(flags & 7);
        let mut gate = Self { count, ..Self::default() };
        for (at, grant) in gate.grants.get_mut(..count)?.iter_mut().enumerate() {
            *grant = Grant { start: octets.u32()?, length: octets.u16()?, report: flags & (0x10 << at) != 0 };
        }
        if flags & DISCOVERY != 0 {
            gate.discovery = Some(octets.u16()?);
        }
        Some(gate)
    }

    fn put(&self, out: &mut Out) {
        let reports = self.grants().iter().enumerate().filter(|(_, grant)| grant.report);
        let flags = reports.fold(0, |flags, (at, _)| flags | 0x10 << at);
        out.u8(self.count as u8 | flags | if self.discovery.is_some() { DISCOVERY } else { 0 });
        for grant in self.grants() {
            out.u32(grant.start);
            out.u16(grant.length);
        }
        if let Some(sync) = self.discovery {
            out.u16(sync);
        }
    }
}

impl Report {
    /// Of several sets, which differ in the thresholds up to which they count, the last one is the whole queue.
    fn parse(octets: &mut Octets<'_>) -> Option<Self> {
        let mut report = Self::default();
        for _ in 0..octets.u8()? {
            let bitmap = octets.u8()?;
            for (at, queue) in report.queues.iter_mut().enumerate() {
                *queue = if bitmap & (1 << at) != 0 { Some(octets.u16()?) } else { None };
            }
        }
        Some(report)
    }

    fn put(&self, out: &mut Out) {
        out.u8(1);
        let known = || self.queues.iter().enumerate().filter_map(|(at, queue)| Some((at, (*queue)?)));
        out.u8(known().fold(0, |bitmap, (at, _)| bitmap | 1 << at));
        for (_, quanta) in known() {
            out.u16(quanta);
        }
    }
}

impl Control {
    /// Whether a frame is one of MAC control, right or wrong.
    pub(super) fn is_control(frame: &[u8]) -> bool {
        frame.get(12..14) == Some(&ETHERTYPE)
    }

    /// Reads a frame. `None` if it is no frame of multipoint control.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let mut octets = Octets(frame);
        let (destination, source) = (octets.address()?, octets.address()?);
        if *octets.take::<2>()? != ETHERTYPE {
            return None;
        }
        let opcode = octets.u16()?;
        let timestamp = octets.u32()?;
        let message = match opcode {
            2 => Message::Gate(Gate::parse(&mut octets)?),
            3 => Message::Report(Report::parse(&mut octets)?),
            4 => Message::RegisterRequest(RegisterRequest {
                leave: match octets.u8()? {
                    1 => false,
                    3 => true,
                    _ => return None,
                },
                pending: octets.u8()?,
            }),
            5 => Message::Register(Register {
                port: octets.u16()?,
                verdict: match octets.u8()? {
                    1 => Verdict::Reregister,
                    2 => Verdict::Deregister,
                    3 => Verdict::Ack,
                    4 => Verdict::Nack,
                    _ => return None,
                },
                sync: octets.u16()?,
                pending: octets.u8()?,
            }),
            6 => Message::RegisterAck(RegisterAck {
                accepted: octets.u8()? == 1,
                port: octets.u16()?,
                sync: octets.u16()?,
            }),
            _ => return None,
        };
        Some(Self { destination, source, timestamp, message })
    }

    fn opcode(&self) -> u16 {
        match self.message {
            Message::Gate(_) => 2,
            Message::Report(_) => 3,
            Message::RegisterRequest(_) => 4,
            Message::Register(_) => 5,
            Message::RegisterAck(_) => 6,
        }
    }

    /// The frame, padded.
    pub(super) fn octets(&self) -> [u8; LENGTH] {
        let mut out = Out { octets: [0; LENGTH], at: 0 };
        out.raw(&self.destination.0);
        out.raw(&self.source.0);
        out.raw(&ETHERTYPE);
        out.u16(self.opcode());
        out.u32(self.timestamp);
        match &self.message {
            Message::Gate(gate) => gate.put(&mut out),
            Message::Report(report) => report.put(&mut out),
            Message::RegisterRequest(request) => {
                out.u8(if request.leave { 3 } else { 1 });
                out.u8(request.pending);
            }
            Message::Register(register) => {
                out.u16(register.port);
                out.u8(register.verdict as u8);
                out.u16(register.sync);
                out.u8(register.pending);
            }
            Message::RegisterAck(ack) => {
                out.u8(ack.accepted.into());
                out.u16(ack.port);
                out.u16(ack.sync);
            }
        }
        out.octets
    }

    /// The frame as a packet on a link.
    pub(super) fn packet(&self, llid: Llid) -> Packet {
        let mut packet = Packet::from_slice(&self.octets());
        llid.encapsulate(&mut packet);
        packet
    }
}

/// Sets the time stamp of a packet on the line, if it is a control frame: the last thing before it leaves (64.3.4).
pub(super) fn stamp(packet: &mut Packet, clock: u32) {
    let data = packet.data_mut();
    if data.get(PREAMBLE..).is_some_and(Control::is_control)
        && let Some(stamp) = data.get_mut(PREAMBLE + 16..PREAMBLE + 20)
    {
        stamp.copy_from_slice(&clock.to_be_bytes());
    }
}

/// A frame being read.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(first)
    }

    fn address(&mut self) -> Option<EtherAddr> {
        self.take().copied().map(EtherAddr)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[octet]| *octet)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().copied().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().copied().map(u32::from_be_bytes)
    }
}

/// A frame being written. The longest message, a GATE of four grants with a synchronisation time, takes 47 octets.
struct Out {
    octets: [u8; LENGTH],
    at: usize,
}

impl Out {
    fn raw(&mut self, octets: &[u8]) {
        if let Some(space) = self.octets.get_mut(self.at..self.at + octets.len()) {
            space.copy_from_slice(octets);
        }
        self.at += octets.len();
    }

    fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLT: EtherAddr = EtherAddr([2, 0, 0, 0, 0, 1]);
    const ONU: EtherAddr = EtherAddr([2, 0, 0, 0, 1, 1]);

    fn messages() -> Vec<Message> {
        let grant = |start, report| Grant { start, length: 1000, report };
        let full = Gate {
            grants: [grant(1, true), grant(2, false), grant(u32::MAX, true), grant(4, true)],
            count: 4,
            discovery: Some(25),
        };
        let mut report = Report::default();
        report.queues[0] = Some(0x0102);
        report.queues[7] = Some(0xffff);
        vec![
            Message::Gate(full),
            Message::Gate(Gate::window(7, 3125, 25)),
            Message::Gate(Gate::default()),
            Message::Report(report),
            Message::Report(Report::default()),
            Message::RegisterRequest(RegisterRequest { leave: false, pending: 4 }),
            Message::RegisterRequest(RegisterRequest { leave: true, pending: 0 }),
            Message::Register(Register { port: 9, verdict: Verdict::Ack, sync: 25, pending: 4 }),
            Message::Register(Register { port: 9, verdict: Verdict::Deregister, sync: 0, pending: 0 }),
            Message::RegisterAck(RegisterAck { accepted: true, port: 9, sync: 25 }),
        ]
    }

    #[test]
    fn what_is_written_is_read_back() {
        for message in messages() {
            let control = Control { destination: GROUP_ADDRESS, source: OLT, timestamp: 77, message };
            assert_eq!(Control::parse(&control.octets()), Some(control));
        }
    }

    /// The octets of 64.3.6, field by field; tshark reads the same frames in `tests/epon.rs`.
    #[test]
    fn the_fields_are_where_the_standard_has_them() {
        let frame = |message| Control { destination: ONU, source: OLT, timestamp: 0x0102_0304, message };
        let gate = frame(Message::Gate(Gate::window(0x0a0b_0c0d, 0x1122, 0x3344))).octets();
        assert_eq!(gate[..6], ONU.0);
        assert_eq!(gate[6..12], OLT.0);
        assert_eq!(gate[12..20], [0x88, 0x08, 0, 2, 1, 2, 3, 4]);
        assert_eq!(gate[20..30], [0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x11, 0x22, 0x33, 0x44, 0]);
        let grant = Grant { start: 1, length: 2, report: true };
        assert_eq!(frame(Message::Gate(Gate::to_one(grant))).octets()[20..27], [0x11, 0, 0, 0, 1, 0, 2]);
        let mut report = Report::default();
        (report.queues[0], report.queues[2]) = (Some(5), Some(6));
        let report = frame(Message::Report(report)).octets();
        assert_eq!(report[14..16], [0, 3]);
        assert_eq!(report[20..27], [1, 0b0000_0101, 0, 5, 0, 6, 0]);
    }

    #[test]
    fn what_is_cut_short_or_says_nonsense_is_no_control_frame() {
        let control = |message| Control { destination: OLT, source: ONU, timestamp: 1, message };
        for message in messages() {
            let octets = control(message).octets();
            let used = (0..LENGTH).find(|&length| Control::parse(&octets[..length]).is_some()).unwrap();
            assert!(used >= 21, "{message:?} takes {used} octets");
        }
        let mut gate = control(Message::Gate(Gate::default())).octets();
        gate[20] = 5; // five grants
        assert_eq!(Control::parse(&gate), None);
        gate[15] = 1; // PAUSE
        assert_eq!(Control::parse(&gate), None);
        assert!(Control::is_control(&gate));
        let mut request = control(messages()[5]).octets();
        request[20] = 2;
        assert_eq!(Control::parse(&request), None);
        request[12] = 0x08;
        assert!(!Control::is_control(&request));
    }
}
