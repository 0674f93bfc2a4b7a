//! FromDevice and PollDevice: frames that arrive at a network interface.
//!
//! Click has PollDevice in the kernel only; here it is another name for FromDevice, so that its configurations run.

use crate::device::{DeviceKind, DeviceRequest, Direction};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    StateKind, Time,
};
use crate::engine::DeviceId;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const BASE: Descriptor = Descriptor {
    summary: "reads packets from network device",
    ports: "0/1",
    processing: "h/h",
    args: &[
        Arg::required("DEVNAME", "string", "the interface, or the port of the function"),
        Arg::optional(
            "SNIFFER",
            "bool",
            "true",
            "accepted as in Click; the host's stack sees the frames in any case",
        ),
        Arg::keyword("PROMISC", "bool", "false", "whether frames for other hosts are read"),
        Arg::keyword("SNAPLEN", "unsigned", "1982", "bytes read of a frame"),
        Arg::keyword("OUTBOUND", "bool", "false", "whether frames that the host sends are read"),
        Arg::keyword("BURST", "unsigned", "32", "accepted as in Click; a batch is read in one go"),
        Arg::keyword("TIMESTAMP", "bool", "true", "whether packets carry the time they arrived"),
        Arg::keyword("METHOD", "string", "LINUX", "accepted as in Click"),
        Arg::keyword("HEADROOM", "unsigned", "", "accepted as in Click"),
        Arg::keyword("FORCE_IP", "bool", "false", "accepted as in Click"),
    ],
    writes: Annotations::TIMESTAMP.union(Annotations::PACKET_TYPE).union(Annotations::MAC_HEADER),
    handlers: &[Handler::read("count", "packets read"), Handler::write("reset_counts", "sets count to 0")],
    state: StateKind::Small,
    outside: Outside::Device(Direction::Receive),
    build,
    ..Descriptor::BASE
};

pub(super) static FROM_DEVICE: Descriptor = Descriptor {
    class: "FromDevice",
    details: "In a pod, `spec.ports` binds the name to an interface of the node or of the pod.",
    example: r#"
        FromDevice(eth0, PROMISC true)
            -> c :: Classifier(12/0806, 12/0800, -);
        c[0] -> ARPPrint -> Discard;
        c[1] -> Strip(14) -> CheckIPHeader -> IPPrint(eth0) -> Discard;
        c[2] -> Discard;
    "#,
    ..BASE
};

pub(super) static POLL_DEVICE: Descriptor = Descriptor {
    class: "PollDevice",
    details: "Click has it in the Linux kernel only; here files written for it run as they are.",
    example: r#"
        PollDevice(eth0) -> c :: Counter -> Queue -> ToDevice(eth1);
    "#,
    summary: "reads packets from network device: FromDevice by its name in the kernel",
    args: &[
        Arg::required("DEVNAME", "string", "the interface, or the port of the function"),
        Arg::optional("PROMISC", "bool", "false", "whether frames for other hosts are read"),
        Arg::optional("BURST", "unsigned", "8", "accepted as in Click; a batch is read in one go"),
        Arg::keyword("SNAPLEN", "unsigned", "1982", "bytes read of a frame"),
        Arg::keyword("OUTBOUND", "bool", "false", "whether frames that the host sends are read"),
        Arg::keyword("TIMESTAMP", "bool", "true", "whether packets carry the time they arrived"),
        Arg::keyword("QUIET", "bool", "false", "accepted as in Click"),
        Arg::keyword("ALLOW_NONEXISTENT", "bool", "false", "accepted as in Click"),
        Arg::keyword("UP_CALL", "string", "", "accepted as in Click"),
        Arg::keyword("DOWN_CALL", "string", "", "accepted as in Click"),
    ],
    ..BASE
};

struct FromDevice {
    request: DeviceRequest,
    device: Option<DeviceId>,
    timestamp: bool,
    count: u64,
    failed: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("SNIFFER", true)?;
    args.or("BURST", 32_usize)?;
    Ok(Box::new(FromDevice {
        request: DeviceRequest {
            name: args.need("DEVNAME")?,
            direction: Direction::Receive,
            kind: DeviceKind::Interface {
                promiscuous: args.or("PROMISC", false)?,
                snaplen: args.or("SNAPLEN", 0_usize)?.min(65_535),
                outbound: args.or("OUTBOUND", false)?,
            },
        },
        device: None,
        timestamp: args.or("TIMESTAMP", true)?,
        count: 0,
        failed: false,
    }))
}

impl Element for FromDevice {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.device = Some(cx.open_device(&self.request)?);
        cx.schedule();
        Ok(())
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let Some(device) = self.device else { return false };
        let now = cx.now();
        match cx.device(device).receive(batch, now) {
            Ok(0) => {
                self.failed = false;
                false // Asleep until the device is readable.
            }
            Ok(count) => {
                self.count += count as u64;
                if !self.timestamp {
                    batch.iter_mut().for_each(|packet| packet.anno_mut().timestamp = Time(0));
                }
                cx.schedule();
                true
            }
            Err(error) => {
                // An interface that is down comes up again: say it once and look again later.
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("{}: {}: {error}", cx.name(), self.request.name));
                }
                cx.set_timer(now + std::time::Duration::from_millis(100));
                false
            }
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset_counts" => self.count = 0,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for FromDevice {
    fn schema(&self) -> Schema {
        Schema { name: "from-device", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        Ok(())
    }
}
