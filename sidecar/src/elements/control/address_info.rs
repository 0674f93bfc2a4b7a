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
    details: "Names for addresses, prefixes and Ethernet addresses, good in every argument of the compound where it stands and inside it. A cut copies it to every part that uses a name of it.",
    example: r#"
        AddressInfo(client 10.0.0.1 02:00:00:00:00:01, server 10.0.0.9/24 02:00:00:00:00:09);
        InfiniteSource(DATA "data", LIMIT 2, STOP true)
            -> UDPIPEncap(client, 1024, server, 53)
            -> IPPrint(from_client)
            -> EtherEncap(0x0800, client, server)
            -> Print(frame, MAXLENGTH 14)
            -> Discard;
    "#,
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
