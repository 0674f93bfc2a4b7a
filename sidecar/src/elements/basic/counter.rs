//! Counter: counts packets and bytes, measures their rate, and may call a handler at a certain count.

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind, Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Counter",
    summary: "measures packet count and rate",
    args: &[
        Arg::keyword(
            "COUNT_CALL",
            "N HANDLER [VALUE]",
            "",
            "write handler called when N packets have passed",
        ),
        Arg::keyword(
            "BYTE_COUNT_CALL",
            "N HANDLER [VALUE]",
            "",
            "write handler called when N bytes have passed",
        ),
    ],
    handlers: &[
        Handler::read("count", "packets passed"),
        Handler::read("byte_count", "bytes passed"),
        Handler::read("rate", "packets a second, recently"),
        Handler::read("bit_rate", "bits a second, recently"),
        Handler::read("byte_rate", "bytes a second, recently"),
        Handler::write("reset", "sets counts and rates to 0"),
        Handler::write("reset_counts", "sets counts and rates to 0"),
        Handler::both("count_call", "N HANDLER [VALUE]"),
        Handler::both("byte_count_call", "N HANDLER [VALUE]"),
    ],
    state: StateKind::Small,
    details: "Counts the packets and bytes that pass, and estimates their rates with exponentially weighted averages. \
              When a count reaches its limit, a handler is called once.",
    example: r#"
        RatedSource(DATA \<01 02 03>, RATE 100, LIMIT 300, STOP true)
            -> c :: Counter(COUNT_CALL 10 m.run)
            -> Discard;
        m :: Script(TYPE PASSIVE, print "ten packets, $(c.byte_count) bytes");
        DriverManager(wait_stop, print $(c.count), print $(c.bit_rate));
    "#,
    build,
    ..Descriptor::BASE
};

#[derive(Default)]
struct Counter {
    count: u64,
    bytes: u64,
    /// Counts at which something has to be called; `u64::MAX` for never.
    next_count: u64,
    next_bytes: u64,
    count_call: Option<Call>,
    byte_count_call: Option<Call>,
    rate: Rate,
    /// Whether the call at a count of bytes has been made.
    bytes_called: bool,
}

/// `N HANDLER [VALUE]`.
#[derive(Clone)]
struct Call {
    at: u64,
    handler: String,
    value: String,
}

impl Call {
    /// `name` is the argument or handler that says it.
    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (at, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let (handler, value) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        let at = at.parse().map_err(|_| format!("'{name}' first word should be unsigned (count)"))?;
        if handler.is_empty() {
            return Err(format!("'{name}' needs a handler"));
        }
        Ok(Self { at, handler: handler.to_owned(), value: value.trim().to_owned() })
    }

    fn show(call: Option<&Self>) -> String {
        call.map_or(String::new(), |c| format!("{} {} {}", c.at, c.handler, c.value).trim_end().to_owned())
    }
}

/// Rates as an average over whole seconds, moved on lazily: half of the old and half of the last second.
#[derive(Default)]
struct Rate {
    second: u64,
    packets: u64,
    bytes: u64,
    packet_rate: f64,
    byte_rate: f64,
    known: bool,
}

impl Rate {
    #[inline]
    fn update(&mut self, now: Time, packets: u64, bytes: u64) {
        // 2^30 ns stand for a second: no division per batch.
        let second = now.0 >> 30;
        if second != self.second {
            self.roll(second);
        }
        self.packets += packets;
        self.bytes += bytes;
    }

    #[cold]
    fn roll(&mut self, second: u64) {
        const SCALE: f64 = 1e9 / (1_u64 << 30) as f64;
        let (packets, bytes) = (self.packets as f64 * SCALE, self.bytes as f64 * SCALE);
        if self.second != 0 {
            let weight = if self.known { 0.5 } else { 1.0 };
            self.packet_rate += (packets - self.packet_rate) * weight;
            self.byte_rate += (bytes - self.byte_rate) * weight;
            self.known = true;
            let silent = second.saturating_sub(self.second + 1).min(64) as i32;
            self.packet_rate *= 0.5_f64.powi(silent);
            self.byte_rate *= 0.5_f64.powi(silent);
        }
        self.second = second;
        self.packets = 0;
        self.bytes = 0;
    }
}

impl Rate {
    fn save(&self, w: &mut Writer) {
        for number in [self.second, self.packets, self.bytes] {
            w.put_u64(number);
        }
        w.put_u64(self.packet_rate.to_bits());
        w.put_u64(self.byte_rate.to_bits());
        w.put_bool(self.known);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        for number in [&mut self.second, &mut self.packets, &mut self.bytes] {
            *number = r.get_u64()?;
        }
        for rate in [&mut self.packet_rate, &mut self.byte_rate] {
            let bits = r.get_u64()?;
            *rate = f64::from_bits(bits);
            if !rate.is_finite() {
                return Err(StateError::Invalid { what: "rate", value: bits });
            }
        }
        self.known = r.get_bool()?;
        Ok(())
    }
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let call = |name: &str| args.text(name).map(|text| Call::parse(name, text)).transpose();
    let mut counter = Counter {
        count_call: call("COUNT_CALL")?,
        byte_count_call: call("BYTE_COUNT_CALL")?,
        ..Counter::default()
    };
    counter.arm();
    Ok(Box::new(counter))
}

