//! A router from Click text for tests: push packets in, see what comes out.
//!
//! ```ignore
//! let mut bench = Bench::new("in :: TestIn -> Strip(14) -> out :: TestOut;");
//! bench.push("in", &[1; 20]);
//! assert_eq!(bench.take("out"), vec![vec![1; 6]]);
//! ```
//! `TestIn` pushes what a test gives it, out of output 0 (`in[1]`: `push_out` with a port). `TestOut` keeps what is
//! pushed into it, annotations included; `TestPuller` pulls when the test says so.

use std::time::Duration;

use crate::element::{Args, Batch, Cx, Descriptor, Element, Packet, Time};
use crate::engine::{Console, Env, Pass, Router};
use crate::registry::Registry;
use crate::state::{Reader, Writer};

/// A router with test elements.
#[derive(Debug)]
pub struct Bench {
    /// The router itself.
    pub router: Router,
    /// The time that the next call runs at.
    pub now: Time,
}

static TEST_IN: Descriptor = Descriptor {
    class: "TestIn",
    summary: "pushes what a test gives it",
    ports: "0/1-",
    processing: "h/h",
    build: |_: &Args<'_>| Ok(Box::new(TestIn)),
    ..Descriptor::BASE
};

static TEST_OUT: Descriptor = Descriptor {
    class: "TestOut",
    summary: "keeps what is pushed into it",
    ports: "1/0",
    processing: "h/h",
    build: |_: &Args<'_>| Ok(Box::new(TestOut::default())),
    ..Descriptor::BASE
};

static TEST_PULLER: Descriptor = Descriptor {
    class: "TestPuller",
    summary: "pulls when a test says so",
    ports: "1/0",
    processing: "l/l",
    build: |_: &Args<'_>| Ok(Box::new(TestOut::default())),
    ..Descriptor::BASE
};

struct TestIn;

impl Element for TestIn {
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, _batch: &mut Batch) {
        cx.leave_by(port);
    }
}

#[derive(Default)]
struct TestOut {
    kept: Vec<Packet>,
    want: usize,
}

impl Element for TestOut {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        if self.want > 0 {
            let want = std::mem::take(&mut self.want);
            cx.pull(0, batch, want);
        }
        self.kept.extend(batch.drain());
    }
}

/// The standard registry and the test elements.
pub fn registry() -> Registry {
    let mut registry = Registry::standard();
    for class in [&TEST_IN, &TEST_OUT, &TEST_PULLER] {
        registry.add(class);
    }
    registry
}

