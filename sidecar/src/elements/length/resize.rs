//! Resize: adds bytes to both ends of packets, or takes them away.

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::packet::MAX_LENGTH;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const TOO_LONG: &str = "packet too long";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Resize",
    summary: "adjusts packet length",
    args: &[
        Arg::optional("HEAD", "integer", "0", "bytes to add in front; fewer than 0 are taken away"),
        Arg::optional("TAIL", "integer", "0", "bytes to add at the end; fewer than 0 are taken away"),
    ],
    reads: Annotations::FRONT,
    drops: &[TOO_LONG],
    handlers: &[
        Handler::both("head", "bytes to add in front"),
        Handler::both("tail", "bytes to add at the end"),
    ],
    state: StateKind::Small,
    example: r#"
        RatedSource(DATA \<01 02 03 04 05 06>, RATE 100, LIMIT 4, STOP true)
            -> r :: Resize(-2, 1)
            -> Print
            -> Discard;
        Script(wait 15ms, write r.head 2, write r.tail -3, print "head $(r.head), tail $(r.tail)");
    "#,
    build,
    ..Descriptor::BASE
};

struct Resize {
    head: i32,
    tail: i32,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Resize { head: args.or("HEAD", 0)?, tail: args.or("TAIL", 0)? }))
}

/// The bytes that a signed length adds, and those that it takes away.
fn parts(bytes: i32) -> (usize, usize) {
    let size = bytes.unsigned_abs() as usize;
    if bytes > 0 { (size, 0) } else { (0, size) }
}

impl Element for Resize {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let ((front, strip), (back, trim)) = (parts(self.head), parts(self.tail));
        // Half of the longest packet leaves room for headroom on the way.
        if packet.len() + front + back > MAX_LENGTH / 2 && front + back > 0 {
            cx.drop(TOO_LONG, packet);
            return None;
        }
        if front > 0 {
            packet.grow_front(front);
        }
        // More than there is takes all there is, as in Click; so this cannot fail.
        let _ = packet.strip_front(strip.min(packet.len()));
        if back > 0 {
            packet.grow_back(back);
        }
        packet.trim_back(trim);
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "head" => Ok(self.head.to_string()),
            "tail" => Ok(self.tail.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "head" => self.head = parse_handler(value)?,
            "tail" => self.tail = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Resize {
    fn schema(&self) -> Schema {
        Schema { name: "resize", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.head as u32);
        w.put_u32(self.tail as u32);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.head = r.get_u32()? as i32;
        self.tail = r.get_u32()? as i32;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn bytes_come_and_go_at_both_ends() {
        let mut bench = Bench::new("in :: TestIn -> r :: Resize(-2, 1) -> out :: TestOut;");
        bench.push("in", b"abcd");
        bench.push("in", b"a");
        assert_eq!(bench.take("out"), [&b"cd\0"[..], b"\0"]);
        bench.router.write_handler("r", "head", "3").unwrap();
        bench.router.write_handler("r", "tail", "-1").unwrap();
        bench.push("in", b"abcd");
        let out = bench.take("out");
        assert_eq!((out[0].len(), &out[0][3..]), (6, &b"abc"[..]));
        assert_eq!((bench.read("r", "head"), bench.read("r", "tail")), ("3".to_owned(), "-1".to_owned()));
    }

    #[test]
    fn no_packet_grows_beyond_all_bounds() {
        let mut bench = Bench::new("in :: TestIn -> r :: Resize(2000000000, 2000000000) -> out :: TestOut;");
        bench.push("in", b"abcd");
        assert_eq!(bench.drops("r", "packet too long"), 1);
        let error = Bench::error("Idle -> Resize(x) -> Discard;");
        assert!(error.contains("HEAD: expected integer, got 'x'"), "{error}");
    }

    #[test]
    fn lengths_move_along() {
        let text = "in :: TestIn -> r :: Resize -> out :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        from.router.write_handler("r", "head", "-2").unwrap();
        from.move_to(&mut to);
        assert_eq!(to.read("r", "head"), "-2");
    }
}
