//! The decision program that patterns compile to: a graph of word tests without cycles, entered at the first rule.
//!
//! Every step goes to a node with a lower number or to an output, so a packet is decided after at most as many steps as
//! there are nodes. A test that cannot be made, because the packet ends before its word, fails.

use hashbrown::HashMap;

use super::ip_expression::{Compare, Expression, Header, NEAR_WORDS, Test};
use crate::wire::Ipv4;

/// Where a step leads: a node, or an output when the top bit is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Target(u32);

const OUTPUT: u32 = 1 << 31;
/// The output of packets that no rule takes, and of rules that drop.
pub(super) const DROP: u32 = OUTPUT - 1;
/// Nodes a program may have: a bound on what a text can make.
const MAX_NODES: usize = 1 << 18;
/// Facts kept for each node while jumps are shortened.
const MAX_FACTS: usize = 64;

impl Target {
    fn output(port: u32) -> Self {
        Self(OUTPUT | port)
    }

    fn node(self) -> Option<usize> {
        (self.0 & OUTPUT == 0).then_some(self.0 as usize)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    test: Test,
    yes: Target,
    no: Target,
}

/// A compiled list of rules.
#[derive(Debug, Clone)]
pub(super) struct Program {
    nodes: Vec<Node>,
    entry: Target,
    /// The nodes again, for packets that have all near words; empty if some test looks at another word.
    fast: Vec<FastNode>,
}

/// A node whose word is near: it passes if the masked word is within `span` above `low`.
#[derive(Debug, Clone, Copy)]
struct FastNode {
    word: u8,
    mask: u32,
    low: u32,
    span: u32,
    yes: Target,
    no: Target,
}

impl FastNode {
    fn of(node: &Node) -> Option<Self> {
        let Test { word, compare, mask, value } = node.test;
        let (low, span) = match compare {
            Compare::Equal => (value, 0),
            // The largest masked word is the mask, and the value is below it.
            Compare::Greater => (value + 1, mask - value - 1),
        };
        Some(Self { word: word.near()? as u8, mask, low, span, yes: node.yes, no: node.no })
    }
}

/// The near words of a packet, with room for every index that [`FastNode::word`] masks to.
type Near = [u32; 16];
const _: () = assert!(NEAR_WORDS <= 16);

/// The near words of a packet that has all of them and no IP options: nearly every packet.
#[inline]
fn near_words(bytes: &[u8]) -> Option<Near> {
    let bytes = bytes.first_chunk::<{ 4 * NEAR_WORDS }>()?;
    let total_length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    // A header that says it is shorter than twenty bytes is taken for one of twenty, as in `Words::load`.
    if bytes[0] & 0xf > 5 || total_length < bytes.len() {
        return None;
    }
    let mut near: Near = [0; 16];
    for (at, word) in bytes.chunks_exact(4).enumerate() {
        near[at] = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
    }
    Some(near)
}

/// The words of one packet.
struct Words<'a> {
    near: Near,
    /// Near words that the packet really has, bit by bit.
    present: u32,
    mac: &'a [u8],
    header: &'a [u8],
    transport: &'a [u8],
}

impl<'a> Words<'a> {
    /// The words of the packet whose IP header is at the start of `bytes`, and its MAC header at the start of `mac`.
    #[inline]
    fn load(bytes: &'a [u8], mac: &'a [u8]) -> Option<Self> {
        let fixed = bytes.first_chunk::<20>()?;
        let (ip, _) = Ipv4::parse(bytes)?;
        let header_length = ip.header_length().max(20);
        let end = ip.total_length().clamp(20, bytes.len());
        let header = bytes.get(..header_length).unwrap_or(bytes);
        let transport = bytes.get(header_length..end).unwrap_or(&[]);
        let mut near: Near = [0; 16];
        for (at, word) in fixed.chunks_exact(4).enumerate() {
            near[at] = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
        }
        let mut present = (1 << NEAR_WORDS) - 1;
        if let Some(first) = transport.first_chunk::<20>() {
            for (at, word) in first.chunks_exact(4).enumerate() {
                near[5 + at] = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
            }
        } else {
            present = 0x1f | Self::load_short(transport, &mut near);
        }
        Some(Self { near, present, mac, header, transport })
    }