/// Builds a router of `text`; the error is all messages, a line each.
pub fn build(text: &str, env: &mut Env) -> Result<Router, String> {
    let lines = |found: anf_click::Diagnostics| {
        found.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let registry = registry();
    let ast = anf_click::parse("test.click", text).map_err(lines)?;
    let flat = anf_click::flatten(&ast, &[]).map_err(lines)?;
    let settled = anf_click::settle(flat, &registry).map_err(lines)?;
    Router::build(&settled, &registry, env).map_err(lines)
}

/// What a router prints until it stops or nothing can happen any more, in virtual time that starts at one second.
///
/// # Panics
/// If the text is wrong.
#[allow(clippy::panic)]
pub fn printed(text: &str) -> String {
    let (console, mut now) = (Console::kept(), Time(1_000_000_000));
    let mut env = Env { simulated: true, console: console.clone(), now, ..Env::default() };
    let mut router = build(text, &mut env).unwrap_or_else(|messages| panic!("{messages}"));
    for _ in 0..10_000 {
        match router.run(now).next_time(now) {
            Some(next) => now = next,
            None => break,
        }
    }
    String::from_utf8_lossy(&console.take()).into_owned()
}

impl Bench {
    /// A router of `text`, in virtual time that starts at one second.
    ///
    /// # Panics
    /// If the text is wrong.
    #[allow(clippy::panic)]
    pub fn new(text: &str) -> Self {
        let now = Time(1_000_000_000);
        let mut env = Env { simulated: true, control_sockets: true, now, ..Env::default() };
        match build(text, &mut env) {
            Ok(router) => Self { router, now },
            Err(messages) => panic!("{messages}"),
        }
    }

    /// The messages of a text that is wrong.
    ///
    /// # Panics
    /// If the text is right.
    #[allow(clippy::panic)]
    pub fn error(text: &str) -> String {
        match build(text, &mut Env::default()) {
            Ok(_) => panic!("no error in {text}"),
            Err(messages) => messages,
        }
    }

    /// Pushes one packet out of `TestIn` element `name`, to completion.
    pub fn push(&mut self, name: &str, bytes: &[u8]) {
        self.push_packets(name, 0, [Packet::from_slice(bytes)]);
    }

    /// Pushes packets out of output `port` of `TestIn` element `name`, in one batch (32 at most).
    pub fn push_packets(&mut self, name: &str, port: usize, packets: impl IntoIterator<Item = Packet>) {
        let mut batch: Batch = packets.into_iter().collect();
        if let Some(id) = self.router.find(name) {
            self.router.push_into(id, port, &mut batch, self.now);
        }
    }

    /// The bytes of what `TestOut` element `name` got since the last call.
    pub fn take(&mut self, name: &str) -> Vec<Vec<u8>> {
        self.take_packets(name).iter().map(|packet| packet.data().to_vec()).collect()
    }

    /// What `TestOut` (or `TestPuller`) element `name` got since the last call.
    pub fn take_packets(&mut self, name: &str) -> Vec<Packet> {
        let found = self.router.elements_mut().find(|(known, _)| *known == name);
        let out =
            found.and_then(|(_, element)| (element as &mut dyn std::any::Any).downcast_mut::<TestOut>());
        out.map(|out| std::mem::take(&mut out.kept)).unwrap_or_default()
    }

    /// Lets `TestPuller` element `name` pull up to `max` packets, and returns them.
    pub fn pull(&mut self, name: &str, max: usize) -> Vec<Packet> {
        let found = self.router.elements_mut().find(|(known, _)| *known == name);
        if let Some((_, element)) = found
            && let Some(out) = (element as &mut dyn std::any::Any).downcast_mut::<TestOut>()
        {
            out.want = max;
        }
        if let Some(id) = self.router.find(name) {
            self.router.push_into(id, 0, &mut Batch::new(), self.now);
        }
        self.take_packets(name)
    }

    /// One pass at the present time.
    pub fn pass(&mut self) -> Pass {
        self.router.run(self.now)
    }

    /// Passes until nothing is ready, or `limit` of them.
    pub fn settle(&mut self, limit: usize) {
        for _ in 0..limit {
            if !self.pass().ready {
                return;
            }
        }
    }

    /// Moves time on by `span`, stopping at each timer on the way, with passes until nothing is ready.
    pub fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let pass = self.pass();
            if pass.stop {
                return;
            }
            if pass.ready && pass.worked {
                continue;
            }
            match pass.next_timer {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ if self.now < end => self.now = end,
                _ => return,
            }
        }
    }

    /// Gives the small state, timers and tasks to another router of the same text, as a move does.
    ///
    /// # Panics
    /// If they do not take all of it.
    #[allow(clippy::panic)]
    pub fn move_to(&mut self, other: &mut Self) {
        let mut w = Writer::new();
        self.router.save(&mut w);
        if let Err(error) = other.router.restore(&mut Reader::new(w.as_bytes())) {
            panic!("{error}");
        }
    }

    /// Reads a handler; its error as text.
    pub fn read(&mut self, element: &str, handler: &str) -> String {
        self.router.read_handler(element, handler).unwrap_or_else(|error| error.to_string())
    }

    /// Packets that `element` dropped for `reason`.
    pub fn drops(&self, element: &str, reason: &str) -> u64 {
        self.router.drops().filter(|(e, r, _)| *e == element && *r == reason).map(|(_, _, n)| n).sum()
    }
}
