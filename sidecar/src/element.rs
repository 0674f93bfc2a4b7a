//! What an element is, and how to write one.
//!
//! An element is one file, `elements/<group>/<class in snake case>.rs`: a static [`Descriptor`], a type that implements
//! [`Element`], a `build` function that turns the configuration into it, and tests. Its descriptor stands in the
//! `GROUP` list of `elements/<group>/mod.rs`; nothing else has to know it.
//!
//! ```ignore
//! pub static DESCRIPTOR: Descriptor = Descriptor {
//!     class: "DecIPTTL",
//!     summary: "decrements IP time-to-live, drops dead packets",
//!     ports: "1/1-2", processing: "a/ah", flow: "x/x",
//!     args: &[Arg::keyword("ACTIVE", "bool", "true", "whether packets are changed")],
//!     reads: Annotations::NETWORK_HEADER,
//!     drops: &["ttl expired"],
//!     handlers: &[Handler::read("drops", "packets that expired")],
//!     state: StateKind::Small,
//!     build,
//!     ..Descriptor::BASE
//! };
//!
//! struct DecIpTtl { active: bool, expired: u64 }
//!
//! fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
//!     Ok(Box::new(DecIpTtl { active: args.or("ACTIVE", true)?, expired: 0 }))
//! }
//!
//! impl Element for DecIpTtl {
//!     // One packet in, that packet or nothing out by output 0. The engine calls it for whole batches, pushed or pulled.
//!     fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
//!         let header = packet.network_mut();
//!         if header.len() >= 20 && header[8] > 1 { …; return Some(packet) }
//!         self.expired += 1;
//!         cx.emit_or_drop(1, "ttl expired", packet); // output 1 if it is connected, else a counted drop
//!         None
//!     }
//! }
//! ```
//!
//! - **Simple elements** write [`Element::action`] only. What it returns goes on by output 0; exceptions leave through
//!   `cx.emit(port, packet)`; a packet that ends here goes into `cx.drop(reason, packet)`.
//! - **Elements with several inputs or outputs** write [`Element::push`] instead: take packets out of the batch
//!   (`batch.drain()`, `batch.filter_map(…)`) and emit them. What is *left in the batch* goes to output 0 without being
//!   copied, after all that was emitted. A classifier uses `cx.split(batch, |packet| port)`.
//! - **Pull**: an element whose output is pull fills the batch in [`Element::pull`]; the default pulls from input 0 and
//!   runs `push` on what came. A pull that gives less than it was asked for must be followed, once there is more,
//!   by `cx.wake_pullers(0)`: tasks sleep in between. Pull elements with one input may rely on the default.
//! - **Tasks**: `cx.schedule()` makes [`Element::task`] run once in the next pass; it schedules itself again for more.
//!   **Timers**: one per element, `cx.set_timer(at)`; [`Element::timer`]. Both get an empty batch for output 0.
//! - **Order**: emissions of one call are grouped by output port, in order of first emission, each group is run to its
//!   end (depth first) before the next. With batches of one, that is Click's order.
//! - **Time** is `cx.now()`. No element reads a clock, blocks, or (but for growth of its tables) allocates per packet.
//! - **Other elements** are reached with `cx.find(name)` (once, in `initialize`) and `cx.element_mut::<T>(id)`; the
//!   descriptor's `ties` name them, so that a cut keeps them together.
//! - **Handlers**: listed in the descriptor, answered in [`Element::read`] and [`Element::write`]. `class`, `name`,
//!   `config`, `ports`, `handlers` and `drop_reasons` are answered by the engine for all.

use std::any::Any;

pub use anf_click::{Annotations, Queueing};

pub use crate::config::{Args, ConfigError};
use crate::config::{split_arguments, unquote};
pub use crate::device::Direction;
pub use crate::engine::{Access, Cx, ElementId, NO_PORT, Time};
pub use crate::packet::{Batch, Packet};
use crate::state::Stateful;

