//! The pcap file format: a header, then a short header before each packet. Both byte orders, microseconds or
//! nanoseconds. A file is untrusted: lengths are checked before they are used.

use std::io::{self, Read, Write};

use crate::element::{Packet, Time};
use crate::packet::HEADROOM;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Longest packet believed: beyond it, the file is damaged.
const LONGEST: usize = 1 << 18;
const BUFFER: usize = 1 << 20;

/// Link types (https://www.tcpdump.org/linktypes.html).
pub(super) const LINK_ETHER: u32 = 1;
pub(super) const LINK_RAW_IP: u32 = 101;

/// The link type that Click calls `name`.
pub(super) fn link_type(name: &str) -> Option<u32> {
    match name {
        "ETHER" => Some(LINK_ETHER),
        "IP" => Some(LINK_RAW_IP),
        "SLL" => Some(113),
        "PPP" => Some(9),
        "NULL" => Some(0),
        _ => None,
    }
}

/// Click's name for a link type.
pub(super) fn link_name(number: u32) -> String {
    let known = ["ETHER", "IP", "SLL", "PPP", "NULL"].into_iter().find(|n| link_type(n) == Some(number));
    known.map_or_else(|| number.to_string(), str::to_owned)
}

/// Reads packets from a file through one large buffer.
pub(super) struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    /// What is in the buffer and not read yet.
    from: usize,
    to: usize,
    swapped: bool,
    /// Nanoseconds of a unit of the fraction.
    unit: u32,
    pub(super) link: u32,
    /// Bytes of the file read so far.
    pub(super) position: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the file's header. The error is a phrase behind the file's name.
    pub(super) fn new(source: R) -> Result<Self, String> {
        let mut reader = Self {
            source,
            buffer: vec![0; BUFFER],
            from: 0,
            to: 0,
            swapped: false,
            unit: 1,
            link: LINK_ETHER,
            position: 0,
        };
        let Some(header) = reader.take::<24>().map_err(|error| error.to_string())? else {
            return Err("too short for a pcap file".to_owned());
        };
        let magic = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        (reader.swapped, reader.unit) = match (magic, magic.swap_bytes()) {
            (MICROSECONDS, _) => (false, 1000),
            (NANOSECONDS, _) => (false, 1),
            (_, MICROSECONDS) => (true, 1000),
            (_, NANOSECONDS) => (true, 1),
            _ => return Err("not a pcap file (bad magic number)".to_owned()),
        };
        reader.link = reader.number(&header[20..]) & 0x0fff_ffff;
        Ok(reader)
    }

    #[inline]
    fn number(&self, bytes: &[u8]) -> u32 {
        let value = bytes.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
        if self.swapped { value.swap_bytes() } else { value }
    }

    /// Makes at least `count` bytes available; `false` at the end of the file.
    #[inline]
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.to - self.from >= count { Ok(true) } else { self.fill_slowly(count) }
    }

    #[cold]
    fn fill_slowly(&mut self, count: usize) -> io::Result<bool> {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        while self.to < count {
            match self.source.read(&mut self.buffer[self.to..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.to += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        if !self.fill(N)? {
            return Ok(None);
        }
        let taken = self.buffer[self.from..].first_chunk::<N>().copied();
        self.from += N;
        self.position += N as u64;
        Ok(taken)
    }

    /// The next packet; `None` at the end of the file, an error if it is damaged.
    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<Packet>> {
        let Some(header) = self.take::<16>()? else { return Ok(None) };
        let captured = self.number(&header[8..]) as usize;
        let whole = self.number(&header[12..]) as usize;
        if captured > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("packet of {captured} bytes")));
        }
        if !self.fill(captured)? {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "packet is cut short"));
        }
        let bytes = &self.buffer[self.from..self.from + captured];
        let mut packet = Packet::with_headroom(HEADROOM, bytes);
        self.from += captured;
        self.position += captured as u64;
        let (seconds, fraction) = (self.number(&header), self.number(&header[4..]));
        let anno = packet.anno_mut();
        anno.timestamp = Time::from_parts(seconds.into(), fraction.saturating_mul(self.unit));
        anno.extra_length = whole.saturating_sub(captured) as u32;
        Ok(Some(packet))
    }
}

/// Writes the header of a file with nanosecond timestamps or microseconds.
pub(super) fn write_header(out: &mut impl Write, link: u32, snaplen: u32, nano: bool) -> io::Result<()> {
    out.write_all(&(if nano { NANOSECONDS } else { MICROSECONDS }).to_ne_bytes())?;
    out.write_all(&2_u16.to_ne_bytes())?;
    out.write_all(&4_u16.to_ne_bytes())?;
    out.write_all(&[0; 8])?;
    out.write_all(&snaplen.to_ne_bytes())?;
    out.write_all(&link.to_ne_bytes())
}

/// Writes one packet, cut to `snaplen` bytes.
pub(super) fn write_packet(
    out: &mut impl Write,
    packet: &Packet,
    at: Time,
    snaplen: usize,
    nano: bool,
) -> io::Result<()> {
    let data = &packet.data()[..packet.len().min(snaplen)];
    let fraction = if nano { at.subsec_nanos() } else { at.subsec_nanos() / 1000 };
    let whole = packet.len() as u32 + packet.anno().extra_length;
    for number in [at.seconds() as u32, fraction, data.len() as u32, whole] {
        out.write_all(&number.to_ne_bytes())?;
    }
    out.write_all(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(nano: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, LINK_ETHER, 100, nano).unwrap();
        write_packet(&mut out, &Packet::from_slice(b"hello"), Time(3_000_001_000), 100, nano).unwrap();
        write_packet(&mut out, &Packet::from_slice(&[1; 200]), Time(4_000_000_000), 100, nano).unwrap();
        out
    }

    #[test]
    fn what_is_written_is_read_back() {
        for nano in [false, true] {
            let bytes = file(nano);
            let mut reader = Reader::new(&bytes[..]).unwrap();
            let first = reader.next().unwrap().unwrap();
            assert_eq!((first.data(), first.anno().timestamp), (&b"hello"[..], Time(3_000_001_000)));
            let second = reader.next().unwrap().unwrap();
            assert_eq!((second.len(), second.anno().extra_length), (100, 100));
            assert!(reader.next().unwrap().is_none());
        }
    }

    #[test]
    fn a_file_of_the_other_byte_order_is_read() {
        let mut bytes = file(false);
        for word in bytes[..24].chunks_mut(4).chain([]) {
            word.reverse();
        }
        for word in bytes[24..40].chunks_mut(4) {
            word.reverse();
        }
        assert_eq!(Reader::new(&bytes[..]).unwrap().next().unwrap().unwrap().data(), b"hello");
    }

    #[test]
    fn damaged_files_are_errors() {
        assert!(Reader::new(&b"short"[..]).is_err());
        assert!(Reader::new(&[7; 24][..]).is_err());
        let bytes = file(false);
        assert!(Reader::new(&bytes[..43]).unwrap().next().is_err());
        let mut huge = bytes[..24].to_vec();
        huge.extend([0xff; 16]);
        assert!(Reader::new(&huge[..]).unwrap().next().is_err());
    }
}
