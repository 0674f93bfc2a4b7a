//! KernelTun and KernelTap: IP packets, or Ethernet frames, to and from the host's own stack, through a tunnel interface.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::config::{IpPrefix, Network};
use crate::device::{DeviceKind, DeviceRequest, Direction, TunSpec};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    Packet, StateKind,
};
use crate::engine::DeviceId;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::ethernet;

const REFUSED: &str = "refused by the device";
const NOT_IP: &str = "not an IP packet";
const NO_HEADER: &str = "no network header";
const TOO_SHORT: &str = "packet too small";
const TOO_LONG: &str = "packet larger than MTU";

const BASE: Descriptor = Descriptor {
    ports: "0-1/1-2",
    processing: "a/h",
    flow: "x/y",
    args: &[
        Arg::required("ADDR/MASK", "IP prefix", "address of the host's end"),
        Arg::optional("GATEWAY", "IP address", "", "the host's default route goes through this neighbour"),
        Arg::keyword("DEVNAME", "string", "", "name of the tunnel, or the port of the function"),
        Arg::keyword("DEV_NAME", "string", "", "as DEVNAME"),
        Arg::keyword("TAP", "bool", "false for KernelTun, true for KernelTap", "carry Ethernet frames"),
        Arg::keyword("ETHER", "Ethernet address", "", "of the host's end, where there are frames"),
        Arg::keyword("MTU", "unsigned", "1500", "largest packet, without a link header"),
        Arg::keyword("HEADROOM", "unsigned", "", "accepted as in Click"),
        Arg::keyword("BURST", "unsigned", "1", "accepted as in Click; a batch is read in one go"),
        Arg::keyword(
            "IGNORE_QUEUE_OVERFLOWS",
            "bool",
            "false",
            "accepted as in Click; an error is told once",
        ),
    ],
    writes: Annotations::TIMESTAMP.union(Annotations::NETWORK_HEADER).union(Annotations::TRANSPORT_HEADER),
    handlers: &[
        Handler::read("dev_name", "name of the tunnel"),
        Handler::read("packets", "packets read"),
        Handler::read("selected_calls", "times that there was something to read"),
    ],
    drops: &[REFUSED, NOT_IP, NO_HEADER, TOO_SHORT, TOO_LONG],
    outside: Outside::Device(Direction::Both),
    state: StateKind::Small,
    ..Descriptor::BASE
};

pub(super) static KERNEL_TUN: Descriptor = Descriptor {
    class: "KernelTun",
    details: "Packets are IP packets without a link header. What the host routes into the tunnel comes out here; what is pushed in, the host receives.",
    example: r#"
        tun :: KernelTun(10.9.0.1/24)
            -> CheckIPHeader -> ICMPPingResponder -> IPPrint(answer) -> tun;
        // ping 10.9.0.2
    "#,
    summary: "interface to the host's IP stack through a tunnel",
    reads: Annotations::NETWORK_HEADER,
    build: |args| build(args, false),
    ..BASE
};

pub(super) static KERNEL_TAP: Descriptor = Descriptor {
    class: "KernelTap",
    details: "As KernelTun, with Ethernet frames.",
    example: r#"
        tap :: KernelTap(10.9.1.1/24, ETHER 02:00:00:00:00:01)
            -> c :: Classifier(12/0806 20/0001, 12/0800, -);
        c[0] -> ARPResponder(10.9.1.2 02:00:00:00:00:02) -> tap;
        c[1] -> Strip(14) -> CheckIPHeader -> ICMPPingResponder
            -> EtherEncap(0x0800, 02:00:00:00:00:02, 02:00:00:00:00:01) -> tap;
        c[2] -> Discard;
        // ping 10.9.1.2
    "#,
    summary: "interface to the host's stack through a virtual Ethernet device",
    writes: Annotations::TIMESTAMP,
    build: |args| build(args, true),
    ..BASE
};

struct KernelTun {
    request: DeviceRequest,
    ethernet: bool,
    mtu: usize,
    device: Option<DeviceId>,
    dev_name: String,
    pulls: bool,
    failed: bool,
    packets: u64,
    calls: u64,
}

/// The highest header that Click reserves room for.
const MOST_HEADROOM: u32 = 8192;

/// The neighbour that a default route goes through.
pub(super) fn gateway(args: &Args<'_>, prefix: Option<IpPrefix>) -> Result<Option<Ipv4Addr>, ConfigError> {
    let gateway: Option<Ipv4Addr> = args.get("GATEWAY")?;
    let gateway = gateway.filter(|gateway| !gateway.is_unspecified());
    match (gateway, prefix) {
        (Some(gateway), Some(prefix)) if !prefix.contains(gateway) => Err("bad GATEWAY".into()),
        _ => Ok(gateway),
    }
}