/// An element of a router. See the module's head for how to write one.
pub trait Element: Any + Send {
    /// One packet that came in by any input: what is returned leaves by output 0.
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        let _ = cx;
        Some(packet)
    }

    /// Packets that came in by `port`. What is left in `batch` leaves by output 0, after all that was emitted.
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let _ = port;
        batch.filter_map(|packet| self.action(cx, packet));
    }

    /// Fills the empty `batch` with up to `max` packets for output `port`.
    fn pull(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch, max: usize) {
        let _ = port;
        loop {
            cx.pull(0, batch, max);
            if batch.is_empty() {
                return;
            }
            self.push(cx, 0, batch);
            if !batch.is_empty() {
                return;
            }
        }
    }

    /// Runs once after [`Cx::schedule`]. What is put into `batch` leaves by output 0. Returns whether it did work.
    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let _ = (cx, batch);
        false
    }

    /// Runs when the time of [`Cx::set_timer`] has come. What is put into `batch` leaves by output 0.
    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let _ = (cx, batch);
    }

    /// How many more packets fit before it tells that it is full ([`Cx::set_full`]).
    fn room(&self) -> u64 {
        u64::MAX
    }

    /// So many of its packets wait beyond a cut: they count as its own until they are pulled there.
    fn lend(&mut self, cx: &mut Cx<'_>, packets: usize) {
        let _ = (cx, packets);
    }

    /// It called [`Cx::answer_by`]: how many packets may come to it in all, from the first one on.
    fn link_allowance(&mut self, cx: &mut Cx<'_>) -> u64 {
        let _ = cx;
        u64::MAX
    }

    /// Runs once before any packet, when all elements are configured: find other elements, start tasks and timers.
    /// The error is a sentence for the user.
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let _ = cx;
        Ok(())
    }

    /// Runs once after `initialize` of all elements, before any packet: what has to find everything ready.
    fn start(&mut self, cx: &mut Cx<'_>) {
        let _ = cx;
    }

    /// Somebody asked the router to stop, and this element called [`Cx::become_driver`]. It calls [`Cx::finish`] to agree.
    fn stop_requested(&mut self, cx: &mut Cx<'_>) {
        cx.finish();
    }

    /// A signal came that this element asked for, see [`Cx::watch_signal`]. Returns whether it is content with that: else
    /// the signal does what it does without it.
    fn signalled(&mut self, cx: &mut Cx<'_>) -> bool {
        let _ = cx;
        false
    }

    /// Answers a read handler of the descriptor; `param` is what followed its name.
    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        let _ = (cx, param);
        Err(HandlerError::NoHandler(handler.to_owned()))
    }

    /// Obeys a write handler of the descriptor.
    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let _ = (cx, value);
        Err(HandlerError::NoHandler(handler.to_owned()))
    }

    /// Takes over from the element of the same name and class in the router that this one replaces (`hotconfig`): what
    /// a user would miss, within the limits of the new configuration. Tables are taken over already.
    fn take_state(&mut self, cx: &mut Cx<'_>, old: &mut dyn Any) {
        let _ = (cx, old);
    }

    /// Handlers of this element that its class does not have; the name `*` stands for any name.
    fn more_handlers(&self) -> Vec<(String, Access)> {
        Vec::new()
    }

    /// The element's state, if it has any that moves with it.
    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        None
    }
}

/// Why a handler could not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// No element of that name.
    #[error("no element named '{0}'")]
    NoElement(String),
    /// The element has no such handler, or not for reading, or not for writing.
    #[error("no handler named '{0}'")]
    NoHandler(String),
    /// The element is at work further up the call chain.
    #[error("element '{0}' is busy")]
    Busy(String),
    /// The handler refused its argument.
    #[error("{0}")]
    Refused(String),
}

/// What is known of a class before it is configured: read by the cutter, admission, the generated reference, placement.
#[derive(Debug)]
pub struct Descriptor {
    /// Class name, as in Click.
    pub class: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Click's port code, for example `1/1-2`.
    pub ports: &'static str,
    /// Click's processing code, for example `a/ah`.
    pub processing: &'static str,
    /// Click's flow code: which inputs can lead to which outputs.
    pub flow: &'static str,
    /// Configuration arguments; positional ones first, in order.
    pub args: &'static [Arg],
    /// Annotations it reads.
    pub reads: Annotations,
    /// Annotations it reads with some configurations only.
    pub reads_if: fn(config: &str) -> Annotations,
    /// Annotations it writes without reading them first, on every packet that leaves by output 0, whatever its
    /// configuration says.
    pub writes: Annotations,
    /// Names of the elements that a configuration ties this element to.
    pub ties: fn(config: &str) -> Vec<String>,
    /// Kind of state that moves with it.
    pub state: StateKind,
    /// Whether packets of one input leave in their order, per output.
    pub keeps_order: bool,
    /// What it has to do with queues that tell when they are full.
    pub queueing: Queueing,
    /// Definitions for the whole graph (AddressInfo …): copied to every part that uses them.
    pub global: bool,
    /// Reasons it gives to [`Cx::drop`].
    pub drops: &'static [&'static str],
    /// What it touches outside the router.
    pub outside: Outside,
    /// Some sentences for the reference, where the summary and the arguments do not say enough.
    pub details: &'static str,
    /// A Click text that shows it and ends by itself; the reference says what it prints.
    pub example: &'static str,
    /// Handlers of its own.
    pub handlers: &'static [Handler],
    /// More text for the generated reference.
    pub notes: fn() -> String,
    /// Makes the element from its configuration.
    pub build: fn(&Args<'_>) -> Result<Box<dyn Element>, ConfigError>,
}

impl Descriptor {
    /// The example, without the indentation that its lines share.
    pub fn example_text(&self) -> String {
        let lines = || self.example.lines().map(str::trim_end).skip_while(|line| line.is_empty());
        let indent = |line: &str| line.len() - line.trim_start().len();
        let shared = lines().filter(|line| !line.is_empty()).map(indent).min().unwrap_or(0);
        let text: Vec<&str> = lines().map(|line| line.get(shared..).unwrap_or("")).collect();
        text.join("\n").trim_end().to_owned()
    }

