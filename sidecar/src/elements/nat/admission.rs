//! How rewriters treat packets of unknown flows: input specifications, the capacity, and the choice of what varies.

use std::net::Ipv4Addr;

use super::capacity::Capacity;
use super::input_spec::{InputSpec, Outputs};
use super::ip_rewriter_patterns::IpRewriterPatterns;
use super::mapper::IpMapper;
use super::mapping::{Mapping, Seen};
use super::pattern::{Pattern, Variation};
use super::table::MappingTable;
use crate::config::Value;
use crate::element::{Args, ConfigError, Cx, HandlerError};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, SlotId, StateError, Writer};
use crate::wire::FlowId;

pub(super) const UNKNOWN: &str = "no mapping";
pub(super) const NO_PORT: &str = "no free port";
pub(super) const FULL: &str = "mapping capacity reached";

/// What a rewriter says of a pattern that it cannot follow.
pub(super) type Accept = fn(&Pattern) -> Result<(), String>;

/// An input: its specification, and the text of it if a handler changed it.
struct Input {
    spec: InputSpec,
    written: Option<String>,
}

/// What stands between an unknown flow and a mapping.
pub(super) struct Admission {
    inputs: Vec<Input>,
    outputs: usize,
    accept: Accept,
    pub(super) capacity: Capacity,
    failures: u64,
    /// State of the random numbers that ports and addresses are chosen by.
    random: u64,
}

impl Admission {
    /// Reads the input specifications and the capacity from the configuration.
    pub(super) fn build(args: &Args<'_>, accept: Accept) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut inputs = Vec::new();
        for (input, text) in args.rest().iter().enumerate() {
            let address_of = |word: &str| args.parse::<Ipv4Addr>("address", word).ok();
            match InputSpec::parse(text, args.outputs(), &address_of) {
                Ok(spec) => inputs.push(Input { spec, written: None }),
                Err(problem) => problems.push(in_spec(input, &problem)),
            }
        }
        if problems.is_empty() && inputs.len() != args.inputs() {
            problems.push(format!("need {} arguments, one per input port", args.inputs()));
        }
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let capacity = Capacity::build(args)?;
        Ok(Self { inputs, outputs: args.outputs(), accept, capacity, failures: 0, random: 0 })
    }

    /// Finds the mappers, the named patterns and the rewriter whose capacity is shared.
    pub(super) fn initialize(&mut self, cx: &mut Cx<'_>, table: &mut MappingTable) -> Result<(), String> {
        self.capacity.initialize(cx)?;
        let (outputs, accept) = (self.outputs, self.accept);
        for (at, input) in self.inputs.iter_mut().enumerate() {
            resolve(cx, &mut input.spec, outputs, |pattern| accept(pattern).map(|()| table.serve(pattern)))
                .map_err(|problem| in_spec(at, &problem))?;
        }
        Ok(())
    }

    /// For when all elements are initialised: a RandomSeed has set the seed by then, wherever it stands.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        self.random = cx.random();
        self.capacity.start(cx);
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    fn spec(&self, input: usize) -> Option<&InputSpec> {
        self.inputs.get(input).map(|input| &input.spec)
    }

    /// Whether what comes in by an input is a reply, most likely.
    #[inline]
    pub(super) fn expects_replies(&self, input: usize) -> bool {
        matches!(self.spec(input), Some(InputSpec::Drop | InputSpec::Endpoint(_)))
    }

