//! The IP header, and the ports behind it.

use super::draft::{Draft, has_ports};
use super::field::{
    Field, Form, Input, NET, PAYLOAD, Parse, TRANSPORT, Value, parse_u8, parse_u16, parse_u32,
};
use super::view::{Layer, View};
use super::{ip_options, text};
use crate::wire::{Ipv4, ipv4};

/// A byte of the header.
fn byte<'a>(view: &mut View<'a>, at: usize) -> Option<Value<'a>> {
    Some(Value::Number(view.ip_header(at + 1)?[at].into()))
}

/// Two bytes of the header.
fn half<'a>(view: &mut View<'a>, at: usize) -> Option<Value<'a>> {
    let header = view.ip_header(at + 2)?;
    Some(Value::Number(u16::from_be_bytes([header[at], header[at + 1]]).into()))
}

fn address<'a>(view: &mut View<'a>, at: usize) -> Option<Value<'a>> {
    let bytes: &[u8; 4] = view.ip_header(at + 4)?[at..].first_chunk()?;
    Some(Value::Number(u32::from_be_bytes(*bytes).into()))
}

/// How a field gets into the header, which is made if need be.
const fn input(order: u16, parse: Parse, put: fn(&mut Draft, Value<'_>)) -> Option<Input> {
    Some(Input { order, parse, put })
}

fn header(draft: &mut Draft) -> Option<&mut Ipv4> {
    if draft.make_ip(0) { draft.ip_mut() } else { None }
}

/// A field of the header that is set in it, whatever else is said.
macro_rules! set {
    ($order:expr, $parse:expr, |$header:ident, $value:ident| $set:expr) => {
        input($order, $parse, |draft, $value| {
            if let Some($header) = header(draft) {
                $set;
            }
        })
    };
}

fn parse_address<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    Some(Value::Number(text::address(text)?.into()))
}

fn show_address(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    text::show_address((value.number() as u32).to_be_bytes(), out);
}

const DONT_FRAGMENT: u64 = ipv4::DONT_FRAGMENT as u64;
const MORE_FRAGMENTS: u64 = ipv4::MORE_FRAGMENTS as u64;
/// The offset of a later fragment of which no more is known.
const SOME_OFFSET: u64 = 100;

/// The word that a letter for a fragment stands for.
fn fragment_of_letter(letter: u8) -> Option<u64> {
    match letter {
        b'.' => Some(0),
        b'!' => Some(DONT_FRAGMENT),
        b'F' => Some(MORE_FRAGMENTS),
        b'f' => Some(SOME_OFFSET),
        _ => None,
    }
}

/// A letter, or an offset in bytes with `+` and `!` behind it.
fn parse_fragment<'a>(text: &'a [u8], draft: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    if let [letter] = text
        && let Some(word) = fragment_of_letter(*letter)
    {
        return Some(Value::Number(word));
    }
    let mut rest = text;
    let offset = text::take_number(&mut rest, u32::MAX.into()).unwrap_or(0);
    let mut word = if draft.defaults.minor_version > 0 { offset >> 3 } else { offset };
    for flag in rest {
        word |= match flag {
            b'!' => DONT_FRAGMENT,
            b'+' => MORE_FRAGMENTS,
            _ => return None,
        };
    }
    (!text.is_empty()).then_some(Value::Number(word))
}

fn show_fragment_offset(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    let word = value.number();
    text::show_number((word & u64::from(ipv4::OFFSET_MASK)) << 3, out);
    if word & MORE_FRAGMENTS != 0 {
        out.push(b'+');
    }
    if word & DONT_FRAGMENT != 0 {
        out.push(b'!');
    }
}

fn get_fragment_letter<'a>(view: &mut View<'a>) -> Option<Value<'a>> {
    let word = half(view, 6)?.number();
    let letter = match (word & u64::from(ipv4::OFFSET_MASK), word & MORE_FRAGMENTS) {
        (0, 0) if word & DONT_FRAGMENT != 0 => b'!',
        (0, 0) => b'.',
        (0, _) => b'F',
        _ => b'f',
    };
    Some(Value::Number(letter.into()))
}

const ECN_NAMES: [&[u8]; 4] = [b"no", b"ect1", b"ect2", b"ce"];

