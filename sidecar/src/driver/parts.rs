//! All parts of a cut in one process: a router each, joined by their link queues, in step.
//!
//! At each instant every part runs one pass, and then what was sent crosses, through the encoding that pods use, until
//! nothing is under way. So a packet takes no time to cross, as in the uncut graph, and what it wakes runs in the next
//! pass, as there. A part that stops ends the run; a driver script in any part decides for all.

use std::collections::HashMap;

use anf_click::{Annotations, Diagnostics};
use bytes::BytesMut;

use crate::engine::{Env, Router, Time};
use crate::link_map::LinkMap;
use crate::packet::{Batch, Packet};
use crate::registry::Registry;
use crate::serve::packets;

/// Packets that may cross in one instant: a loop without a queue never ends, cut or not.
const MOST_CROSSINGS: u64 = 10_000_000;

/// The parts under way.
#[derive(Debug)]
pub struct Parts {
    parts: Vec<Part>,
    ways: HashMap<u16, Way>,
    /// The time of the next pass.
    pub now: Time,
}

/// One of them.
#[derive(Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its router.
    pub router: Router,
}

/// Where packets of an edge or signal go.
#[derive(Debug, Clone, Copy)]
struct Way {
    part: usize,
    annotations: Annotations,
}

/// What came of a pass of all parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Some part worked, or something crossed.
    pub worked: bool,
    /// Some part is ready for the next pass.
    pub ready: bool,
    /// When the next timer is due.
    pub next_timer: Option<Time>,
    /// The run is to end.
    pub stop: bool,
}

impl Parts {
    /// Builds a router for each part of a map, of its text, into the environment that `env` makes for it.
    pub fn build(
        map: &LinkMap,
        texts: &[String],
        registry: &Registry,
        mut env: impl FnMut(&str) -> Env,
    ) -> Result<Self, Diagnostics> {
        let mut now = Time(0);
        let mut parts = Vec::new();
        for (entry, text) in map.parts.iter().zip(texts) {
            let file = entry.file.display().to_string();
            let flat = anf_click::flatten(&anf_click::parse(&file, text)?, &[])?;
            let mut env = Env { part: true, ..env(&entry.name) };
            now = now.max(env.now);
            let router = Router::build(&anf_click::settle(flat, registry)?, registry, &mut env)?;
            parts.push(Part { name: entry.name.clone(), router });
        }
        let index = |name: &str| parts.iter().position(|part| part.name == name);
        let mut ways = HashMap::new();
        for edge in &map.edges {
            if let Some(part) = index(&edge.to_part) {
                ways.insert(edge.id, Way { part, annotations: edge.annotations() });
            }
            if let (Some(signal), Some(part)) = (edge.signal, index(&edge.from_part)) {
                ways.insert(signal, Way { part, annotations: Annotations::NONE });
            }
        }
        let mut parts = Self { parts, ways, now };
        parts.cross();
        Ok(parts)
    }

    /// One pass of all parts, and what crosses then.
    pub fn pass(&mut self) -> Step {
        let now = self.now;
        let (mut worked, mut stop) = (false, false);
        for part in &mut self.parts {
            let pass = part.router.run(now);
            worked |= pass.worked;
            stop |= pass.stop;
        }
        worked |= self.cross();
        let asked: u32 = self.parts.iter_mut().map(|part| part.router.take_stop_requests()).sum();
        if asked > 0 {
            match self.parts.iter_mut().find(|part| part.router.has_driver()) {
                Some(driver) => (0..asked).for_each(|_| driver.router.request_stop()),
                None => stop = true,
            }
        }
        let mut step = Step { worked: worked || asked > 0, ready: asked > 0, next_timer: None, stop };
        for part in &mut self.parts {
            let (ready, timer) = part.router.pending();
            step.ready |= ready;
            step.next_timer = [step.next_timer, timer].into_iter().flatten().min();
        }
        step
    }

    /// One pass in virtual time. `false` at the end.
    pub fn step(&mut self) -> bool {
        let step = self.pass();
        match step.as_pass().next_time(self.now) {
            Some(next) => self.now = next,
            None => return false,
        }
        true
    }

    /// Carries what was sent, and what that leads to. Says whether there was anything.
    fn cross(&mut self) -> bool {
        let mut crossed = 0;
        loop {
            let before = crossed;
            for from in 0..self.parts.len() {
                self.parts[from].router.serve_links();
                let sent: Vec<(u16, Packet)> = self.parts[from].router.take_link_output().collect();
                crossed += sent.len() as u64;
                self.deliver(sent);
            }
            if crossed == before || crossed > MOST_CROSSINGS {
                return crossed > 0;
            }
        }
    }

    fn deliver(&mut self, sent: Vec<(u16, Packet)>) {
        let mut batch = Batch::default();
        let mut of = None;
        for (edge, packet) in sent {
            if of.is_some_and(|before| before != edge) || batch.is_full() {
                self.inject(of, &mut batch);
            }
            of = Some(edge);
            if let Some(packet) = self.ways.get(&edge).and_then(|way| across(&packet, way.annotations)) {
                batch.push(packet);
            }
        }
        self.inject(of, &mut batch);
    }

