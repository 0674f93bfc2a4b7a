//! FromHost and ToHost: Ethernet frames from and to the host's own stack, by a virtual Ethernet device that both share.

use std::time::Duration;

use super::kernel_tun::gateway;
use crate::config::Network;
use crate::device::{DeviceKind, DeviceRequest, Direction, TunSpec};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    Packet, StateKind,
};
use crate::engine::DeviceId;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::{Ipv4, ethernet};

const REFUSED: &str = "refused by the device";
const TOO_SHORT: &str = "packet too small";

pub(super) static FROM_HOST: Descriptor = Descriptor {
    class: "FromHost",
    details: "Makes a device of the host and reads the frames that the host sends by it; ToHost of the same name lets the host receive.",
    example: r#"
        FromHost(fake0, 10.8.0.1/24) -> c :: Classifier(12/0806, -);
        c[0] -> ARPResponder(10.8.0.0/24 02:00:00:00:00:02) -> ToHost(fake0);
        c[1] -> Print(from_host) -> Discard;
    "#,
    summary: "reads packets from the host through a virtual Ethernet device",
    ports: "0/1",
    processing: "h/h",
    args: &[
        Arg::required("DEVNAME", "string", "name of the device, or the port of the function"),
        Arg::optional("DST", "IP prefix", "", "address of the host's end; without, somebody else sets it"),
        Arg::keyword("GATEWAY", "IP address", "", "the host's default route goes through this neighbour"),
        Arg::keyword("ETHER", "Ethernet address", "", "of the host's end"),
        Arg::keyword("HEADROOM", "unsigned", "", "accepted as in Click"),
        Arg::keyword("MTU", "unsigned", "2048", "longest packet that is read whole"),
    ],
    writes: Annotations::TIMESTAMP
        .union(Annotations::MAC_HEADER)
        .union(Annotations::NETWORK_HEADER)
        .union(Annotations::TRANSPORT_HEADER)
        .union(Annotations::DST_IP),
    handlers: &[
        Handler::read("dev_name", "name of the device"),
        Handler::read("signal", "whether there is room downstream"),
    ],
    outside: Outside::Device(Direction::Receive),
    build: build_from,
    ..Descriptor::BASE
};

pub(super) static TO_HOST: Descriptor = Descriptor {
    class: "ToHost",
    details: "The frames that are pushed in are received by the host, on the device that FromHost of the same name made.",
    example: r#"
        FromHost(fake0, 10.8.0.1/24) -> Discard;
        RatedSource(DATA "data", RATE 1)
            -> UDPIPEncap(10.8.0.2, 1024, 10.8.0.1, 9)
            -> EtherEncap(0x0800, 02:00:00:00:00:02, FF:FF:FF:FF:FF:FF)
            -> ToHost(fake0);
    "#,
    summary: "sends packets to the host through the virtual Ethernet device of a FromHost",
    ports: "1/0",
    processing: "h/h",
    args: &[Arg::required("DEVNAME", "string", "the device of a FromHost")],
    handlers: &[
        Handler::read("dev_name", "name of the device"),
        Handler::read("drops", "packets that the device refused"),
    ],
    drops: &[REFUSED, TOO_SHORT],
    outside: Outside::Device(Direction::Send),
    state: StateKind::Small,
    build: build_to,
    ..Descriptor::BASE
};

struct FromHost {
    request: DeviceRequest,
    device: Option<DeviceId>,
    failed: bool,
}

fn build_from(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let prefix = args.get("DST")?.map(|Network(prefix)| prefix);
    let name: String = args.need("DEVNAME")?;
    if name.is_empty() {
        return Err("must specify device name".into());
    }
    if args.or("HEADROOM", 0_u32)? > 8192 {
        return Err("HEADROOM too large".into());
    }
    let spec = TunSpec {
        ethernet: true,
        address: prefix.map(|prefix| (prefix.address, prefix.mask)),
        gateway: gateway(args, prefix)?,
        ether: args.get("ETHER")?,
        mtu: None,
        longest: args.or("MTU", 2048)?,
    };
    let request = DeviceRequest { name, direction: Direction::Receive, kind: DeviceKind::Tun(spec) };
    Ok(Box::new(FromHost { request, device: None, failed: false }))
}

