//! IPRateMonitor: measures how much traffic comes from and goes to addresses, in networks that are split where rates
//! are high.
//!
//! Rates are kept per first byte of the address at first. Where a rate reaches the threshold, the network is split by
//! the next byte; what has become quiet is folded again, once a second. Memory is counted as Click counts it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::config::Value;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
    Time,
};
use crate::packet::Packet;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;

/// What Click needs for the rates of one network, and for a table of the networks within one.
const COUNTER_BYTES: usize = 40;
const TABLE_BYTES: usize = 2080;
/// No less than this may be given as limit, in kilobytes.
const LEAST_MEMORY: u64 = 100;
/// What "no limit" means here: forged addresses must not use up the memory of the machine.
const NO_LIMIT: usize = 64 << 20;
/// Averages move by 1/32 each period, and are kept in 1/1024.
const STABILITY_SHIFT: u32 = 5;
const SCALE: u32 = 10;
/// Periods a second: one is 8 ms.
const FREQUENCY: u64 = 125;
const PERIOD_NANOS: u64 = 8_000_000;
const LAST_LEVEL: u8 = 3;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPRateMonitor",
    summary: "measures coming and going IP traffic rates",
    ports: "1-2/1-2",
    args: &[
        Arg::required("TYPE", "PACKETS or BYTES", "what is counted"),
        Arg::required("RATIO", "0-1", "the part of the packets that is looked at"),
        Arg::required("THRESH", "integer", "rate from which on a network is split, as if RATIO were 1"),
        Arg::optional("MEMORY", "unsigned", "0", "most memory, in kilobytes; 0 for no limit"),
        Arg::optional("ANNO", "bool", "true", "taken for Click's sake: no element reads these annotations"),
    ],
    reads: Annotations::NETWORK_HEADER,
    handlers: &[
        Handler::read("look", "periods since the reset; network, rate from it and rate to it, a line each"),
        Handler::read("thresh", "rate from which on a network is split"),
        Handler::read("mem", "bytes of memory counted"),
        Handler::both("memmax", "most memory, read in bytes and written in kilobytes"),
        Handler::write("anno_level", "IP LEVEL SECONDS: do not split this network for a while"),
        Handler::write("reset", "forgets all rates"),
    ],
    state: StateKind::Small,
    details: "Input 0 counts for the source address, input 1 for the destination address; each has its output. \
              Rates are kept per first byte of the address at first. Where a rate reaches the threshold, the \
              network is split by the next byte; what has become quiet is folded again, once a second. A period \
              is 8 ms; memory is counted as Click counts it.",
    example: r#"
        RatedSource(DATA \<01 02>, RATE 125, LIMIT 240, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> UDPIPEncap(1.0.0.1, 1000, 2.0.0.2, 53) -> m :: IPRateMonitor(PACKETS, 1, 25);
        r[1] -> UDPIPEncap(1.0.0.9, 2000, 2.0.0.2, 53) -> m;
        r[2] -> UDPIPEncap(2.0.0.2, 53, 1.0.0.1, 1000) -> [1]m;
        m[0] -> Discard;
        m[1] -> Discard;
        DriverManager(wait 0.8s, print $(m.look), write m.anno_level 1.0.0.0 2 60, wait_stop,
                      print $(m.look), print "$(m.mem) bytes");
    "#,
    build,
    ..Descriptor::BASE
};

fn period(now: Time) -> u64 {
    now.0 / PERIOD_NANOS
}

/// The rates of one network: from it, to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Rates {
    averages: [u32; 2],
    /// What was counted in the present period.
    totals: [u32; 2],
    period: u64,
}

fn average(old: u32, total: u32) -> u32 {
    let (old, new) = (i64::from(old), i64::from(total) << SCALE);
    let rounded = old + ((new - old + (1 << (STABILITY_SHIFT - 1))) >> STABILITY_SHIFT);
    u32::try_from(rounded.max(0)).unwrap_or(u32::MAX)
}

