//! The elements, one file a class, in groups. A group's `GROUP` list is its registration.

use crate::element::Descriptor;

pub mod basic;
pub mod control;

/// All groups, in the order of the reference.
pub static GROUPS: &[&[&Descriptor]] = &[basic::GROUP, control::GROUP];
