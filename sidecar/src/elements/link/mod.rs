//! The ends of cut edges: packets leave the part by `ToLink` and enter it by `FromLink`. Who drives the router carries
//! them between parts.
//!
//! An edge with a *signal* has a way back, by which `FromLink` says how many packets may come in all, since the first
//! one: as many as were pulled out of it, or asked for, or fit into the queues behind it. `ToLink` sends no more (where
//! it pulls), or is full as a queue would be (where packets are pushed into it).

use crate::element::{Annotations, Arg, Descriptor};

mod from_link;
mod to_link;

pub(super) static GROUP: &[&Descriptor] =
    &[&from_link::DESCRIPTOR, &from_link::PULL, &to_link::DESCRIPTOR, &to_link::PULL];

const EDGE: Arg = Arg::required_keyword("EDGE", "0-65535", "number of the cut edge");
const SIGNAL: Arg = Arg::keyword("SIGNAL", "0-65535", "", "number of the way back");
const AHEAD: Arg =
    Arg::keyword("AHEAD", "unsigned", "0", "of a pull edge: packets that cross before they are asked for");

const TO_ARGS: &[Arg] = &[EDGE, Arg::keyword("TO", "string", "", "the part at the other end"), SIGNAL, AHEAD];

const FROM_ARGS: &[Arg] =
    &[EDGE, Arg::keyword("FROM", "string", "", "the part at the other end"), SIGNAL, AHEAD];

/// What the far side reads is what the frame carries: a link takes and gives all annotations.
const ALL: Annotations = Annotations::ALL;
