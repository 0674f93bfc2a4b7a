//! IP: checking, marking and changing headers, routes, fragments.

use crate::element::Descriptor;

mod check_ip_header;
mod dec_ip_ttl;
mod fix_ip_src;
mod ip_address_annotation;
mod ip_fragmenter;
mod ip_lookup;
mod mark_ip_header;
mod route_trie;

pub(super) static GROUP: &[&Descriptor] = &[
    &check_ip_header::DESCRIPTOR,
    &check_ip_header::CHECK_IP_HEADER_2,
    &mark_ip_header::DESCRIPTOR,
    &dec_ip_ttl::DESCRIPTOR,
    &fix_ip_src::DESCRIPTOR,
    &ip_fragmenter::DESCRIPTOR,
    &ip_address_annotation::GET_IP_ADDRESS,
    &ip_address_annotation::SET_IP_ADDRESS,
    &ip_address_annotation::STORE_IP_ADDRESS,
    &ip_lookup::RADIX,
    &ip_lookup::STATIC,
    &ip_lookup::LINEAR,
    &ip_lookup::DIRECT,
    &ip_lookup::RANGE,
    &ip_lookup::SORTED,
];
