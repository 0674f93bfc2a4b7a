//! What is behind the headers.

use md5::{Digest, Md5};

use super::draft::{Draft, FIXED, UDP_LITE};
use super::field::{Field, Form, Input, PAYLOAD, Value, parse_u32};
use super::text;
use super::view::View;
use crate::wire::ipv4;

/// Where the payload begins, relative to the data, and how long it is said to be. The length of an IP packet that is
/// shorter than its headers wraps around, as in Click.
fn place(view: &View<'_>) -> (i64, u32) {
    if view.ip.is_none() {
        return (0, view.length() as u32);
    }
    let packet = view.packet;
    let network = packet.network_offset().unwrap_or(0) as i64;
    let transport = packet.transport_offset().map_or(network + FIXED as i64, |at| at as i64);
    let header = match view.protocol() {
        _ if !view.is_first_fragment() => 0,
        ipv4::TCP => {
            let said = view.transport().get(12).map_or(0, |byte| i64::from(byte >> 4) * 4);
            said.max(FIXED as i64)
        }
        ipv4::UDP | UDP_LITE => 8,
        _ => 0,
    };
    let start = transport + header;
    (start, u32::from(view.ip_length()).wrapping_sub((start - network) as u32))
}

fn get_length<'a>(view: &mut View<'a>) -> Option<Value<'a>> {
    let (_, length) = place(view);
    let extra = if view.ip.is_none() || view.with_extra { view.extra } else { 0 };
    Some(Value::Number(length.wrapping_add(extra).into()))
}

/// As much of the payload as was captured; `None` if there is one of which nothing was.
fn captured<'a>(view: &View<'a>) -> Option<&'a [u8]> {
    let (start, length) = place(view);
    if length > 0 && start >= view.packet.len() as i64 {
        return None;
    }
    let data = view.packet.data();
    let end = (start + i64::from(length)).clamp(0, view.length() as i64) as usize;
    Some(data.get(usize::try_from(start).unwrap_or(0)..end).unwrap_or(&[]))
}

fn get_digest<'a>(view: &mut View<'a>) -> Option<Value<'a>> {
    captured(view).map(|payload| Value::Digest(Md5::digest(payload).into()))
}

/// Six bits a letter, from the lowest bit of the first byte on.
fn show_digest(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@";
    let Value::Digest(digest) = value else { return };
    let bits = u128::from_le_bytes(digest);
    out.extend((0..128).step_by(6).map(|bit| LETTERS[(bits >> bit & 63) as usize]));
}

fn show_digest_hex(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    let Value::Digest(digest) = value else { return };
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).map_or(b'0', |digit| digit as u8);
    out.extend(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]));
}

fn make_headers(draft: &mut Draft) {
    if draft.make_ip(0) {
        draft.make_transport();
    }
}

const DIGEST: Field = Field {
    name: "payload_md5",
    about: "its MD5 digest in 22 letters",
    form: Form::Bytes(16),
    get: get_digest,
    show: show_digest,
    ..Field::BASE
};

pub(super) static FIELDS: &[Field] = &[
    Field {
        name: "payload_len",
        about: "bytes behind the headers",
        aliases: &["payload_length"],
        get: get_length,
        input: Some(Input {
            order: PAYLOAD + 1,
            parse: parse_u32,
            put: |draft, value| {
                make_headers(draft);
                draft.want_payload(value.number() as u32);
            },
        }),
        ..Field::BASE
    },
    Field {
        name: "payload",
        about: "what is behind the headers, as a string",
        form: Form::TextOnly,
        get: |view| captured(view).map(Value::Bytes),
        show: |_, value, out| text::quote(value.bytes(), out),
        input: Some(Input {
            order: PAYLOAD,
            parse: |text, _, scratch| {
                text::string(text, scratch)?;
                Some(Value::Bytes(scratch))
            },
            put: |draft, value| {
                make_headers(draft);
                if !value.bytes().is_empty() {
                    draft.put_payload(value.bytes());
                }
            },
        }),
        ..Field::BASE
    },
    DIGEST,
    Field {
        name: "payload_md5_hex",
        about: "its MD5 digest in hexadecimal",
        show: show_digest_hex,
        ..DIGEST
    },
];
