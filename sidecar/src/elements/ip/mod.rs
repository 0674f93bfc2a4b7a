//! IP: checking, marking, printing and changing headers, routes, fragments.

use crate::element::Descriptor;

mod check_ip_header;
mod check_transport_header;
mod dec_ip_ttl;
mod faults;
mod fix_ip_src;
#[cfg(test)]
mod hostile;
mod ip_address_annotation;
mod ip_encap;
mod ip_fragmenter;
mod ip_gw_options;
mod ip_lookup;
mod ip_mirror;
mod ip_print;
mod ip_reassembler;
mod mark_ip_ce;
mod mark_ip_header;
mod route_order;
mod route_trie;
mod set_ip_dscp;
mod transport_checksum;

pub(crate) use ip_lookup::IpLookup;

pub(super) static GROUP: &[&Descriptor] = &[
    &check_ip_header::DESCRIPTOR,
    &check_ip_header::CHECK_IP_HEADER_2,
    &check_transport_header::CHECK_TCP,
    &check_transport_header::CHECK_UDP,
    &check_transport_header::CHECK_ICMP,
    &mark_ip_header::DESCRIPTOR,
    &dec_ip_ttl::DESCRIPTOR,
    &fix_ip_src::DESCRIPTOR,
    &ip_encap::IP_ENCAP,
    &ip_encap::UDP_IP_ENCAP,
    &ip_fragmenter::DESCRIPTOR,
    &ip_gw_options::DESCRIPTOR,
    &ip_mirror::DESCRIPTOR,
    &ip_print::DESCRIPTOR,
    &ip_address_annotation::GET_IP_ADDRESS,
    &ip_address_annotation::SET_IP_ADDRESS,
    &ip_address_annotation::STORE_IP_ADDRESS,
    &transport_checksum::SET_IP_CHECKSUM,
    &transport_checksum::SET_TCP_CHECKSUM,
    &transport_checksum::SET_UDP_CHECKSUM,
    &ip_lookup::RADIX,
    &ip_lookup::STATIC,
    &ip_lookup::LINEAR,
    &ip_lookup::DIRECT,
    &ip_lookup::RANGE,
    &ip_lookup::SORTED,
    &set_ip_dscp::DESCRIPTOR,
    &mark_ip_ce::DESCRIPTOR,
    &ip_reassembler::DESCRIPTOR,
];
