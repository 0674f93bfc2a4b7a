//! The pcap file format: a header, then a short header before each packet. Both byte orders, microseconds or
//! nanoseconds. A file is untrusted: lengths are checked before they are used.

use std::io::{self, Write};

use super::file::{FileSource, reason};
use super::link_type;
use crate::element::{Packet, Time};
use crate::packet::HEADROOM;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// A variant whose packet headers have eight bytes more.
const MODIFIED: u32 = 0xa1b2_cd34;
const MAJOR_VERSION: u16 = 2;
/// Longest packet believed: beyond it, the file is damaged. Captures of segments before they are cut have such.
const LONGEST: usize = 1 << 18;

/// What stands before a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Where it begins in the file.
    pub(super) position: u64,
    pub(super) at: Time,
    /// Bytes of the packet, and bytes behind them that do not belong to it.
    captured: usize,
    surplus: usize,
    /// Bytes that the packet had on the wire.
    whole: usize,
}

/// Reads packets from a file.
pub(super) struct Capture {
    pub(super) file: FileSource,
    swapped: bool,
    /// Nanoseconds of a unit of the fraction.
    unit: u32,
    /// Bytes of each header that mean nothing.
    unused: usize,
    minor_version: u16,
    pub(super) link: u32,
}

impl Capture {
    /// Reads the file's header. The error is the file's name and what is wrong.
    pub(super) fn open(name: &str) -> Result<Self, String> {
        let file = FileSource::open(name);
        let shown = super::file::shown_name(name);
        file.and_then(Self::begin).map_err(|problem| format!("{shown}: {problem}"))
    }

    fn begin(mut file: FileSource) -> Result<Self, String> {
        let fill = |file: &mut FileSource, count| file.fill(count).map_err(|error| reason(&error));
        if !fill(&mut file, 1)? {
            return Err("empty file".to_owned());
        }
        if !fill(&mut file, 24)? {
            return Err("not a tcpdump file (too short)".to_owned());
        }
        let range = file.take(24);
        let header = file.at(&range).to_vec();
        let magic = header.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
        let swapped = !matches!(magic, MICROSECONDS | NANOSECONDS | MODIFIED);
        let (unit, unused) = match if swapped { magic.swap_bytes() } else { magic } {
            MICROSECONDS => (1000, 0),
            NANOSECONDS => (1, 0),
            MODIFIED => (1000, 8),
            _ => return Err("not a tcpdump file (bad magic number)".to_owned()),
        };
        let mut capture = Self { file, swapped, unit, unused, minor_version: 0, link: 0 };
        let version = capture.number(&header[4..]);
        // Two halves, the major version first: swapping whole words exchanges them.
        let (major, minor) = match swapped {
            false => (version as u16, (version >> 16) as u16),
            true => ((version >> 16) as u16, version as u16),
        };
        if major != MAJOR_VERSION {
            return Err(format!("unknown major version {major}"));
        }
        capture.minor_version = minor;
        capture.link = link_type::canonical(capture.number(&header[20..]) & 0x0fff_ffff);
        Ok(capture)
    }

    #[inline]
    fn number(&self, bytes: &[u8]) -> u32 {
        let value = bytes.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
        if self.swapped { value.swap_bytes() } else { value }
    }

    /// What stands before the next packet, which has to be taken or skipped; `None` at the end of the file, an error if
    /// it is damaged.
    #[inline]
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        let position = self.file.position();
        let length = 16 + self.unused;
        if !self.file.fill(length)? {
            return Ok(None);
        }
        let range = self.file.take(length);
        let header = self.file.at(&range);
        let (seconds, fraction) = (self.number(header), self.number(&header[4..]));
        let (mut captured, mut whole) =
            (self.number(&header[8..]) as usize, self.number(&header[12..]) as usize);
        // Old programs had the two the other way round.
        if self.minor_version < 3 || (self.minor_version == 3 && captured > whole) {
            (captured, whole) = (whole, captured);
        }
        if captured > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bad packet header; giving up"));
        }
        let surplus = captured.saturating_sub(whole);
        let at = Time::from_parts(seconds.into(), fraction.saturating_mul(self.unit));
        Ok(Some(Head { position, at, captured: captured - surplus, surplus, whole }))
    }

    /// Takes the packet behind `head`.
    #[inline]
    pub(super) fn packet(&mut self, head: Head) -> io::Result<Packet> {
        if !self.file.fill(head.captured + head.surplus)? {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "packet is cut short"));
        }
        let mut packet = Packet::with_headroom(HEADROOM, self.file.bytes(head.captured));
        self.file.take(head.captured + head.surplus);
        packet.set_mac_offset(Some(0));
        let anno = packet.anno_mut();
        anno.timestamp = head.at;
        anno.extra_length = (head.whole - head.captured) as u32;
        Ok(packet)
    }

    /// Goes over the packet behind `head`.
    pub(super) fn skip(&mut self, head: Head) -> io::Result<()> {
        self.file.fill(head.captured + head.surplus)?;
        self.file.take(head.captured + head.surplus);
        Ok(())
    }
}

