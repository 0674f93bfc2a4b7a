//! Neighbours: MAC addresses by IP address, and packets that wait for one.
//!
//! Bounded in entries and in waiting packets; the oldest goes first. Times are nanoseconds given by the caller.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::config::EtherAddr;
use crate::element::Packet;
use crate::state::{Reader, StateError, Writer};
use crate::wire::MacAddress;

/// What is known of one neighbour.
#[derive(Debug, Default)]
struct Neighbour {
    /// `None` while it is only asked for.
    mac: Option<MacAddress>,
    /// When the address was last confirmed.
    confirmed: u64,
    /// When it was last asked for.
    asked: u64,
    waiting: VecDeque<Packet>,
}

/// Limits and times of a cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most packets that wait, over all neighbours.
    pub(super) packets: usize,
    /// Most packets that wait for one neighbour.
    pub(super) packets_of_one: usize,
    /// Most neighbours; 0 for no limit.
    pub(super) entries: usize,
    /// After this time an address is no longer good; 0 for never.
    pub(super) timeout: u64,
    /// After this time a good address is asked for again; 0 for never.
    pub(super) poll: u64,
}

/// Time between two queries for one address.
const QUERY_INTERVAL: u64 = 1_000_000_000;

/// What to do with a packet.
pub(super) enum Answer {
    /// Send it there.
    Known(MacAddress),
    /// Send it there and ask whether the address is still good.
    Poll(MacAddress),
    /// Keep it and ask.
    Ask,
    /// Keep it; the question was asked a moment ago.
    Wait,
}

#[derive(Debug)]
pub(super) struct Cache {
    neighbours: HashMap<u32, Neighbour, RandomState>,
    limits: Limits,
    waiting: usize,
}

impl Cache {
    pub(super) fn new(limits: Limits) -> Self {
        Self { neighbours: HashMap::default(), limits, waiting: 0 }
    }

    /// Takes the neighbours of another cache; the limits stay.
    pub(super) fn take(&mut self, other: &mut Self) {
        self.neighbours = std::mem::take(&mut other.neighbours);
        self.waiting = std::mem::take(&mut other.waiting);
    }

    /// What to do with a packet for `ip`.
    #[inline]
    pub(super) fn ask(&mut self, ip: u32, now: u64) -> Answer {
        if let Some(neighbour) = self.neighbours.get_mut(&ip)
            && let Some(mac) = neighbour.mac
        {
            let age = now.saturating_sub(neighbour.confirmed);
            if self.limits.timeout == 0 || age < self.limits.timeout {
                let poll = self.limits.poll != 0 && age >= self.limits.poll;
                if !poll || now < neighbour.asked.saturating_add(QUERY_INTERVAL) {
                    return Answer::Known(mac);
                }
                neighbour.asked = now;
                return Answer::Poll(mac);
            }
        }
        self.ask_unknown(ip, now)
    }

    fn ask_unknown(&mut self, ip: u32, now: u64) -> Answer {
        self.make_room(ip);
        let neighbour = self.neighbours.entry(ip).or_default();
        neighbour.mac = None;
        if neighbour.asked != 0 && now < neighbour.asked.saturating_add(QUERY_INTERVAL) {
            return Answer::Wait;
        }
        neighbour.asked = now.max(1);
        Answer::Ask
    }

    /// Forgets the neighbour that was heard of longest ago when a new one would be too many.
    fn make_room(&mut self, ip: u32) {
        if self.limits.entries == 0
            || self.neighbours.len() < self.limits.entries
            || self.neighbours.contains_key(&ip)
        {
            return;
        }
        let oldest =
            self.neighbours.iter().min_by_key(|(ip, n)| (n.confirmed.max(n.asked), **ip)).map(|(ip, _)| *ip);
        if let Some(oldest) = oldest {
            self.remove(oldest);
        }
    }