    /// The words of a transport header that is shorter than 20 bytes; returns which are there.
    fn load_short(transport: &[u8], near: &mut Near) -> u32 {
        let mut present = 0;
        for (at, word) in transport.chunks_exact(4).enumerate().take(5) {
            near[5 + at] = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
            present |= 1 << (5 + at);
        }
        present
    }

    #[inline(always)]
    fn passes(&self, test: &Test) -> bool {
        let word = match test.word.near() {
            Some(at) => {
                if self.present >> at & 1 == 0 {
                    return false;
                }
                self.near[at]
            }
            None => match self.far(test) {
                Some(word) => word,
                None => return false,
            },
        };
        match test.compare {
            Compare::Equal => word & test.mask == test.value,
            Compare::Greater => word & test.mask > test.value,
        }
    }

    /// A word outside of the near ones. Of a word that the packet ends in, the bytes that the mask needs must be there.
    #[cold]
    fn far(&self, test: &Test) -> Option<u32> {
        let (header, offset) = test.word.place();
        let bytes = match header {
            Header::Mac => self.mac,
            Header::Ip => self.header,
            Header::Transport => self.transport,
        };
        let rest = bytes.get(offset..)?;
        let needed = 4 - (test.mask.trailing_zeros() / 8) as usize;
        if rest.len() < needed {
            return None;
        }
        let mut word = [0; 4];
        let count = rest.len().min(4);
        word[..count].copy_from_slice(&rest[..count]);
        Some(u32::from_be_bytes(word))
    }
}

impl Program {
    /// Compiles rules: the first whose expression holds sends the packet to its output ([`DROP`] drops it).
    pub(super) fn compile(rules: &[(Expression, u32)]) -> Result<Self, String> {
        let mut builder = Builder { nodes: Vec::new(), known: HashMap::new() };
        let mut entry = Target::output(DROP);
        for (expression, output) in rules.iter().rev() {
            entry = builder.build(expression, Target::output(*output), entry)?;
        }
        let mut program = Self { nodes: builder.nodes, entry, fast: Vec::new() };
        program.shorten();
        program.shorten();
        program.remove_unreachable();
        program.fast = program.nodes.iter().map(FastNode::of).collect::<Option<_>>().unwrap_or_default();
        Ok(program)
    }

    /// Whether some test looks at the MAC header.
    pub(super) fn looks_at_mac(&self) -> bool {
        self.nodes.iter().any(|node| node.test.word.place().0 == Header::Mac)
    }

    /// The output for the packet whose IP header is at the start of `bytes`, and its MAC header at the start of `mac`:
    /// `None` when there is no IP header, [`DROP`] when no rule takes it.
    #[inline]
    pub(super) fn decide(&self, bytes: &[u8], mac: &[u8]) -> Option<u32> {
        match near_words(bytes).filter(|_| self.fast.len() == self.nodes.len()) {
            Some(near) => Some(self.run_fast(&near)),
            None => Some(self.run(&Words::load(bytes, mac)?)),
        }
    }

    fn run(&self, words: &Words<'_>) -> u32 {
        let mut target = self.entry;
        while let Some(node) = target.node().and_then(|at| self.nodes.get(at)) {
            target = if words.passes(&node.test) { node.yes } else { node.no };
        }
        target.0 & !OUTPUT
    }

    /// As `run`, when every test finds its word among the near ones.
    #[inline]
    fn run_fast(&self, words: &Near) -> u32 {
        let mut target = self.entry;
        // An output's number is beyond all nodes.
        while let Some(node) = self.fast.get(target.0 as usize) {
            let word = words[usize::from(node.word) & 15] & node.mask;
            target = node.no;
            if word.wrapping_sub(node.low) <= node.span {
                // A jump, not a selected value: the processor goes on with the next test before this one is decided.
                std::hint::cold_path();
                target = node.yes;
            }
        }
        target.0 & !OUTPUT
    }

