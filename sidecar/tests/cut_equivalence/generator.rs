//! Random legal graphs: sources of Ethernet frames, then elements that fit to what each open output gives, until all end
//! in sinks. What is at an output is known (push or pull, frame or IP packet), so every text settles and runs.

use std::fmt::Write as _;

use crate::chance::Chance;

/// What an output gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    pull: bool,
    /// Marked IP packets; otherwise Ethernet frames.
    ip: bool,
    /// The Ethernet header is in front of the IP packet.
    stripped: bool,
    /// Its timestamp says when it was here, to the nanosecond: a cut may shift that by a pass.
    stamped: bool,
}

#[derive(Debug, Clone)]
struct Output {
    /// `name` or `name[port]`.
    port: String,
    kind: Kind,
}

/// A graph under way.
pub(crate) struct Generator {
    chance: Chance,
    text: String,
    open: Vec<Output>,
    count: usize,
    has_nat: bool,
    /// Inputs that IP packets may go back to, if their time to live goes down on the way.
    joins: Vec<String>,
    /// Where sinks capture, in a graph that does not look at the clock.
    calm: Option<String>,
}

/// Elements of one random graph, about.
const ELEMENTS: usize = 26;

/// Rates whose instants do not meet: who comes first at one instant is nobody's promise.
const SOURCE_RATES: [u32; 4] = [103, 67, 83, 241];
const QUEUE_RATES: [u32; 5] = [97, 89, 101, 53, 71];

/// A random graph's Click text. `capture` is a file of frames that FromDump can read.
pub(crate) fn text(seed: u64, capture: &str) -> String {
    generate(seed, capture, None)
}

/// A random graph that does not look at the clock and loses nothing, whose sinks capture into `folder`, in files of
/// their names.
pub(crate) fn calm_text(seed: u64, capture: &str, folder: &str) -> String {
    generate(seed, capture, Some(folder.to_owned()))
}

fn generate(seed: u64, capture: &str, calm: Option<String>) -> String {
    let chance = Chance::new(seed);
    let mut graph = Generator {
        chance,
        text: String::new(),
        open: Vec::new(),
        count: 0,
        // Its timer goes on after the last packet.
        has_nat: calm.is_some(),
        joins: Vec::new(),
        calm,
    };
    for _ in 0..1 + graph.chance.below(3) {
        graph.source(capture);
    }
    while graph.count < ELEMENTS && !graph.open.is_empty() {
        graph.grow();
    }
    while let Some(output) = graph.open.pop() {
        graph.sink(&output);
    }
    graph.text
}

impl Generator {
    /// Declares an element; its name.
    fn declare(&mut self, class: &str, config: &str) -> String {
        self.count += 1;
        let name = format!("e{}", self.count);
        let _ = writeln!(self.text, "{name} :: {class}({config});");
        name
    }

    fn connect(&mut self, from: &str, to: &str) {
        let _ = writeln!(self.text, "{from} -> {to};");
    }

    fn give(&mut self, port: impl Into<String>, kind: Kind) {
        self.open.push(Output { port: port.into(), kind });
    }

    /// Puts an element behind an output; its output 0 is open then, with what `change` makes of the kind.
    fn then(
        &mut self,
        from: &Output,
        class: &str,
        config: &str,
        change: impl FnOnce(Kind) -> Kind,
    ) -> String {
        let name = self.declare(class, config);
        self.connect(&from.port, &name);
        self.give(name.clone(), change(from.kind));
        name
    }

    fn source(&mut self, capture: &str) {
        let limit = 5 + self.chance.below(60);
        let data = frame(self.count as u8);
        let kinds: &[usize] = if self.calm.is_some() { &[0, 3] } else { &[0, 1, 2, 3, 4] };
        let config = match *self.chance.of(kinds) {
            0 => {
                let burst = [1, 1, 3, 32, 40][self.chance.below(5)];
                format!("DATA \\<{data}>, LIMIT {limit}, BURST {burst}")
            }
            1 => format!("DATA \\<{data}>, RATE {}, LIMIT {limit}", self.chance.of(&SOURCE_RATES)),
            2 => format!("INTERVAL 0.00{}7, DATA \\<{data}>, LIMIT {limit}", 1 + self.chance.below(9)),
            _ => format!("{capture}, BURST {}", [1, 5, 32][self.chance.below(3)]),
        };
        let class = match config.split(' ').next() {
            Some("INTERVAL") => "TimedSource",
            Some("DATA") if config.contains("RATE") => "RatedSource",
            Some("DATA") => "InfiniteSource",
            _ => "FromDump",
        };
        let name = self.declare(class, &config);
        self.give(name, Kind { pull: false, ip: false, stripped: false, stamped: false });
    }

