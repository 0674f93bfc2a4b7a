//! TimeFilter: lets packets pass whose timestamp lies in a range, absolute or relative to the first packet.

use std::time::Duration;

use crate::config::Value;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
    Time,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const OUTSIDE: &str = "outside of the time range";
/// The end of time, as Click has it.
const NEVER: Time = Time(i32::MAX as u64 * 1_000_000_000);

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "TimeFilter",
    summary: "filters packets by timestamp",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::optional("START", "time", "", "packets before this time are turned away"),
        Arg::optional("END", "time", "", "packets from this time on are turned away"),
        Arg::keyword("START_DELAY", "time", "", "START, counted from the start of the router"),
        Arg::keyword("END_DELAY", "time", "", "END, counted from the start of the router"),
        Arg::keyword("START_AFTER", "time", "0", "START, counted from the first packet"),
        Arg::keyword("END_AFTER", "time", "", "END, counted from the first packet"),
        Arg::keyword("INTERVAL", "time", "", "END, counted from START"),
        Arg::keyword("STOP", "bool", "false", "whether the first packet after END stops the router"),
        Arg::keyword(
            "END_CALL",
            "HANDLER [VALUE]",
            "",
            "write handler that the first packet after END calls",
        ),
    ],
    reads: Annotations::TIMESTAMP,
    drops: &[OUTSIDE],
    handlers: &[
        Handler::both("start", "time from which on packets pass"),
        Handler::both("end", "time from which on packets do not pass"),
        Handler::both("interval", "time from start to end"),
        Handler::write("extend_interval", "moves the end by a time"),
    ],
    ties,
    state: StateKind::Small,
    details: "A packet passes if START <= timestamp < END. START and END can each be given in one way only. The \
              first packet from END on calls END_CALL before it is looked at: a handler of the filter itself can \
              so move the range for it; $t in the value is its timestamp.",
    example: r#"
        RatedSource(DATA \<01>, RATE 10, LIMIT 12, STOP true)
            -> SetTimestampDelta
            -> f :: TimeFilter(0.2, 0.5, END_CALL end.run $t)
            -> Print(pass, TIMESTAMP true)
            -> Discard;
        f[1] -> Print(not, TIMESTAMP true)
            -> Counter(COUNT_CALL 4 f.extend_interval 0.4)
            -> Discard;
        end :: Script(TYPE PASSIVE, print "the end at $args");
        DriverManager(wait_stop, print "from $(f.start) to $(f.end)");
    "#,
    build,
    ..Descriptor::BASE
};

/// What a configured time counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The epoch: it is settled.
    Epoch,
    /// The start of the router.
    Initialize,
    /// The first packet.
    FirstPacket,
    /// The start of the range.
    Start,
}

/// What the first packet after the end calls.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AtEnd {
    Nothing,
    Stop,
    Call { handler: String, value: String },
}

struct TimeFilter {
    start: (Time, Origin),
    end: (Time, Origin),
    /// Whether a packet was seen, so that start and end are settled.
    ready: bool,
    at_end: AtEnd,
    /// Whether the end has not been told since it was set.
    armed: bool,
}

fn ties(config: &str) -> Vec<String> {
    let arguments = crate::config::split_arguments(config);
    let calls = arguments.iter().filter_map(|text| text.trim().strip_prefix("END_CALL "));
    calls.filter_map(|call| element_of(&String::parse_plain(call).ok()?)).collect()
}

/// The element that a handler call names.
fn element_of(call: &str) -> Option<String> {
    let (element, _) = call.split_whitespace().next()?.rsplit_once('.')?;
    Some(element.to_owned())
}

/// The one argument of these that is given (zero stands for none); `refusal` if there are several.
fn one_of(
    args: &Args<'_>,
    names: &[(&str, Origin)],
    refusal: &str,
) -> Result<Option<(Time, Origin)>, ConfigError> {
    let mut found = None;
    for &(name, origin) in names {
        let span = args.or(name, Duration::ZERO)?;
        if !span.is_zero() && found.replace((Time(0) + span, origin)).is_some() {
            return Err(refusal.into());
        }
    }
    Ok(found)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let start = one_of(
        args,
        &[
            ("START", Origin::Epoch),
            ("START_DELAY", Origin::Initialize),
            ("START_AFTER", Origin::FirstPacket),
        ],
        "START, START_AFTER, and START_AFTER_INIT are mutually exclusive",
    )?;
    let end = one_of(
        args,
        &[
            ("END", Origin::Epoch),
            ("END_AFTER", Origin::FirstPacket),
            ("END_DELAY", Origin::Initialize),
            ("INTERVAL", Origin::Start),
        ],
        "END, END_AFTER, END_AFTER_INIT, and INTERVAL are mutually exclusive",
    )?;
    let at_end = match (args.get::<String>("END_CALL")?, args.or("STOP", false)?) {
        (Some(_), true) => return Err("END_CALL and STOP are mutually exclusive".into()),
        (Some(call), false) => {
            let (handler, value) = call.trim().split_once(char::is_whitespace).unwrap_or((call.trim(), ""));
            AtEnd::Call { handler: handler.to_owned(), value: value.trim().to_owned() }
        }
        (None, true) => AtEnd::Stop,
        (None, false) => AtEnd::Nothing,
    };
    Ok(Box::new(TimeFilter {
        start: start.unwrap_or((Time(0), Origin::FirstPacket)),
        end: end.unwrap_or((NEVER, Origin::Epoch)),
        ready: false,
        at_end,
        armed: true,
    }))
}

