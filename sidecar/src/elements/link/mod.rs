//! The ends of cut edges: packets leave the part by `ToLink` and enter it by `FromLink`. Who drives the router carries
//! them between parts.

use crate::element::{Annotations, Arg, Descriptor};

mod from_link;
mod to_link;

pub(super) static GROUP: &[&Descriptor] =
    &[&from_link::DESCRIPTOR, &from_link::PULL, &to_link::DESCRIPTOR, &to_link::PULL];

const TO_ARGS: &[Arg] = &[
    Arg::required_keyword("EDGE", "0-65535", "number of the cut edge"),
    Arg::keyword("TO", "string", "", "the part at the other end"),
];

const FROM_ARGS: &[Arg] = &[
    Arg::required_keyword("EDGE", "0-65535", "number of the cut edge"),
    Arg::keyword("FROM", "string", "", "the part at the other end"),
];

/// What the far side reads is what the frame carries: a link takes and gives all annotations.
const ALL: Annotations = Annotations::ALL;
