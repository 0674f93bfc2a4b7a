//! How rewriters treat packets of unknown flows: input specifications, the capacity, and the choice of what varies.

use std::net::Ipv4Addr;

use super::input_spec::{InputSpec, Outputs};
use super::ip_rewriter_patterns::IpRewriterPatterns;
use super::mapper::IpMapper;
use super::mapping::{Mapping, Seen};
use super::pattern::{Pattern, Variation};
use super::table::MappingTable;
use crate::element::{Args, ConfigError, Cx, HandlerError};
use crate::state::{Reader, SlotId, StateError, Writer};
use crate::wire::FlowId;

pub(super) const UNKNOWN: &str = "no mapping";
pub(super) const NO_PORT: &str = "no free port";
pub(super) const FULL: &str = "mapping capacity reached";

/// What stands between an unknown flow and a mapping.
pub(super) struct Admission {
    specs: Vec<InputSpec>,
    outputs: usize,
    capacity: usize,
    reserved: usize,
    failures: u64,
    /// State of the random numbers that ports and addresses are chosen by.
    random: u64,
}

/// Looks at a pattern that a rewriter is going to use.
pub(super) type See<'a> = &'a mut dyn FnMut(&Pattern) -> Result<(), String>;

impl Admission {
    /// Reads the input specifications and the capacity from the configuration.
    pub(super) fn build(args: &Args<'_>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut specs = Vec::new();
        for (input, text) in args.rest().iter().enumerate() {
            let address_of = |word: &str| args.parse::<Ipv4Addr>("address", word).ok();
            match InputSpec::parse(text, args.outputs(), &address_of) {
                Ok(spec) => specs.push(spec),
                Err(problem) => problems.push(in_spec(input, &problem)),
            }
        }
        if problems.is_empty() && specs.len() != args.inputs() {
            problems.push(format!("need {} arguments, one per input port", args.inputs()));
        }
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let capacity = args.or("MAPPING_CAPACITY", i32::MAX as usize)?;
        let outputs = args.outputs();
        Ok(Self { specs, outputs, capacity, reserved: reserved_of(capacity), failures: 0, random: 0 })
    }

    /// Finds the mappers and the named patterns; `see` looks at each pattern.
    pub(super) fn initialize(&mut self, cx: &mut Cx<'_>, see: See<'_>) -> Result<(), String> {
        self.random = cx.random();
        for input in 0..self.specs.len() {
            self.resolve(cx, input, see).map_err(|problem| in_spec(input, &problem))?;
        }
        Ok(())
    }

    fn resolve(&mut self, cx: &mut Cx<'_>, input: usize, see: See<'_>) -> Result<(), String> {
        let outputs = self.outputs;
        let Some(spec) = self.specs.get_mut(input) else { return Ok(()) };
        match spec {
            InputSpec::Named { name, outputs } => {
                let pattern = IpRewriterPatterns::find(cx, name)?;
                see(&pattern)?;
                *spec = InputSpec::Rewrite { pattern, outputs: *outputs, next: 0 };
            }
            InputSpec::Rewrite { pattern, .. } => see(pattern)?,
            InputSpec::Element { name, alone } => {
                let id = cx.find(name).ok_or("unknown specification")?;
                if !*alone {
                    return Err("syntax error, expected element name".to_owned());
                }
                let patterns = IpMapper::patterns(cx, id).ok_or("element is not an IPMapper")??;
                for (at, (pattern, ports)) in patterns.iter().enumerate() {
                    see(pattern)?;
                    if !ports.are_among(outputs) {
                        let mapper = IpMapper::declaration(cx, id);
                        return Err(format!("output port out of range in {mapper} pattern {at}"));
                    }
                }
                *spec = InputSpec::Mapper(id);
            }
            InputSpec::Drop | InputSpec::Pass(_) | InputSpec::Keep(_) | InputSpec::Mapper(_) => {}
        }
        Ok(())
    }

    /// Whether an input makes no new flows.
    #[inline]
    pub(super) fn drops(&self, input: usize) -> bool {
        self.specs.get(input) == Some(&InputSpec::Drop)
    }

    /// Where packets of unknown flows go as they are, if they do.
    #[inline]
    pub(super) fn passes(&self, input: usize) -> Option<u16> {
        match self.specs.get(input) {
            Some(InputSpec::Pass(output)) => Some(*output),
            _ => None,
        }
    }

