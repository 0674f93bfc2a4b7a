//! What a field is: its names, how it is got out of a packet and written, how it is read and put into one.

use super::draft::Draft;
use super::tcp_options::{self, Which};
use super::view::View;
use super::{anno, icmp, ip, link, payload, tcp, text, udp};
use crate::element::Time;

/// The value of a field on its way between a packet and a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Time(Time),
    /// Options, a payload, an Ethernet address.
    Bytes(&'a [u8]),
    Digest([u8; 16]),
}

impl Value<'_> {
    /// The number that it is; 0 for what is none.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            _ => 0,
        }
    }

    pub(super) fn time(self) -> Time {
        match self {
            Self::Time(time) => time,
            _ => Time(0),
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => &[],
        }
    }
}

/// How a field is stored in binary dumps: numbers in network byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all.
    TextOnly,
    /// A number of so many bytes.
    Number(usize),
    /// So many bytes as they are.
    Bytes(usize),
    /// Seconds, then microseconds, four bytes each.
    Micros,
    /// Nanoseconds, then seconds, four bytes each. The manual page has them the other way round; Click does not.
    Nanos,
    /// A byte that says how many follow.
    Counted,
    /// The same, of some TCP options.
    TcpOptions(Which),
    /// The letter for a fragment.
    Letter,
}

impl Form {
    /// Writes a value, zeros for one that is missing.
    pub(super) fn encode(self, value: Option<Value<'_>>, out: &mut Vec<u8>) {
        let value = value.unwrap_or(Value::Number(0));
        match self {
            Self::TextOnly => {}
            Self::Number(size) => out.extend_from_slice(&value.number().to_be_bytes()[8 - size..]),
            Self::Letter => out.push(value.number() as u8),
            Self::Bytes(size) => {
                let end = out.len() + size;
                match value {
                    Value::Digest(digest) => out.extend_from_slice(&digest),
                    other => out.extend_from_slice(other.bytes()),
                }
                out.resize(end, 0);
            }
            Self::Micros => {
                out.extend_from_slice(&(value.time().seconds() as u32).to_be_bytes());
                out.extend_from_slice(&(value.time().subsec_nanos() / 1000).to_be_bytes());
            }
            Self::Nanos => {
                out.extend_from_slice(&value.time().subsec_nanos().to_be_bytes());
                out.extend_from_slice(&(value.time().seconds() as u32).to_be_bytes());
            }
            Self::Counted | Self::TcpOptions(_) => {
                let start = out.len();
                out.push(0);
                match self {
                    Self::TcpOptions(which) => tcp_options::filter(value.bytes(), which, out),
                    _ => out.extend_from_slice(value.bytes()),
                }
                // Options have 40 bytes at most.
                out[start] = (out.len() - start - 1) as u8;
            }
        }
    }

    /// How many bytes at the start of `record` the field takes; `None` if they are not all there.
    pub(super) fn size(self, record: &[u8]) -> Option<usize> {
        let size = match self {
            Self::TextOnly => return None,
            Self::Number(size) | Self::Bytes(size) => size,
            Self::Letter => 1,
            Self::Micros | Self::Nanos => 8,
            Self::Counted | Self::TcpOptions(_) => 1 + usize::from(*record.first()?),
        };
        (size <= record.len()).then_some(size)
    }

    /// The value in `bytes`, of which there are as many as [`Form::size`] says.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<Value<'_>> {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let halves = || Some((number(bytes.get(..4)?), number(bytes.get(4..8)?) as u32));
        Some(match self {
            Self::TextOnly => return None,
            Self::Number(_) => Value::Number(number(bytes)),
            Self::Letter => Value::Number(ip::fragment(*bytes.first()?)),
            Self::Bytes(_) => Value::Bytes(bytes),
            Self::Micros => {
                let (seconds, micros) = halves()?;
                Value::Time(Time::from_parts(seconds, micros.saturating_mul(1000)))
            }
            Self::Nanos => {
                let (nanos, seconds) = halves()?;
                Value::Time(Time::from_parts(seconds.into(), nanos as u32))
            }
            Self::Counted | Self::TcpOptions(_) => Value::Bytes(bytes.get(1..)?),
        })
    }
}

/// Reads a value out of text; bytes that it needs go into the vector.
pub(super) type Parse = for<'a> fn(&'a [u8], &Draft, &'a mut Vec<u8>) -> Option<Value<'a>>;

/// How a field is read and put into a packet.
#[derive(Clone, Copy)]
pub(super) struct Input {
    /// Fields are put into a packet in this order, those of a protocol after those of the one below.
    pub(super) order: u16,
    pub(super) parse: Parse,
    pub(super) put: fn(&mut Draft, Value<'_>),
}

/// When fields of a layer are put into a packet. Within a layer some come a little sooner or later.
pub(super) const ANNO: u16 = 100;
pub(super) const LINK: u16 = 200;
pub(super) const NET: u16 = 300;
pub(super) const TRANSPORT: u16 = 400;
pub(super) const PAYLOAD: u16 = 500;

/// A field of a dump.
pub(super) struct Field {
    pub(super) name: &'static str,
    /// What it is, for the reference.
    pub(super) about: &'static str,
    /// Its other names, but for those that [`find`] makes up.
    pub(super) aliases: &'static [&'static str],
    pub(super) form: Form,
    /// Whether the packet's headers have to be looked at.
    pub(super) headers: bool,
    /// The value in a packet; `None`, and perhaps a complaint in the view, if it has none.
    pub(super) get: for<'a> fn(&mut View<'a>) -> Option<Value<'a>>,
    pub(super) show: fn(&View<'_>, Value<'_>, &mut Vec<u8>),
    /// `None` for what can only be written.
    pub(super) input: Option<Input>,
}

