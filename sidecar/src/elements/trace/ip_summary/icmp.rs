//! The ICMP header.

use super::draft::Draft;
use super::field::{Field, Form, Input, Parse, TRANSPORT, Value, parse_u16};
use super::text;
use super::view::{Layer, View};
use crate::elements::classify::ip_names;
use crate::wire::{icmp, ipv4};

/// "Fragmentation needed", a code of "unreachable".
const NEED_FRAGMENT: u8 = 4;
/// Length of the header of timestamp messages, which has three times.
const TIMESTAMP_LENGTH: usize = 20;

/// Whether messages of this type are numbered.
fn is_numbered(kind: u8) -> bool {
    use icmp::{ECHO, ECHO_REPLY, INFO_REPLY, INFO_REQUEST, TIMESTAMP, TIMESTAMP_REPLY};
    matches!(kind, ECHO | ECHO_REPLY | TIMESTAMP | TIMESTAMP_REPLY | INFO_REQUEST | INFO_REPLY)
}

fn header<'a>(view: &mut View<'a>, needed: usize) -> Option<&'a [u8]> {
    match view.icmp.filter(|icmp| icmp.len() >= needed) {
        Some(icmp) => Some(icmp),
        None => view.missing(Layer::Icmp, needed),
    }
}

fn byte<'a>(view: &mut View<'a>, at: usize) -> Option<Value<'a>> {
    Some(Value::Number(header(view, at + 1)?[at].into()))
}

fn half<'a>(view: &mut View<'a>, at: usize) -> Option<Value<'a>> {
    let header = header(view, at + 2)?;
    Some(Value::Number(u16::from_be_bytes([header[at], header[at + 1]]).into()))
}

/// A number that only messages have which are numbered.
fn numbered<'a>(view: &mut View<'a>, at: usize) -> Option<Value<'a>> {
    if !is_numbered(header(view, 1)?[0]) {
        return None;
    }
    half(view, at)
}

fn next_mtu<'a>(view: &mut View<'a>) -> Option<Value<'a>> {
    if header(view, 2)?[..2] != [icmp::UNREACHABLE, NEED_FRAGMENT] {
        return None;
    }
    half(view, 6)
}

fn show_name(name: Option<&str>, value: Value<'_>, out: &mut Vec<u8>) {
    match name {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => text::show_number(value.number(), out),
    }
}

fn show_type_name(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    show_name(ip_names::of_icmp_type(value.number() as u8), value, out);
}

fn show_code_name(view: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    let kind = view.icmp.and_then(|icmp| icmp.first().copied()).unwrap_or(0);
    show_name(ip_names::of_icmp_code(kind, value.number() as u8), value, out);
}

fn parse_type<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    let named = std::str::from_utf8(text).ok().and_then(ip_names::icmp_type);
    named.map(u64::from).or_else(|| text::number_to(text, 255)).map(Value::Number)
}

/// A name of a code means something only when the type is known.
fn parse_code<'a>(text: &'a [u8], draft: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    let name = std::str::from_utf8(text).ok().filter(|_| draft.have_icmp_type);
    let named = name.and_then(|name| ip_names::icmp_code(draft.transport_byte(0), name));
    named.map(u64::from).or_else(|| text::number_to(text, 255)).map(Value::Number)
}

/// Whether there is room for an ICMP header.
fn make(draft: &mut Draft) -> bool {
    let made = draft.make_ip(ipv4::ICMP) && draft.make_transport();
    if made {
        draft.need_transport(icmp::HEADER_LENGTH);
    }
    made
}

fn put_type(draft: &mut Draft, value: Value<'_>) {
    if make(draft) {
        draft.put_transport(0, 1, value.number());
        draft.have_icmp_type = true;
        if matches!(value.number() as u8, icmp::TIMESTAMP | icmp::TIMESTAMP_REPLY) {
            draft.need_transport(TIMESTAMP_LENGTH);
        }
    }
}

fn put_code(draft: &mut Draft, value: Value<'_>) {
    if make(draft) {
        draft.put_transport(1, 1, value.number());
        draft.have_icmp_code = true;
    }
}

fn put_numbered(draft: &mut Draft, at: usize, value: Value<'_>) {
    if make(draft) && (!draft.have_icmp_type || is_numbered(draft.transport_byte(0))) {
        draft.put_transport(at, 2, value.number());
    }
}

fn put_next_mtu(draft: &mut Draft, value: Value<'_>) {
    if make(draft)
        && (!draft.have_icmp_type || draft.transport_byte(0) == icmp::UNREACHABLE)
        && (!draft.have_icmp_code || draft.transport_byte(1) == NEED_FRAGMENT)
    {
        draft.put_transport(6, 2, value.number());
    }
}

const fn input(order: u16, parse: Parse, put: fn(&mut Draft, Value<'_>)) -> Option<Input> {
    Some(Input { order, parse, put })
}

const TYPE: Field = Field {
    name: "icmp_type",
    about: "type, as a number",
    form: Form::Number(1),
    get: |view| byte(view, 0),
    input: input(TRANSPORT, parse_type, put_type),
    ..Field::BASE
};

const CODE: Field = Field {
    name: "icmp_code",
    about: "code, as a number",
    form: Form::Number(1),
    get: |view| byte(view, 1),
    input: input(TRANSPORT + 1, parse_code, put_code),
    ..Field::BASE
};

const HALF: Field = Field { form: Form::Number(2), ..Field::BASE };

pub(super) static FIELDS: &[Field] = &[
    TYPE,
    CODE,
    Field { name: "icmp_type_name", about: "type, by name", show: show_type_name, ..TYPE },
    Field { name: "icmp_code_name", about: "code, by name", show: show_code_name, ..CODE },
    Field {
        name: "icmp_flowid",
        about: "identifier of a query",
        get: |view| numbered(view, 4),
        input: input(TRANSPORT + 2, parse_u16, |draft, value| put_numbered(draft, 4, value)),
        ..HALF
    },
    Field {
        name: "icmp_seq",
        about: "sequence number of a query",
        get: |view| numbered(view, 6),
        input: input(TRANSPORT + 2, parse_u16, |draft, value| put_numbered(draft, 6, value)),
        ..HALF
    },
    Field {
        name: "icmp_nextmtu",
        about: "MTU that a packet was too long for",
        get: next_mtu,
        input: input(TRANSPORT + 2, parse_u16, put_next_mtu),
        ..HALF
    },
];
