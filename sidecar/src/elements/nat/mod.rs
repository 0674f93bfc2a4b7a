//! Network address translation: a table of mappings, how new ones are chosen, and how packets are rewritten.
//!
//! `pattern` and `input_spec` are the configuration, `admission` makes new mappings by it, asking a `mapper` where one
//! is named; `mapping` is the record, `table` keeps the records, `derived` what follows from them, `port_pool` the
//! ports in use; `translate` changes a packet. The requirements of RFC 4787 (UDP), RFC 5382 (TCP) and RFC 5508 (ICMP)
//! are quoted by number where they are met.

use crate::element::Descriptor;

mod address_rewriter;
mod adjustment;
mod admission;
mod binding;
mod capacity;
mod derived;
mod eviction;
mod flows;
mod ftp_port_mapper;
mod hash_ring;
mod icmp_rewriter;
mod input_spec;
mod ip_rewriter;
mod ip_rewriter_patterns;
mod mapper;
mod mapping;
mod pattern;
mod port_pool;
mod reply_anno;
#[cfg(test)]
mod rfc;
mod table;
#[cfg(test)]
mod tests;
mod translate;

pub(super) static GROUP: &[&Descriptor] = &[
    &ip_rewriter::IP_REWRITER,
    &ip_rewriter::TCP_REWRITER,
    &ip_rewriter::UDP_REWRITER,
    &ip_rewriter::ICMP_PING_REWRITER,
    &address_rewriter::IP_ADDR_REWRITER,
    &address_rewriter::IP_ADDR_PAIR_REWRITER,
    &icmp_rewriter::DESCRIPTOR,
    &ip_rewriter_patterns::DESCRIPTOR,
    &ftp_port_mapper::DESCRIPTOR,
    &mapper::ROUND_ROBIN,
    &mapper::SOURCE_HASH,
];