impl Rates {
    fn advance(&mut self, now: u64) {
        if now <= self.period {
            return;
        }
        for (average_of, total) in self.averages.iter_mut().zip(&mut self.totals) {
            *average_of = average(*average_of, std::mem::take(total));
            let mut silent = now - self.period - 1;
            // After about 700 silent periods nothing is left of any rate.
            while silent > 0 && *average_of > 0 && silent < 1 << 12 {
                let next = average(*average_of, 0);
                if next == *average_of {
                    break;
                }
                *average_of = next;
                silent -= 1;
            }
            if silent >= 1 << 12 {
                *average_of = 0;
            }
        }
        self.period = now;
    }

    fn count(&mut self, now: u64, direction: usize, amount: u32) {
        self.advance(now);
        self.totals[direction] = self.totals[direction].saturating_add(amount);
    }

    /// A rate in 1/1024 a second.
    fn scaled(&self, direction: usize) -> u64 {
        u64::from(self.averages[direction]) * FREQUENCY
    }

    fn reaches(&self, threshold: i64) -> bool {
        let rate = |direction| i64::try_from(self.scaled(direction) >> SCALE).unwrap_or(i64::MAX);
        rate(0) >= threshold || rate(1) >= threshold
    }

    /// Whether it is quiet enough to be folded: clearly below the threshold, as Click compares it.
    fn is_quiet(&self, threshold: i64) -> bool {
        self.averages.iter().all(|average| i64::from(*average) < threshold)
    }
}

/// A network: the bytes up to its level, and the level.
type Network = (u32, u8);

fn network(address: u32, level: u8) -> Network {
    (address & (u32::MAX << (24 - 8 * u32::from(level.min(LAST_LEVEL)))), level)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Entry {
    rates: Rates,
    split: bool,
    /// Period until which it is not to be split.
    held: u64,
}

struct IpRateMonitor {
    bytes: bool,
    /// Of 65536 packets, how many are looked at.
    ratio: u64,
    threshold: i64,
    /// In bytes; 0 for no limit.
    most_memory: usize,
    /// A network stands right before those within it.
    entries: BTreeMap<Network, Entry>,
    tables: usize,
    reset_at: u64,
    folded_at: u64,
}

fn memory_limit(kilobytes: u64) -> usize {
    let kilobytes = if kilobytes == 0 { 0 } else { kilobytes.max(LEAST_MEMORY) };
    usize::try_from(kilobytes.saturating_mul(1024)).unwrap_or(usize::MAX)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let bytes = match args.need::<String>("TYPE")?.to_ascii_uppercase().as_str() {
        "PACKETS" => false,
        "BYTES" => true,
        _ => return Err("monitor type should be \"PACKETS\" or \"BYTES\"".into()),
    };
    let ratio: f64 = args.need("RATIO")?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err("ratio must be between 0 and 1".into());
    }
    let ratio = (ratio * 65536.0).round() as u64;
    args.or("ANNO", true)?;
    Ok(Box::new(IpRateMonitor {
        bytes,
        ratio,
        threshold: (i64::from(args.need::<i32>("THRESH")?) * ratio as i64) >> 16,
        most_memory: memory_limit(args.or("MEMORY", 0)?),
        entries: BTreeMap::new(),
        tables: 0,
        reset_at: 0,
        folded_at: 0,
    }))
}

impl IpRateMonitor {
    fn memory(&self) -> usize {
        self.entries.len() * COUNTER_BYTES + (self.tables + 1) * TABLE_BYTES
    }

    fn has_room(&self, bytes: usize) -> bool {
        let most = if self.most_memory == 0 { NO_LIMIT } else { self.most_memory };
        self.memory() + bytes <= most
    }

    /// Counts `amount` for all networks that are kept and that the address is in; splits the innermost if need be.
    fn update(&mut self, address: u32, direction: usize, amount: Option<u32>, now: u64) {
        let mut innermost = None;
        for level in 0..=LAST_LEVEL {
            let key = network(address, level);
            if !self.entries.contains_key(&key) && !self.has_room(COUNTER_BYTES) {
                return;
            }
            let entry = self.entries.entry(key).or_default();
            if let Some(amount) = amount {
                entry.rates.count(now, direction, amount);
            }
            innermost = Some((level, *entry));
            if !entry.split {
                break;
            }
        }
        if let Some((level, entry)) = innermost
            && level < LAST_LEVEL
            && entry.held < now.max(1)
            && entry.rates.reaches(self.threshold)
            && self.has_room(COUNTER_BYTES + TABLE_BYTES)
        {
            self.split(address, level, entry.rates);
        }
    }

