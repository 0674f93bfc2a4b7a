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
}

/// `N HANDLER [VALUE]`.
#[derive(Clone)]
struct Call {
    at: u64,
    handler: String,
    value: String,
}

impl Call {
    fn parse(text: &str) -> Result<Self, String> {
        let (at, rest) = text.trim().split_once(char::is_whitespace).ok_or("expected 'N HANDLER [VALUE]'")?;
        let (handler, value) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        let at = at.parse().map_err(|_| format!("expected count, got '{at}'"))?;
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

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let call = |name: &str| {
        args.text(name).map(|text| Call::parse(text).map_err(|e| format!("{name}: {e}"))).transpose()
    };
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
        let next = |call: &Option<Call>, now: u64| {
            call.as_ref().map_or(u64::MAX, |c| if now < c.at { c.at } else { u64::MAX })
        };
        self.next_count = next(&self.count_call, self.count);
        self.next_bytes = next(&self.byte_count_call, self.bytes);
    }

    fn reset(&mut self) {
        self.count = 0;
        self.bytes = 0;
        self.rate = Rate::default();
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
            "count_call" => self.count_call = Some(Call::parse(value).map_err(HandlerError::Refused)?),
            "byte_count_call" => {
                self.byte_count_call = Some(Call::parse(value).map_err(HandlerError::Refused)?)
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
        Schema { name: "counter", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u64(self.bytes);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.bytes = r.get_u64()?;
        self.arm();
        Ok(())
    }
}