impl Field {
    /// A field that is a number and only written.
    pub(super) const BASE: Self = Self {
        name: "",
        about: "",
        aliases: &[],
        form: Form::Number(4),
        headers: true,
        get: |_| None,
        show: show_number,
        input: None,
    };
}

pub(super) fn show_number(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    text::show_number(value.number(), out);
}

pub(super) fn parse_u8<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    text::number_to(text, u64::from(u8::MAX)).map(Value::Number)
}

pub(super) fn parse_u16<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    text::number_to(text, u64::from(u16::MAX)).map(Value::Number)
}

pub(super) fn parse_u32<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    text::number_to(text, u64::from(u32::MAX)).map(Value::Number)
}

pub(super) fn parse_u64<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    text::number(text).map(Value::Number)
}

/// All fields, by layer.
pub(super) static FIELDS: &[&[Field]] =
    &[anno::FIELDS, link::FIELDS, ip::FIELDS, tcp::FIELDS, udp::FIELDS, icmp::FIELDS, payload::FIELDS];

/// What the reference says about fields.
pub(super) fn reference() -> String {
    let mut text = String::from(
        "Fields (* is only written); in place of _ there may be a space, ip_ may be left out:\n",
    );
    for field in FIELDS.iter().copied().flatten() {
        let mark = if field.input.is_some() { ' ' } else { '*' };
        text.push_str(&format!("  {:16}{mark} {}", field.name, field.about));
        if !field.aliases.is_empty() {
            text.push_str(&format!(" (also {})", field.aliases.join(", ")));
        }
        text.push('\n');
    }
    text
}

/// The field of this name: its own, an alias, with `_` for a space, or without a leading `ip_`.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    let mut name = name.to_owned();
    loop {
        let mut all = FIELDS.iter().copied().flatten();
        let found = all.find(|field| field.name == name || field.aliases.contains(&name.as_str()));
        if found.is_some() {
            return found;
        }
        if name.contains(' ') {
            name = name.replacen(' ', "_", 1);
        } else if !name.contains('_') {
            name.insert_str(0, "ip_");
        } else {
            return None;
        }
    }
}

/// The field of this name that can be put into a packet.
pub(super) fn find_input(name: &str) -> Option<&'static Field> {
    find(name).filter(|field| field.input.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_short_spellings_name_the_same_field() {
        let cases = [
            ("ip_src", "ip_src"),
            ("ip src", "ip_src"),
            ("src", "ip_src"),
            ("ts", "timestamp"),
            ("utimestamp", "timestamp"),
            ("ts sec", "ts_sec"),
            ("usec1", "ts_usec1"),
            ("len", "ip_len"),
            ("length", "ip_len"),
            ("proto", "ip_proto"),
            ("ip_p", "ip_proto"),
            ("id", "ip_id"),
            ("sport", "sport"),
            ("tcp seq", "tcp_seq"),
            ("tcp_ackno", "tcp_ack"),
            ("tcp_win", "tcp_window"),
            ("payload md5 hex", "payload_md5_hex"),
            ("payload length", "payload_len"),
            ("packet_count", "count"),
            ("agg", "aggregate"),
            ("ether_src", "eth_src"),
            ("first_ts", "first_timestamp"),
            ("wire length", "wire_len"),
            ("paint", "paint"),
        ];
        for (name, field) in cases {
            assert_eq!(find(name).map(|field| field.name), Some(field), "{name}");
        }
        for unknown in ["none", "ip_srcs", "", "ip src ", "capture_len", "ip_ports"] {
            assert!(find(unknown).is_none(), "{unknown}");
        }
        assert!(find_input("payload_md5").is_none());
    }

    #[test]
    fn the_reference_names_and_explains_every_field() {
        let text = reference();
        for field in FIELDS.iter().copied().flatten() {
            assert!(!field.about.is_empty() && text.contains(&format!("  {}", field.name)), "{}", field.name);
        }
        assert!(text.contains("ip_len            length of the IP packet (also length)"), "{text}");
    }

    #[test]
    fn no_two_fields_share_a_name() {
        let mut names: Vec<&str> = FIELDS
            .iter()
            .copied()
            .flatten()
            .flat_map(|field| field.aliases.iter().copied().chain([field.name]))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn binary_forms_are_read_back() {
        let cases = [
            (Form::Number(1), Value::Number(200)),
            (Form::Number(2), Value::Number(60_000)),
            (Form::Number(4), Value::Number(4_000_000_000)),
            (Form::Number(8), Value::Number(1 << 60)),
            (Form::Bytes(6), Value::Bytes(&[1, 2, 3, 4, 5, 6])),
            (Form::Counted, Value::Bytes(&[9, 8])),
            (Form::Micros, Value::Time(Time(5_000_007_000))),
            (Form::Nanos, Value::Time(Time(5_000_007_001))),
        ];
        for (form, value) in cases {
            let mut out = Vec::new();
            form.encode(Some(value), &mut out);
            assert_eq!(form.size(&out), Some(out.len()), "{form:?}");
            assert_eq!(form.size(&out[..out.len() - 1]), None, "{form:?}");
            assert_eq!(form.decode(&out), Some(value), "{form:?}");
        }
    }
}
