//! Neighbours: MAC addresses by IP address, and packets that wait for one.
//!
//! As Click's ARPTable: neighbours are kept in order of the time at which they were last known to live. Those that did
//! not live for the timeout are forgotten, and the oldest ones when there are too many; when too many packets wait, those
//! of the oldest neighbours go. Times are nanoseconds given by the caller.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::element::{Packet, Time};
use crate::state::{Reader, StateError, Writer};
use crate::wire::MacAddress;

/// Place in the order of age: time, then a number that tells neighbours of the same time apart.
type Age = (u64, u64);

/// What is known of one neighbour.
#[derive(Debug)]
struct Neighbour {
    mac: MacAddress,
    /// Whether `mac` is its address; else it is only asked for.
    known: bool,
    age: Age,
    /// When it was last asked for.
    asked: u64,
    /// Questions since it last answered.
    questions: u8,
    waiting: VecDeque<Packet>,
}

impl Neighbour {
    fn new(age: Age) -> Self {
        let asked = age.0.saturating_sub(QUERY_INTERVAL);
        Self { mac: MacAddress::BROADCAST, known: false, age, asked, questions: 0, waiting: VecDeque::new() }
    }

    fn may_ask(&self, now: u64) -> bool {
        let interval = if self.questions >= 10 { 2 * QUERY_INTERVAL } else { QUERY_INTERVAL };
        now >= self.asked.saturating_add(interval)
    }

    fn note_question(&mut self, now: u64) {
        self.asked = now;
        self.questions = self.questions.saturating_add(1);
    }
}

/// Limits and times of a cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most packets that wait, over all neighbours; 0 for no limit.
    pub(super) packets: usize,
    /// Most packets that wait for one neighbour; 0 for no limit.
    pub(super) packets_of_one: usize,
    /// One part in so many of the packets goes when too many wait.
    pub(super) slim_factor: usize,
    /// Most neighbours; 0 for no limit.
    pub(super) entries: usize,
    /// After this time an address is no longer good; 0 for never.
    pub(super) timeout: u64,
}

/// Time between two queries for one address.
const QUERY_INTERVAL: u64 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Cache {
    neighbours: HashMap<u32, Neighbour, RandomState>,
    by_age: BTreeMap<Age, u32>,
    next: u64,
    limits: Limits,
    waiting: usize,
    /// Packets dropped while they waited, or because they could not.
    drops: u64,
}