/// `value` with `$t` replaced by the timestamp of the packet.
fn expand(value: &str, at: Time) -> String {
    let value = value.replace("${t}", &at.to_string());
    let mut parts = value.split("$t");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        if part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            out.push_str("$t");
        } else {
            out.push_str(&at.to_string());
        }
        out.push_str(part);
    }
    out
}

fn later(time: Time, by: Time) -> Time {
    time + Duration::from_nanos(by.0)
}

impl TimeFilter {
    /// Settles what is counted from the first packet.
    fn first_packet(&mut self, at: Time) {
        if self.start.1 == Origin::FirstPacket {
            self.start = (later(self.start.0, at), Origin::Epoch);
        }
        match self.end.1 {
            Origin::FirstPacket => self.end = (later(self.end.0, at), Origin::Epoch),
            Origin::Start => self.end = (later(self.end.0, self.start.0), Origin::Epoch),
            Origin::Epoch | Origin::Initialize => {}
        }
        self.ready = true;
    }

    fn set_end(&mut self, end: Time) {
        self.end = (end, Origin::Epoch);
        self.armed = true;
    }

    /// Tells that the end has come, again as long as that moves the end without reaching `at`.
    #[cold]
    fn tell_end(&mut self, cx: &mut Cx<'_>, at: Time) {
        while at >= self.end.0 && self.armed && self.at_end != AtEnd::Nothing {
            let before = self.end.0;
            self.armed = false;
            self.call(cx, at);
            if self.end.0 <= before {
                return;
            }
        }
    }

    fn call(&mut self, cx: &mut Cx<'_>, at: Time) {
        let AtEnd::Call { handler, value } = self.at_end.clone() else {
            cx.stop();
            return;
        };
        let value = expand(&value, at);
        // What the handler answers matters to nobody: the packets go on.
        let _ = match handler.rsplit_once('.') {
            Some((element, own)) if cx.find(element) == Some(cx.id()) => self.write(cx, own, &value),
            _ => cx.write_handler(&handler, &value),
        };
    }
}

