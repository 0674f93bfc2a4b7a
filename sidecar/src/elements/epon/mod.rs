//! Ethernet passive optical networks: the multipoint control of IEEE 802.3, clause 64, for 1000BASE-PX.
//!
//! The parts of an OLT are elements of their own, joined by control frames: discovery, bandwidth allocation, the way
//! down and the way up can run in different places. `docs/epon.md` tells which clauses are there.

use crate::element::Descriptor;

mod dba;
mod discovery;
mod encap;
mod fiber;
mod line;
mod members;
mod mpcp;
mod onu;
mod receiver;
mod splitter;
mod times;
mod transmitter;

pub(super) static GROUP: &[&Descriptor] = &[
    &dba::DESCRIPTOR,
    &discovery::DESCRIPTOR,
    &encap::DECAP,
    &encap::ENCAP,
    &fiber::DESCRIPTOR,
    &onu::DESCRIPTOR,
    &receiver::DESCRIPTOR,
    &splitter::DESCRIPTOR,
    &transmitter::DESCRIPTOR,
];
