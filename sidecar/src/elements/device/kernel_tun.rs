//! KernelTun: IP packets to and from the host's own stack, through a tunnel interface.

use std::time::Duration;

use crate::config::IpPrefix;
use crate::device::{DeviceKind, DeviceRequest, Direction};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    Packet,
};
use crate::engine::DeviceId;

const REFUSED: &str = "refused by the device";
const NOT_IP: &str = "not an IP packet";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "KernelTun",
    summary: "interface to the host's IP stack through a tunnel",
    ports: "0-1/1-2",
    processing: "a/h",
    flow: "x/y",
    args: &[
        Arg::required("ADDR/MASK", "IP prefix", "address of the host's end"),
        Arg::optional("GATEWAY", "IP address", "", "accepted as in Click"),
        Arg::keyword("DEVNAME", "string", "", "name of the tunnel, or the port of the function"),
        Arg::keyword("MTU", "unsigned", "1500", "largest packet"),
        Arg::keyword("HEADROOM", "unsigned", "", "accepted as in Click"),
        Arg::keyword("BURST", "unsigned", "32", "accepted as in Click; a batch is read in one go"),
        Arg::keyword("IGNORE_QUEUE_OVERFLOWS", "bool", "false", "accepted as in Click"),
    ],
    writes: Annotations::TIMESTAMP.union(Annotations::NETWORK_HEADER).union(Annotations::TRANSPORT_HEADER),
    handlers: &[Handler::read("dev_name", "name of the tunnel")],
    drops: &[REFUSED, NOT_IP],
    outside: Outside::Device(Direction::Both),
    build,
    ..Descriptor::BASE
};

struct KernelTun {
    request: DeviceRequest,
    device: Option<DeviceId>,
    pulls: bool,
    failed: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let prefix: IpPrefix = args.need("ADDR/MASK")?;
    Ok(Box::new(KernelTun {
        request: DeviceRequest {
            name: args.or("DEVNAME", String::new())?,
            direction: Direction::Both,
            kind: DeviceKind::Tun {
                address: Some((prefix.address, prefix.mask)),
                mtu: args.or("MTU", 1500)?,
            },
        },
        device: None,
        pulls: false,
        failed: false,
    }))
}

impl KernelTun {
    /// Sends all packets to the host; a tunnel that is full drops them, as the host's own queue would.
    fn send(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let Some(device) = self.device else { return batch.clear() };
        match cx.device(device).send(batch) {
            Ok(done) => cx.count_drops(REFUSED, done.refused as u64),
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("{}: {error}", cx.name()));
                }
            }
        }
        if !batch.is_empty() {
            cx.drop_all(REFUSED, batch);
        }
    }

    fn receive(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let Some(device) = self.device else { return false };
        let now = cx.now();
        match cx.device(device).receive(batch, now) {
            Ok(0) => return false,
            Ok(_) => cx.schedule(),
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("{}: {error}", cx.name()));
                }
                cx.set_timer(now + Duration::from_millis(100));
                return false;
            }
        }
        batch.filter_map(|packet| check_ip(cx, packet));
        true
    }
}

/// Marks the IP header; what has none goes to output 1 or is dropped.
fn check_ip(cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
    let data = packet.data();
    let header = match data.first().map(|first| first >> 4) {
        Some(4) => usize::from(data[0] & 0xf) * 4,
        Some(6) => 40,
        _ => 0,
    };
    if header < 20 || header > data.len() {
        cx.emit_or_drop(1, NOT_IP, packet);
        return None;
    }
    packet.set_network_header(0, header);
    Some(packet)
}

impl Element for KernelTun {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.device = Some(cx.open_device(&self.request)?);
        self.pulls = cx.inputs() > 0 && cx.input_is_pull(0);
        cx.schedule();
        Ok(())
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.send(cx, batch);
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let mut worked = false;
        if self.pulls {
            cx.pull(0, batch, batch.room());
            if !batch.is_empty() {
                self.send(cx, batch);
                cx.schedule();
                worked = true;
            }
        }
        self.receive(cx, batch) | worked
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "dev_name" => Ok(self.request.name.clone()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}