/// Writes the header of a file with nanosecond timestamps or microseconds.
pub(super) fn write_header(out: &mut impl Write, link: u32, snaplen: u32, nano: bool) -> io::Result<()> {
    out.write_all(&(if nano { NANOSECONDS } else { MICROSECONDS }).to_ne_bytes())?;
    out.write_all(&MAJOR_VERSION.to_ne_bytes())?;
    out.write_all(&4_u16.to_ne_bytes())?;
    out.write_all(&[0; 8])?;
    out.write_all(&snaplen.to_ne_bytes())?;
    out.write_all(&link.to_ne_bytes())
}

/// How packets are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    /// The most bytes of a packet.
    pub(super) snaplen: usize,
    pub(super) nano: bool,
    /// Whether the length of a packet counts what was not captured.
    pub(super) extra_length: bool,
}

/// Writes one packet, cut to the most bytes.
pub(super) fn write_packet(
    out: &mut impl Write,
    packet: &Packet,
    at: Time,
    format: Format,
) -> io::Result<()> {
    let data = &packet.data()[..packet.len().min(format.snaplen)];
    let fraction = if format.nano { at.subsec_nanos() } else { at.subsec_nanos() / 1000 };
    let extra = if format.extra_length { packet.anno().extra_length } else { 0 };
    let whole = (packet.len() as u32).saturating_add(extra);
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
        let format = Format { snaplen: 100, nano, extra_length: true };
        write_header(&mut out, link_type::ETHER, 100, nano).unwrap();
        write_packet(&mut out, &Packet::from_slice(b"hello"), Time(3_000_001_000), format).unwrap();
        write_packet(&mut out, &Packet::from_slice(&[1; 200]), Time(4_000_000_000), format).unwrap();
        out
    }

    fn capture(bytes: &[u8]) -> Result<Capture, String> {
        Capture::begin(FileSource::of_data(bytes.to_vec()))
    }

    fn next(capture: &mut Capture) -> io::Result<Option<Packet>> {
        let head = capture.head()?;
        head.map(|head| capture.packet(head)).transpose()
    }

    #[test]
    fn what_is_written_is_read_back() {
        for nano in [false, true] {
            let mut capture = capture(&file(nano)).unwrap();
            let first = next(&mut capture).unwrap().unwrap();
            assert_eq!((first.data(), first.anno().timestamp), (&b"hello"[..], Time(3_000_001_000)));
            let second = next(&mut capture).unwrap().unwrap();
            assert_eq!((second.len(), second.anno().extra_length), (100, 100));
            assert!(next(&mut capture).unwrap().is_none());
        }
    }

    #[test]
    fn a_file_of_the_other_byte_order_is_read() {
        let mut bytes = file(false);
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        for word in bytes[8..40].chunks_mut(4) {
            word.reverse();
        }
        assert_eq!(next(&mut capture(&bytes).unwrap()).unwrap().unwrap().data(), b"hello");
    }

    #[test]
    fn files_of_other_programs_are_read() {
        let mut modified = file(false);
        modified[..4].copy_from_slice(&MODIFIED.to_le_bytes());
        modified.splice(40..40, [9; 8]);
        assert_eq!(next(&mut capture(&modified).unwrap()).unwrap().unwrap().data(), b"hello");
        // A length that is larger than the packet's own: the rest belongs to nobody.
        let mut longer = file(false);
        longer[36] = 4;
        let mut longer = capture(&longer).unwrap();
        assert_eq!(next(&mut longer).unwrap().unwrap().data(), b"hell");
        assert_eq!(next(&mut longer).unwrap().unwrap().len(), 100);
        let mut old = file(false);
        (old[6], old[36]) = (3, 4);
        assert_eq!(next(&mut capture(&old).unwrap()).unwrap().unwrap().data(), b"hell");
    }

    #[test]
    fn damaged_files_are_errors() {
        let error = |bytes: &[u8]| capture(bytes).err().unwrap();
        assert_eq!(error(b""), "empty file");
        assert_eq!(error(b"short"), "not a tcpdump file (too short)");
        assert_eq!(error(&[7; 24]), "not a tcpdump file (bad magic number)");
        let bytes = file(false);
        let mut version = bytes.clone();
        version[4] = 3;
        assert_eq!(error(&version), "unknown major version 3");
        assert!(next(&mut capture(&bytes[..43]).unwrap()).is_err());
        let mut huge = bytes[..24].to_vec();
        huge.extend([0xff; 16]);
        let problem = next(&mut capture(&huge).unwrap()).unwrap_err();
        assert_eq!(problem.to_string(), "bad packet header; giving up");
    }
}
