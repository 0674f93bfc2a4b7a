//! Running an example of a class: a Click text that ends by itself, in virtual time, with what it prints kept.

use anf_click::{Diagnostics, SettledGraph};

use crate::element::Outside;
use crate::engine::{Console, Env, Router, Time};
use crate::registry::Registry;

/// When virtual time begins.
pub const START: Time = Time(1_000_000_000_000_000_000);

/// Passes after which an example is stopped.
const MOST_PASSES: u32 = 100_000;

/// An example under way.
#[derive(Debug)]
pub struct Example {
    /// Its router.
    pub router: Router,
    /// The time of the next pass.
    pub now: Time,
    console: Console,
}

impl Example {
    /// Makes the router.
    pub fn new(text: &str) -> Result<Self, Diagnostics> {
        let registry = Registry::standard();
        let console = Console::kept();
        let mut env = Env { simulated: true, console: console.clone(), now: START, ..Env::default() };
        let router = Router::build(&settle(text, &registry)?, &registry, &mut env)?;
        Ok(Self { router, now: START, console })
    }

    /// One pass. `false` at the end.
    pub fn step(&mut self) -> bool {
        let pass = self.router.run(self.now);
        match pass.next_time(self.now) {
            Some(next) => self.now = next,
            None => return false,
        }
        true
    }

    /// Where it prints: what a router prints when it goes is still to come.
    pub fn console(&self) -> Console {
        self.console.clone()
    }

    /// What was printed since the last call; bytes that are no text as a dump.
    pub fn printed(&mut self) -> String {
        String::from_utf8(self.console.take()).unwrap_or_else(|error| dump(error.as_bytes()))
    }
}

/// Runs an example to its end. `None` if it touches devices, sockets or links; then it is only checked.
pub fn output(text: &str) -> Result<Option<String>, Diagnostics> {
    let registry = Registry::standard();
    let graph = settle(text, &registry)?;
    let classes = graph.flat.elements.iter().filter_map(|element| registry.descriptor(&element.class));
    if classes
        .map(|class| class.outside)
        .any(|outside| matches!(outside, Outside::Device(_) | Outside::Socket | Outside::Link))
    {
        return Router::check(&graph, &registry).map(|()| None);
    }
    let mut example = Example::new(text)?;
    let ended = (0..MOST_PASSES).any(|_| !example.step());
    let end = if ended { "" } else { "(it goes on)\n" };
    drop(example.router);
    Ok(Some(String::from_utf8(example.console.take()).unwrap_or_else(|error| dump(error.as_bytes())) + end))
}

fn settle(text: &str, registry: &Registry) -> Result<SettledGraph, Diagnostics> {
    let flat = anf_click::flatten(&anf_click::parse("example", text)?, &[])?;
    anf_click::settle(flat, registry)
}

/// Bytes in hexadecimal, sixteen a line.
fn dump(bytes: &[u8]) -> String {
    let line = |(at, bytes): (usize, &[u8])| {
        let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        format!("{:04x} {hex}\n", at * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}