impl Cache {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            neighbours: HashMap::default(),
            by_age: BTreeMap::new(),
            next: 0,
            limits,
            waiting: 0,
            drops: 0,
        }
    }

    /// Takes the neighbours of another cache; the limits stay.
    pub(super) fn take(&mut self, other: &mut Self) {
        let empty = Self::new(other.limits);
        *self = Self { limits: self.limits, ..std::mem::replace(other, empty) };
    }

    fn is_expired(&self, age: Age, now: u64) -> bool {
        self.limits.timeout != 0 && age.0.saturating_add(self.limits.timeout) < now
    }

    /// The MAC address of `ip` if it is known, and whether to ask for it again: when it is older than `poll`.
    #[inline]
    pub(super) fn find(&mut self, ip: u32, now: u64, poll: u64) -> Option<(MacAddress, bool)> {
        let timeout = self.limits.timeout;
        let neighbour = self.neighbours.get_mut(&ip).filter(|neighbour| neighbour.known)?;
        let age = now.saturating_sub(neighbour.age.0);
        if timeout != 0 && age > timeout {
            return None;
        }
        let ask = poll != 0 && age >= poll && neighbour.may_ask(now);
        if ask {
            neighbour.note_question(now);
        }
        Some((neighbour.mac, ask))
    }

    /// The neighbour of this address, made if need be; at the end of the order if it is new.
    fn ensure(&mut self, ip: u32, now: u64) -> &mut Neighbour {
        if !self.neighbours.contains_key(&ip) {
            // The oldest make room for it.
            if self.limits.entries != 0 && self.neighbours.len() >= self.limits.entries {
                self.forget(now, self.limits.entries - 1);
            }
            let age = self.stamp(now);
            self.by_age.insert(age, ip);
            self.neighbours.insert(ip, Neighbour::new(age));
        }
        self.neighbours.entry(ip).or_insert_with(|| Neighbour::new((now, 0)))
    }

    fn stamp(&mut self, now: u64) -> Age {
        self.next += 1;
        (now, self.next)
    }

    fn touch(&mut self, ip: u32, time: u64) {
        let age = self.stamp(time);
        if let Some(neighbour) = self.neighbours.get_mut(&ip) {
            self.by_age.remove(&neighbour.age);
            self.by_age.insert(age, ip);
            neighbour.age = age;
        }
    }

    /// Keeps a packet until `ip` is known, or drops it if too many wait. Returns whether it is time to ask.
    pub(super) fn keep(&mut self, ip: u32, packet: Packet, now: u64) -> bool {
        let limits = self.limits;
        let neighbour = self.ensure(ip, now);
        let (age, wait_for_it) = (neighbour.age, neighbour.waiting.len());
        // As long as somebody wants to send to it, it does not expire.
        let least = now.saturating_sub(limits.timeout);
        if limits.timeout != 0 && age.0 < least {
            self.touch(ip, least);
        }
        if limits.packets_of_one != 0 && wait_for_it >= limits.packets_of_one {
            self.drops += 1;
            return false;
        }
        self.waiting += 1;
        if limits.packets != 0 && self.waiting > limits.packets {
            self.slim(now);
        }
        let neighbour = self.ensure(ip, now);
        neighbour.waiting.push_back(packet);
        let ask = neighbour.may_ask(now);
        if ask {
            neighbour.note_question(now);
        }
        ask
    }

    /// Forgets what expired, and the oldest until at most `most` are left.
    fn forget(&mut self, now: u64, most: usize) {
        while let Some((&age, &ip)) = self.by_age.first_key_value() {
            if !self.is_expired(age, now) && self.neighbours.len() <= most {
                return;
            }
            self.by_age.remove(&age);
            let waiting = self.neighbours.remove(&ip).map_or(0, |neighbour| neighbour.waiting.len());
            self.waiting -= waiting;
            self.drops += waiting as u64;
        }
    }

    /// Makes room: neighbours that expired or are too many go, and packets of the oldest if too many wait.
    pub(super) fn slim(&mut self, now: u64) {
        let Limits { packets, slim_factor, entries, .. } = self.limits;
        self.forget(now, if entries == 0 { usize::MAX } else { entries });
        if packets == 0 || self.waiting <= packets {
            return;
        }
        // The last packet may not have been added yet.
        let most = (packets - packets / slim_factor.max(1)).max(1);
        for ip in self.by_age.values() {
            let Some(neighbour) = self.neighbours.get_mut(ip) else { continue };
            while self.waiting > most && neighbour.waiting.pop_front().is_some() {
                self.waiting -= 1;
                self.drops += 1;
            }
        }
    }

    /// When to slim again, if neighbours expire.
    pub(super) fn slim_interval(&self) -> Option<u64> {
        (self.limits.timeout != 0).then(|| self.limits.timeout.saturating_add(QUERY_INTERVAL))
    }

    /// Notes an address; that of everybody means that it is no longer known.
    pub(super) fn insert(&mut self, ip: u32, mac: MacAddress, now: u64) {
        let neighbour = self.ensure(ip, now);
        neighbour.mac = mac;
        neighbour.known = mac != MacAddress::BROADCAST;
        neighbour.questions = 0;
        neighbour.asked = now.saturating_sub(QUERY_INTERVAL);
        self.touch(ip, now);
    }

    /// The packets that wait for `ip`, which wait no longer.
    pub(super) fn release(&mut self, ip: u32) -> VecDeque<Packet> {
        let packets =
            self.neighbours.get_mut(&ip).map(|n| std::mem::take(&mut n.waiting)).unwrap_or_default();
        self.waiting -= packets.len();
        packets
    }

    pub(super) fn clear(&mut self) {
        self.drops += self.waiting as u64;
        self.neighbours.clear();
        self.by_age.clear();
        self.waiting = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.neighbours.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn drops(&self) -> u64 {
        self.drops
    }

    /// Neighbours, the oldest first.
    fn in_order(&self) -> impl Iterator<Item = (u32, &Neighbour)> {
        self.by_age.values().filter_map(|ip| Some((*ip, self.neighbours.get(ip)?)))
    }

    /// Click's table: address, whether it is good, MAC address, age in seconds.
    pub(super) fn show(&self, now: u64) -> String {
        let lines = self.in_order().map(|(ip, neighbour)| {
            let good = u8::from(neighbour.known && !self.is_expired(neighbour.age, now));
            // Click measures it in milliseconds.
            let age = now.saturating_sub(neighbour.age.0) / 1_000_000 * 1_000_000;
            format!("{} {good} {} {}\n", Ipv4Addr::from(ip), neighbour.mac, Time(age))
        });
        lines.collect()
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.drops);
        w.put_u32(self.neighbours.len() as u32);
        for (ip, neighbour) in self.in_order() {
            w.put_u32(ip);
            w.put_bool(neighbour.known);
            w.put_raw(&neighbour.mac.0);
            w.put_u64(neighbour.age.0);
            w.put_u64(neighbour.asked);
            w.put_u8(neighbour.questions);
            w.put_u32(neighbour.waiting.len() as u32);
            for packet in &neighbour.waiting {
                packet.save(w);
            }
        }
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let mut cache = Self::new(self.limits);
        cache.drops = r.get_u64()?;
        for _ in 0..r.get_u32()? {
            let ip = r.get_u32()?;
            let known = r.get_bool()?;
            let mut mac = MacAddress::default();
            mac.0.copy_from_slice(r.get_raw(6)?);
            let age = cache.stamp(r.get_u64()?);
            let mut neighbour = Neighbour { mac, known, ..Neighbour::new(age) };
            neighbour.asked = r.get_u64()?;
            neighbour.questions = r.get_u8()?;
            for _ in 0..r.get_u32()? {
                neighbour.waiting.push_back(Packet::restore(r)?);
            }
            cache.waiting += neighbour.waiting.len();
            cache.by_age.insert(age, ip);
            if cache.neighbours.insert(ip, neighbour).is_some() {
                return Err(StateError::Invalid { what: "second neighbour of an address", value: ip.into() });
            }
        }
        *self = cache;
        Ok(())
    }
}