fn build(args: &Args<'_>, tap: bool) -> Result<Box<dyn Element>, ConfigError> {
    let Network(prefix) = args.need("ADDR/MASK")?;
    let gateway = gateway(args, Some(prefix))?;
    if args.or("BURST", 1_u32)? < 1 {
        return Err("BURST must be >= 1".into());
    }
    let mtu = args.or("MTU", 1500_u32)?;
    if mtu < 20 {
        return Err("MTU must be greater than 20".into());
    }
    if args.or("HEADROOM", 0_u32)? > MOST_HEADROOM {
        return Err("HEADROOM too big".into());
    }
    args.or("IGNORE_QUEUE_OVERFLOWS", false)?;
    let ethernet = args.or("TAP", tap)?;
    let name = match args.get("DEVNAME")? {
        Some(name) => name,
        None => args.or("DEV_NAME", String::new())?,
    };
    Ok(Box::new(KernelTun {
        request: DeviceRequest {
            name: name.clone(),
            direction: Direction::Both,
            kind: DeviceKind::Tun(TunSpec {
                ethernet,
                address: Some((prefix.address, prefix.mask)),
                gateway,
                ether: args.get("ETHER")?.filter(|_| ethernet),
                mtu: Some(mtu),
                longest: mtu,
            }),
        },
        ethernet,
        mtu: mtu as usize,
        device: None,
        dev_name: name,
        pulls: false,
        failed: false,
        packets: 0,
        calls: 0,
    }))
}