    /// Keeps a packet until `ip` is known; returns the one that has to go for it, if one has.
    pub(super) fn keep(&mut self, ip: u32, packet: Packet) -> Option<Packet> {
        let total_reached = self.waiting >= self.limits.packets;
        let Some(neighbour) = self.neighbours.get_mut(&ip) else { return Some(packet) };
        neighbour.waiting.push_back(packet);
        self.waiting += 1;
        if total_reached || neighbour.waiting.len() > self.limits.packets_of_one {
            self.waiting -= 1;
            return neighbour.waiting.pop_front();
        }
        None
    }

    /// Notes an address; returns the packets that waited for it.
    pub(super) fn learn(&mut self, ip: u32, mac: MacAddress, now: u64) -> VecDeque<Packet> {
        self.make_room(ip);
        let neighbour = self.neighbours.entry(ip).or_default();
        neighbour.mac = Some(mac);
        neighbour.confirmed = now;
        let packets = std::mem::take(&mut neighbour.waiting);
        self.waiting -= packets.len();
        packets
    }

    pub(super) fn remove(&mut self, ip: u32) -> bool {
        let removed = self.neighbours.remove(&ip);
        self.waiting -= removed.as_ref().map_or(0, |n| n.waiting.len());
        removed.is_some()
    }

    pub(super) fn clear(&mut self) {
        self.neighbours.clear();
        self.waiting = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.neighbours.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn sorted(&self) -> Vec<(&u32, &Neighbour)> {
        let mut all: Vec<_> = self.neighbours.iter().collect();
        all.sort_by_key(|(ip, _)| **ip);
        all
    }

    /// Click's table: address, whether it is good, MAC address, age in seconds.
    pub(super) fn show(&self, now: u64) -> String {
        let lines = self.sorted().into_iter().map(|(ip, n)| {
            let mac = EtherAddr(n.mac.unwrap_or_default().0);
            let age = now.saturating_sub(n.confirmed.max(n.asked)) as f64 / 1e9;
            format!("{} {} {mac} {age:.3}\n", Ipv4Addr::from(*ip), u8::from(n.mac.is_some()))
        });
        lines.collect()
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u32(self.neighbours.len() as u32);
        for (ip, neighbour) in self.sorted() {
            w.put_u32(*ip);
            w.put_bool(neighbour.mac.is_some());
            w.put_raw(&neighbour.mac.unwrap_or_default().0);
            w.put_u64(neighbour.confirmed);
            w.put_u64(neighbour.asked);
            w.put_u32(neighbour.waiting.len() as u32);
            for packet in &neighbour.waiting {
                save_packet(packet, w);
            }
        }
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.clear();
        for _ in 0..r.get_u32()? {
            let ip = r.get_u32()?;
            let known = r.get_bool()?;
            let mut mac = MacAddress::default();
            mac.0.copy_from_slice(r.get_raw(6)?);
            let mut neighbour = Neighbour {
                mac: known.then_some(mac),
                confirmed: r.get_u64()?,
                asked: r.get_u64()?,
                waiting: VecDeque::new(),
            };
            for _ in 0..r.get_u32()? {
                neighbour.waiting.push_back(restore_packet(ip, r)?);
            }
            self.waiting += neighbour.waiting.len();
            if let Some(twice) = self.neighbours.insert(ip, neighbour) {
                self.waiting -= twice.waiting.len();
            }
        }
        Ok(())
    }
}

/// A waiting packet: its bytes, where the IP header is, and its paint. Its destination annotation is the neighbour.
fn save_packet(packet: &Packet, w: &mut Writer) {
    w.put_bytes(packet.data());
    w.put_u32(packet.network_offset().and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX));
    w.put_u8(packet.anno().paint);
}

fn restore_packet(ip: u32, r: &mut Reader<'_>) -> Result<Packet, StateError> {
    let mut packet = Packet::from_slice(r.get_bytes()?);
    let network = r.get_u32()?;
    if network != u32::MAX {
        packet.set_network_offset(Some(network as isize));
    }
    packet.anno_mut().paint = r.get_u8()?;
    packet.anno_mut().dst_ip = ip.into();
    Ok(packet)
}
