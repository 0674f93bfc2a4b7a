//! The TCP header.

use super::draft::{Draft, FIXED};
use super::field::{Field, Form, Input, Parse, TRANSPORT, Value, parse_u8, parse_u16, parse_u32};
use super::tcp_options::{self, Which};
use super::text;
use super::view::{Layer, View};
use crate::wire::ipv4;

/// The header, `needed` bytes of it at least.
fn header<'a>(view: &mut View<'a>, needed: usize) -> Option<&'a [u8]> {
    match view.tcp.filter(|tcp| tcp.len() >= needed) {
        Some(tcp) => Some(tcp),
        None => view.missing(Layer::Tcp, needed),
    }
}

/// The `size` bytes at `at` of the header.
fn number<'a>(view: &mut View<'a>, at: usize, size: usize) -> Option<Value<'a>> {
    let bytes = &header(view, at + size)?[at..at + size];
    Some(Value::Number(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))))
}

fn put_number(draft: &mut Draft, at: usize, size: usize, value: Value<'_>) {
    if draft.make_ip(ipv4::TCP) && draft.make_transport() {
        draft.put_transport(at, size, value.number());
    }
}

/// All options; none, too, if they are only a timestamp and that is not asked for.
fn get_options<'a>(view: &mut View<'a>, which: Which) -> Option<Value<'a>> {
    let captured = view.tcp.map_or(0, <[u8]>::len);
    let Some(tcp) = view.tcp.filter(|tcp| tcp.len() > 12) else {
        return view.missing(Layer::Tcp, view.transport().len() + 1);
    };
    let end = usize::from(tcp[12] >> 4) * 4;
    if end <= FIXED {
        return Some(Value::Bytes(&[]));
    }
    // Of a timestamp, the start is enough to know it.
    let start = tcp.get(FIXED..FIXED + 4);
    if which != Which::All && end == FIXED + 12 && start == Some(&[1, 1, 8, 10]) {
        return Some(Value::Bytes(&[]));
    }
    match tcp.get(FIXED..end) {
        Some(options) => Some(Value::Bytes(options)),
        None => view.missing(Layer::Tcp, captured + 1),
    }
}

fn put_options(draft: &mut Draft, value: Value<'_>) {
    if draft.make_ip(ipv4::TCP) && draft.make_transport() {
        draft.have_tcp_options = true;
        if !value.bytes().is_empty() {
            draft.put_tcp_options(value.bytes());
        }
    }
}

/// Letters of the flags, from the lowest bit on.
const FLAGS: &[u8; 9] = b"FSRPAUECN";

fn show_flags(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    let flags = value.number();
    if flags == 0 {
        out.push(b'.');
    }
    let set = FLAGS.iter().enumerate().filter(|(bit, _)| flags & (1 << bit) != 0);
    out.extend(set.map(|(_, letter)| *letter));
}

fn parse_flags<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    let first = text.first()?;
    if text == b"." {
        return Some(Value::Number(0));
    }
    if first.is_ascii_digit() {
        return text::number_to(text, 0xfff).map(Value::Number);
    }
    let mut flags = 0;
    for letter in text {
        let bit = match letter {
            // How older dumps have them.
            b'X' => 6,
            b'Y' | b'W' => 7,
            letter => FLAGS.iter().position(|known| known == letter)?,
        };
        flags |= 1 << bit;
    }
    Some(Value::Number(flags))
}

const fn input(order: u16, parse: Parse, put: fn(&mut Draft, Value<'_>)) -> Option<Input> {
    Some(Input { order, parse, put })
}

const OPTIONS: Field = Field { form: Form::Counted, ..Field::BASE };

pub(super) static FIELDS: &[Field] = &[
    Field {
        name: "tcp_seq",
        about: "sequence number",
        aliases: &["tcp_seqno"],
        get: |view| number(view, 4, 4),
        input: input(TRANSPORT, parse_u32, |draft, value| put_number(draft, 4, 4, value)),
        ..Field::BASE
    },
    Field {
        name: "tcp_ack",
        about: "acknowledgement number",
        aliases: &["tcp_ackno"],
        get: |view| number(view, 8, 4),
        input: input(TRANSPORT, parse_u32, |draft, value| put_number(draft, 8, 4, value)),
        ..Field::BASE
    },
    Field {
        name: "tcp_off",
        about: "header length in bytes",
        form: Form::Number(1),
        get: |view| number(view, 12, 1).map(|byte| Value::Number((byte.number() >> 4) * 4)),
        input: input(TRANSPORT - 1, parse_u8, |draft, value| {
            if draft.make_ip(ipv4::TCP) && draft.make_transport() {
                draft.set_tcp_header_length((value.number() as usize).next_multiple_of(4));
            }
        }),
        ..Field::BASE
    },
    Field {
        name: "tcp_flags",
        about: "letters of FSRPAUECN; . for none",
        form: Form::Number(1),
        get: |view| number(view, 12, 2).map(|flags| Value::Number(flags.number() & 0xfff)),
        show: show_flags,
        input: input(TRANSPORT, parse_flags, |draft, value| {
            if draft.make_ip(ipv4::TCP) && draft.make_transport() {
                let offset = u64::from(draft.transport_byte(12) & 0xf0) << 8;
                draft.put_transport(12, 2, offset | value.number() & 0xfff);
            }
        }),
        ..Field::BASE
    },
    Field {
        name: "tcp_window",
        about: "receive window",
        aliases: &["tcp_win"],
        form: Form::Number(2),
        get: |view| number(view, 14, 2),
        input: input(TRANSPORT, parse_u16, |draft, value| put_number(draft, 14, 2, value)),
        ..Field::BASE
    },
    Field {
        name: "tcp_urp",
        about: "urgent pointer",
        form: Form::Number(2),
        get: |view| number(view, 18, 2),
        input: input(TRANSPORT, parse_u16, |draft, value| put_number(draft, 18, 2, value)),
        ..Field::BASE
    },
    Field {
        name: "tcp_opt",
        about: "options, as mss1400;sackok;ts1:2",
        get: |view| get_options(view, Which::All),
        show: |_, value, out| tcp_options::show(value.bytes(), Which::All, out),
        input: input(
            TRANSPORT + 3,
            |text, _, scratch| {
                tcp_options::parse(text, Which::All, scratch)?;
                Some(Value::Bytes(scratch))
            },
            put_options,
        ),
        ..OPTIONS
    },
    Field {
        name: "tcp_ntopt",
        about: "options but timestamps",
        form: Form::TcpOptions(Which::ButTimestamps),
        get: |view| get_options(view, Which::ButTimestamps),
        show: |_, value, out| tcp_options::show(value.bytes(), Which::ButTimestamps, out),
        input: input(
            TRANSPORT + 2,
            |text, _, scratch| {
                tcp_options::parse(text, Which::ButTimestamps, scratch)?;
                Some(Value::Bytes(scratch))
            },
            put_options,
        ),
        ..OPTIONS
    },
    Field {
        name: "tcp_sack",
        about: "SACK options",
        form: Form::TcpOptions(Which::Sack),
        get: |view| get_options(view, Which::Sack),
        show: |_, value, out| tcp_options::show(value.bytes(), Which::Sack, out),
        input: input(
            TRANSPORT + 1,
            |text, _, scratch| {
                tcp_options::parse(text, Which::Sack, scratch)?;
                Some(Value::Bytes(scratch))
            },
            put_options,
        ),
        ..OPTIONS
    },
];
