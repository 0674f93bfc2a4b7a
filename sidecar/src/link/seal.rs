//! Records: how the frames of a link between nodes are sealed.
//!
//! A record is a four-byte length (of what follows the head), a one-byte kind, the bytes, and a tag of 16 bytes. A
//! *sealed* record holds a piece of the stream, encrypted and authenticated with AES-128-GCM. A *clear* record holds one
//! data frame whose header is authenticated and whose packets are as they are. Each direction has its own key, and the
//! number of a record is its nonce: it is never sent and never repeats, so a record that is altered, repeated, left out
//! or put in by somebody else does not open, and the link ends. After [`RECORDS_PER_KEY`] records both ends go on to the
//! next key by themselves.

use bytes::{Buf, BufMut, BytesMut};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use super::frame::{DATA_HEADER, Data};

/// Bytes before the content of a record.
const HEAD: usize = 5;
/// Bytes of a tag.
const TAG: usize = 16;
/// Most bytes of content: a data frame with the largest batch fits.
const MAX_CONTENT: usize = 256 << 10;
const MAX_RECORD: usize = MAX_CONTENT + TAG;
/// A record is closed when it has this many bytes of content.
const RECORD_BYTES: usize = 16 << 10;
/// Records sealed with one key, far below what AES-GCM allows (RFC 8446, section 5.5).
pub const RECORDS_PER_KEY: u64 = 1 << 20;

const SEALED: u8 = 1;
const CLEAR: u8 = 2;

/// Why a record does not open. The link is closed and dialled anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The length cannot be.
    #[error("record length {0} is outside {TAG}..={MAX_RECORD}")]
    Length(usize),
    /// The kind is not known.
    #[error("record kind {0} is not known; both ends must run versions that fit")]
    Kind(u8),
    /// Altered, repeated, out of order, or from somebody else.
    #[error("a record does not open: it was altered, repeated or left out on the way, or is a stranger's")]
    Broken,
}

/// The keys of one connection.
#[derive(Debug)]
pub struct SessionKeys {
    dialler: Prk,
    listener: Prk,
}

impl SessionKeys {
    /// From the secret that both ends have and what they said in the open.
    pub(super) fn new(secret: &[u8], transcript: &[u8]) -> Self {
        let root = Salt::new(HKDF_SHA256, transcript).extract(secret);
        Self {
            dialler: derive(&root, b"dialler", HKDF_SHA256),
            listener: derive(&root, b"listener", HKDF_SHA256),
        }
    }

    /// The seal and its opener at the dialling end.
    pub fn of_dialler(self) -> (Sealer, Opener) {
        (Sealer(Ratchet::new(self.dialler)), Opener::new(self.listener))
    }

    /// The same at the listening end.
    pub fn of_listener(self) -> (Sealer, Opener) {
        (Sealer(Ratchet::new(self.listener)), Opener::new(self.dialler))
    }

    #[cfg(test)]
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let bytes = |prk: &Prk| {
            let mut bytes = [0; 32];
            prk.expand(&[b"test"], HKDF_SHA256).unwrap().fill(&mut bytes).unwrap();
            bytes
        };
        bytes(&self.dialler) == bytes(&other.dialler)
            && bytes(&self.listener) == bytes(&other.listener)
            && bytes(&self.dialler) != bytes(&self.listener)
    }
}

#[allow(clippy::expect_used)]
fn derive<L: KeyType, K: for<'a> From<ring::hkdf::Okm<'a, L>>>(
    from: &Prk,
    label: &'static [u8],
    kind: L,
) -> K {
    from.expand(&[label], kind).expect("HKDF gives keys of up to 255 hashes").into()
}

/// One direction's key with the number of the next record.
#[derive(Debug)]
struct Ratchet {
    chain: Prk,
    key: LessSafeKey,
    record: u64,
}

impl Ratchet {
    fn new(chain: Prk) -> Self {
        let key: UnboundKey = derive(&chain, b"key", &AES_128_GCM);
        Self { chain, key: LessSafeKey::new(key), record: 0 }
    }

