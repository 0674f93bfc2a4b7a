//! Annotations: times, counts, paint, aggregate.

use super::draft::Draft;
use super::field::{ANNO, Field, Form, Input, Parse, Value, parse_u32, parse_u64};
use super::text;
use super::view::View;
use crate::element::{Packet, Time};

/// A field out of the annotations.
const ANNOTATION: Field = Field { headers: false, ..Field::BASE };

const fn input(parse: Parse, put: fn(&mut Draft, Value<'_>)) -> Option<Input> {
    Some(Input { order: ANNO, parse, put })
}

fn parse_time<'a>(text: &'a [u8], _: &Draft, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
    text::time(text).map(Value::Time)
}

fn show_time(_: &View<'_>, value: Value<'_>, out: &mut Vec<u8>) {
    text::show_time(value.time(), out);
}

fn micros(packet: &Packet) -> u32 {
    packet.anno().timestamp.subsec_nanos() / 1000
}

const TIMESTAMP: Field = Field {
    name: "timestamp",
    about: "time of the packet, in seconds",
    aliases: &["ts", "utimestamp"],
    form: Form::Micros,
    get: |view| Some(Value::Time(view.packet.anno().timestamp)),
    show: show_time,
    input: input(parse_time, |draft, value| draft.packet.anno_mut().timestamp = value.time()),
    ..ANNOTATION
};

const FIRST_TIMESTAMP: Field = Field {
    name: "first_timestamp",
    about: "time of the first packet of the flow, in seconds",
    aliases: &["first_ts", "first_utimestamp"],
    form: Form::Micros,
    get: |view| Some(Value::Time(view.packet.anno().first_timestamp)),
    show: show_time,
    input: input(parse_time, |draft, value| draft.packet.anno_mut().first_timestamp = value.time()),
    ..ANNOTATION
};

const LINK: Field = Field {
    name: "link",
    about: "paint",
    form: Form::Number(1),
    get: |view| Some(Value::Number(view.packet.anno().paint.into())),
    input: input(parse_direction, |draft, value| draft.packet.anno_mut().paint = value.number() as u8),
    ..ANNOTATION
};

fn parse_direction<'a>(text: &'a [u8], draft: &Draft, scratch: &'a mut Vec<u8>) -> Option<Value<'a>> {
    match text {
        b">" => Some(Value::Number(0)),
        b"<" => Some(Value::Number(1)),
        _ => parse_u32(text, draft, scratch),
    }
}

pub(super) static FIELDS: &[Field] = &[
    TIMESTAMP,
    Field {
        name: "ntimestamp",
        about: "the same; in binary to the nanosecond",
        aliases: &[],
        form: Form::Nanos,
        ..TIMESTAMP
    },
    Field {
        name: "ts_sec",
        about: "seconds of the time",
        aliases: &["sec"],
        get: |view| Some(Value::Number(u64::from(view.packet.anno().timestamp.seconds() as u32))),
        input: input(parse_u32, |draft, value| {
            let timestamp = &mut draft.packet.anno_mut().timestamp;
            *timestamp = Time::from_parts(value.number(), timestamp.subsec_nanos());
        }),
        ..ANNOTATION
    },
    Field {
        name: "ts_usec",
        about: "microseconds behind the seconds",
        aliases: &["usec"],
        get: |view| Some(Value::Number(micros(view.packet).into())),
        input: input(parse_u32, |draft, value| {
            let timestamp = &mut draft.packet.anno_mut().timestamp;
            *timestamp = Time::from_parts(timestamp.seconds(), (value.number() as u32).saturating_mul(1000));
        }),
        ..ANNOTATION
    },
    Field {
        name: "ts_usec1",
        about: "time in microseconds",
        aliases: &["usec1"],
        form: Form::Number(8),
        get: |view| Some(Value::Number(view.packet.anno().timestamp.0 / 1000)),
        input: input(parse_u64, |draft, value| {
            draft.packet.anno_mut().timestamp = Time(value.number().saturating_mul(1000));
        }),
        ..ANNOTATION
    },
    FIRST_TIMESTAMP,
    Field {
        name: "first_ntimestamp",
        about: "the same; in binary to the nanosecond",
        aliases: &[],
        form: Form::Nanos,
        ..FIRST_TIMESTAMP
    },
    Field {
        name: "count",
        about: "packets that it stands for",
        aliases: &["pkt_count", "packet_count"],
        get: |view| Some(Value::Number(u64::from(view.packet.anno().extra_packets.wrapping_add(1)))),
        input: input(parse_u32, |draft, value| {
            draft.packet.anno_mut().extra_packets = (value.number() as u32).saturating_sub(1);
        }),
        ..ANNOTATION
    },
    LINK,
    Field { name: "paint", about: "paint", ..LINK },
    Field {
        name: "direction",
        about: "paint: > for 0, < for 1",
        show: |_, value, out| match value.number() {
            0 => out.push(b'>'),
            1 => out.push(b'<'),
            other => text::show_number(other, out),
        },
        ..LINK
    },
    Field {
        name: "aggregate",
        about: "aggregate number",
        aliases: &["agg"],
        get: |view| Some(Value::Number(view.packet.anno().aggregate.into())),
        input: input(parse_u32, |draft, value| draft.packet.anno_mut().aggregate = value.number() as u32),
        ..ANNOTATION
    },
    Field {
        name: "wire_len",
        about: "length of the packet, link header included",
        aliases: &["wire_length"],
        get: |view| Some(Value::Number(view.packet.len() as u64)),
        input: input(parse_u32, |draft, value| draft.want = value.number() as u32),
        ..ANNOTATION
    },
];