    /// Outputs that some packet may reach.
    #[cfg(test)]
    fn reachable_outputs(&self) -> Vec<u32> {
        let targets = self.nodes.iter().flat_map(|node| [node.yes, node.no]).chain([self.entry]);
        let mut outputs: Vec<_> = targets.filter(|t| t.node().is_none()).map(|t| t.0 & !OUTPUT).collect();
        outputs.sort_unstable();
        outputs.dedup();
        outputs
    }

    /// Lets each jump skip the tests whose outcome is known there.
    fn shorten(&mut self) {
        let mut incoming: Vec<Option<Facts>> = vec![None; self.nodes.len()];
        if let Some(at) = self.entry.node() {
            incoming[at] = Some(Facts::default());
        }
        for at in (0..self.nodes.len()).rev() {
            let Some(facts) = incoming[at].take() else { continue };
            for outcome in [true, false] {
                let known = facts.with(self.nodes[at].test, outcome);
                let mut target = if outcome { self.nodes[at].yes } else { self.nodes[at].no };
                while let Some(next) = target.node() {
                    match known.decide(&self.nodes[next].test) {
                        Some(true) => target = self.nodes[next].yes,
                        Some(false) => target = self.nodes[next].no,
                        None => break,
                    }
                }
                let node = &mut self.nodes[at];
                *(if outcome { &mut node.yes } else { &mut node.no }) = target;
                if let Some(next) = target.node() {
                    incoming[next] = Some(match incoming[next].take() {
                        None => known,
                        Some(others) => others.intersect(&known),
                    });
                }
            }
        }
        // A node that decides nothing is skipped. Children come first, so one pass is enough.
        let mut same: Vec<Target> = Vec::with_capacity(self.nodes.len());
        for at in 0..self.nodes.len() {
            let follow = |t: Target| t.node().map_or(t, |n| same[n]);
            let (yes, no) = (follow(self.nodes[at].yes), follow(self.nodes[at].no));
            self.nodes[at].yes = yes;
            self.nodes[at].no = no;
            same.push(if yes == no { yes } else { Target(at as u32) });
        }
        self.entry = self.entry.node().map_or(self.entry, |at| same[at]);
    }

    fn remove_unreachable(&mut self) {
        let mut reached = vec![false; self.nodes.len()];
        if let Some(at) = self.entry.node() {
            reached[at] = true;
        }
        for at in (0..self.nodes.len()).rev().filter(|at| self.entry.node().is_some_and(|e| *at <= e)) {
            if reached[at] {
                for next in [self.nodes[at].yes, self.nodes[at].no].into_iter().filter_map(Target::node) {
                    reached[next] = true;
                }
            }
        }
        let mut moved = Vec::with_capacity(self.nodes.len());
        let mut kept = Vec::new();
        for (node, keep) in self.nodes.iter().zip(&reached) {
            moved.push(Target(kept.len() as u32));
            if *keep {
                let follow = |t: Target| t.node().map_or(t, |n| moved[n]);
                kept.push(Node { test: node.test, yes: follow(node.yes), no: follow(node.no) });
            }
        }
        self.entry = self.entry.node().map_or(self.entry, |at| moved[at]);
        self.nodes = kept;
    }
}

/// The handler's text: one line a node, first node first; a target is `step N`, `[N]` or `[X]` for drop.
impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.nodes.len().wrapping_sub(1);
        let name = |target: Target| match target.node() {
            Some(at) => format!("step {}", last - at),
            None if target.0 & !OUTPUT == DROP => "[X]".to_owned(),
            None => format!("[{}]", target.0 & !OUTPUT),
        };
        for (step, node) in self.nodes.iter().rev().enumerate() {
            let place = match node.test.word.place() {
                (Header::Mac, offset) => format!("ether[{offset}:4]"),
                (Header::Ip, offset) => format!("ip[{offset}:4]"),
                (Header::Transport, offset) => format!("transp[{offset}:4]"),
            };
            let compare = if node.test.compare == Compare::Equal { "==" } else { ">" };
            let (mask, value) = (node.test.mask, node.test.value);
            let (yes, no) = (name(node.yes), name(node.no));
            writeln!(f, "{step:2} {place} & {mask:08x} {compare} {value:08x}  yes->{yes}  no->{no}")?;
        }
        match self.entry.node() {
            None => writeln!(f, "all->{}", name(self.entry)),
            Some(_) => Ok(()),
        }
    }
}