fn parse_ecn<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    let number = match text {
        b"0" | b"no" | b"-" => 0,
        b"1" | b"ect1" | b"ECT(1)" => 1,
        b"2" | b"ect2" | b"ECT(0)" => 2,
        b"3" | b"ce" | b"CE" => 3,
        _ => return None,
    };
    Some(Value::Number(number))
}

fn parse_protocol<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    protocol(text).map(|number| Value::Number(number.into()))
}

/// The number of a protocol, as dumps say it.
pub(super) fn protocol(text: &[u8]) -> Option<u8> {
    match text {
        b"T" => Some(ipv4::TCP),
        b"U" => Some(ipv4::UDP),
        b"I" => Some(ipv4::ICMP),
        _ => text::number_to(text, 255).map(|number| number as u8),
    }
}

fn show_protocol(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    match value.number() as u8 {
        ipv4::TCP => out.push(b'T'),
        ipv4::UDP => out.push(b'U'),
        ipv4::ICMP => out.push(b'I'),
        other => text::show_number(other.into(), out),
    }
}

fn get_length<'a>(view: &mut View<'a>) -> Option<Value<'a>> {
    let said = if view.ip.is_some() { u64::from(view.ip_length()) } else { view.length() as u64 };
    let extra = if view.with_extra { u64::from(view.extra) } else { 0 };
    Some(Value::Number(said + extra))
}

fn get_capture_length<'a>(view: &mut View<'a>) -> Option<Value<'a>> {
    let captured = view.ip.map_or(view.length(), |ip| ip.len().min(view.ip_length().into()));
    Some(Value::Number(captured as u64))
}

fn get_options<'a>(view: &mut View<'a>) -> Option<Value<'a>> {
    let length = view.ip.map_or(0, |ip| usize::from(ip.first().copied().unwrap_or(0) & 0xf) * 4);
    if length <= 20 && view.ip.is_some() {
        return Some(Value::Bytes(&[]));
    }
    view.ip_header(length)?.get(20..length).map(Value::Bytes)
}

/// The port at `at` of the transport header of protocols that have ports.
fn port<'a>(view: &mut View<'a>, at: usize) -> Option<Value<'a>> {
    let behind = view.ip.is_some_and(|ip| ip.len() > usize::from(ip.first().copied().unwrap_or(0) & 0xf) * 4);
    let there = behind && view.is_first_fragment() && has_ports(view.protocol());
    match view.transport().get(at..at + 2).filter(|_| there) {
        Some(port) => Some(Value::Number(u16::from_be_bytes([port[0], port[1]]).into())),
        None => view.missing(Layer::Ports, at + 2),
    }
}

fn put_port(draft: &mut Draft, at: usize, value: Value<'_>) {
    if draft.make_ip(0) && draft.make_transport() && (draft.protocol() == 0 || has_ports(draft.protocol())) {
        draft.put_transport(at, 2, value.number());
    }
}

const BYTE: Field = Field { form: Form::Number(1), ..Field::BASE };
const HALF: Field = Field { form: Form::Number(2), ..Field::BASE };

