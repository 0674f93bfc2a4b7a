//! ARP: who has an address (RFC 826). `cache` is the table of neighbours and of packets that wait for one.

use crate::element::Descriptor;

mod arp_print;
mod arp_querier;
mod arp_responder;
mod arp_table;
mod cache;

pub(super) static GROUP: &[&Descriptor] =
    &[&arp_querier::DESCRIPTOR, &arp_responder::DESCRIPTOR, &arp_table::DESCRIPTOR, &arp_print::DESCRIPTOR];
