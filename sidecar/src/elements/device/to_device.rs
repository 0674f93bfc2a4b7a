//! ToDevice: pulls frames and sends them by a network interface. What the interface cannot take now is kept, in order.

use std::time::Duration;

use crate::device::{DeviceKind, DeviceRequest, Direction};
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside, Packet, StateKind,
};
use crate::engine::DeviceId;
use crate::packet::BATCH;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const REFUSED: &str = "refused by the device";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ToDevice",
    details: "Pulls packets as fast as the device takes them, so a Queue stands before it.",
    example: r#"
        RatedSource(DATA "data", RATE 10)
            -> UDPIPEncap(10.0.0.1, 1024, 10.0.0.9, 53)
            -> EtherEncap(0x0800, 02:00:00:00:00:01, 02:00:00:00:00:09)
            -> Queue(100) -> ToDevice(eth0);
    "#,
    summary: "sends packets to network device",
    ports: "1/0",
    processing: "l/h",
    args: &[
        Arg::required("DEVNAME", "string", "the interface, or the port of the function"),
        Arg::keyword("BURST", "unsigned", "32", "frames sent in one go"),
        Arg::keyword("METHOD", "string", "LINUX", "accepted as in Click"),
        Arg::keyword("QUIET", "bool", "false", "accepted as in Click"),
        Arg::keyword("NO_PAD", "bool", "false", "accepted as in Click"),
    ],
    handlers: &[
        Handler::read("count", "packets sent"),
        Handler::read("pulls", "times that packets were pulled"),
        Handler::write("reset_counts", "sets counts to 0"),
    ],
    drops: &[REFUSED],
    state: StateKind::Small,
    outside: Outside::Device(Direction::Send),
    build,
    ..Descriptor::BASE
};

/// How long to wait when the interface says neither that it can take frames nor when.
const BACK_OFF: Duration = Duration::from_millis(1);

struct ToDevice {
    request: DeviceRequest,
    device: Option<DeviceId>,
    burst: usize,
    /// Pulled and not sent yet.
    waiting: Batch,
    count: u64,
    pulls: u64,
    failed: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(ToDevice {
        request: DeviceRequest {
            name: args.need("DEVNAME")?,
            direction: Direction::Send,
            kind: DeviceKind::Interface { promiscuous: false, snaplen: 0, outbound: false },
        },
        device: None,
        burst: args.or("BURST", BATCH)?.clamp(1, BATCH),
        waiting: Batch::new(),
        count: 0,
        pulls: 0,
        failed: false,
    }))
}

impl Element for ToDevice {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.device = Some(cx.open_device(&self.request)?);
        cx.schedule();
        Ok(())
    }

    fn task(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) -> bool {
        let Some(device) = self.device else { return false };
        if self.waiting.is_empty() {
            let mut batch = std::mem::take(&mut self.waiting);
            cx.pull(0, &mut batch, self.burst);
            self.waiting = batch;
            self.pulls += 1;
        }
        if self.waiting.is_empty() {
            return false; // The queue upstream wakes this task.
        }
        match cx.device(device).send(&mut self.waiting) {
            Ok(done) => {
                self.failed = false;
                self.count += done.sent as u64;
                cx.count_drops(REFUSED, done.refused as u64);
                if self.waiting.is_empty() {
                    cx.schedule();
                } else {
                    cx.wait_writable(device);
                    cx.set_timer(cx.now() + BACK_OFF);
                }
                done.sent + done.refused > 0
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("{}: {}: {error}", cx.name(), self.request.name));
                }
                let mut lost = std::mem::take(&mut self.waiting);
                cx.drop_all(REFUSED, &mut lost);
                cx.schedule();
                true
            }
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "pulls" => Ok(self.pulls.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset_counts" => (self.count, self.pulls) = (0, 0),
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for ToDevice {
    fn schema(&self) -> Schema {
        Schema { name: "to-device", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u32(self.waiting.len() as u32);
        for packet in self.waiting.iter() {
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.waiting.clear();
        let count = r.get_u32()?;
        if count as usize > BATCH {
            return Err(StateError::Invalid { what: "number of packets", value: count.into() });
        }
        for _ in 0..count {
            self.waiting.push(Packet::restore(r)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::sync::{Arc, Mutex};

    use crate::device::{Device, Sent};
    use crate::element::{Batch, Packet, Time};
    use crate::engine::Env;
    use crate::testing;

    /// A wire that gives back what it is given, and takes so many frames a call.
    struct Loop {
        frames: Arc<Mutex<VecDeque<Vec<u8>>>>,
        takes: usize,
    }

    impl Device for Loop {
        fn receive(&mut self, batch: &mut Batch, _now: Time) -> io::Result<usize> {
            let mut frames = self.frames.lock().unwrap();
            let count = frames.len().min(batch.room());
            batch.extend(frames.drain(..count).map(|frame| Packet::from_slice(&frame)));
            Ok(count)
        }

        fn send(&mut self, batch: &mut Batch) -> io::Result<Sent> {
            let sent = batch.len().min(self.takes);
            let mut frames = self.frames.lock().unwrap();
            frames.extend(batch.iter().take(sent).map(|packet| packet.data().to_vec()));
            batch.drop_first(sent);
            Ok(Sent { sent, refused: 0 })
        }

        fn fd(&self) -> Option<BorrowedFd<'_>> {
            None
        }
    }

    #[test]
    fn frames_that_the_device_cannot_take_at_once_go_later_in_order() {
        let frames = Arc::new(Mutex::new(VecDeque::new()));
        let mut env = Env::default();
        env.devices.insert("lan".to_owned(), Box::new(Loop { frames: Arc::clone(&frames), takes: 3 }));
        let text = "InfiniteSource(\"x\", 10) -> Queue -> t :: ToDevice(lan);";
        let mut router = testing::build(text, &mut env).unwrap();
        for ms in 0..40 {
            router.run(Time(ms * 1_000_000));
        }
        assert_eq!(frames.lock().unwrap().len(), 10);
        assert_eq!(router.read_handler("t", "count").unwrap(), "10");
    }

    #[test]
    fn a_device_is_shared_by_reader_and_writer() {
        let frames = Arc::new(Mutex::new(VecDeque::from([vec![1], vec![2]])));
        let mut env = Env::default();
        env.devices.insert("lan".to_owned(), Box::new(Loop { frames, takes: 32 }));
        let text = "f :: FromDevice(lan) -> c :: Counter -> Discard; Idle -> Queue -> ToDevice(lan);";
        let mut router = testing::build(text, &mut env).unwrap();
        router.run(Time(0));
        assert_eq!(router.read_handler("c", "count").unwrap(), "2");
        assert_eq!(router.devices().count(), 1);
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_with_its_name() {
        let error = testing::build("FromDevice(lan) -> Discard;", &mut Env::default()).unwrap_err();
        assert!(error.contains("no device \"lan\""), "{error}");
    }
}
