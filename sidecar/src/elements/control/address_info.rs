//! AddressInfo: names for IP addresses, prefixes and Ethernet addresses. The names are known before any element is
//! configured; the element itself does nothing.

use std::net::Ipv4Addr;

use crate::config::{EtherAddr, IpPrefix, Named, Names, Value, split_arguments, split_words};
use crate::element::{Arg, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "AddressInfo",
    summary: "specifies address information",
    ports: "0/0",
    args: &[Arg::rest("NAME", "NAME ADDRESS...", "a name and what it stands for")],
    global: true,
    build: |_| Ok(Box::new(AddressInfo)),
    ..Descriptor::BASE
};

struct AddressInfo;

impl Element for AddressInfo {}

/// Adds the names that `config` defines; returns what is wrong with it.
pub(super) fn define(element: &str, config: &str, names: &mut Names) -> Vec<String> {
    let mut problems = Vec::new();
    for argument in split_arguments(config) {
        let words = split_words(&argument);
        let Some((name, addresses)) = words.split_first() else { continue };
        if addresses.is_empty() {
            problems.push(format!("'{name}': expected 'NAME [ADDRS]'"));
        }
        let mut named = Named::default();
        for address in addresses {
            if let Ok(ether) = EtherAddr::parse_plain(address) {
                named.ether = Some(ether);
            } else if let Ok(ip) = Ipv4Addr::parse_plain(address) {
                named.ip = Some(ip);
            } else if let Ok(prefix) = IpPrefix::parse_plain(address) {
                named.prefix = Some(prefix);
                // A prefix with host bits names an address, too.
                if prefix.network() != prefix.address {
                    named.ip = named.ip.or(Some(prefix.address));
                }
            } else {
                problems.push(format!("\"{name}\" '{address}' is not an address"));
            }
        }
        names.define(element, name, named);
    }
    problems
}