pub(super) static FIELDS: &[Field] = &[
    Field {
        name: "ip_src",
        about: "source address",
        get: |view| address(view, 12),
        show: show_address,
        input: set!(NET, parse_address, |ip, value| ip.source.set(value.number() as u32)),
        ..Field::BASE
    },
    Field {
        name: "ip_dst",
        about: "destination address",
        get: |view| address(view, 16),
        show: show_address,
        input: set!(NET, parse_address, |ip, value| ip.destination.set(value.number() as u32)),
        ..Field::BASE
    },
    Field {
        name: "ip_tos",
        about: "type of service",
        get: |view| byte(view, 1),
        input: set!(NET, parse_u8, |ip, value| ip.tos = value.number() as u8),
        ..BYTE
    },
    Field {
        name: "ip_dscp",
        about: "differentiated services code point",
        get: |view| byte(view, 1).map(|tos| Value::Number(tos.number() >> 2)),
        input: set!(NET, parse_u8, |ip, value| ip.tos = ip.tos & 3 | (value.number() as u8) << 2),
        ..BYTE
    },
    Field {
        name: "ip_ecn",
        about: "congestion notification: no, ect1, ect2 or ce",
        get: |view| byte(view, 1).map(|tos| Value::Number(tos.number() & 3)),
        show: |_, value, out| out.extend_from_slice(ECN_NAMES[(value.number() & 3) as usize]),
        input: set!(NET, parse_ecn, |ip, value| ip.tos = ip.tos & !3 | value.number() as u8 & 3),
        ..BYTE
    },
    Field {
        name: "ip_ttl",
        about: "time to live",
        get: |view| byte(view, 8),
        input: set!(NET, parse_u8, |ip, value| ip.ttl = value.number() as u8),
        ..BYTE
    },
    Field {
        name: "ip_frag",
        about: "F: first fragment, f: later one, !: may not be fragmented, .: none of these",
        form: Form::Letter,
        get: get_fragment_letter,
        show: |_, value, out| out.push(value.number() as u8),
        input: set!(NET - 2, parse_fragment, |ip, value| ip.fragment.set(value.number() as u16)),
        ..Field::BASE
    },
    Field {
        name: "ip_fragoff",
        about: "fragment offset in bytes; + if more follow, ! if it may not be fragmented",
        get: |view| half(view, 6),
        show: show_fragment_offset,
        input: set!(NET - 1, parse_fragment, |ip, value| ip.fragment.set(value.number() as u16)),
        ..HALF
    },
    Field {
        name: "ip_id",
        about: "identification",
        get: |view| half(view, 4),
        input: set!(NET, parse_u16, |ip, value| ip.id.set(value.number() as u16)),
        ..HALF
    },
    Field {
        name: "ip_sum",
        about: "header checksum",
        get: |view| half(view, 10),
        input: set!(NET + 2, parse_u16, |ip, value| ip.checksum.set(value.number() as u16)),
        ..HALF
    },
    Field {
        name: "ip_proto",
        about: "protocol: T, U, I for TCP, UDP, ICMP, or a number",
        aliases: &["ip_p"],
        get: |view| byte(view, 9),
        show: show_protocol,
        input: set!(NET, parse_protocol, |ip, value| ip.protocol = value.number() as u8),
        ..BYTE
    },
    Field {
        name: "ip_hl",
        about: "header length in bytes",
        get: |view| byte(view, 0).map(|first| Value::Number((first.number() & 0xf) * 4)),
        input: input(NET - 1, parse_u8, |draft, value| {
            if draft.make_ip(0) {
                draft.have_ip_options = true;
                draft.set_ip_header_length((value.number() as usize).next_multiple_of(4));
            }
        }),
        ..BYTE
    },
    Field {
        name: "ip_len",
        about: "length of the IP packet",
        aliases: &["length"],
        get: get_length,
        input: input(NET + 1, parse_u32, |draft, value| {
            if draft.make_ip(0) {
                draft.want = (draft.network_offset() as u32).wrapping_add(value.number() as u32);
            }
        }),
        ..Field::BASE
    },
    Field {
        name: "ip_capture_len",
        about: "bytes of the IP packet that were captured",
        get: get_capture_length,
        // How much was captured says nothing about a packet that is made: it only is an IP packet.
        input: input(PAYLOAD + 2, parse_u32, |draft, _| {
            draft.make_ip(0);
        }),
        ..Field::BASE
    },
    Field {
        name: "ip_opt",
        about: "options, as rr{10.0.0.1}+5;ts{1,!2}",
        form: Form::Counted,
        get: get_options,
        show: |_, value, out| ip_options::show(value.bytes(), out),
        input: input(
            NET,
            |text, _, scratch| {
                ip_options::parse(text, scratch)?;
                Some(Value::Bytes(scratch))
            },
            |draft, value| {
                if draft.make_ip(0) {
                    draft.have_ip_options = true;
                    draft.put_ip_options(value.bytes());
                }
            },
        ),
        ..Field::BASE
    },
    Field {
        name: "sport",
        about: "source port",
        get: |view| port(view, 0),
        input: input(TRANSPORT, parse_u16, |draft, value| put_port(draft, 0, value)),
        ..HALF
    },
    Field {
        name: "dport",
        about: "destination port",
        get: |view| port(view, 2),
        input: input(TRANSPORT, parse_u16, |draft, value| put_port(draft, 2, value)),
        ..HALF
    },
];

/// The fragment word of a letter in a binary dump.
pub(super) fn fragment(letter: u8) -> u64 {
    fragment_of_letter(letter).unwrap_or(0)
}