impl KernelTun {
    /// What the host may get of a packet.
    fn prepare(&self, packet: &mut Packet) -> Result<(), &'static str> {
        let length = if self.ethernet {
            packet.len().checked_sub(ethernet::HEADER_LENGTH).ok_or(TOO_SHORT)?
        } else {
            let offset = packet.network_offset().and_then(|offset| usize::try_from(offset).ok());
            let header = offset.filter(|offset| offset + 20 <= packet.len()).ok_or(NO_HEADER)?;
            // Link headers stay here.
            if !packet.strip_front(header) {
                return Err(NO_HEADER);
            }
            match packet.data()[0] >> 4 {
                4 | 6 => packet.len(),
                _ => return Err(NOT_IP),
            }
        };
        if length > self.mtu { Err(TOO_LONG) } else { Ok(()) }
    }

    /// Sends all packets to the host; a tunnel that is full drops them, as the host's own queue would.
    fn send(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let Some(device) = self.device else { return batch.clear() };
        batch.filter_map(|mut packet| match self.prepare(&mut packet) {
            Ok(()) => Some(packet),
            Err(reason) => {
                cx.drop(reason, packet);
                None
            }
        });
        if batch.is_empty() {
            return;
        }
        match cx.device(device).send(batch) {
            Ok(done) => cx.count_drops(REFUSED, done.refused as u64),
            Err(error) => self.tell(cx, &error),
        }
        if !batch.is_empty() {
            cx.drop_all(REFUSED, batch);
        }
    }

    fn tell(&mut self, cx: &Cx<'_>, error: &std::io::Error) {
        if !std::mem::replace(&mut self.failed, true) {
            cx.message(format_args!("{}({}): {error}", cx.name(), self.dev_name));
        }
    }

    fn receive(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let Some(device) = self.device else { return false };
        let now = cx.now();
        match cx.device(device).receive(batch, now) {
            Ok(0) => return false,
            Ok(count) => {
                self.packets += count as u64;
                self.calls += 1;
                cx.schedule();
            }
            Err(error) => {
                self.tell(cx, &error);
                cx.set_timer(now + Duration::from_millis(100));
                return false;
            }
        }
        if !self.ethernet {
            batch.filter_map(|packet| check_ip(cx, packet));
        }
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
        let device = cx.open_device(&self.request)?;
        self.device = Some(device);
        if !cx.dry()
            && let Some(name) = cx.device(device).name()
        {
            self.dev_name = name.to_owned();
        }
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
            "dev_name" => Ok(self.dev_name.clone()),
            "packets" => Ok(self.packets.to_string()),
            "selected_calls" => Ok(self.calls.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for KernelTun {
    fn schema(&self) -> Schema {
        Schema { name: "kernel-tun", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.packets);
        w.put_u64(self.calls);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.packets = r.get_u64()?;
        self.calls = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::sync::{Arc, Mutex};

    use crate::device::{Device, DeviceKind, DeviceRequest, Sent};
    use crate::element::{Batch, Packet, Time};
    use crate::engine::Env;
    use crate::testing::{self, Bench};

    /// A host that keeps what it is given, and gives two packets.
    #[derive(Default)]
    struct Host {
        got: Arc<Mutex<Vec<Vec<u8>>>>,
        given: bool,
    }

    impl Device for Host {
        fn receive(&mut self, batch: &mut Batch, _now: Time) -> io::Result<usize> {
            if std::mem::replace(&mut self.given, true) {
                return Ok(0);
            }
            let mut ip = vec![0; 28];
            ip[0] = 0x45;
            batch.extend([ip, vec![0; 28]].map(|bytes| Packet::from_slice(&bytes)));
            Ok(2)
        }

        fn send(&mut self, batch: &mut Batch) -> io::Result<Sent> {
            let mut got = self.got.lock().unwrap();
            let sent = batch.len();
            got.extend(batch.drain().map(|packet| packet.data().to_vec()));
            Ok(Sent { sent, refused: 0 })
        }

        fn name(&self) -> Option<&str> {
            Some("tun7")
        }

        fn fd(&self) -> Option<BorrowedFd<'_>> {
            None
        }
    }

    type Asked = Arc<Mutex<Vec<DeviceRequest>>>;

    /// A router with such a host, what the host got, and what was asked for.
    fn with_host(text: &str) -> (Bench, Arc<Mutex<Vec<Vec<u8>>>>, Asked) {
        let (got, asked) = (Arc::new(Mutex::new(Vec::new())), Asked::default());
        let (kept, seen) = (Arc::clone(&got), Arc::clone(&asked));
        let opener = move |request: &DeviceRequest| {
            seen.lock().unwrap().push(request.clone());
            Ok(Box::new(Host { got: Arc::clone(&kept), given: false }) as Box<dyn Device>)
        };
        let mut env = Env { opener: Some(Box::new(opener)), ..Env::default() };
        let router = testing::build(text, &mut env).unwrap();
        (Bench { router, now: Time(1) }, got, asked)
    }

    #[test]
    fn a_tun_gives_ip_packets_and_takes_them_without_their_link_header() {
        let (mut bench, got, asked) = with_host(
            "tun :: KernelTun(10.0.0.1/24, 10.0.0.2, MTU 100) -> out :: TestOut; tun[1] -> other :: TestOut;
            in :: TestIn -> tun; framed :: TestIn -> MarkIPHeader(14) -> tun;",
        );
        bench.pass();
        assert_eq!((bench.take("out").len(), bench.take("other").len()), (1, 1));
        let mut frame = vec![9; 14];
        frame.extend([0x45; 30]);
        bench.push("framed", &frame);
        bench.push("in", &frame);
        bench.push("framed", &[0x45; 115]);
        frame[14] = 0x55;
        bench.push("framed", &frame);
        assert_eq!(*got.lock().unwrap(), [[0x45; 30]]);
        for reason in ["no network header", "packet larger than MTU", "not an IP packet"] {
            assert_eq!(bench.drops("tun", reason), 1, "{reason}");
        }
        assert_eq!(
            (bench.read("tun", "dev_name"), bench.read("tun", "packets")),
            ("tun7".into(), "2".into())
        );
        let asked = asked.lock().unwrap();
        let DeviceKind::Tun(spec) = &asked[0].kind else { panic!("{asked:?}") };
        assert!(!spec.ethernet && spec.mtu == Some(100) && spec.gateway == Some([10, 0, 0, 2].into()));
    }

    #[test]
    fn a_tap_gives_and_takes_frames_as_they_are() {
        let (mut bench, got, asked) = with_host(
            "tap :: KernelTap(10.0.0.1/24, DEVNAME fake, ETHER 1:1:1:1:1:1) -> out :: TestOut; in :: TestIn -> tap;",
        );
        bench.pass();
        assert_eq!(bench.take("out").len(), 2);
        bench.push("in", &[7; 60]);
        bench.push("in", &[7; 13]);
        assert_eq!((&*got.lock().unwrap(), bench.drops("tap", "packet too small")), (&vec![vec![7; 60]], 1));
        let asked = asked.lock().unwrap();
        let DeviceKind::Tun(spec) = &asked[0].kind else { panic!("{asked:?}") };
        assert!(spec.ethernet && spec.ether.is_some() && asked[0].name == "fake");
        let found = super::KERNEL_TAP.device_name("10.0.0.1/24, DEVNAME \"fake\"");
        assert_eq!(found.as_deref(), Some("fake"), "what spec.ports has to bind");
    }

    #[test]
    fn wrong_arguments_are_refused_in_click_s_words() {
        for (arguments, message) in [
            ("10.0.0.1/24, 10.0.1.2", "bad GATEWAY"),
            ("10.0.0.1/24, BURST 0", "BURST must be >= 1"),
            ("10.0.0.1/24, MTU 19", "MTU must be greater than 20"),
            ("10.0.0.1/24, HEADROOM 9000", "HEADROOM too big"),
        ] {
            let error = Bench::error(&format!("KernelTun({arguments}) -> Discard;"));
            assert!(error.contains(message), "{error}");
        }
    }
}