    fn grow(&mut self) {
        let at = self.chance.below(self.open.len());
        let output = self.open.swap_remove(at);
        match (output.kind.pull, output.kind.ip) {
            (true, _) => self.grow_pull(&output),
            (false, false) => self.grow_frames(&output),
            (false, true) => self.grow_packets(&output),
        }
    }

    /// What can be put behind any output.
    fn grow_any(&mut self, output: &Output) {
        let same = |kind: Kind| kind;
        match self.chance.below(9) {
            0 => drop(self.then(output, "Counter", "", same)),
            1 => drop(self.then(output, "Null", "", same)),
            2 => {
                let config = self.chance.below(4).to_string();
                self.then(output, "Paint", &config, same);
            }
            3 => {
                let label = format!("p{}, MAXLENGTH 60", self.count);
                self.then(output, "Print", &label, same);
            }
            4 => drop(self.then(output, "SetTimestamp", "12345.5", |kind| Kind { stamped: false, ..kind })),
            5 => {
                let color = self.chance.below(3).to_string();
                let name = self.then(output, "CheckPaint", &color, same);
                let push = Kind { pull: false, ..output.kind };
                self.give(format!("{name}[1]"), push);
            }
            6 => {
                // A compound element, to be cut through its middle.
                self.count += 3;
                let name = format!("c{}", self.count);
                let _ = writeln!(
                    self.text,
                    "{name} :: {{ input -> a :: Counter -> b :: Paint({}) -> c :: Null -> output }};",
                    self.chance.below(3)
                );
                self.connect(&output.port, &name);
                self.give(name, output.kind);
            }
            7 => drop(self.then(output, "Truncate", "70", same)),
            _ => drop(self.then(output, "SetVLANAnno", "7", same)),
        }
    }

    /// What can be put behind any push output.
    fn grow_push(&mut self, output: &Output) {
        let kind = output.kind;
        match self.chance.below(8) {
            0 | 1 => {
                let ports = 2 + self.chance.below(2);
                let name = self.declare("Tee", &ports.to_string());
                self.connect(&output.port, &name);
                (0..ports).for_each(|port| self.give(format!("{name}[{port}]"), kind));
            }
            2 => {
                let name = self.declare("PaintSwitch", "");
                self.connect(&output.port, &name);
                (0..3).for_each(|port| self.give(format!("{name}[{port}]"), kind));
            }
            3 => {
                let color = self.chance.below(3).to_string();
                let name = self.then(output, "PaintTee", &color, |kind| kind);
                self.give(format!("{name}[1]"), kind);
            }
            4 => {
                let name = self.declare("RoundRobinSwitch", "");
                self.connect(&output.port, &name);
                (0..2).for_each(|port| self.give(format!("{name}[{port}]"), kind));
            }
            5 => {
                let Some(at) = self.open.iter().position(|other| other.kind == kind) else {
                    return self.grow_any(output);
                };
                let other = self.open.swap_remove(at);
                let name = self.then(output, "Null", "", |kind| kind);
                self.connect(&other.port, &name);
            }
            6 => {
                let class = *self.chance.of(&["Queue", "SimpleQueue", "NotifierQueue"]);
                self.then(output, class, "1000", |kind| Kind { pull: true, ..kind });
            }
            _ if self.calm.is_some() => self.grow_any(output),
            _ => {
                // Small: it may be full. What does not fit is lost or goes on by another output.
                let class = *self.chance.of(&["Queue", "SimpleQueue", "FrontDropQueue", "Queue"]);
                let name = self.then(output, class, "7", |kind| Kind { pull: true, ..kind });
                if self.chance.one_in(3) {
                    self.give(format!("{name}[1]"), kind);
                }
            }
        }
    }

    fn grow_frames(&mut self, output: &Output) {
        let kind = output.kind;
        match self.chance.below(12) {
            0 | 1 | 9 => {
                let strip = self.then(output, "Strip", "14", |kind| kind);
                self.open.pop();
                let check = self.declare("CheckIPHeader", "");
                self.connect(&strip, &check);
                self.give(check, Kind { ip: true, stripped: true, ..kind });
            }
            2 => {
                let name = self.then(output, "CheckIPHeader2", "OFFSET 14", |kind| kind);
                self.give(format!("{name}[1]"), kind);
                if self.chance.one_in(2) {
                    self.open.pop();
                    let drop = self.declare("Discard", "");
                    self.connect(&format!("{name}[1]"), &drop);
                }
            }
            3 => {
                let name = self.declare("Classifier", "12/0800 23/11, 12/0806, -");
                self.connect(&output.port, &name);
                (0..3).for_each(|port| self.give(format!("{name}[{port}]"), kind));
            }
            4 => drop(self.then(output, "EtherMirror", "", |kind| kind)),
            5 => drop(self.then(output, "VLANEncap", "7", |kind| kind)),
            6 => {
                let name = self.then(output, "HostEtherFilter", "02:00:00:00:00:02", |kind| kind);
                self.give(format!("{name}[1]"), kind);
                self.then(&Output { port: format!("{name}[1]"), kind }, "DropBroadcasts", "", |kind| kind);
                let at = self.open.iter().position(|open| open.port == format!("{name}[1]"));
                at.into_iter().for_each(|at| drop(self.open.swap_remove(at)));
            }
            7 => self.grow_any(output),
            8 | 10 => drop(self.then(output, "Queue", "1000", |kind| Kind { pull: true, ..kind })),
            _ => self.grow_push(output),
        }
    }

