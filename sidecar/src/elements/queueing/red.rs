//! RED: random early detection. Drops packets, or sends them out of output 1, the more likely the longer the queues nearby
//! have been on average (Floyd and Jacobson 1993; above MAX_THRESH the gentle variant, Floyd 1997).
//!
//! The queues are those named by QUEUES, or the nearest ones: downstream of a push RED, upstream of a pull RED. Name them
//! if the graph is cut: then they stay together.

use super::ewma::{Ewma, FRACTION};
use super::fixed_point::{show_fixed_point, to_fixed_point};
use super::link_unqueue::LinkUnqueue;
use super::queue::Queue;
use crate::config::{split_arguments, split_words};
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, ElementId, Handler, HandlerError, Packet,
    Queueing, StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const EARLY: &str = "early detection";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RED",
    summary: "drops packets according to RED",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::required("MIN_THRESH", "unsigned", "average queue length up to which nothing is dropped"),
        Arg::required("MAX_THRESH", "unsigned", "average queue length at which MAX_P is reached"),
        Arg::required("MAX_P", "number from 0 to 1", "probability of a drop at MAX_THRESH"),
        Arg::keyword("QUEUES", "element names", "", "the queues to watch, in place of the nearest ones"),
        Arg::keyword(
            "STABILITY",
            "unsigned",
            "4",
            "how slowly the average follows: -log2 of a new value's weight",
        ),
        Arg::keyword(
            "GENTLE",
            "bool",
            "true",
            "all is dropped from twice MAX_THRESH on, not from MAX_THRESH on",
        ),
    ],
    ties: |config| queue_names(&split_arguments(config)),
    queueing: Queueing { looks_for_queues: true, ..Queueing::NONE },
    handlers: &[
        Handler::read("drops", "packets dropped"),
        Handler::both("min_thresh", "average queue length up to which nothing is dropped"),
        Handler::both("max_thresh", "average queue length at which MAX_P is reached"),
        Handler::both("max_p", "probability of a drop at MAX_THRESH"),
        Handler::read("avg_queue_size", "average queue length"),
        Handler::read("stats", "present and average queue length, drops"),
        Handler::read("queues", "the queues watched, a line each"),
    ],
    drops: &[EARLY],
    state: StateKind::Small,
    details: "Keeps an average of the queue length (Floyd and Jacobson 1993). Up to MIN_THRESH nothing is \
              dropped; from there to MAX_THRESH a packet is dropped with a probability that goes up to MAX_P; \
              above, to twice MAX_THRESH, it goes on up to 1 (gentle, Floyd 1997). The queues are those that \
              QUEUES names, or the nearest ones: downstream of a push RED, upstream of a pull RED. Name them \
              if the graph is cut: then they stay together. Dropped packets leave by output 1 if it is \
              connected.",
    example: r#"
        RatedSource(DATA abc, RATE 1000, LIMIT 120)
            -> red :: RED(5, 20, 0.2)
            -> q :: Queue(100)
            -> u :: RatedUnqueue(300)
            -> Discard;
        red[1] -> early :: Counter -> Discard;
        DriverManager(print "watches $(red.queues)",
            wait 40ms, print $(red.stats),
            write red.max_p 0.5, write red.min_thresh 3,
            wait 80ms, print $(red.stats),
            print "max_p $(red.max_p) from $(red.min_thresh) to $(red.max_thresh): $(early.count) lost");
    "#,
    build,
    ..Descriptor::BASE
};

/// The names in the QUEUES argument.
fn queue_names(arguments: &[String]) -> Vec<String> {
    let named =
        arguments.iter().find_map(|text| text.strip_prefix("QUEUES")?.strip_prefix(char::is_whitespace));
    named.map(split_words).unwrap_or_default()
}

/// Bits of fraction of a probability.
const PROBABILITY: u32 = 16;
const CERTAIN: i64 = 1 << PROBABILITY;

/// How likely a drop is at which average.
#[derive(Clone, Copy)]
struct Curve {
    min: u64,
    max: u64,
    /// At `max`, out of [`CERTAIN`].
    max_p: i64,
    gentle: bool,
}

impl Curve {
    fn check(self) -> Result<Self, String> {
        if self.max > 0xffff {
            return Err("MAX_THRESH must be <= 65535".to_owned());
        }
        if self.min > self.max {
            return Err("MIN_THRESH must be <= MAX_THRESH".to_owned());
        }
        if !(0..=CERTAIN).contains(&self.max_p) {
            return Err("MAX_P must be between 0 and 1".to_owned());
        }
        Ok(self)
    }

    /// The average from which on everything is dropped.
    fn end(self) -> u64 {
        if self.gentle && self.max_p < CERTAIN { 2 * self.max } else { self.max }
    }