    /// Makes a mapping for a flow that has none.
    pub(super) fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        table: &mut MappingTable,
        input: usize,
        flow: FlowId,
        now: u64,
    ) -> Result<SlotId, &'static str> {
        let random = &mut self.random;
        let rewritten = match self.specs.get_mut(input) {
            Some(InputSpec::Mapper(id)) => cx
                .element_mut::<IpMapper>(*id)
                .and_then(|mapper| mapper.choose(&flow, |spec| rewrite(spec, table, &flow, random))),
            Some(spec @ (InputSpec::Keep(_) | InputSpec::Rewrite { .. })) => {
                rewrite(spec, table, &flow, random)
            }
            _ => return Err(UNKNOWN),
        };
        let Some((rewritten, outputs)) = rewritten else {
            self.failures += 1;
            return Err(NO_PORT);
        };
        if table.len() >= self.capacity {
            self.failures += 1;
            return Err(FULL);
        }
        let mapping = Mapping {
            rewritten,
            last_seen: now,
            forward_output: outputs.forward,
            reply_output: outputs.reply,
            seen: Seen::default(),
        };
        Ok(table.insert(flow, mapping))
    }

    /// Answers the read handlers that are about admission.
    pub(super) fn read(&self, handler: &str) -> Result<String, HandlerError> {
        match handler {
            "mapping_failures" => Ok(self.failures.to_string()),
            "capacity" => Ok(format!("{} {}", self.capacity, self.reserved)),
            "patterns" => {
                Ok(self.specs.iter().fold(String::new(), |text, spec| text + &spec.to_string() + "\n"))
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    /// Obeys the write handler `capacity`.
    pub(super) fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "capacity" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let numbers: Result<Vec<usize>, _> = value.split_whitespace().map(str::parse).collect();
        (self.capacity, self.reserved) = match numbers.as_deref() {
            Ok([capacity]) => (*capacity, reserved_of(*capacity)),
            Ok([capacity, reserved]) => (*capacity, *reserved),
            _ => return Err(HandlerError::Refused("expected 'CAPACITY [RESERVED]'".to_owned())),
        };
        Ok(())
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.random);
        w.put_u64(self.failures);
        w.put_u64(self.capacity as u64);
        w.put_u64(self.reserved as u64);
        w.put_u32(self.specs.len() as u32);
        for spec in &self.specs {
            w.put_u32(if let InputSpec::Rewrite { next, .. } = spec { *next } else { 0 });
        }
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.random = r.get_u64()?;
        self.failures = r.get_u64()?;
        self.capacity = r.get_u64()? as usize;
        self.reserved = r.get_u64()? as usize;
        let count = r.get_u32()?;
        if count as usize != self.specs.len() {
            return Err(StateError::Invalid { what: "number of inputs", value: u64::from(count) });
        }
        for spec in &mut self.specs {
            let saved = r.get_u32()?;
            if let InputSpec::Rewrite { next, .. } = spec {
                *next = saved;
            }
        }
        Ok(())
    }
}

fn in_spec(input: usize, problem: &str) -> String {
    format!("input spec {input}: {problem}")
}

/// What a specification that makes mappings makes of a flow; `None` when all that it could be is taken.
fn rewrite(
    spec: &mut InputSpec,
    table: &MappingTable,
    flow: &FlowId,
    random: &mut u64,
) -> Option<(FlowId, Outputs)> {
    match spec {
        InputSpec::Keep(outputs) => Some((*flow, *outputs)),
        InputSpec::Rewrite { pattern, outputs, next } => {
            let start = InputSpec::start(pattern, *next, || draw(random));
            let rewritten = table.choose(pattern, flow, start)?;
            *next = after(pattern, &rewritten);
            Some((rewritten, *outputs))
        }
        _ => None,
    }
}

/// How many flows of a capacity Click keeps back.
fn reserved_of(capacity: usize) -> usize {
    (capacity / 8).min(50)
}

/// A random number: the state moves on by splitmix64, so saving it saves the sequence.
fn draw(state: &mut u64) -> u32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as u32
}

/// Where a sequential pattern goes on after it gave `rewritten`.
fn after(pattern: &Pattern, rewritten: &FlowId) -> u32 {
    match pattern.variation {
        Variation::None => 0,
        Variation::Port { low, .. } => u32::from(rewritten.source_port.saturating_sub(low)) + 1,
        Variation::Address { low, .. } => rewritten.source.saturating_sub(low).wrapping_add(1),
    }
}
