//! Counter: counts packets and bytes, measures their rate, and may call a handler at a certain count.

use super::HandlerCall;
use crate::config::{Value, shift_word};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::queueing::{RateEwma, show_rate};
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
        Handler::write("reset", "sets the counts to 0"),
        Handler::write("reset_counts", "sets the counts to 0"),
        Handler::both("count_call", "N HANDLER [VALUE]; reading gives N"),
        Handler::both("byte_count_call", "N HANDLER [VALUE]; reading gives N"),
    ],
    reads: Annotations::EXTRA_LENGTH,
    state: StateKind::Small,
    ties: |config| HandlerCall::ties(config, &["COUNT_CALL", "BYTE_COUNT_CALL"], 1),
    details: "Counts the packets and bytes that pass, and estimates their rates: exponentially weighted averages over some \
              16 ms, so that they show bursts. When a count reaches its limit, a handler is called, once until the next \
              reset.",
    example: r#"
        RatedSource(DATA \<01 02 03>, RATE 1000, LIMIT 300, STOP true)
            -> c :: Counter(COUNT_CALL 10 m.run)
            -> Discard;
        m :: Script(TYPE PASSIVE, print "$(c.count) packets, $(c.byte_count) bytes");
        DriverManager(wait 0.05s, print "$(c.rate) packets and $(c.bit_rate) bits a second",
            write c.reset, write c.count_call 100 m.run, wait_stop, print c.count);
    "#,
    build,
    ..Descriptor::BASE
};

#[derive(Default)]
struct Counter {
    count: u64,
    bytes: u64,
    count_call: Option<Trigger>,
    byte_count_call: Option<Trigger>,
    /// Counts at which something has to be called; `u64::MAX` for never.
    next_count: u64,
    next_bytes: u64,
    rate: RateEwma,
    byte_rate: RateEwma,
}

/// `N HANDLER [VALUE]`
#[derive(Clone)]
struct Trigger {
    at: u64,
    call: HandlerCall,
    /// It was made, and is not made again before a reset.
    made: bool,
}

impl Trigger {
    /// `None` if it does not begin with a number.
    fn parse(text: &str) -> Option<Self> {
        let (at, call) = shift_word(text);
        Some(Self { at: u64::parse_plain(at).ok()?, call: HandlerCall::parse(call), made: false })
    }

    fn save(trigger: Option<&Self>, w: &mut Writer) {
        w.put_bool(trigger.is_some());
        if let Some(trigger) = trigger {
            w.put_u64(trigger.at);
            w.put_str(&trigger.call.to_string());
            w.put_bool(trigger.made);
        }
    }

    fn restore(r: &mut Reader<'_>) -> Result<Option<Self>, StateError> {
        if !r.get_bool()? {
            return Ok(None);
        }
        let (at, call) = (r.get_u64()?, HandlerCall::parse(r.get_str()?));
        Ok(Some(Self { at, call, made: r.get_bool()? }))
    }
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let trigger = |name: &str| {
        let parse = |text| Trigger::parse(text).ok_or_else(|| format!("{name} type mismatch"));
        args.text(name).map(parse).transpose()
    };
    let mut counter = Counter {
        count_call: trigger("COUNT_CALL")?,
        byte_count_call: trigger("BYTE_COUNT_CALL")?,
        ..Counter::default()
    };
    counter.arm();
    Ok(Box::new(counter))
}

impl Counter {
    /// Sets the counts to look out for: the calls that are still to come.
    fn arm(&mut self) {
        let waits = |trigger: &Option<Trigger>| trigger.as_ref().filter(|t| !t.made).map(|t| t.at);
        // A count is reached exactly, or never; bytes may go beyond.
        self.next_count = waits(&self.count_call).filter(|at| *at > self.count).unwrap_or(u64::MAX);
        self.next_bytes = waits(&self.byte_count_call).unwrap_or(u64::MAX);
    }

    fn reset(&mut self) {
        self.count = 0;
        self.bytes = 0;
        for trigger in [&mut self.count_call, &mut self.byte_count_call].into_iter().flatten() {
            trigger.made = false;
        }
        self.arm();
    }

    #[cold]
    fn call(&mut self, cx: &mut Cx<'_>) {
        let reached = [
            self.count_call.as_mut().filter(|_| self.count >= self.next_count),
            self.byte_count_call.as_mut().filter(|_| self.bytes >= self.next_bytes),
        ];
        for trigger in reached.into_iter().flatten() {
            trigger.made = true;
            trigger.call.make(cx);
        }
        self.arm();
    }

    /// Takes a new call, if it can be made.
    fn set_call(cx: &Cx<'_>, handler: &str, value: &str) -> Result<Option<Trigger>, HandlerError> {
        let wrong = || HandlerError::Refused(format!("'{handler}' first word should be unsigned (count)"));
        let trigger = Trigger::parse(value).ok_or_else(wrong)?;
        trigger.call.check(cx).map_err(HandlerError::Refused)?;
        Ok(Some(trigger))
    }
}

