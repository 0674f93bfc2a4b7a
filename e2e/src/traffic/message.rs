//! The payload of a UDP packet, which the server sends back with its own counts of the flow filled in.
//!
//! 48 bytes in network byte order and a filler that both ends can compute, so that a payload that was altered on the
//! way is noticed. Reading never panics on foreign bytes: what is not ours is `None`.

use super::arrivals::Counts;

/// Bytes without the filler, and so the smallest payload.
pub const HEADER_BYTES: usize = 48;
/// The largest payload that is sent.
pub const MAX_BYTES: usize = 1400;

const MAGIC: u32 = 0x414e_4654;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Counted.
    Data,
    /// Asks whether the path is there; counted nowhere.
    Probe,
}

/// A packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub kind: Kind,
    /// The client's run: a server keeps several apart.
    pub session: u64,
    /// Number of the flow in that run.
    pub flow: u32,
    /// Number of the packet in that flow.
    pub sequence: u32,
    /// When the client sent it, nanoseconds since the Unix epoch.
    pub sent_at: u64,
    /// What the server has counted in that flow, with this packet; zero on the way there.
    pub server: Counts,
}

impl Message {
    /// Writes the message over the whole of `payload`, which holds at least [`HEADER_BYTES`].
    pub fn write(&self, payload: &mut [u8]) {
        let (header, filler) = payload.split_at_mut(HEADER_BYTES);
        header[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        header[4..8].copy_from_slice(&[matches!(self.kind, Kind::Probe) as u8, 0, 0, 0]);
        header[8..16].copy_from_slice(&self.session.to_be_bytes());
        header[16..20].copy_from_slice(&self.flow.to_be_bytes());
        header[20..24].copy_from_slice(&self.sequence.to_be_bytes());
        header[24..32].copy_from_slice(&self.sent_at.to_be_bytes());
        write_counts(header, &self.server);
        for (at, byte) in filler.iter_mut().enumerate() {
            *byte = filler_byte(self.sequence, at);
        }
    }

    /// Reads a payload; `None` if it is not one of ours.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let header = payload.first_chunk::<HEADER_BYTES>()?;
        if u32_at(header, 0) != MAGIC {
            return None;
        }
        let kind = match header[4] {
            0 => Kind::Data,
            1 => Kind::Probe,
            _ => return None,
        };
        Some(Self {
            kind,
            session: u64_at(header, 8),
            flow: u32_at(header, 16),
            sequence: u32_at(header, 20),
            sent_at: u64_at(header, 24),
            server: Counts {
                expected: u32_at(header, 32),
                unique: u32_at(header, 36),
                duplicated: u32_at(header, 40),
                reordered: u32_at(header, 44),
            },
        })
    }

    /// Whether the filler behind the header is what the sender wrote.
    pub fn filler_is_intact(&self, payload: &[u8]) -> bool {
        payload.get(HEADER_BYTES..).is_some_and(|filler| {
            filler.iter().enumerate().all(|(at, &b)| b == filler_byte(self.sequence, at))
        })
    }
}

/// Fills the server's counts into a payload that [`Message::read`] has accepted.
pub fn answer(payload: &mut [u8], counts: &Counts) {
    if payload.len() >= HEADER_BYTES {
        write_counts(payload, counts);
    }
}

fn write_counts(header: &mut [u8], counts: &Counts) {
    header[32..36].copy_from_slice(&counts.expected.to_be_bytes());
    header[36..40].copy_from_slice(&counts.unique.to_be_bytes());
    header[40..44].copy_from_slice(&counts.duplicated.to_be_bytes());
    header[44..48].copy_from_slice(&counts.reordered.to_be_bytes());
}

fn filler_byte(sequence: u32, at: usize) -> u8 {
    (sequence as usize).wrapping_add(at) as u8
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&header[at..at + 4]);
    u32::from_be_bytes(word)
}

fn u64_at(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&header[at..at + 8]);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            kind: Kind::Data,
            session: 7,
            flow: 3,
            sequence: 300,
            sent_at: 99,
            server: Counts::default(),
        }
    }

    #[test]
    fn a_message_reads_back_with_the_counts_that_the_server_filled_in() {
        let mut payload = [0; 64];
        message().write(&mut payload);
        let counts = Counts { expected: 4, unique: 3, duplicated: 2, reordered: 1 };
        answer(&mut payload, &counts);
        let read = Message::read(&payload).unwrap();
        assert_eq!(read, Message { server: counts, ..message() });
        assert!(read.filler_is_intact(&payload));
    }

    #[test]
    fn an_altered_filler_is_noticed() {
        let mut payload = [0; 64];
        message().write(&mut payload);
        payload[63] ^= 1;
        assert!(!Message::read(&payload).unwrap().filler_is_intact(&payload));
    }

    #[test]
    fn foreign_and_short_payloads_are_refused() {
        assert_eq!(Message::read(b""), None);
        assert_eq!(Message::read(&[0; 100]), None);
        let mut payload = [0; HEADER_BYTES];
        message().write(&mut payload);
        assert_eq!(Message::read(&payload[..HEADER_BYTES - 1]), None);
    }
}
