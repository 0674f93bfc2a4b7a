//! What packets cost the classes, roughly, for proposals where to cut (`kubectl anf cut --auto`): nanoseconds for a packet
//! of 64 bytes on one core, of the order that `make bench ONLY=dataplane` shows. Classes that are not here cost a few
//! instructions.

use anf_click::Load;

/// Nanoseconds by class; classes with the same code stand together.
const NANOSECONDS: &[(u16, &[&str])] = &[
    // A system call for every few packets, and a copy.
    (
        150,
        &["FromDevice", "ToDevice", "PollDevice", "FromHost", "ToHost", "KernelTun", "KernelTap", "Socket"],
    ),
    // Text for a person or a file.
    (1000, &["Print", "IPPrint", "ARPPrint", "ToIPSummaryDump", "FromIPSummaryDump"]),
    (40, &["FromDump", "ToDump"]),
    // A look-up and an update in a table of flows.
    (
        45,
        &[
            "IPRewriter",
            "TCPRewriter",
            "UDPRewriter",
            "IPAddrRewriter",
            "IPAddrPairRewriter",
            "ICMPPingRewriter",
        ],
    ),
    (45, &["AggregateIPFlows", "FlowMonitor"]),
    (60, &["ICMPRewriter", "FTPPortMapper", "IPReassembler"]),
    (20, &["AggregateCounter", "IPRateMonitor", "ARPQuerier", "EtherSwitch", "BandwidthMeter", "Meter"]),
    // A packet is made, or bytes are summed.
    (100, &["ICMPError", "ICMPPingResponder", "ARPResponder", "ICMPPingEncap"]),
    (
        30,
        &[
            "SetTCPChecksum",
            "SetUDPChecksum",
            "CheckTCPHeader",
            "CheckUDPHeader",
            "CheckICMPHeader",
            "UDPIPEncap",
        ],
    ),
    // Headers are looked at.
    (25, &["IPClassifier", "IPFilter", "LinearIPLookup", "StaticIPLookup"]),
    (
        12,
        &[
            "Classifier",
            "RadixIPLookup",
            "DirectIPLookup",
            "RangeIPLookup",
            "CheckIPHeader",
            "CheckIPHeader2",
        ],
    ),
    (12, &["IPEncap", "IPMirror", "IPGWOptions", "EtherEncap", "EtherMirror", "VLANEncap", "IPFragmenter"]),
    // A packet waits.
    (
        10,
        &[
            "Queue",
            "NotifierQueue",
            "SimpleQueue",
            "FullNoteQueue",
            "QuickNoteQueue",
            "FrontDropQueue",
            "MixedQueue",
        ],
    ),
    (15, &["RED", "DelayShaper", "DelayUnqueue", "LinkUnqueue", "TimeSortedSched"]),
    (10, &["InfiniteSource", "RatedSource", "TimedSource"]),
    // Definitions and scripts touch no packets.
    (
        0,
        &[
            "AddressInfo",
            "PortInfo",
            "ScheduleInfo",
            "IPRewriterPatterns",
            "Script",
            "DriverManager",
            "ControlSocket",
        ],
    ),
];

/// Classes of which a packet leaves by every output.
const COPIES: &[&str] = &["Tee", "PullTee", "Hub"];

/// What packets cost a class.
pub(crate) fn load(class: &str) -> Load {
    let known = NANOSECONDS.iter().find(|(_, classes)| classes.contains(&class));
    let load = known.map_or(Load::LIGHT, |(nanoseconds, _)| Load::of(*nanoseconds));
    Load { copies: COPIES.contains(&class), ..load }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn every_class_of_the_table_is_there_and_once() {
        let registry = Registry::standard();
        let classes: Vec<&str> = NANOSECONDS.iter().flat_map(|(_, classes)| *classes).copied().collect();
        for (at, class) in classes.iter().enumerate() {
            assert!(registry.descriptor(class).is_some(), "{class}");
            assert!(!classes[..at].contains(class), "{class} is there twice");
        }
        assert!(COPIES.iter().all(|class| registry.descriptor(class).is_some()));
    }
}
