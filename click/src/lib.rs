//! The Click language: text to syntax tree ([`parse`]) to flat graph ([`flatten`]) to settled graph
//! ([`settle`]) to parts that run in pods of their own ([`cut`]), and back to text (`Display`).
//!
//! Pure: no I/O, no clock, no element classes of its own (a [`Catalog`] says what they are). Any text, however
//! hostile, ends in a value or in [`Diagnostics`], within bounded time and memory.

mod ast;
mod catalog;
mod compose;
pub mod config;
mod cut;
mod diagnostic;
pub mod draw;
mod flatten;
mod graph;
mod hash;
mod lex;
pub mod limits;
mod parse;
mod print;
mod propose;
mod settle;
mod suggest;

pub use ast::Ast;
pub use catalog::{Annotations, Catalog, ClassInfo, Load, Queueing};
pub use compose::{Composed, SubEdge, SubText, compose};
pub use cut::{Cut, CutEdge, MAIN, Part, PartSpec, Signal, cut, tied_groups};
pub use diagnostic::{Diagnostic, Diagnostics, Place, Pos, Severity};
pub use flatten::flatten;
pub use graph::{Connection, Element, ElementId, FlatGraph, PortRef};
pub use parse::{Libraries, Library, parse, parse_with};
pub use propose::{Counts, Crossing, Proposal, ProposedPart, propose, propose_cut};
pub use settle::{Mode, SettledGraph, check_class, settle};
pub use suggest::distance;
