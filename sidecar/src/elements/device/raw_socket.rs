//! RawSocket: whole IP packets over a raw socket of the host (raw(7)).

use std::time::Duration;

use super::socket::{ROOM, SNAPLEN, port, request};
use crate::config::Value;
use crate::device::{DeviceRequest, SocketSpec, Transport};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Outside, Packet, StateKind,
};
use crate::elements::classify::ip_names;
use crate::engine::DeviceId;
use crate::packet::{BATCH, HEADROOM};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::{Ipv4, ipv4};

const REFUSED: &str = "refused by the socket";
const RUNT: &str = "runt IP packet";
const NOT_IP: &str = "not an IP packet";
const BACK_OFF: Duration = Duration::from_millis(1);

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RawSocket",
    details: "IP packets of one protocol, in and out by a raw socket of the host.",
    example: r#"
        RawSocket(ICMP) -> CheckIPHeader -> IPPrint(icmp) -> Discard;
    "#,
    summary: "transports raw IP packets via raw sockets",
    ports: "0-1/0-1",
    processing: "l/h",
    flow: "x/y",
    args: &[
        Arg::required("TYPE", "IP protocol", "name or number: TCP, UDP, GRE, ICMP ..."),
        Arg::optional("PORT", "port", "", "TCP and UDP: taken, so that the host does not answer its packets"),
        SNAPLEN,
        ROOM,
    ],
    writes: Annotations::TIMESTAMP
        .union(Annotations::EXTRA_LENGTH)
        .union(Annotations::NETWORK_HEADER)
        .union(Annotations::TRANSPORT_HEADER),
    drops: &[REFUSED, RUNT, NOT_IP],
    outside: Outside::Socket,
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

struct RawSocket {
    request: DeviceRequest,
    device: Option<DeviceId>,
    /// Pulled and not sent yet.
    waiting: Batch,
    failed: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let kind: String = args.need("TYPE")?;
    let number = ip_names::protocol(&kind.to_ascii_lowercase()).or_else(|| u8::parse_plain(&kind).ok());
    let number = number.ok_or_else(|| format!("TYPE: unknown IP protocol '{kind}'"))?;
    let has_ports = matches!(number, ipv4::TCP | ipv4::UDP);
    let claim = match args.text("PORT") {
        Some(text) if has_ports => Some(port(args, "PORT", text)?).filter(|port| *port != 0),
        Some(text) => args.parse::<u16>("PORT", text).map(|_| None)?,
        None => None,
    };
    let spec = SocketSpec {
        transport: Transport::Raw(number),
        client: true,
        place: None,
        local: None,
        claim,
        asks: false,
        snaplen: args.or("SNAPLEN", 2048_usize)?.clamp(1, 65_535),
        headroom: args.or("HEADROOM", HEADROOM)?.min(8192),
        send_buffer: None,
        receive_buffer: None,
        no_delay: false,
        verbose: false,
    };
    Ok(Box::new(RawSocket {
        request: request(spec, args.outputs()),
        device: None,
        waiting: Batch::new(),
        failed: false,
    }))
}

/// Marks the header of what is an IP packet.
fn mark(cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
    let header = Ipv4::parse(packet.data()).map(|(ip, _)| (ip.version(), ip.header_length()));
    match header {
        Some((4, length)) if length >= ipv4::MIN_HEADER_LENGTH && length <= packet.len() => {
            packet.set_network_header(0, length);
            Some(packet)
        }
        _ => {
            cx.drop(NOT_IP, packet);
            None
        }
    }
}

impl RawSocket {
    fn send(&mut self, cx: &mut Cx<'_>, device: DeviceId) -> bool {
        if self.waiting.is_empty() {
            let mut batch = std::mem::take(&mut self.waiting);
            cx.pull(0, &mut batch, BATCH);
            batch.filter_map(|packet| {
                if packet.len() >= ipv4::MIN_HEADER_LENGTH {
                    return Some(packet);
                }
                cx.message(format_args!("runt IP packet ({} bytes)", packet.len()));
                cx.drop(RUNT, packet);
                None
            });
            self.waiting = batch;
        }
        if self.waiting.is_empty() {
            return false;
        }
        let Ok(done) = cx.device(device).send(&mut self.waiting) else { return false };
        cx.count_drops(REFUSED, done.refused as u64);
        if self.waiting.is_empty() {
            cx.schedule();
        } else {
            cx.wait_writable(device);
            cx.set_timer(cx.now() + BACK_OFF);
        }
        done.sent + done.refused > 0
    }
}

impl Element for RawSocket {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.device = Some(cx.open_device(&self.request)?);
        cx.schedule();
        Ok(())
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let Some(device) = self.device else { return false };
        let mut worked = cx.inputs() > 0 && self.send(cx, device);
        if cx.outputs() == 0 {
            return worked;
        }
        let now = cx.now();
        match cx.device(device).receive(batch, now) {
            Ok(0) => {}
            Ok(_) => {
                worked = true;
                cx.schedule();
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("{} :: {}: {error}", cx.name(), DESCRIPTOR.class));
                }
            }
        }
        batch.filter_map(|packet| mark(cx, packet));
        worked
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RawSocket {
    fn schema(&self) -> Schema {
        Schema { name: "raw-socket", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.waiting.len() as u32);
        self.waiting.iter().for_each(|packet| packet.save(w));
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let count = r.get_u32()?;
        if count as usize > BATCH {
            return Err(StateError::Invalid { what: "number of packets", value: count.into() });
        }
        self.waiting.clear();
        for _ in 0..count {
            self.waiting.push(Packet::restore(r)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn unknown_protocols_are_refused() {
        let error = Bench::error("RawSocket(XYZ) -> Discard;");
        assert!(error.contains("TYPE: unknown IP protocol 'XYZ'"), "{error}");
        let error = Bench::error("RawSocket(ICMP, many) -> Discard;");
        assert!(error.contains("PORT: expected unsigned integer"), "{error}");
    }
}
