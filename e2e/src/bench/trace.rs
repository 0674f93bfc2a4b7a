//! Captures for the benchmarks: UDP frames of 60 bytes drawn at random from distinct flows.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// The most flows that a trace can have: each has a source address of its own in 10.0.0.0/8.
const MOST_FLOWS: u32 = 1 << 24;

/// The capture of so many flows and packets in `folder`; it is made if it is not there. Every flow comes once, in
/// random order, before packets of any flow follow at random: a table is full after the first `flows` packets.
pub(super) fn trace(folder: &Path, flows: u32, packets: u64) -> Result<PathBuf, Error> {
    let path = folder.join(format!("flows-{flows}-{packets}.pcap"));
    if path.exists() {
        return Ok(path);
    }
    let doing = || Error::io(format!("write {}", path.display()));
    fs::create_dir_all(folder).map_err(doing())?;
    let whole = path.with_extension("part");
    let file = File::create(&whole).map_err(doing())?;
    write(&mut BufWriter::with_capacity(1 << 20, file), flows, packets).map_err(doing())?;
    fs::rename(&whole, &path).map_err(doing())?;
    Ok(path)
}

fn write(out: &mut impl Write, flows: u32, packets: u64) -> io::Result<()> {
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1];
    header.iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))?;
    let mut random = Random(1);
    let mut order: Vec<u32> = (0..flows).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u32 + 1) as usize);
    }
    for packet in 0..packets {
        let flow = order.get(packet as usize).copied().unwrap_or_else(|| random.below(flows));
        let (seconds, microseconds) = (1_700_000_000 + packet / 1_000_000, packet % 1_000_000);
        for word in [seconds as u32, microseconds as u32, 60, 60] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame(flow))?;
    }
    out.flush()
}

/// The frame of a flow, from 10.0.0.0/8 to 100.64.0.0/10.
pub(super) fn frame(flow: u32) -> [u8; 60] {
    let mut random = Random(u64::from(flow) + 1);
    // An odd factor maps the flows one to one to addresses.
    let source = (10 << 24) | (flow.wrapping_mul(0x9e37_79b1) % MOST_FLOWS);
    let destination = (100 << 24) | (64 << 16) | random.below(1 << 22);
    let ports = ((1024 + random.below(64_511)) << 16) | (1 + random.below(65_534));
    let mut frame = [0; 60];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 99, 8, 0]);
    frame[14..26].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame[26..30].copy_from_slice(&source.to_be_bytes());
    frame[30..34].copy_from_slice(&destination.to_be_bytes());
    frame[34..38].copy_from_slice(&ports.to_be_bytes());
    frame[39] = 26;
    let sum = super::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// splitmix64
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `end`.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((((z ^ (z >> 31)) >> 32) * u64::from(end)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_flow_comes_once_before_any_comes_again() {
        let mut file = Vec::new();
        write(&mut file, 50, 120).unwrap();
        assert_eq!(file.len(), 24 + 120 * 76);
        let sources: HashSet<&[u8]> = file[24..].chunks(76).take(50).map(|packet| &packet[42..46]).collect();
        assert_eq!(sources.len(), 50);
    }
}