impl Element for Counter {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let mut triggers = [&self.count_call, &self.byte_count_call].into_iter().flatten();
        triggers.try_for_each(|trigger| trigger.call.check(cx))
    }

    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let bytes: u64 = batch.iter().map(|packet| packet.len() as u64).sum();
        self.count += batch.len() as u64;
        self.bytes += bytes;
        self.rate.update(cx.now(), batch.len() as u64);
        self.byte_rate.update(cx.now(), bytes);
        if self.count >= self.next_count || self.bytes >= self.next_bytes {
            self.call(cx);
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        // A rate falls while nothing comes.
        self.rate.update(cx.now(), 0);
        self.byte_rate.update(cx.now(), 0);
        let at = |trigger: &Option<Trigger>| trigger.as_ref().map_or(String::new(), |t| t.at.to_string());
        match handler {
            "count" => Ok(self.count.to_string()),
            "byte_count" => Ok(self.bytes.to_string()),
            "rate" => Ok(show_rate(self.rate.scaled())),
            "byte_rate" => Ok(show_rate(self.byte_rate.scaled())),
            "bit_rate" => Ok(show_rate(self.byte_rate.scaled().saturating_mul(8))),
            "count_call" => Ok(at(&self.count_call)),
            "byte_count_call" => Ok(at(&self.byte_count_call)),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" | "reset_counts" => self.reset(),
            "count_call" => self.count_call = Self::set_call(cx, handler, value)?,
            "byte_count_call" => self.byte_count_call = Self::set_call(cx, handler, value)?,
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
        self.rate.save(w);
        self.byte_rate.save(w);
        Trigger::save(self.count_call.as_ref(), w);
        Trigger::save(self.byte_count_call.as_ref(), w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.bytes = r.get_u64()?;
        self.rate.restore(r)?;
        self.byte_rate.restore(r)?;
        self.count_call = Trigger::restore(r)?;
        self.byte_count_call = Trigger::restore(r)?;
        self.arm();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    const TEXT: &str =
        "in :: TestIn -> c :: Counter(COUNT_CALL 3 s.run three, BYTE_COUNT_CALL 4 s.run bytes) -> Discard;
                        s :: Script(TYPE PASSIVE, export calls, setq calls \"$calls $args\");";

    #[test]
    fn packets_and_bytes_are_counted_until_a_reset() {
        let mut bench = Bench::new("in :: TestIn -> c :: Counter -> out :: TestOut;");
        bench.push("in", b"abc");
        bench.push("in", b"d");
        assert_eq!((bench.read("c", "count"), bench.read("c", "byte_count")), ("2".into(), "4".into()));
        assert_eq!(bench.read("c", "count_call"), "");
        bench.router.write_handler("c", "reset_counts", "").unwrap();
        assert_eq!((bench.read("c", "count"), bench.read("c", "byte_count")), ("0".into(), "0".into()));
        assert_eq!(bench.take("out").len(), 2);
    }

    #[test]
    fn each_limit_calls_its_handler_once_a_reset() {
        let mut bench = Bench::new(TEXT);
        for _ in 0..6 {
            bench.push("in", b"xx");
        }
        assert_eq!(bench.read("s", "calls"), " bytes three");
        bench.router.write_handler("c", "reset", "").unwrap();
        bench.push("in", b"xxxx");
        assert_eq!(bench.read("s", "calls"), " bytes three bytes");
    }

    #[test]
    fn a_call_can_be_set_by_handler() {
        let mut bench = Bench::new(TEXT);
        bench.push("in", b"");
        bench.router.write_handler("c", "count_call", "2 s.run two").unwrap();
        assert_eq!(
            (bench.read("c", "count_call"), bench.read("c", "byte_count_call")),
            ("2".into(), "4".into())
        );
        bench.push("in", b"");
        bench.push("in", b"");
        assert_eq!(bench.read("s", "calls"), " two");
        for (value, wrong) in [
            ("x s.run", "'count_call' first word should be unsigned (count)"),
            ("2 no.run", "no element named 'no'"),
            ("2 s.calls", "no 's.calls' write handler"),
        ] {
            let refused = bench.router.write_handler("c", "count_call", value);
            assert_eq!(refused.unwrap_err().to_string(), wrong);
        }
    }

    #[test]
    fn rates_are_those_of_the_last_milliseconds() {
        let mut bench = Bench::new("r :: RatedSource(LENGTH 100, RATE 1000) -> c :: Counter -> Discard;");
        bench.advance(Duration::from_millis(500));
        let rate = |bench: &mut Bench, name| bench.read("c", name).parse::<f64>().unwrap();
        assert!((990.0..1010.0).contains(&rate(&mut bench, "rate")));
        assert!((99_000.0..101_000.0).contains(&rate(&mut bench, "byte_rate")));
        assert!((792_000.0..808_000.0).contains(&rate(&mut bench, "bit_rate")));
        bench.router.write_handler("r", "active", "false").unwrap();
        bench.advance(Duration::from_secs(1));
        assert_eq!(bench.read("c", "rate"), "0");
    }

    #[test]
    fn wrong_calls_are_refused() {
        let error = |config: &str| Bench::error(&format!("Idle -> Counter({config}) -> Discard;"));
        assert!(error("COUNT_CALL x y.z").contains("COUNT_CALL type mismatch"));
        assert!(error("BYTE_COUNT_CALL 1 y.z").contains("no element named 'y'"));
        assert!(error("COUNT_CALL 1 nothing").contains("no 'nothing' write handler"));
    }

    #[test]
    fn a_counter_moves_with_its_calls() {
        let (mut old, mut new) = (Bench::new(TEXT), Bench::new(TEXT));
        old.push("in", b"x");
        old.router.write_handler("c", "count_call", "2 s.run moved").unwrap();
        old.move_to(&mut new);
        new.push("in", b"x");
        assert_eq!(new.read("s", "calls"), " moved");
        assert_eq!(new.read("c", "byte_count"), "2");
    }
}