    /// The nonce of the next record, under the key that is current then.
    fn next(&mut self) -> Nonce {
        if self.record == RECORDS_PER_KEY {
            *self = Self::new(derive(&self.chain, b"next", HKDF_SHA256));
        }
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.record.to_be_bytes());
        self.record += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

fn head(kind: u8, content: usize) -> [u8; HEAD] {
    let mut head = [kind; HEAD];
    head[..4].copy_from_slice(&((content + TAG) as u32).to_be_bytes());
    head
}

/// The sealing end of a direction.
#[derive(Debug)]
pub struct Sealer(Ratchet);

impl Sealer {
    /// Seals `out` from `start` on, in place: where the content begins after room for a head.
    ///
    /// Content above [`MAX_CONTENT`] becomes several records.
    fn seal(&mut self, out: &mut BytesMut, start: usize) {
        let content = out.len() - start - HEAD;
        if content <= MAX_CONTENT {
            return self.seal_one(out, start);
        }
        let long = out.split_off(start + HEAD);
        out.truncate(start);
        for piece in long.chunks(MAX_CONTENT) {
            let start = out.len();
            out.put_bytes(0, HEAD);
            out.put_slice(piece);
            self.seal_one(out, start);
        }
    }

    #[allow(clippy::expect_used)]
    fn seal_one(&mut self, out: &mut BytesMut, start: usize) {
        let head = head(SEALED, out.len() - start - HEAD);
        out[start..start + HEAD].copy_from_slice(&head);
        let nonce = self.0.next();
        let content = &mut out[start + HEAD..];
        let tag = self.0.key.seal_in_place_separate_tag(nonce, Aad::from(head), content);
        out.put_slice(tag.expect("a record is shorter than AES-GCM's limit of 64 GiB").as_ref());
    }

    #[allow(clippy::expect_used)]
    fn put_clear(&mut self, data: &Data, out: &mut BytesMut) {
        let (head, header) = (head(CLEAR, DATA_HEADER + data.body.len()), data.header());
        let nonce = self.0.next();
        let tag =
            self.0.key.seal_in_place_separate_tag(nonce, Aad::from(authenticated(&head, &header)), &mut []);
        out.reserve(HEAD + DATA_HEADER + data.body.len() + TAG);
        out.put_slice(&head);
        out.put_slice(&header);
        out.put_slice(&data.body);
        out.put_slice(tag.expect("a header is shorter than AES-GCM's limit").as_ref());
    }
}

fn authenticated(head: &[u8; HEAD], header: &[u8; DATA_HEADER]) -> [u8; HEAD + DATA_HEADER] {
    let mut bytes = [0; HEAD + DATA_HEADER];
    bytes[..HEAD].copy_from_slice(head);
    bytes[HEAD..].copy_from_slice(header);
    bytes
}

/// Puts frames into records at the end of a buffer; the last record stays open for more until it is long enough or
/// [`RecordWriter::close`] is called.
#[derive(Debug)]
pub struct RecordWriter {
    sealer: Sealer,
    seal_packets: bool,
    /// Bytes of the open record at the end of the buffer, its head included; 0: none.
    open: usize,
}

impl RecordWriter {
    /// With clear data frames or without.
    pub fn new(sealer: Sealer, seal_packets: bool) -> Self {
        Self { sealer, seal_packets, open: 0 }
    }

    /// From now on packets are sealed or not.
    pub fn seal_packets(&mut self, seal_packets: bool) {
        self.seal_packets = seal_packets;
    }

    /// Appends a frame of packets.
    pub fn put_data(&mut self, data: &Data, out: &mut BytesMut) {
        if self.seal_packets || DATA_HEADER + data.body.len() > MAX_CONTENT {
            return self.put_sealed(out, |out| data.encode(out));
        }
        self.close(out);
        self.sealer.put_clear(data, out);
    }

    /// Appends what `write` writes, sealed.
    pub fn put_sealed(&mut self, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        let before = out.len();
        if self.open == 0 {
            out.put_bytes(0, HEAD);
        }
        write(out);
        self.open += out.len() - before;
        if self.open >= RECORD_BYTES {
            self.close(out);
        }
    }