impl Element for TimeFilter {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        for time in [&mut self.start, &mut self.end] {
            if time.1 == Origin::Initialize {
                *time = (later(time.0, cx.now()), Origin::Epoch);
            }
        }
        Ok(())
    }

    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        let at = packet.anno().timestamp;
        if !self.ready {
            self.first_packet(at);
        }
        if at >= self.start.0 && at >= self.end.0 {
            self.tell_end(cx, at);
        }
        if at >= self.start.0 && at < self.end.0 {
            return Some(packet);
        }
        cx.emit_or_drop(1, OUTSIDE, packet);
        None
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "start" => Ok(self.start.0.to_string()),
            "end" => Ok(self.end.0.to_string()),
            "interval" => Ok((Time(0) + self.end.0.since(self.start.0)).to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let span = || {
            parse_handler::<Duration>(value).map_err(|_| HandlerError::Refused("expected time".to_owned()))
        };
        match handler {
            "start" => {
                let start = Time(0) + span()?;
                if !self.ready {
                    self.first_packet(start);
                }
                self.start = (start, Origin::Epoch);
            }
            "end" => self.set_end(Time(0) + span()?),
            "interval" => self.set_end(self.start.0 + span()?),
            "extend_interval" => {
                self.end.0 += span()?;
                self.armed = true;
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for TimeFilter {
    fn schema(&self) -> Schema {
        Schema { name: "time-filter", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        for (time, origin) in [self.start, self.end] {
            w.put_u64(time.0);
            w.put_u8(match origin {
                Origin::Epoch | Origin::Initialize => 0,
                Origin::FirstPacket => 1,
                Origin::Start => 2,
            });
        }
        w.put_bool(self.ready);
        w.put_bool(self.armed);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        for time in [&mut self.start, &mut self.end] {
            let at = Time(r.get_u64()?);
            let origin = match r.get_u8()? {
                0 => Origin::Epoch,
                1 => Origin::FirstPacket,
                2 => Origin::Start,
                other => return Err(StateError::Invalid { what: "origin of a time", value: other.into() }),
            };
            *time = (at, origin);
        }
        self.ready = r.get_bool()?;
        self.armed = r.get_bool()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const SECOND: u64 = 1_000_000_000;

    /// The seconds of those packets that pass.
    fn passed(bench: &mut Bench, seconds: &[u64]) -> Vec<u64> {
        for at in seconds {
            let mut packet = Packet::from_slice(b"x");
            packet.anno_mut().timestamp = Time(at * SECOND);
            bench.push_packets("in", 0, [packet]);
        }
        bench.take_packets("out").iter().map(|p| p.anno().timestamp.seconds()).collect()
    }

    fn filter(config: &str) -> Bench {
        Bench::new(&format!("in :: TestIn -> f :: TimeFilter({config}) -> out :: TestOut;"))
    }

    #[test]
    fn packets_pass_from_the_start_until_before_the_end() {
        let mut bench = filter("10, 20");
        assert_eq!(passed(&mut bench, &[9, 10, 19, 20, 15]), [10, 19, 15]);
        assert_eq!(bench.drops("f", "outside of the time range"), 2);
        assert_eq!(passed(&mut filter("START_AFTER 5, INTERVAL 5"), &[100, 105, 109, 110]), [105, 109]);
        assert_eq!(passed(&mut filter("END_AFTER 5"), &[100, 99, 104, 105]), [100, 104]);
        // The bench's time starts at one second.
        assert_eq!(passed(&mut filter("START_DELAY 5, END_DELAY 7"), &[5, 6, 7, 8]), [6, 7]);
    }

    #[test]
    fn output_1_gets_what_is_turned_away() {
        let mut bench =
            Bench::new("in :: TestIn -> f :: TimeFilter(2) -> out :: TestOut; f[1] -> no :: TestOut;");
        assert_eq!(passed(&mut bench, &[1, 2]), [2]);
        assert_eq!(bench.take("no").len(), 1);
    }

    #[test]
    fn handlers_move_the_range() {
        let mut bench = filter("10, 20");
        assert_eq!(bench.read("f", "interval"), "10.000000");
        bench.router.write_handler("f", "extend_interval", "5").unwrap();
        assert_eq!(bench.read("f", "end"), "25.000000");
        bench.router.write_handler("f", "start", "15").unwrap();
        bench.router.write_handler("f", "interval", "1").unwrap();
        assert_eq!(passed(&mut bench, &[14, 15, 16]), [15]);
        assert_eq!(bench.read("f", "start"), "15.000000");
        let refused = bench.router.write_handler("f", "end", "x").unwrap_err();
        assert_eq!(refused.to_string(), "expected time");
    }

    #[test]
    fn the_first_packet_after_the_end_calls_a_handler_and_may_be_let_through_by_it() {
        let mut bench = filter("1, 10, END_CALL \"f.extend_interval 5\"");
        assert_eq!(passed(&mut bench, &[9, 10, 14, 21]), [9, 10, 14, 21]);
        assert_eq!(bench.read("f", "end"), "25.000000");
        // An end that stays is told once.
        let mut bench = filter("1, 10, END_CALL \"f.start 5\"");
        assert_eq!(passed(&mut bench, &[9, 10, 4]), [9]);
        bench.router.write_handler("f", "start", "2").unwrap();
        assert_eq!(passed(&mut bench, &[11, 4]), [4]);
    }

    #[test]
    fn the_packet_s_time_is_handed_to_the_handler() {
        assert_eq!(expand("a $t ${t}b $total", Time(SECOND)), "a 1.000000 1.000000b $total");
        assert_eq!(ties("1, 2, END_CALL s/q.run $t"), ["s/q"]);
        assert_eq!(ties("END_CALL \"q.run 5\", STOP false"), ["q"]);
        assert!(ties("END_CALL stop").is_empty());
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        let error = |config: &str| Bench::error(&format!("Idle -> TimeFilter({config}) -> Discard;"));
        assert!(error("1, START_AFTER 1").contains("START, START_AFTER, and START_AFTER_INIT are mutually"));
        assert!(
            error("END 1, INTERVAL 1").contains("END, END_AFTER, END_AFTER_INIT, and INTERVAL are mutually")
        );
        assert!(error("STOP true, END_CALL x.y").contains("END_CALL and STOP are mutually exclusive"));
    }

    #[test]
    fn a_settled_range_moves() {
        let filter = |start| TimeFilter {
            start,
            end: (Time(9), Origin::Start),
            ready: true,
            at_end: AtEnd::Nothing,
            armed: false,
        };
        let (from, mut to) = (filter((Time(5), Origin::Epoch)), filter((Time(0), Origin::FirstPacket)));
        let mut w = Writer::new();
        from.save(&mut w);
        to.restore(&mut Reader::new(w.as_bytes())).unwrap();
        assert_eq!((to.start, to.end), (from.start, from.end));
    }
}
