//! The Ethernet header.

use std::io::Write;

use super::draft::Draft;
use super::field::{Field, Form, Input, LINK, Value};
use super::text;
use super::view::{Layer, View};
use crate::config::EtherAddr;

const ETHERNET: Field = Field { headers: false, ..Field::BASE };
const ETHERTYPE_IP: u64 = 0x0800;
const ETHERTYPE_IP6: u64 = 0x86dd;

/// The Ethernet header: 14 bytes right before the network header, or the whole packet if none is marked.
fn header<'a>(view: &mut View<'a>) -> Option<&'a [u8]> {
    let packet = view.packet;
    let network = packet.network_offset();
    let start = packet.mac_offset().or_else(|| network.is_none_or(|at| at >= 0).then_some(0));
    let end = network.unwrap_or(packet.len() as isize);
    if start.map(|start| start + 14) != Some(end) {
        return view.missing(Layer::Ethernet, 14);
    }
    // What was stripped is still there, in front of the network header.
    let bytes = if packet.mac_offset().is_some() { packet.mac() } else { packet.data() };
    bytes.get(..14)
}

fn parse_address<'a>(text: &'a [u8], _: &Draft, scratch: &'a mut Vec<u8>) -> Option<Value<'a>> {
    scratch.clear();
    scratch.extend_from_slice(&text::ether(text)?);
    Some(Value::Bytes(scratch))
}

fn show_address(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    if let Some(bytes) = value.bytes().first_chunk() {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{}", EtherAddr(*bytes));
    }
}

fn put(draft: &mut Draft, at: usize, address: &[u8]) {
    if let (Some(room), Some(address)) = (draft.ethernet().get_mut(at..at + 6), address.get(..6)) {
        room.copy_from_slice(address);
    }
}

pub(super) static FIELDS: &[Field] = &[
    Field {
        name: "eth_src",
        about: "Ethernet source address",
        aliases: &["ether_src"],
        form: Form::Bytes(6),
        get: |view| header(view).map(|header| Value::Bytes(&header[6..12])),
        show: show_address,
        input: Some(Input {
            order: LINK,
            parse: parse_address,
            put: |draft, value| put(draft, 6, value.bytes()),
        }),
        ..ETHERNET
    },
    Field {
        name: "eth_dst",
        about: "Ethernet destination address",
        aliases: &["ether_dst"],
        form: Form::Bytes(6),
        get: |view| header(view).map(|header| Value::Bytes(&header[..6])),
        show: show_address,
        input: Some(Input {
            order: LINK,
            parse: parse_address,
            put: |draft, value| put(draft, 0, value.bytes()),
        }),
        ..ETHERNET
    },
    Field {
        name: "eth_type",
        about: "Ethernet type, in hexadecimal",
        aliases: &["ether_type"],
        form: Form::Number(2),
        get: |view| {
            let header = header(view)?;
            Some(Value::Number(u64::from(header[12]) << 8 | u64::from(header[13])))
        },
        show: |_, value, out| {
            let _ = write!(out, "{:04X}", value.number());
        },
        input: Some(Input {
            order: LINK,
            parse: |text, _, _| {
                let text = std::str::from_utf8(text).ok()?;
                let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
                Some(Value::Number(u16::from_str_radix(digits, 16).ok()?.into()))
            },
            put: |draft, value| {
                let [.., high, low] = value.number().to_be_bytes();
                draft.ethernet()[12..14].copy_from_slice(&[high, low]);
                if !matches!(value.number(), ETHERTYPE_IP | ETHERTYPE_IP6) {
                    draft.is_ip = false;
                }
            },
        }),
        ..ETHERNET
    },
];
