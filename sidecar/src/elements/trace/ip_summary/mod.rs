//! Packets as lines of text: IP summary dumps, as FromIPSummaryDump reads and ToIPSummaryDump writes them.
//!
//! `field` has the one table of fields, made of a table for each layer (`anno`, `link`, `ip`, `tcp`, `udp`, `icmp`,
//! `payload`): a field knows its names, how it gets out of a packet into text or binary, and back. `view` is a packet that
//! is written, `draft` one that is made, `dump` the file that says which. `text` reads and writes numbers and strings,
//! `ip_options` and `tcp_options` the options of headers.
//!
//! Names, forms and errors are Click's. Where Click 2 fails its own manual page by a slip, the manual page holds:
//! `!flowid` and `!aggregate` lines mean something, a binary dump can be read back, and padding hides no UDP header.

mod anno;
mod draft;
mod dump;
mod field;
mod from_ip_summary_dump;
mod icmp;
mod ip;
mod ip_options;
mod link;
mod options;
mod payload;
mod tcp;
mod tcp_options;
mod text;
mod to_ip_summary_dump;
mod udp;
mod view;

use crate::element::Annotations;

pub(super) use from_ip_summary_dump::DESCRIPTOR as FROM;
pub(super) use to_ip_summary_dump::DESCRIPTOR as TO;

/// The annotations that fields are about.
const ANNOTATIONS: Annotations = Annotations(
    Annotations::PAINT.0
        | Annotations::AGGREGATE.0
        | Annotations::TIMESTAMP.0
        | Annotations::FIRST_TIMESTAMP.0
        | Annotations::EXTRA_LENGTH.0
        | Annotations::EXTRA_PACKETS.0
        | Annotations::MAC_HEADER.0
        | Annotations::NETWORK_HEADER.0
        | Annotations::TRANSPORT_HEADER.0,
);

/// The version of the format.
const MAJOR_VERSION: u32 = 1;
const MINOR_VERSION: u32 = 3;
