//! Stand-ins for devices: a FromDevice that plays frames made of the addresses that the text names, and a ToDevice that
//! takes what it gets. The taps before it note what is sent.

use std::cell::RefCell;
use std::time::Duration;

use anf_sidecar::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, Packet};
use anf_sidecar::registry::Registry;

use crate::chance::Chance;

/// Frames that each device plays.
const FRAMES: usize = 150;

thread_local! {
    static TRAFFIC: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Replaces the classes of devices.
pub(crate) fn stand_in(registry: &mut Registry) {
    replace(registry, "FromDevice", |args| {
        let name: String = args.need("DEVNAME")?;
        let first = name.bytes().map(usize::from).sum::<usize>() * 7;
        Ok(Box::new(Player { first, sent: 0 }))
    });
    replace(registry, "ToDevice", |_| Ok(Box::new(Taker)));
}

fn replace(
    registry: &mut Registry,
    class: &str,
    build: fn(&Args<'_>) -> Result<Box<dyn Element>, ConfigError>,
) {
    let Some(real) = registry.descriptor(class) else { return };
    let stand_in = Descriptor {
        class: real.class,
        summary: real.summary,
        ports: real.ports,
        processing: real.processing,
        args: real.args,
        build,
        ..Descriptor::BASE
    };
    registry.add(Box::leak(Box::new(stand_in)));
}

struct Player {
    first: usize,
    sent: usize,
}

impl Element for Player {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.set_timer(cx.now() + Duration::from_micros(1000 + self.first as u64 % 1000));
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let frame =
            TRAFFIC.with_borrow(|frames| frames.get((self.first + self.sent) % frames.len().max(1)).cloned());
        let Some(frame) = frame.filter(|_| self.sent < FRAMES) else { return };
        let mut packet = Packet::from_slice(&frame);
        packet.set_mac_offset(Some(0));
        packet.anno_mut().timestamp = cx.now();
        batch.push(packet);
        self.sent += 1;
        cx.set_timer(cx.now() + Duration::from_micros(1903));
    }
}

struct Taker;

impl Element for Taker {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.input_is_pull(0) {
            cx.schedule();
        }
        Ok(())
    }

    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        batch.clear();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        cx.pull(0, batch, 32);
        let any = !batch.is_empty();
        batch.clear();
        if any {
            cx.schedule();
        }
        any
    }
}

/// Prepares what the devices of a text play: ARP, UDP, TCP and ICMP between the addresses that it names and their
/// neighbours.
pub(crate) fn prepare(text: &str, seed: u64) {
    let mut chance = Chance::new(seed);
    let word = |c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
    let words: Vec<&str> = text.split(word).collect();
    let macs: Vec<[u8; 6]> = words.iter().filter_map(|word| mac(word)).collect();
    let addresses: Vec<[u8; 4]> =
        words.iter().filter_map(|word| word.parse::<std::net::Ipv4Addr>().ok()).map(|a| a.octets()).collect();
    let frames = if macs.is_empty() || addresses.is_empty() {
        Vec::new()
    } else {
        (0..400).map(|_| frame(&mut chance, &macs, &addresses)).collect()
    };
    TRAFFIC.set(frames);
}

fn mac(word: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = word.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

fn address(chance: &mut Chance, addresses: &[[u8; 4]]) -> [u8; 4] {
    let mut address = *chance.of(addresses);
    if chance.one_in(2) {
        address[3] = address[3].wrapping_add(chance.below(20) as u8);
    }
    address
}

fn frame(chance: &mut Chance, macs: &[[u8; 6]], addresses: &[[u8; 4]]) -> Vec<u8> {
    let (to, from) = (*chance.of(macs), [2, 0, 0, 0, 9, chance.below(4) as u8]);
    let (source, destination) = (address(chance, addresses), address(chance, addresses));
    if chance.one_in(5) {
        let answer = chance.one_in(2);
        let mut frame = if answer { to } else { [0xff; 6] }.to_vec();
        frame.extend(from);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, if answer { 2 } else { 1 }]);
        frame.extend(from);
        frame.extend(source);
        frame.extend(to);
        frame.extend(destination);
        frame.resize(60, 0);
        return frame;
    }
    let mut frame = to.to_vec();
    frame.extend(from);
    frame.extend([8, 0]);
    frame.extend(packet(chance, source, destination));
    frame
}

fn packet(chance: &mut Chance, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let protocol = *chance.of(&[17_u8, 6, 1]);
    let body = 24 + chance.below(60);
    let mut packet = vec![0x45, 0];
    packet.extend(((20 + body) as u16).to_be_bytes());
    packet.extend([0, chance.below(256) as u8, 0, 0, 1 + chance.below(64) as u8, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut inner = vec![0; body];
    match protocol {
        1 => {
            inner[0] = *chance.of(&[8, 8, 0, 3]);
            inner[5] = chance.below(3) as u8;
            let sum = checksum(&inner);
            inner[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {
            inner[..4].copy_from_slice(&[9, chance.below(9) as u8, 0, *chance.of(&[53, 80, 22, 7])]);
            if protocol == 17 {
                inner[4..6].copy_from_slice(&(body as u16).to_be_bytes());
            } else {
                (inner[12], inner[13]) = (0x50, *chance.of(&[2, 0x10, 0x11, 4]));
            }
        }
    }
    packet.extend(inner);
    packet
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}