    /// Probability of a drop between `min` and `end`, at an average with [`FRACTION`] bits of fraction.
    fn probability(self, average: u64, scaled: u64) -> i64 {
        let (min, max, scaled) = (self.min as i64, self.max as i64, scaled as i64);
        if average > self.max {
            let slope = (CERTAIN - self.max_p) / max.max(1);
            ((slope * scaled) >> FRACTION) - (CERTAIN - 2 * self.max_p)
        } else if min < max {
            let slope = self.max_p / (max - min);
            ((slope * scaled) >> FRACTION) - self.max_p * min / (max - min)
        } else {
            0
        }
    }
}

struct Red {
    curve: Curve,
    names: Vec<String>,
    queues: Vec<ElementId>,
    average: Ewma,
    /// Packets since the last drop while drops are possible; `None` before the first of them.
    since_drop: Option<i64>,
    /// Decides, with the probability, after how many packets the next drop comes.
    lot: i64,
    /// The period in which the queues were last seen empty, if they were when last looked at.
    empty_at: Option<u64>,
    drops: u64,
}

fn max_p(value: f64) -> i64 {
    to_fixed_point(value, PROBABILITY).and_then(|p| i64::try_from(p).ok()).unwrap_or(-1)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let stability = args.or("STABILITY", 4)?;
    if stability > 16 {
        return Err("STABILITY must be between 0 and 16".into());
    }
    let curve = Curve {
        min: args.need("MIN_THRESH")?,
        max: args.need("MAX_THRESH")?,
        max_p: max_p(args.need("MAX_P")?),
        gentle: args.or("GENTLE", true)?,
    };
    Ok(Box::new(Red {
        curve: curve.check()?,
        names: queue_names(args.raw()),
        queues: Vec::new(),
        average: Ewma::new(stability),
        since_drop: None,
        lot: 0,
        empty_at: None,
        drops: 0,
    }))
}

/// Packets in a queue, and the most that fit; `None` if the element is no queue.
fn storage(cx: &mut Cx<'_>, id: ElementId) -> Option<(usize, usize)> {
    if let Some(queue) = cx.element_mut::<Queue>(id) {
        return Some((queue.len(), queue.capacity()));
    }
    cx.element_mut::<LinkUnqueue>(id).map(|link| (link.len(), usize::MAX))
}

/// The nearest queues behind output 0, or before input 0 if the output is pull.
fn nearest_queues(cx: &mut Cx<'_>) -> Vec<ElementId> {
    let pull = cx.output_is_pull(0);
    let me = cx.id();
    let mut at: Vec<ElementId> = cx.neighbours(me, pull).into_iter().take(1).collect();
    let (mut seen, mut found) = (vec![me], Vec::new());
    while let Some(id) = at.pop() {
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        if storage(cx, id).is_some() {
            found.push(id);
        } else {
            at.extend(cx.neighbours(id, pull));
        }
    }
    found.sort_unstable();
    found
}

impl Red {
    /// Packets in all queues, when `coming` more have arrived there.
    fn queue_size(&self, cx: &mut Cx<'_>, coming: usize) -> u64 {
        let (mut length, mut capacity) = (coming, 0_usize);
        for &id in &self.queues {
            if let Some((packets, fit)) = storage(cx, id) {
                length += packets;
                capacity = capacity.saturating_add(fit);
            }
        }
        length.min(capacity) as u64
    }

    /// Takes the present length into the average. Time in which the queues were empty counts as one look every 20 ms.
    fn look(&mut self, now: Time, size: u64) {
        if size > 0 || self.average.stability() == 0 {
            self.average.update(size);
            self.empty_at = None;
            return;
        }
        let period = now.0 / 20_000_000;
        self.average.update_zeros(self.empty_at.map_or(1, |last| period.saturating_sub(last)));
        self.empty_at = Some(period);
    }

    /// Whether the next packet is to be dropped, when `coming` packets are on their way to the queues.
    fn drops_next(&mut self, cx: &mut Cx<'_>, coming: usize) -> bool {
        let size = self.queue_size(cx, coming);
        self.look(cx.now(), size);
        let average = self.average.rounded();
        if average <= self.curve.min || average > self.curve.end() {
            self.since_drop = None;
            return average > self.curve.min;
        }
        let count = self.since_drop.map_or(0, |count| count + 1);
        let p = self.curve.probability(average, self.average.scaled());
        let drops = count > 0 && p > 0 && count > self.lot / p;
        self.since_drop = Some(if drops { 0 } else { count });
        if drops || count == 0 {
            self.lot = (cx.random() & 0xffff) as i64;
        }
        drops
    }