/// Marks the headers of a frame that is taken for IPv4, as Click takes every one.
fn mark(packet: &mut Packet) {
    packet.set_mac_offset(Some(0));
    let ip = packet.data().get(ethernet::HEADER_LENGTH..).and_then(Ipv4::parse);
    if let Some((destination, header)) = ip.map(|(ip, _)| (ip.destination_address(), ip.header_length())) {
        packet.anno_mut().dst_ip = destination;
        packet.set_network_header(ethernet::HEADER_LENGTH, header);
    }
}

impl Element for FromHost {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.device = Some(cx.open_device(&self.request)?);
        cx.watch_downstream();
        cx.schedule();
        Ok(())
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        // A full queue downstream wakes this task when there is room again.
        let Some(device) = self.device.filter(|_| !cx.downstream_full()) else { return false };
        let now = cx.now();
        match cx.device(device).receive(batch, now) {
            Ok(0) => false,
            Ok(_) => {
                batch.iter_mut().for_each(mark);
                cx.schedule();
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("{}: {}: {error}", cx.name(), self.request.name));
                }
                cx.set_timer(now + Duration::from_millis(100));
                false
            }
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "dev_name" => Ok(self.request.name.clone()),
            "signal" => Ok((!cx.downstream_full()).to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}

struct ToHost {
    request: DeviceRequest,
    device: Option<DeviceId>,
    refused: u64,
    failed: bool,
}

fn build_to(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let spec = TunSpec { ethernet: true, ..TunSpec::default() };
    let kind = DeviceKind::Tun(spec);
    let request = DeviceRequest { name: args.need("DEVNAME")?, direction: Direction::Send, kind };
    Ok(Box::new(ToHost { request, device: None, refused: 0, failed: false }))
}

impl Element for ToHost {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let name = &self.request.name;
        let readers: Vec<_> = cx
            .all_elements()
            .filter(|(_, _, class)| class.class == FROM_HOST.class)
            .map(|(id, ..)| id)
            .collect();
        let is_mine = |id| cx.element_mut::<FromHost>(id).is_some_and(|reader| reader.request.name == *name);
        if !readers.into_iter().any(is_mine) {
            return Err(format!("ToHost({name}) requires an initialized FromHost with the same dev_name"));
        }
        self.device = Some(cx.open_device(&self.request)?);
        Ok(())
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let Some(device) = self.device else { return batch.clear() };
        batch.filter_map(|packet| {
            let whole = packet.len() >= ethernet::HEADER_LENGTH;
            if whole {
                return Some(packet);
            }
            cx.drop(TOO_SHORT, packet);
            None
        });
        match cx.device(device).send(batch) {
            Ok(done) => {
                self.refused += done.refused as u64;
                cx.count_drops(REFUSED, done.refused as u64);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("ToHost({}): write failed: {error}", self.request.name));
                }
            }
        }
        if !batch.is_empty() {
            self.refused += batch.len() as u64;
            cx.drop_all(REFUSED, batch);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "dev_name" => Ok(self.request.name.clone()),
            "drops" => Ok(self.refused.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for ToHost {
    fn schema(&self) -> Schema {
        Schema { name: "to-host", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.refused);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.refused = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn wrong_arguments_are_refused_in_click_s_words() {
        for (text, message) in [
            ("FromHost(\"\") -> Discard;", "must specify device name"),
            ("FromHost(a, 1.0.0.1/8, GATEWAY 2.0.0.1) -> Discard;", "bad GATEWAY"),
            ("FromHost(a, HEADROOM 9000) -> Discard;", "HEADROOM too large"),
            ("Idle -> ToHost(a);", "ToHost(a) requires an initialized FromHost with the same dev_name"),
        ] {
            let error = Bench::error(text);
            assert!(error.contains(message), "{error}");
        }
    }
}