    fn split(&mut self, address: u32, level: u8, rates: Rates) {
        if let Some(entry) = self.entries.get_mut(&network(address, level)) {
            entry.split = true;
            self.tables += 1;
            self.entries.insert(network(address, level + 1), Entry { rates, ..Entry::default() });
        }
    }

    /// Forgets all networks within this one.
    fn fold(&mut self, key: Network) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.split) else { return };
        entry.split = false;
        let last = key.0 | !(u32::MAX << (24 - 8 * u32::from(key.1.min(LAST_LEVEL))));
        // All that stands between the network and the last address in it is within it.
        let inner = self.entries.range((key.0, key.1 + 1)..=(last, LAST_LEVEL));
        let inner: Vec<_> = inner.map(|(other, entry)| (*other, entry.split)).collect();
        self.tables = self.tables.saturating_sub(1);
        for (other, split) in inner {
            self.tables = self.tables.saturating_sub(usize::from(split));
            self.entries.remove(&other);
        }
    }

    /// Folds quiet networks until the memory is below the limit, from either end.
    fn fold_quiet(&mut self, threshold: i64, now: u64, forward: bool) {
        let most = if self.most_memory == 0 { self.memory() / 10 * 9 } else { self.most_memory };
        let mut split: Vec<_> = self.entries.iter().filter(|(_, e)| e.split).map(|(key, _)| *key).collect();
        if !forward {
            split.reverse();
        }
        for key in split {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.rates.advance(now);
            if entry.rates.is_quiet(threshold) {
                self.fold(key);
                if self.memory() < most {
                    return;
                }
            }
        }
    }

    fn measure(&mut self, cx: &mut Cx<'_>, port: usize, packet: &Packet) {
        let looked_at = cx.random() & 0xffff <= self.ratio;
        let Some((ip, _)) = Ipv4::parse(packet.network()) else { return };
        let amount = if self.bytes { u32::from(ip.length.get()) } else { 1 };
        let address = if port == 0 { ip.source.get() } else { ip.destination.get() };
        let now = period(cx.now());
        self.update(address, port.min(1), looked_at.then_some(amount), now);
        if now.saturating_sub(self.folded_at) >= FREQUENCY {
            self.folded_at = now;
            let forward = cx.random() & 1 == 1;
            self.fold_quiet(self.threshold, now, forward);
        }
    }

    fn look(&mut self, now: u64) -> String {
        let mut text = format!("{}\n", now.saturating_sub(self.reset_at));
        for ((address, level), entry) in &mut self.entries {
            if entry.rates.averages == [0, 0] {
                continue;
            }
            entry.rates.advance(now);
            let bytes = address.to_be_bytes().map(|byte| byte.to_string());
            let name = bytes[..=usize::from((*level).min(LAST_LEVEL))].join(".");
            let tabs = "\t".repeat(usize::from(*level));
            let [from, to] = [0, 1].map(|direction| show_rate(entry.rates.scaled(direction)));
            let _ = writeln!(text, "{tabs}{name}\t{from}\t{to}");
        }
        text
    }

    fn set_memory(&mut self, value: &str, now: u64) -> Result<(), HandlerError> {
        let kilobytes = u64::parse_plain(value);
        let kilobytes = kilobytes.map_err(|_| HandlerError::Refused("not an integer".to_owned()))?;
        self.most_memory = memory_limit(kilobytes);
        let mut threshold = self.threshold.max(1);
        while self.most_memory != 0 && self.memory() > self.most_memory && threshold < i64::from(u32::MAX) * 2
        {
            self.fold_quiet(threshold, now, true);
            threshold += threshold / 5 + 1;
        }
        Ok(())
    }

    /// Keeps the network of an address from being split, from `level` on, for some seconds.
    fn hold(&mut self, value: &str, now: u64) -> Result<(), HandlerError> {
        let refused = |text: &str| HandlerError::Refused(text.to_owned());
        let words: Vec<_> = value.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
        let [address, level, seconds] = words[..] else { return Err(refused("expecting 3 arguments")) };
        let address = Ipv4Addr::parse_plain(address).map_err(|_| refused("not an IP address"))?;
        let level = u8::parse_plain(level).ok().filter(|level| *level <= LAST_LEVEL);
        let level = level.ok_or(refused("2nd argument specifies a level, between 0 and 3, to annotate"))?;
        let seconds = u32::parse_plain(seconds).ok().filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or(refused("3rd argument specifies when this rule expires, must be > 0"))?;
        let key = network(address.into(), level);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.held = now + u64::from(seconds) * FREQUENCY;
        }
        self.fold(key);
        Ok(())
    }
}

