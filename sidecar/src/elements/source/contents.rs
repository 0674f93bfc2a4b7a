//! What the packets of a source contain: its data, and the length that they get.

use super::DEFAULT_DATA;
use crate::config::Bytes;
use crate::element::{Arg, Args, ConfigError, Handler, HandlerError, Packet, Time};
use crate::elements::basic::parse_handler;
use crate::packet::MAX_LENGTH;
use crate::state::{Reader, StateError, Writer};

pub(super) const LENGTH: Arg = Arg::keyword(
    "LENGTH",
    "integer",
    "-1",
    "length of the packets: DATA is cut or repeated; -1 for that of DATA",
);
pub(super) const DATASIZE: Arg = Arg::keyword("DATASIZE", "integer", "-1", "same as LENGTH");
pub(super) const DATA_HANDLER: Handler = Handler::both("data", "what the packets contain");
pub(super) const LENGTH_HANDLER: Handler =
    Handler::both("length", "length of the packets; -1 for that of the data");

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    data: Vec<u8>,
    length: Option<usize>,
    bytes: Vec<u8>,
    /// Whether a handler changed it: only then it is state.
    changed: bool,
}

/// A length of packets; negative for that of the data.
fn checked_length(length: i64) -> Result<Option<usize>, String> {
    match usize::try_from(length) {
        Ok(length) if length > MAX_LENGTH => Err(format!("LENGTH: maximum is {MAX_LENGTH}")),
        length => Ok(length.ok()),
    }
}

impl Contents {
    /// DATA, LENGTH and DATASIZE.
    pub(super) fn build(args: &Args<'_>) -> Result<Self, ConfigError> {
        let data = args.get::<Bytes>("DATA")?.map_or_else(|| DEFAULT_DATA.to_vec(), |data| data.0);
        let length = args.get("LENGTH")?.map_or_else(|| args.or("DATASIZE", -1), Ok)?;
        let mut contents = Self { data, length: checked_length(length)?, bytes: Vec::new(), changed: false };
        contents.make();
        Ok(contents)
    }

    fn make(&mut self) {
        self.bytes = match self.length {
            None => self.data.clone(),
            Some(length) if self.data.is_empty() => vec![0; length],
            Some(length) => self.data.iter().copied().cycle().take(length).collect(),
        };
        self.bytes.truncate(MAX_LENGTH);
    }

    /// Bytes of a packet.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) fn packet(&self, made: Option<Time>) -> Packet {
        let mut packet = Packet::from_slice(&self.bytes);
        if let Some(made) = made {
            packet.anno_mut().timestamp = made;
        }
        packet
    }

    /// Answers the handlers above.
    pub(super) fn read(&self, handler: &str) -> Result<String, HandlerError> {
        match handler {
            "data" => Ok(String::from_utf8_lossy(&self.data).into_owned()),
            "length" => Ok(self.length.map_or("-1".to_owned(), |length| length.to_string())),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    /// Obeys the handlers above.
    pub(super) fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "data" => self.data = value.as_bytes().to_vec(),
            "length" => {
                let length: i64 = parse_handler(value)
                    .map_err(|_| HandlerError::Refused("length must be integer".to_owned()))?;
                self.length = checked_length(length).map_err(HandlerError::Refused)?;
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        self.changed = true;
        self.make();
        Ok(())
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_bool(self.changed);
        if self.changed {
            w.put_bytes(&self.data);
            w.put_u64(self.length.map_or(u64::MAX, |length| length as u64));
        }
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.changed = r.get_bool()?;
        if self.changed {
            self.data = r.get_bytes()?.to_vec();
            let length = r.get_u64()?;
            self.length = checked_length(length as i64)
                .map_err(|_| StateError::Invalid { what: "length of packets", value: length })?;
            self.make();
        }
        Ok(())
    }
}