    /// Where packets of unknown flows go as they are, if they do.
    #[inline]
    pub(super) fn passes(&self, input: usize) -> Option<u16> {
        match self.spec(input) {
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
        self.resolve_late(cx, table, input);
        let random = &mut self.random;
        let rewritten = match self.inputs.get_mut(input).map(|input| &mut input.spec) {
            Some(InputSpec::Mapper(id)) => cx
                .element_mut::<IpMapper>(*id)
                .and_then(|mapper| mapper.choose(&flow, |spec| rewrite(spec, table, &flow, random))),
            Some(spec @ (InputSpec::Keep(_) | InputSpec::Rewrite { .. })) => {
                rewrite(spec, table, &flow, random)
            }
            Some(InputSpec::Endpoint(outputs)) => {
                table.know_holders();
                Some((table.to_holder(&flow).ok_or(UNKNOWN)?, *outputs))
            }
            _ => return Err(UNKNOWN),
        };
        let Some((rewritten, outputs)) = rewritten else {
            self.failures += 1;
            return Err(NO_PORT);
        };
        let mapping = Mapping {
            rewritten,
            last_seen: now,
            forward_output: outputs.forward,
            reply_output: outputs.reply,
            input: u16::try_from(input).unwrap_or(u16::MAX),
            seen: Seen::default(),
            reply_anno: 0,
        };
        if !self.capacity.make_room(cx, table, table.due_without_guarantee(&flow, &mapping), now) {
            self.failures += 1;
            return Err(FULL);
        }
        Ok(table.insert(flow, mapping))
    }

    /// Finds what a specification that came with saved state names. If that is not there, it makes no mapping.
    fn resolve_late(&mut self, cx: &mut Cx<'_>, table: &mut MappingTable, input: usize) {
        let (outputs, accept) = (self.outputs, self.accept);
        if let Some(Input { spec: spec @ (InputSpec::Named { .. } | InputSpec::Element { .. }), .. }) =
            self.inputs.get_mut(input)
        {
            let _ = resolve(cx, spec, outputs, |pattern| accept(pattern).map(|()| table.serve(pattern)));
        }
    }

    /// Answers the read handlers that are about admission.
    pub(super) fn read(
        &self,
        cx: &mut Cx<'_>,
        table: &MappingTable,
        handler: &str,
    ) -> Result<String, HandlerError> {
        match handler {
            "mapping_failures" => Ok(self.failures.to_string()),
            "capacity" => Ok(self.capacity.limit(cx).to_string()),
            "size" => Ok(self.capacity.used(cx, table).to_string()),
            "patterns" => {
                Ok((0..self.inputs.len()).fold(String::new(), |text, at| text + &self.show(table, at)))
            }
            other => Ok(self.show(table, self.numbered(other)?)),
        }
    }

    /// A line about an input: its specification, and how many flows it made if there are any.
    fn show(&self, table: &MappingTable, input: usize) -> String {
        let spec = self.spec(input).map_or_else(String::new, ToString::to_string);
        match table.made_by(input) {
            0 => format!("{spec}\n"),
            count => format!("{spec} [{count}]\n"),
        }
    }

    /// The input that a handler `patternN` is about.
    fn numbered(&self, handler: &str) -> Result<usize, HandlerError> {
        let number = handler.strip_prefix("pattern").and_then(|number| number.parse().ok());
        let input = number.filter(|input| *input < self.inputs.len());
        input.ok_or_else(|| HandlerError::NoHandler(handler.to_owned()))
    }

    /// Obeys the write handlers.
    pub(super) fn write(
        &mut self,
        cx: &mut Cx<'_>,
        table: &mut MappingTable,
        handler: &str,
        value: &str,
    ) -> Result<(), HandlerError> {
        let now = cx.now().0;
        match handler {
            "capacity" => {
                let limit = parse_handler::<i32>(value)?.max(0) as usize;
                self.capacity.set(cx, table, limit, now);
            }
            "clear" => table.shrink(0, now),
            other => self.replace(cx, table, self.numbered(other)?, value).map_err(HandlerError::Refused)?,
        }
        Ok(())
    }

    /// Gives an input another specification; what the old one made goes.
    fn replace(
        &mut self,
        cx: &mut Cx<'_>,
        table: &mut MappingTable,
        at: usize,
        text: &str,
    ) -> Result<(), String> {
        let mut spec = parse_plain(text, self.outputs).map_err(|problem| in_spec(at, &problem))?;
        let accept = self.accept;
        resolve(cx, &mut spec, self.outputs, |pattern| accept(pattern).map(|()| table.serve(pattern)))
            .map_err(|problem| in_spec(at, &problem))?;
        table.remove_made_by(at);
        if let Some(input) = self.inputs.get_mut(at) {
            *input = Input { spec, written: Some(text.to_owned()) };
        }
        Ok(())
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.random);
        w.put_u64(self.failures);
        self.capacity.save(w);
        w.put_u32(self.inputs.len() as u32);
        for Input { spec, written } in &self.inputs {
            w.put_bool(written.is_some());
            w.put_str(written.as_deref().unwrap_or(""));
            w.put_u32(spec.next());
        }
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>, table: &mut MappingTable) -> Result<(), StateError> {
        self.random = r.get_u64()?;
        self.failures = r.get_u64()?;
        self.capacity.restore(r)?;
        let count = r.get_u32()?;
        if count as usize != self.inputs.len() {
            return Err(StateError::Invalid { what: "number of inputs", value: u64::from(count) });
        }
        for (at, input) in self.inputs.iter_mut().enumerate() {
            let (changed, text) = (r.get_bool()?, r.get_str()?);
            if changed {
                let wrong = |_| StateError::Invalid { what: "input specification", value: at as u64 };
                // A named pattern or mapper in it is found when the first packet asks for it.
                input.spec = parse_plain(text, self.outputs).map_err(wrong)?;
                input.written = Some(text.to_owned());
            }
            input.spec.set_next(r.get_u32()?);
            if let InputSpec::Rewrite { pattern, .. } = &input.spec {
                table.serve(pattern);
            }
        }
        Ok(())
    }
}

fn in_spec(input: usize, problem: &str) -> String {
    format!("input spec {input}: {problem}")
}

/// Parses a specification from a handler or from saved state, where no names of addresses are known.
fn parse_plain(text: &str, outputs: usize) -> Result<InputSpec, String> {
    InputSpec::parse(text, outputs, &|word| Ipv4Addr::parse_plain(word).ok())
}

/// Finds the named pattern or the mapper that a specification means; `see` looks at each pattern it may use.
fn resolve(
    cx: &mut Cx<'_>,
    spec: &mut InputSpec,
    outputs: usize,
    mut see: impl FnMut(&Pattern) -> Result<(), String>,
) -> Result<(), String> {
    match spec {
        InputSpec::Named { name, outputs, next } => {
            let pattern = IpRewriterPatterns::find(cx, name)?;
            see(&pattern)?;
            *spec = InputSpec::Rewrite { pattern, outputs: *outputs, next: *next };
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
        InputSpec::Drop
        | InputSpec::Pass(_)
        | InputSpec::Keep(_)
        | InputSpec::Endpoint(_)
        | InputSpec::Mapper(_) => {}
    }
    Ok(())
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