    fn inject(&mut self, edge: Option<u16>, batch: &mut Batch) {
        if let Some(edge) = edge
            && let Some(way) = self.ways.get(&edge)
        {
            self.parts[way.part].router.inject(edge, batch, self.now);
        }
    }

    /// The parts, in the order of the map.
    pub fn parts(&mut self) -> &mut [Part] {
        &mut self.parts
    }

    /// The value of a read handler, of the first part that has it.
    ///
    /// # Errors
    /// What the first part says, if none has it.
    pub fn read_handler(&mut self, path: &str) -> Result<String, String> {
        let (element, handler) = path.rsplit_once('.').unwrap_or(("", path));
        let mut values = self.parts.iter_mut().map(|part| part.router.read_handler(element, handler));
        let first = values.next().unwrap_or_else(|| Ok(String::new()));
        let found = first.or_else(|error| values.find_map(Result::ok).ok_or(error));
        found.map_err(|error| error.to_string())
    }

    /// The part that has an element of this name. A definition may be in several: the first one.
    pub fn part_of(&mut self, element: &str) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.router.find(element).is_some())
    }
}

impl Step {
    /// As the pass of one router.
    pub fn as_pass(self) -> crate::engine::Pass {
        crate::engine::Pass {
            worked: self.worked,
            ready: self.ready,
            next_timer: self.next_timer,
            stop: self.stop,
        }
    }
}

/// A packet as it comes out of a link.
fn across(packet: &Packet, annotations: Annotations) -> Option<Packet> {
    let mut frame = BytesMut::new();
    packets::encode(packet, annotations, &mut frame);
    packets::decode(&mut &frame[..], annotations)
}

#[cfg(test)]
mod tests {
    use anf_click::PartSpec;

    use super::*;
    use crate::engine::Console;

    fn parts(text: &str, part: &[&str]) -> (Parts, Console) {
        let registry = Registry::standard();
        let flat = anf_click::flatten(&anf_click::parse("t", text).unwrap(), &[]).unwrap();
        let settled = anf_click::settle(flat, &registry).unwrap();
        let spec = PartSpec { name: "x".into(), elements: part.iter().map(ToString::to_string).collect() };
        let cut = anf_click::cut(&settled, &[spec], &registry).unwrap();
        let texts: Vec<String> = cut.parts.iter().map(|part| part.graph.to_string()).collect();
        let console = Console::kept();
        let env = |_: &str| Env { simulated: true, console: console.clone(), now: Time(5), ..Env::default() };
        let parts = Parts::build(&LinkMap::of(&cut), &texts, &registry, env).unwrap();
        (parts, console)
    }

    fn run(parts: &mut Parts) -> usize {
        (0..10_000).take_while(|_| parts.step()).count()
    }

    fn read(parts: &mut Parts, element: &str, handler: &str) -> String {
        let part = parts.part_of(element).unwrap();
        part.router.read_handler(element, handler).unwrap()
    }

    #[test]
    fn a_source_rests_while_a_queue_in_another_part_is_full() {
        let text = "s :: InfiniteSource(LIMIT 50, BURST 1) -> c :: Counter -> q :: Queue(5)
                    -> u :: RatedUnqueue(100) -> d :: Discard";
        let (mut parts, _) = parts(text, &["s"]);
        run(&mut parts);
        assert_eq!(read(&mut parts, "u", "count"), "50");
        assert_eq!(read(&mut parts, "q", "drops"), "0");
    }

    #[test]
    fn a_cut_behind_a_queue_does_not_change_what_the_queue_drops() {
        let text = "s :: RatedSource(RATE 1000, LIMIT 100) -> q :: Queue(5) -> u :: RatedUnqueue(90) -> d :: Discard";
        let (mut near, _) = parts(text, &["s", "q"]);
        let (mut far, _) = parts(text, &["s", "q", "u"]);
        run(&mut near);
        run(&mut far);
        assert_eq!(read(&mut near, "q", "drops"), read(&mut far, "q", "drops"));
        assert_ne!(read(&mut near, "q", "drops"), "0");
    }

    #[test]
    fn a_driver_script_decides_about_stop_requests_of_other_parts() {
        let text = "s :: RatedSource(RATE 10, LIMIT 3, STOP true) -> c :: Counter -> d :: Discard;
                    DriverManager(wait_stop, print $(c.count), wait 1s, print \"end\")";
        let (mut parts, console) = parts(text, &["s"]);
        run(&mut parts);
        assert_eq!(String::from_utf8_lossy(&console.take()), "3\nend\n");
    }

    #[test]
    fn without_a_driver_script_a_part_that_stops_ends_the_run() {
        let (mut parts, _) = parts(
            "s :: RatedSource(RATE 10, LIMIT 3, STOP true) -> d :: Discard; TimedSource(1) -> d",
            &["s"],
        );
        assert!(run(&mut parts) < 100);
    }
}