    /// Closes the open record: all of `out` can go.
    pub fn close(&mut self, out: &mut BytesMut) {
        let open = std::mem::take(&mut self.open);
        if open > 0 {
            self.sealer.seal(out, out.len() - open);
        }
    }
}

/// The opening end of a direction.
#[derive(Debug)]
pub struct Opener(Ratchet);

impl Opener {
    fn new(chain: Prk) -> Self {
        Self(Ratchet::new(chain))
    }

    /// Opens the first record of `input` and appends its content to `content`; `false` when more bytes are needed.
    pub fn open(&mut self, input: &mut BytesMut, content: &mut BytesMut) -> Result<bool, SealError> {
        let Some(head) = input.first_chunk::<HEAD>().copied() else { return Ok(false) };
        let [a, b, c, d, kind] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(TAG..=MAX_RECORD).contains(&length) {
            return Err(SealError::Length(length));
        }
        if input.len() < HEAD + length {
            return Ok(false);
        }
        input.advance(HEAD);
        let mut record = input.split_to(length);
        let nonce = self.0.next();
        match kind {
            SEALED => {
                let opened = self.0.key.open_in_place(nonce, Aad::from(head), &mut record);
                let length = opened.map_err(|_| SealError::Broken)?.len();
                record.truncate(length);
            }
            CLEAR => {
                let mut tag = record.split_off(length - TAG);
                let header = record.first_chunk::<DATA_HEADER>().ok_or(SealError::Broken)?;
                let known = Aad::from(authenticated(&head, header));
                self.0.key.open_in_place(nonce, known, &mut tag).map_err(|_| SealError::Broken)?;
            }
            other => return Err(SealError::Kind(other)),
        }
        if content.is_empty() {
            *content = record;
        } else {
            content.unsplit(record);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::link::frame::{Ack, Control, Frame};

    /// Writer at the dialler, opener at the listener.
    fn ends(seal_packets: bool) -> (RecordWriter, Opener) {
        let keys = || SessionKeys::new(b"secret", b"transcript");
        (RecordWriter::new(keys().of_dialler().0, seal_packets), keys().of_listener().1)
    }

    fn data(first: u64, body: &'static [u8]) -> Data {
        Data { edge: 1, epoch: 2, first, count: 1, columns: 0, body: Bytes::from_static(body) }
    }

    fn put(writer: &mut RecordWriter, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::Data(data) => writer.put_data(data, out),
            other => writer.put_sealed(out, |out| other.encode(out)),
        }
    }

    fn open_all(opener: &mut Opener, input: &mut BytesMut) -> Result<Vec<Frame>, SealError> {
        let (mut content, mut frames) = (BytesMut::new(), Vec::new());
        while opener.open(input, &mut content)? {
            while let Some(frame) = Frame::decode(&mut content).unwrap() {
                frames.push(frame);
            }
        }
        assert!(content.is_empty());
        Ok(frames)
    }

    fn mixed() -> Vec<Frame> {
        vec![
            Frame::Heartbeat,
            Frame::Data(data(0, b"packet zero")),
            Frame::Data(data(1, b"packet one")),
            Frame::Ack(Ack { edge: 1, accepted: 2, durable: 1 }),
            Frame::Control(Control::Cut { id: "handover".into() }),
            Frame::Final(Bytes::from(vec![7; 3 * MAX_CONTENT])),
            Frame::Data(data(2, b"packet two")),
        ]
    }

    fn sealed(seal_packets: bool) -> (BytesMut, Opener) {
        let (mut writer, opener) = ends(seal_packets);
        let mut out = BytesMut::new();
        mixed().iter().for_each(|frame| put(&mut writer, frame, &mut out));
        writer.close(&mut out);
        (out, opener)
    }

    fn contains(bytes: &[u8], text: &[u8]) -> bool {
        bytes.windows(text.len()).any(|window| window == text)
    }

    #[test]
    fn frames_come_out_as_they_went_in_and_what_is_sealed_cannot_be_read() {
        for seal_packets in [false, true] {
            let (mut wire, mut opener) = sealed(seal_packets);
            assert!(!contains(&wire, b"handover"));
            assert_eq!(contains(&wire, b"packet one"), !seal_packets);
            assert_eq!(open_all(&mut opener, &mut wire), Ok(mixed()));
            assert!(wire.is_empty());
        }
    }

    #[test]
    fn records_open_from_any_split_of_the_stream() {
        let (wire, mut opener) = sealed(false);
        let (mut input, mut content, mut frames) = (BytesMut::new(), BytesMut::new(), Vec::new());
        for piece in wire.chunks(977) {
            input.extend_from_slice(piece);
            while opener.open(&mut input, &mut content).unwrap() {}
            while let Some(frame) = Frame::decode(&mut content).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, mixed());
    }

    #[test]
    fn no_record_opens_twice_late_early_or_at_the_end_that_wrote_it() {
        let (mut writer, mut opener) = ends(false);
        let mut records = Vec::new();
        for first in 0..3 {
            let mut out = BytesMut::new();
            writer.put_data(&data(first, b"p"), &mut out);
            records.push(out);
        }
        assert_eq!(open_all(&mut opener, &mut records[0].clone()).unwrap().len(), 1);
        assert_eq!(open_all(&mut opener, &mut records[0].clone()), Err(SealError::Broken), "twice");
        let (_, mut opener) = ends(false);
        assert_eq!(open_all(&mut opener, &mut records[1].clone()), Err(SealError::Broken), "one left out");
        let mut own = SessionKeys::new(b"secret", b"transcript").of_dialler().1;
        assert_eq!(open_all(&mut own, &mut records[0].clone()), Err(SealError::Broken), "sent back");
        let mut stranger = SessionKeys::new(b"secret", b"another").of_listener().1;
        assert_eq!(
            open_all(&mut stranger, &mut records[0].clone()),
            Err(SealError::Broken),
            "another session"
        );
    }

    #[test]
    fn both_ends_go_on_to_the_next_key_together() {
        let (mut writer, mut opener) = ends(true);
        (writer.sealer.0.record, opener.0.record) = (RECORDS_PER_KEY - 1, RECORDS_PER_KEY - 1);
        let (mut out, mut content) = (BytesMut::new(), BytesMut::new());
        for number in 0..3 {
            writer.put_sealed(&mut out, |out| out.put_u64(number));
            writer.close(&mut out);
            if number == 1 {
                let mut first_key = ends(true).1;
                assert_eq!(first_key.open(&mut out.clone(), &mut content), Err(SealError::Broken));
            }
            assert!(opener.open(&mut out, &mut content).unwrap());
            assert_eq!(content.get_u64(), number);
        }
        assert_eq!((writer.sealer.0.record, opener.0.record), (2, 2));
    }

    proptest! {
        #[test]
        fn a_change_of_anything_but_clear_packets_ends_the_link(at in 0usize..400, bit in 0u8..8) {
            let (mut writer, mut opener) = ends(false);
            let (mut wire, frames) = (BytesMut::new(), [Frame::Heartbeat, Frame::Data(data(0, b"body")), Frame::Heartbeat]);
            frames.iter().for_each(|frame| put(&mut writer, frame, &mut wire));
            writer.close(&mut wire);
            let at = at % wire.len();
            let whole = wire.clone();
            wire[at] ^= 1 << bit;
            let body = whole.windows(4).position(|bytes| bytes == b"body").unwrap();
            let opened = open_all(&mut opener, &mut wire);
            if (body..body + 4).contains(&at) {
                prop_assert_eq!(opened.unwrap().len(), 3);
            } else {
                // A longer length waits for bytes that do not come, until the heartbeats are missed.
                prop_assert!(opened.is_err() || opened.unwrap().len() < 3);
            }
        }

        #[test]
        fn no_bytes_make_the_opener_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..4) {
            let mut input = BytesMut::new();
            input.put_u32(bytes.len() as u32);
            input.put_u8(kind);
            input.extend_from_slice(&bytes);
            let _ = open_all(&mut ends(true).1, &mut input);
        }
    }
}