    /// Whether an argument names a device, see [`Descriptor::device_name`].
    pub fn opens_device(&self) -> bool {
        matches!(self.outside, Outside::Device(_))
    }

    /// The device that `config` names by its argument DEVNAME: the first one, or a keyword.
    pub fn device_name(&self, config: &str) -> Option<String> {
        let arguments = split_arguments(config);
        let by_keyword = |argument: &String| {
            let rest = argument.strip_prefix("DEVNAME")?;
            rest.starts_with(char::is_whitespace).then(|| rest.trim().to_owned())
        };
        let first = self.args.first().is_some_and(|arg| arg.name == "DEVNAME");
        let found = arguments.iter().find_map(by_keyword);
        let found = found.or_else(|| arguments.first().filter(|_| first).cloned())?;
        let name = String::from_utf8_lossy(&unquote(&found)).into_owned();
        (self.opens_device() && !name.is_empty()).then_some(name)
    }

    /// Whether packets come in from a device.
    pub fn reads_device(&self) -> bool {
        matches!(self.outside, Outside::Device(Direction::Receive | Direction::Both))
    }

    /// The defaults: nothing but `class`, `summary`, `ports`, `processing` and `build` has to be given.
    pub const BASE: Self = Self {
        class: "",
        summary: "",
        ports: "1/1",
        processing: "a/a",
        flow: "x/x",
        args: &[],
        reads: Annotations(0),
        reads_if: |_| Annotations::NONE,
        writes: Annotations(0),
        ties: |_| Vec::new(),
        state: StateKind::None,
        keeps_order: true,
        queueing: Queueing::NONE,
        global: false,
        drops: &[],
        outside: Outside::Nothing,
        details: "",
        example: "",
        handlers: &[],
        notes: String::new,
        build: |_| Err(ConfigError::from("class cannot be built".to_owned())),
    };
}

/// Kind of state of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateKind {
    /// None, or none that matters after a move.
    None,
    /// A few values, saved whole at the seal.
    Small,
    /// Flow tables, tracked change by change.
    Tables,
}

/// What a class touches outside the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Nothing.
    Nothing,
    /// A file.
    File,
    /// The device that its argument DEVNAME names.
    Device(Direction),
    /// Sockets of its own.
    Socket,
    /// The link to another part, which whoever drives the router serves.
    Link,
}

/// A configuration argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Its name: the keyword that gives it.
    pub name: &'static str,
    /// Its type, for the reader: `bool`, `unsigned`, `IP address` …
    pub ty: &'static str,
    /// The default as it would be written; empty where there is none.
    pub default: &'static str,
    /// How it is given.
    pub kind: ArgKind,
    /// What it means.
    pub summary: &'static str,
}

/// How an argument is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// By position (or keyword); must be there.
    Required,
    /// By position (or keyword); may be left out.
    Optional,
    /// By keyword only.
    Keyword,
    /// By keyword only; must be there.
    RequiredKeyword,
    /// All remaining positional arguments, see [`Args::rest`].
    Rest,
}

impl Arg {
    /// A positional argument that must be there.
    pub const fn required(name: &'static str, ty: &'static str, summary: &'static str) -> Self {
        Self { name, ty, default: "", kind: ArgKind::Required, summary }
    }
    /// A positional argument with a default.
    pub const fn optional(
        name: &'static str,
        ty: &'static str,
        default: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { name, ty, default, kind: ArgKind::Optional, summary }
    }
    /// A keyword argument with a default.
    pub const fn keyword(
        name: &'static str,
        ty: &'static str,
        default: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { name, ty, default, kind: ArgKind::Keyword, summary }
    }
    /// A keyword argument that must be there.
    pub const fn required_keyword(name: &'static str, ty: &'static str, summary: &'static str) -> Self {
        Self { name, ty, default: "", kind: ArgKind::RequiredKeyword, summary }
    }
    /// All remaining positional arguments.
    pub const fn rest(name: &'static str, ty: &'static str, summary: &'static str) -> Self {
        Self { name, ty, default: "", kind: ArgKind::Rest, summary }
    }
}

/// A handler of a class.
#[derive(Debug, Clone, Copy)]
pub struct Handler {
    /// Its name.
    pub name: &'static str,
    /// Whether it can be read.
    pub readable: bool,
    /// Whether it can be written.
    pub writable: bool,
    /// What it says or does.
    pub summary: &'static str,
}

impl Handler {
    /// A handler to read.
    pub const fn read(name: &'static str, summary: &'static str) -> Self {
        Self { name, readable: true, writable: false, summary }
    }
    /// A handler to write.
    pub const fn write(name: &'static str, summary: &'static str) -> Self {
        Self { name, readable: false, writable: true, summary }
    }
    /// A handler to read and write.
    pub const fn both(name: &'static str, summary: &'static str) -> Self {
        Self { name, readable: true, writable: true, summary }
    }
}
