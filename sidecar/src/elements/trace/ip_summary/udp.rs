//! The UDP header, but for its ports.

use super::draft::UDP_LITE;
use super::field::{Field, Input, TRANSPORT, Value, parse_u32};
use super::view::Layer;
use crate::wire::{ipv4, udp};

pub(super) static FIELDS: &[Field] = &[Field {
    name: "udp_len",
    about: "length that the UDP header says",
    get: |view| match view.udp.and_then(|udp| udp.get(4..6)) {
        Some(length) => Some(Value::Number(u16::from_be_bytes([length[0], length[1]]).into())),
        None => view.missing(Layer::Udp, 6),
    },
    input: Some(Input {
        order: TRANSPORT,
        parse: parse_u32,
        put: |draft, value| {
            if draft.make_ip(0)
                && draft.make_transport()
                && matches!(draft.protocol(), 0 | ipv4::UDP | UDP_LITE)
            {
                draft.need_transport(udp::HEADER_LENGTH);
                draft.put_transport(4, 2, value.number());
            }
        },
    }),
    ..Field::BASE
}];