    fn grow_packets(&mut self, output: &Output) {
        let kind = output.kind;
        let same = |kind: Kind| kind;
        match self.chance.below(18) {
            16 => drop(self.then(output, "Queue", "1000", |kind| Kind { pull: true, ..kind })),
            0 => {
                let name = self.then(output, "DecIPTTL", "", same);
                self.give(format!("{name}[1]"), kind);
                if self.chance.one_in(2) {
                    self.open.pop();
                    let error = self.declare("ICMPError", "10.9.9.9, timeexceeded");
                    self.connect(&format!("{name}[1]"), &error);
                    self.give(error, Kind { stripped: false, stamped: true, ..kind });
                }
            }
            1 => {
                let name = self.declare("IPClassifier", "udp && dst port 7, tcp, icmp, -");
                self.connect(&output.port, &name);
                (0..4).for_each(|port| self.give(format!("{name}[{port}]"), kind));
            }
            2 => drop(self.then(output, "SetIPDSCP", "5", same)),
            3 => drop(self.then(output, "IPMirror", "", same)),
            4 => {
                let config =
                    format!("ip{}, TIMESTAMP false, PAINT true, AGGREGATE true, TTL true", self.count);
                self.then(output, "IPPrint", &config, same);
            }
            5 => {
                let config = "0x0800, 02:00:00:00:00:01, 02:00:00:00:00:02";
                self.then(output, "EtherEncap", config, |kind| Kind { ip: false, stripped: false, ..kind });
            }
            6 => {
                let config = "4, 10.8.0.1, 10.8.0.2";
                self.then(output, "IPEncap", config, |kind| Kind { stripped: false, ..kind });
            }
            7 if kind.stripped => {
                self.then(output, "Unstrip", "14", |kind| Kind { ip: false, stripped: false, ..kind });
            }
            8 => {
                let name =
                    self.declare("StaticIPLookup", "10.0.0.0/25 0, 10.0.0.128/25 10.7.7.7 1, 0.0.0.0/0 2");
                self.connect(&output.port, &name);
                (0..3).for_each(|port| self.give(format!("{name}[{port}]"), kind));
            }
            9 => drop(self.then(output, "GetIPAddress", "16", same)),
            10 => drop(self.then(output, "StoreIPAddress", "16", same)),
            11 => {
                let flows = self.then(output, "AggregateIPFlows", "", same);
                let Some(mut output) = self.open.pop() else { return };
                output.port = flows;
                self.then(&output, "AggregateCounter", "", same);
            }
            12 if !self.has_nat && !kind.pull => {
                self.has_nat = true;
                let name = self.declare("IPRewriter", "pattern 10.5.5.5 2000-9999 - - 0 1, drop");
                self.connect(&output.port, &name);
                let idle = self.declare("Idle", "");
                self.connect(&idle, &format!("[1]{name}"));
                (0..2)
                    .for_each(|port| self.give(format!("{name}[{port}]"), Kind { stripped: false, ..kind }));
            }
            13 => self.back(output),
            14 => {
                let name = self.then(output, "IPFragmenter", "60", |kind| Kind { stripped: false, ..kind });
                self.give(format!("{name}[1]"), kind);
                self.open.pop();
                let drop = self.declare("Discard", "");
                self.connect(&format!("{name}[1]"), &drop);
            }
            15 => self.grow_any(output),
            _ => self.grow_push(output),
        }
    }

    /// A join that packets may come back to, or the way back to one.
    fn back(&mut self, output: &Output) {
        let kind = Kind { stripped: false, stamped: true, ..output.kind };
        if self.joins.is_empty() || self.chance.one_in(2) {
            let name = self.then(output, "Null", "", |_| kind);
            self.joins.push(name);
            return;
        }
        let join = self.chance.of(&self.joins.clone()).clone();
        let ttl = self.declare("DecIPTTL", "MULTICAST true");
        self.connect(&output.port, &ttl);
        if self.chance.one_in(2) {
            let (queue, unqueue) = (self.declare("Queue", "1000"), self.declare("Unqueue", ""));
            self.connect(&ttl, &queue);
            self.connect(&queue, &unqueue);
            self.connect(&unqueue, &join);
        } else {
            self.connect(&ttl, &join);
        }
    }

