//! Views of packet headers: one file a protocol, borrowed from the packet's bytes, never copied.
//!
//! A view is had only through `parse`/`parse_mut`, which check that the fixed part of the header lies in the bytes;
//! after that no accessor can panic. What depends on a field of the header (options, payload) is behind a checked
//! accessor that answers `None` or an empty slice when the field points outside of the bytes.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod flow;
pub mod icmp;
pub mod ipv4;
pub mod tcp;
pub mod udp;

pub use arp::ArpIpv4;
pub use ethernet::{Ethernet, MacAddress};
pub use flow::{FlowId, Protocol};
pub use icmp::Icmp;
pub use ipv4::Ipv4;
pub use tcp::Tcp;
pub use udp::Udp;