struct Builder {
    nodes: Vec<Node>,
    known: HashMap<Node, Target>,
}

impl Builder {
    /// The target at which `expression` is decided, going on to `yes` or `no`.
    fn build(&mut self, expression: &Expression, yes: Target, no: Target) -> Result<Target, String> {
        match expression {
            Expression::Constant(value) => Ok(if *value { yes } else { no }),
            Expression::Not(inner) => self.build(inner, no, yes),
            Expression::And(terms) => {
                terms.iter().rev().try_fold(yes, |next, term| self.build(term, next, no))
            }
            Expression::Or(terms) => {
                terms.iter().rev().try_fold(no, |next, term| self.build(term, yes, next))
            }
            Expression::If(parts) => {
                let [condition, first, second] = &**parts;
                let (first, second) = (self.build(first, yes, no)?, self.build(second, yes, no)?);
                self.build(condition, first, second)
            }
            Expression::Test(test) => self.node(Node { test: *test, yes, no }),
        }
    }

    fn node(&mut self, node: Node) -> Result<Target, String> {
        if node.yes == node.no {
            return Ok(node.yes);
        }
        if let Some(target) = self.known.get(&node) {
            return Ok(*target);
        }
        if self.nodes.len() == MAX_NODES {
            return Err(format!("patterns need more than {MAX_NODES} tests"));
        }
        let target = Target(self.nodes.len() as u32);
        self.nodes.push(node);
        self.known.insert(node, target);
        Ok(target)
    }
}

/// Tests whose outcome is known at a place of the program.
#[derive(Debug, Clone, Default)]
struct Facts(Vec<(Test, bool)>);

impl Facts {
    fn with(&self, test: Test, outcome: bool) -> Self {
        let mut facts = self.0.clone();
        if facts.len() == MAX_FACTS {
            facts.remove(0);
        }
        facts.push((test, outcome));
        Self(facts)
    }

    fn intersect(mut self, other: &Self) -> Self {
        self.0.retain(|fact| other.0.contains(fact));
        self
    }

    fn decide(&self, test: &Test) -> Option<bool> {
        self.0.iter().rev().find_map(|(fact, outcome)| implied(fact, *outcome, test))
    }
}

/// What the outcome of `fact` says about `test`.
///
/// A failed test may also mean that the packet is too short for its word. Then every test of that word fails, so that
/// only conclusions towards "fails" are drawn from a failure.
fn implied(fact: &Test, outcome: bool, test: &Test) -> Option<bool> {
    if fact.word != test.word {
        return None;
    }
    if fact == test {
        return Some(outcome);
    }
    match (fact.compare, outcome) {
        (Compare::Equal, true) => {
            let common = fact.mask & test.mask;
            match test.compare {
                Compare::Equal if fact.value & common != test.value & common => Some(false),
                Compare::Equal => (common == test.mask).then_some(true),
                Compare::Greater => (common == test.mask).then_some(fact.value & common > test.value),
            }
        }
        (Compare::Equal, false) => {
            let narrower = test.compare == Compare::Equal && fact.mask & !test.mask == 0;
            (narrower && test.value & fact.mask == fact.value).then_some(false)
        }
        (Compare::Greater, true) if fact.mask == test.mask => match test.compare {
            Compare::Greater => (test.value <= fact.value).then_some(true),
            Compare::Equal => (test.value <= fact.value).then_some(false),
        },
        (Compare::Greater, false) if fact.mask == test.mask => (test.value > fact.value).then_some(false),
        (Compare::Greater, _) => None,
    }
}

#[cfg(test)]
mod tests;