impl Counter {
    /// Sets the counts to look out for: the calls that are still to come.
    fn arm(&mut self) {
        let next = |call: &Option<Call>, to_come: bool| {
            call.as_ref().filter(|_| to_come).map_or(u64::MAX, |call| call.at)
        };
        // A count of packets is met exactly, a count of bytes is met or passed.
        let count_to_come = self.count_call.as_ref().is_some_and(|call| self.count < call.at);
        self.next_count = next(&self.count_call, count_to_come);
        self.next_bytes = next(&self.byte_count_call, !self.bytes_called);
    }

    fn reset(&mut self) {
        self.count = 0;
        self.bytes = 0;
        self.rate = Rate::default();
        self.bytes_called = false;
        self.arm();
    }

    #[cold]
    fn call(&mut self, cx: &mut Cx<'_>) {
        if self.count >= self.next_count
            && let Some(call) = self.count_call.clone()
        {
            cx.write_later(call.handler, call.value);
        }
        if self.bytes >= self.next_bytes
            && let Some(call) = self.byte_count_call.clone()
        {
            self.bytes_called = true;
            cx.write_later(call.handler, call.value);
        }
        self.arm();
    }
}

impl Element for Counter {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let bytes: u64 = batch.iter().map(|p| (p.len() + p.anno().extra_length as usize) as u64).sum();
        self.count += batch.len() as u64;
        self.bytes += bytes;
        self.rate.update(cx.now(), batch.len() as u64, bytes);
        if self.count >= self.next_count || self.bytes >= self.next_bytes {
            self.call(cx);
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.rate.update(cx.now(), 0, 0);
        match handler {
            "count" => Ok(self.count.to_string()),
            "byte_count" => Ok(self.bytes.to_string()),
            "rate" => Ok(format!("{:.3}", self.rate.packet_rate)),
            "byte_rate" => Ok(format!("{:.3}", self.rate.byte_rate)),
            "bit_rate" => Ok(format!("{:.3}", self.rate.byte_rate * 8.0)),
            "count_call" => Ok(Call::show(self.count_call.as_ref())),
            "byte_count_call" => Ok(Call::show(self.byte_count_call.as_ref())),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" | "reset_counts" => self.reset(),
            "count_call" => {
                self.count_call = Some(Call::parse(handler, value).map_err(HandlerError::Refused)?);
            }
            "byte_count_call" => {
                self.byte_count_call = Some(Call::parse(handler, value).map_err(HandlerError::Refused)?);
                self.bytes_called = false;
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        self.arm();
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Counter {
    fn schema(&self) -> Schema {
        Schema { name: "counter", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u64(self.bytes);
        w.put_bool(self.bytes_called);
        self.rate.save(w);
        for call in [&self.count_call, &self.byte_count_call] {
            w.put_str(&Call::show(call.as_ref()));
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.bytes = r.get_u64()?;
        self.bytes_called = r.get_bool()?;
        self.rate.restore(r)?;
        for call in [&mut self.count_call, &mut self.byte_count_call] {
            let text = r.get_str()?;
            *call = (!text.is_empty())
                .then(|| Call::parse("call", text))
                .transpose()
                .map_err(|_| StateError::Invalid { what: "handler call", value: text.len() as u64 })?;
        }
        self.arm();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    const TEXT: &str =
        "s :: RatedSource(abc, RATE 100) -> c :: Counter(COUNT_CALL 150 d.reset_counts) -> d :: Discard;";

    #[test]
    fn counts_rates_and_calls_move() {
        let (mut from, mut to) = (Bench::new(TEXT), Bench::new(TEXT));
        from.router.write_handler("c", "count_call", "260 d.reset_counts").unwrap();
        from.advance(Duration::from_millis(2500));
        from.move_to(&mut to);
        to.now = from.now;
        for bench in [&mut from, &mut to] {
            bench.advance(Duration::from_millis(1500));
        }
        for handler in ["count", "byte_count", "rate", "byte_rate", "bit_rate", "count_call"] {
            assert_eq!(from.read("c", handler), to.read("c", handler), "{handler}");
        }
        assert_eq!((to.read("c", "count"), to.read("d", "count")), ("401".into(), from.read("d", "count")));
        assert_ne!(to.read("c", "rate"), "0.000");
    }

    #[test]
    fn a_count_of_bytes_that_is_passed_already_is_called_at_the_next_packet() {
        let mut bench = Bench::new("in :: TestIn -> c :: Counter -> d :: Discard;");
        bench.push("in", b"1234");
        bench.router.write_handler("c", "byte_count_call", "2 c.reset").unwrap();
        bench.push("in", b"1234");
        assert_eq!(bench.read("c", "count"), "0");
        bench.router.write_handler("c", "byte_count_call", "2 d.reset_counts").unwrap();
        bench.push("in", b"1234");
        bench.push("in", b"1234");
        assert_eq!((bench.read("c", "count"), bench.read("d", "count")), ("2".into(), "2".into()));
    }

    #[test]
    fn calls_without_a_count_or_handler_are_refused() {
        let error = Bench::error("Idle -> Counter(COUNT_CALL many c.reset) -> Discard;");
        assert!(error.contains("'COUNT_CALL' first word should be unsigned (count)"), "{error}");
        let error = Bench::error("Idle -> Counter(BYTE_COUNT_CALL 7) -> Discard;");
        assert!(error.contains("'BYTE_COUNT_CALL' needs a handler"), "{error}");
    }
}