/// A rate in 1/1024, with as many decimals as it needs.
fn show_rate(scaled: u64) -> String {
    let text = format!("{:.3}", scaled as f64 / f64::from(1 << SCALE));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Element for IpRateMonitor {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.reset_at = period(cx.now());
        self.folded_at = self.reset_at;
        Ok(())
    }

    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        for packet in batch.iter() {
            self.measure(cx, port, packet);
        }
        cx.leave_by(port);
    }

    fn pull(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch, max: usize) {
        cx.pull(port, batch, max);
        for packet in batch.iter() {
            self.measure(cx, port, packet);
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "look" => Ok(self.look(period(cx.now()))),
            "thresh" => Ok(self.threshold.to_string()),
            "mem" => Ok(self.memory().to_string()),
            "memmax" => Ok(self.most_memory.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let now = period(cx.now());
        match handler {
            "memmax" => self.set_memory(value, now)?,
            "anno_level" => self.hold(value, now)?,
            "reset" => {
                self.entries.clear();
                self.tables = 0;
                self.reset_at = now;
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IpRateMonitor {
    fn schema(&self) -> Schema {
        Schema { name: "ip/rate-monitor", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.reset_at);
        w.put_u64(self.folded_at);
        w.put_u64(self.most_memory as u64);
        w.put_u32(self.entries.len() as u32);
        for ((address, level), entry) in &self.entries {
            w.put_u32(*address);
            w.put_u8(*level);
            for number in entry.rates.averages.into_iter().chain(entry.rates.totals) {
                w.put_u32(number);
            }
            w.put_u64(entry.rates.period);
            w.put_bool(entry.split);
            w.put_u64(entry.held);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.reset_at = r.get_u64()?;
        self.folded_at = r.get_u64()?;
        self.most_memory = usize::try_from(r.get_u64()?).unwrap_or(usize::MAX);
        self.entries.clear();
        self.tables = 0;
        for _ in 0..r.get_u32()? {
            let (address, level) = (r.get_u32()?, r.get_u8()?);
            if level > LAST_LEVEL {
                return Err(StateError::Invalid { what: "level of a network", value: level.into() });
            }
            let mut entry = Entry::default();
            let rates = &mut entry.rates;
            for number in rates.averages.iter_mut().chain(&mut rates.totals) {
                *number = r.get_u32()?;
            }
            rates.period = r.get_u64()?;
            entry.split = r.get_bool()? && level < LAST_LEVEL;
            entry.held = r.get_u64()?;
            if self.entries.insert(network(address, level), entry).is_none() {
                self.tables += usize::from(entry.split);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Bench;
    use crate::wire::ipv4::set_checksum;

    const TEXT: &str =
        "in :: TestIn -> MarkIPHeader -> m :: IPRateMonitor(PACKETS, 1, 100) -> out :: TestOut;
                        back :: TestIn -> MarkIPHeader -> [1]m[1] -> out1 :: TestOut;";

    fn packet(source: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 20, 0, 0, 0, 0, 9, 17, 0, 0];
        bytes.extend(source);
        bytes.extend([10, 0, 2, 9]);
        set_checksum(&mut bytes);
        bytes
    }

    /// A packet each period: 125 a second.
    fn run(bench: &mut Bench, name: &str, source: [u8; 4], periods: u32) {
        for _ in 0..periods {
            bench.push(name, &packet(source));
            bench.now += Duration::from_millis(8);
            bench.pass();
        }
    }

    #[test]
    fn a_rate_is_measured_and_a_busy_network_split() {
        let mut bench = Bench::new(TEXT);
        run(&mut bench, "in", [1, 2, 3, 4], 400);
        assert_eq!(bench.take("out").len(), 400);
        let look = bench.read("m", "look");
        let lines: Vec<_> = look.lines().collect();
        assert_eq!((lines[0], lines.len()), ("400", 5));
        let (name, rate) = lines[4].trim_start().split_once('\t').unwrap();
        assert_eq!((name, lines[4].starts_with("\t\t\t1.2.3.4\t")), ("1.2.3.4", true));
        let rate: f64 = rate.split('\t').next().unwrap().parse().unwrap();
        assert!((120.0..=125.0).contains(&rate), "{rate}");
        bench.router.write_handler("m", "reset", "").unwrap();
        assert_eq!(bench.read("m", "look"), "0\n");
    }

    #[test]
    fn what_comes_by_input_1_is_counted_for_its_destination() {
        let mut bench = Bench::new(TEXT);
        run(&mut bench, "back", [1, 2, 3, 4], 10);
        assert_eq!(bench.take("out1").len(), 10);
        assert!(bench.read("m", "look").contains("\n10\t0\t"), "{}", bench.read("m", "look"));
    }

    #[test]
    fn quiet_networks_are_folded_and_held_ones_not_split() {
        let mut bench = Bench::new(TEXT);
        run(&mut bench, "in", [1, 2, 3, 4], 400);
        bench.router.write_handler("m", "anno_level", "1.2.0.0 1 100").unwrap();
        run(&mut bench, "in", [1, 2, 3, 4], 100);
        assert_eq!(bench.read("m", "mem"), (2 * COUNTER_BYTES + 2 * TABLE_BYTES).to_string());
        bench.now += Duration::from_secs(20);
        bench.pass();
        run(&mut bench, "in", [9, 2, 3, 4], 1);
        assert_eq!(bench.read("m", "mem"), (2 * COUNTER_BYTES + TABLE_BYTES).to_string());
    }

    #[test]
    fn memory_is_bounded() {
        let mut bench = Bench::new(&TEXT.replace("100)", "0, 100)"));
        for n in 0..2000_u32 {
            let [_, _, c, d] = (n * 7919).to_be_bytes();
            bench.push("in", &packet([c, d, c, d]));
        }
        let memory: usize = bench.read("m", "mem").parse().unwrap();
        assert!(memory <= 100 * 1024, "{memory}");
        assert_eq!((bench.read("m", "memmax").as_str(), bench.read("m", "thresh").as_str()), ("102400", "0"));
        bench.router.write_handler("m", "memmax", "200").unwrap();
        assert_eq!(bench.read("m", "memmax"), "204800");
        let refused = bench.router.write_handler("m", "memmax", "x").unwrap_err();
        assert_eq!(refused.to_string(), "not an integer");
        let refused = bench.router.write_handler("m", "anno_level", "1.2.3.4 1").unwrap_err();
        assert_eq!(refused.to_string(), "expecting 3 arguments");
    }

    #[test]
    fn wrong_types_and_ratios_are_refused() {
        let error = |config: &str| Bench::error(&format!("Idle -> IPRateMonitor({config}) -> Discard;"));
        assert!(error("WORDS, 1, 1").contains("monitor type should be \"PACKETS\" or \"BYTES\""));
        assert!(error("BYTES, 2, 1").contains("ratio must be between 0 and 1"));
    }

    #[test]
    fn rates_move() {
        let (mut bench, mut moved) = (Bench::new(TEXT), Bench::new(TEXT));
        run(&mut bench, "in", [1, 2, 3, 4], 400);
        bench.move_to(&mut moved);
        moved.now = bench.now;
        moved.pass();
        assert_eq!(moved.read("m", "look"), bench.read("m", "look"));
        assert_eq!(moved.read("m", "mem"), bench.read("m", "mem"));
    }
}