    fn grow_pull(&mut self, output: &Output) {
        let push = |kind: Kind| Kind { pull: false, ..kind };
        // Those without rates and delays.
        let kinds: &[usize] =
            if self.calm.is_some() { &[0, 6, 8, 11] } else { &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] };
        match *self.chance.of(kinds) {
            0 => {
                let burst = [1, 1, 8, 40][self.chance.below(4)].to_string();
                self.then(output, "Unqueue", &burst, push);
            }
            1 | 2 => {
                let rate = self.chance.of(&QUEUE_RATES).to_string();
                self.then(output, "RatedUnqueue", &rate, push);
            }
            3 => drop(self.then(output, "TimedUnqueue", "0.0131, 3", push)),
            4 => {
                let rate = self.chance.of(&QUEUE_RATES).to_string();
                self.then(output, "Shaper", &rate, |kind| kind);
            }
            5 => {
                drop(self.then(output, "LinkUnqueue", "0.0023, 1Mbps", |kind| Kind {
                    stamped: true,
                    ..push(kind)
                }))
            }
            6 | 7 => {
                let Some(at) = self.open.iter().position(|other| other.kind == output.kind) else {
                    return self.grow_any(output);
                };
                let other = self.open.swap_remove(at);
                let (class, config) =
                    *self.chance.of(&[("RoundRobinSched", ""), ("PrioSched", ""), ("StrideSched", "3, 1")]);
                let name = self.then(output, class, config, |kind| kind);
                self.connect(&other.port, &format!("[1]{name}"));
            }
            8 if output.kind.ip => drop(self.then(output, "SetIPDSCP", "9", |kind| kind)),
            8 => drop(self.then(output, "EtherMirror", "", |kind| kind)),
            9 => drop(self.then(output, "DelayUnqueue", "0.0107", push)),
            _ => self.grow_any(output),
        }
    }

    fn sink(&mut self, output: &Output) {
        if let Some(folder) = self.calm.clone() {
            let from = if output.kind.pull {
                let unqueue = self.declare("Unqueue", "");
                self.connect(&output.port, &unqueue);
                unqueue
            } else {
                output.port.clone()
            };
            self.count += 1;
            let name = format!("sink{}", self.count);
            let _ = writeln!(self.text, "{name} :: ToDump({folder}/{name}.pcap);");
            return self.connect(&from, &name);
        }
        let (class, config) = match (output.kind.pull, self.chance.below(4)) {
            (false, 0) if !output.kind.stamped => ("ToDump", "-, SNAPLEN 100".to_owned()),
            (false, 1) if output.kind.ip => {
                let stamp = !output.kind.stamped;
                let name = self.declare("IPPrint", &format!("sink{}, TIMESTAMP {stamp}", self.count));
                self.connect(&output.port, &name);
                return self.end(&name);
            }
            (_, 2) => {
                let name = self.declare("Print", &format!("sink{}, MAXLENGTH 80", self.count));
                self.connect(&output.port, &name);
                return self.end(&name);
            }
            (true, 0) => ("TimedSink", "0.017".to_owned()),
            _ => ("Discard", String::new()),
        };
        let name = self.declare(class, &config);
        self.connect(&output.port, &name);
    }

    fn end(&mut self, from: &str) {
        let sink = self.declare("Discard", "");
        self.connect(from, &sink);
    }
}

/// A frame with an IP packet in it, in hexadecimal; `number` makes it different from others.
fn frame(number: u8) -> String {
    let bytes = packet(number.wrapping_mul(31));
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// An Ethernet frame; the number decides about protocol, addresses, ports, time to live and length.
pub(crate) fn packet(number: u8) -> Vec<u8> {
    let mut frame =
        vec![2, 0, 0, 0, 0, 1 + number % 3, 2, 0, 0, 0, 0, 9, 8, if number % 13 == 12 { 6 } else { 0 }];
    if number % 17 == 16 {
        frame[..6].fill(0xff);
    }
    let protocol = [17, 17, 6, 1][usize::from(number % 4)];
    let payload = 20 + usize::from(number % 5) * 9;
    let length = (20 + payload) as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, number, 0, 0, 2 + number % 9, protocol, 0, 0, 10, 1, 0, number % 7, 10, 0, 0, number]);
    let sum = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    let mut body = vec![0; payload];
    match protocol {
        1 => body[..8].copy_from_slice(&[8, 0, 0, 0, 0, number % 3, 0, number]),
        _ => body[..4].copy_from_slice(&[9, number % 11, 0, 7 + number % 2]),
    }
    if protocol == 6 {
        body[12] = 0x50;
        body[13] = 2;
    }
    if protocol == 17 {
        body[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
    }
    frame.extend(body);
    frame
}