    fn drop(&mut self, cx: &mut Cx<'_>, packet: Packet) {
        self.drops += 1;
        cx.emit_or_drop(1, EARLY, packet);
    }
}

impl Element for Red {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        for name in &self.names {
            let id = cx.find(name).ok_or_else(|| format!("no element named '{name}'"))?;
            storage(cx, id).ok_or_else(|| format!("'{name}' is not a Storage element"))?;
            self.queues.push(id);
        }
        if self.names.is_empty() {
            self.queues = nearest_queues(cx);
        }
        if self.queues.is_empty() { Err("no nearby Queues".to_owned()) } else { Ok(()) }
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let mut coming = 0;
        batch.filter_map(|packet| {
            if self.drops_next(cx, coming) {
                self.drop(cx, packet);
                return None;
            }
            coming += 1;
            Some(packet)
        });
    }

    /// One packet after the other, so that each sees the queue without those before it.
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        while batch.len() < max && !batch.is_full() {
            let before = batch.len();
            cx.pull(0, batch, 1);
            if batch.len() == before {
                return;
            }
            if self.drops_next(cx, 0)
                && let Some(packet) = batch.pop()
            {
                self.drop(cx, packet);
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        let average = || show_fixed_point(self.average.scaled(), FRACTION);
        match handler {
            "drops" => Ok(self.drops.to_string()),
            "min_thresh" => Ok(self.curve.min.to_string()),
            "max_thresh" => Ok(self.curve.max.to_string()),
            "max_p" => Ok(show_fixed_point(self.curve.max_p as u64, PROBABILITY)),
            "avg_queue_size" => Ok(average()),
            "stats" => {
                let (size, average) = (self.queue_size(cx, 0), average());
                Ok(format!("{size} current queue\n{average} avg queue\n{} drops\n", self.drops))
            }
            "queues" => {
                let elements = cx.all_elements().filter(|(id, ..)| self.queues.contains(id));
                Ok(elements.map(|(_, name, _)| format!("{name}\n")).collect())
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let mut curve = self.curve;
        match handler {
            "min_thresh" => curve.min = parse_handler(value)?,
            "max_thresh" => curve.max = parse_handler(value)?,
            "max_p" => curve.max_p = max_p(parse_handler(value)?),
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        self.curve = curve.check().map_err(HandlerError::Refused)?;
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Red {
    fn schema(&self) -> Schema {
        Schema { name: "red", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        self.average.save(w);
        w.put_u64(self.drops);
        for value in [self.curve.min, self.curve.max, self.curve.max_p as u64] {
            w.put_u64(value);
        }
        // One more than the count, and 0 for none.
        w.put_u64(self.since_drop.map_or(0, |count| count as u64 + 1));
        w.put_u64(self.lot as u64);
        w.put_bool(self.empty_at.is_some());
        w.put_u64(self.empty_at.unwrap_or(0));
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.average.restore(r)?;
        self.drops = r.get_u64()?;
        let (min, max, max_p) = (r.get_u64()?, r.get_u64()?, number(r, "probability")?);
        let curve = Curve { min, max, max_p, ..self.curve };
        self.curve = curve.check().map_err(|_| StateError::Invalid { what: "threshold", value: max })?;
        self.since_drop = number(r, "count")?.checked_sub(1).filter(|count| *count >= 0);
        self.lot = number(r, "lot")?;
        let (was_empty, period) = (r.get_bool()?, r.get_u64()?);
        self.empty_at = was_empty.then_some(period);
        Ok(())
    }
}

/// A number that no sum of a few of its kind overflows.
fn number(r: &mut Reader<'_>, what: &'static str) -> Result<i64, StateError> {
    let value = r.get_u64()?;
    i64::try_from(value).ok().filter(|number| *number < 1 << 62).ok_or(StateError::Invalid { what, value })
}

#[cfg(test)]
mod tests {
    use crate::state::{Reader, StateError, Writer};
    use crate::testing::Bench;

    const PUSHED: &str =
        "in :: TestIn -> r :: RED(5, 50, 0.1) -> Null -> q :: Queue(200) -> out :: TestPuller;";

    fn push(bench: &mut Bench, count: usize) {
        for _ in 0..count {
            bench.push("in", b"x");
        }
    }

    fn number(bench: &mut Bench, handler: &str) -> f64 {
        bench.read("r", handler).parse().unwrap()
    }

    #[test]
    fn a_short_queue_loses_nothing() {
        let mut bench = Bench::new(PUSHED);
        push(&mut bench, 6);
        assert_eq!((bench.read("q", "length"), bench.read("r", "drops")), ("6".into(), "0".into()));
    }

    #[test]
    fn the_longer_the_queue_the_more_is_dropped_and_beyond_twice_max_thresh_everything() {
        let mut bench = Bench::new(PUSHED);
        push(&mut bench, 45);
        let few = number(&mut bench, "drops");
        assert!(few < 10.0, "{few}");
        push(&mut bench, 1000);
        let length = number_of(&mut bench, "q", "length");
        assert!((60.0..=115.0).contains(&length), "{length}");
        assert_eq!(number(&mut bench, "drops"), 1045.0 - length);
        assert_eq!(bench.drops("r", "early detection") as f64, 1045.0 - length);
    }

    fn number_of(bench: &mut Bench, element: &str, handler: &str) -> f64 {
        bench.read(element, handler).parse().unwrap()
    }

    #[test]
    fn without_gentle_max_thresh_is_the_end_and_output_1_takes_the_rest() {
        let text =
            "in :: TestIn -> r :: RED(5, 20, 0.02, GENTLE false, STABILITY 0) -> q :: Queue -> TestPuller;
                    r[1] -> over :: TestOut;";
        let mut bench = Bench::new(text);
        push(&mut bench, 100);
        let over = bench.take("over").len();
        assert_eq!((bench.read("q", "length"), over), ("21".into(), 79));
    }

    #[test]
    fn a_pull_red_looks_upstream() {
        let text =
            "in :: TestIn -> q :: Queue -> Null -> r :: RED(5, 20, 0.5, STABILITY 0) -> out :: TestPuller;";
        let mut bench = Bench::new(text);
        push(&mut bench, 100);
        let got = bench.pull("out", 32).len();
        assert_eq!(bench.read("r", "queues"), "q\n");
        // All above 40 are dropped, none of the last 5.
        assert!((6..40).contains(&got), "{got}");
        assert_eq!(number(&mut bench, "drops") + got as f64 + number_of(&mut bench, "q", "length"), 100.0);
    }

    #[test]
    fn queues_can_be_named_and_stay_together_with_it() {
        let text = "in :: TestIn -> r :: RED(1, 2, 1, QUEUES a b) -> out :: TestOut;
                    Idle -> a :: Queue -> Discard; Idle -> b :: FrontDropQueue -> Discard;";
        let mut bench = Bench::new(text);
        assert_eq!(bench.read("r", "queues"), "a\nb\n");
        assert_eq!((super::DESCRIPTOR.ties)("1, 2, 1, QUEUES a b"), ["a", "b"]);
    }

    #[test]
    fn handlers_show_and_set_the_curve() {
        let mut bench = Bench::new(PUSHED);
        assert_eq!((bench.read("r", "max_p"), bench.read("r", "max_thresh")), ("0.1".into(), "50".into()));
        bench.router.write_handler("r", "min_thresh", "7").unwrap();
        assert_eq!(bench.read("r", "min_thresh"), "7");
        assert!(bench.router.write_handler("r", "min_thresh", "51").is_err());
        assert!(bench.read("r", "stats").starts_with("0 current queue\n0 avg queue\n0 drops\n"));
    }

    #[test]
    fn the_average_moves_along() {
        let (mut from, mut to) = (Bench::new(PUSHED), Bench::new(PUSHED));
        push(&mut from, 30);
        from.move_to(&mut to);
        assert_eq!(number(&mut to, "avg_queue_size"), number(&mut from, "avg_queue_size"));
    }

    #[test]
    fn wrong_configurations_are_refused() {
        let error = |config| Bench::error(&format!("Idle -> RED({config}) -> Queue -> Discard;"));
        assert!(error("9, 5, 0.1").contains("MIN_THRESH must be <= MAX_THRESH"));
        assert!(error("1, 5, 1.1").contains("MAX_P must be between 0 and 1"));
        assert!(error("1, 5, 1, STABILITY 17").contains("STABILITY must be between 0 and 16"));
        assert!(error("1, 5, 1, QUEUES nowhere").contains("no element named 'nowhere'"));
        assert!(Bench::error("Idle -> RED(1, 5, 1) -> Discard;").contains("no nearby Queues"));
    }

    #[test]
    fn a_changed_curve_moves_along_and_nonsense_is_refused() {
        let (mut from, mut to) = (Bench::new(PUSHED), Bench::new(PUSHED));
        from.router.write_handler("r", "max_p", "0.5").unwrap();
        from.move_to(&mut to);
        assert_eq!(to.read("r", "max_p"), "0.5");
        let id = to.router.find("r").unwrap();
        let state = to.router.state_of(id).unwrap();
        let mut w = Writer::new();
        for value in [0, 0, 9, 5, 0, 0, 0] {
            w.put_u64(value);
        }
        let error = state.restore(&mut Reader::new(w.as_bytes())).unwrap_err();
        assert_eq!(error, StateError::Invalid { what: "threshold", value: 5 });
    }
}
