//! The binary form of state: big-endian, no padding, lengths before bytes.
//!
//! [`Writer`] only appends. [`Reader`] checks every length, so bytes from Redis or a peer can be wrong in any way
//! without a panic: they give a [`StateError`].

use super::StateError;

/// Appends values to a byte buffer in the form that [`Reader`] reads.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes written, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what was written and keeps the allocation.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// One byte.
    pub fn put_u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Two bytes.
    pub fn put_u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Four bytes.
    pub fn put_u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn put_u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// A byte: 0 or 1.
    pub fn put_bool(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }

    /// Bytes as they are, without a length.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A four-byte length, then the bytes.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u32(bytes.len() as u32);
        self.put_raw(bytes);
    }

    /// A string as length and UTF-8.
    pub fn put_str(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    /// Leaves room for a `u32` that is known only later; give the position to [`Writer::fill_u32`].
    pub fn reserve_u32(&mut self) -> usize {
        let at = self.0.len();
        self.put_u32(0);
        at
    }

    /// Writes a value into room left by [`Writer::reserve_u32`].
    pub fn fill_u32(&mut self, at: usize, value: u32) {
        if let Some(room) = self.0.get_mut(at..at + 4) {
            room.copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// Reads what a [`Writer`] wrote, checking every length.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// `count` bytes as they are.
    pub fn get_raw(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(StateError::Truncated { wanted: count, found: self.rest.len() })?;
        self.rest = rest;
        Ok(head)
    }

    fn get_array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(StateError::Truncated { wanted: N, found: self.rest.len() })?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn get_u8(&mut self) -> Result<u8, StateError> {
        Ok(self.get_array::<1>()?[0])
    }

    /// Two bytes.
    pub fn get_u16(&mut self) -> Result<u16, StateError> {
        Ok(u16::from_be_bytes(self.get_array()?))
    }

    /// Four bytes.
    pub fn get_u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_be_bytes(self.get_array()?))
    }

    /// Eight bytes.
    pub fn get_u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_be_bytes(self.get_array()?))
    }

    /// A byte that must be 0 or 1.
    pub fn get_bool(&mut self) -> Result<bool, StateError> {
        match self.get_u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(StateError::Invalid { what: "boolean", value: u64::from(other) }),
        }
    }

    /// Bytes behind a four-byte length.
    pub fn get_bytes(&mut self) -> Result<&'a [u8], StateError> {
        let count = self.get_u32()? as usize;
        self.get_raw(count)
    }

    /// A string behind a four-byte length.
    pub fn get_str(&mut self) -> Result<&'a str, StateError> {
        std::str::from_utf8(self.get_bytes()?)
            .map_err(|_| StateError::Invalid { what: "UTF-8 text", value: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut w = Writer::new();
        let at = w.reserve_u32();
        w.put_u8(7);
        w.put_u16(0x1234);
        w.put_u64(u64::MAX);
        w.put_bool(true);
        w.put_str("nat");
        w.fill_u32(at, 99);
        let mut r = Reader::new(w.as_bytes());
        assert_eq!(r.get_u32(), Ok(99));
        assert_eq!(r.get_u8(), Ok(7));
        assert_eq!(r.get_u16(), Ok(0x1234));
        assert_eq!(r.get_u64(), Ok(u64::MAX));
        assert_eq!(r.get_bool(), Ok(true));
        assert_eq!(r.get_str(), Ok("nat"));
        assert!(r.is_empty());
    }

    #[test]
    fn short_and_wrong_bytes_are_errors_and_not_panics() {
        assert!(Reader::new(&[0, 0, 0]).get_u32().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]).get_bytes().is_err());
        assert!(Reader::new(&[2]).get_bool().is_err());
        assert!(Reader::new(&[0, 0, 0, 1, 0xff]).get_str().is_err());
    }
}
