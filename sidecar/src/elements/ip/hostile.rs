//! Packets that nobody should send, through every element that looks into packets: none panics, and none loses count.

use proptest::prelude::*;

use crate::element::Packet;
use crate::testing::Bench;
use crate::wire::ipv4::set_checksum;

/// Elements with one input whose packets come with a marked IP header.
const ELEMENTS: [&str; 47] = [
    "CheckIPHeader",
    "CheckIPHeader2(INTERFACES 10.0.0.1/24)",
    "MarkIPHeader",
    "DecIPTTL",
    "FixIPSrc(1.2.3.4)",
    "IPFragmenter(40)",
    "IPFragmenter(28, HONOR_DF false)",
    "IPGWOptions(1.2.3.4)",
    "IPMirror",
    "IPEncap(ipip, 1.1.1.1, DST_ANNO)",
    "UDPIPEncap(1.1.1.1, 1, 2.2.2.2, 2)",
    "GetIPAddress(16)",
    "StoreIPAddress(1.1.1.1, src)",
    "StoreIPAddress(16)",
    "SetIPChecksum",
    "SetTCPChecksum",
    "SetUDPChecksum",
    "CheckTCPHeader",
    "CheckUDPHeader",
    "CheckICMPHeader",
    "RadixIPLookup(0/0 0)",
    "IPClassifier(tcp opt syn or icmp type echo or udp port > 5 or ip[20:4] 0 or transp[60:4] 1)",
    "IPFilter(allow ip frag or tcp[13] & 2 != 0, drop all)",
    "ICMPError(1.1.1.1, unreachable, needfrag)",
    "ICMPError(1.1.1.1, redirect, host)",
    "ICMPError(1.1.1.1, parameterproblem)",
    "ICMPPingResponder",
    "ARPResponder(0/0 02:00:00:00:00:01)",
    "AggregateIPFlows(ICMP true)",
    "AggregateCounter",
    "FlowMonitor",
    "IPRewriter(pattern 1.1.1.1 1-9 - - 0 0)",
    "UDPRewriter(keep 0 0)",
    "ICMPPingRewriter(pattern 1.1.1.1 1-9 - - 0 0)",
    "SetIPDSCP(1)",
    "MarkIPCE(true)",
    "IPReassembler(HIMEM 1000)",
    "AggregateIP(tcp dport)",
    "AggregateIP(data[0:4])",
    "IPRateMonitor(BYTES, 1, 1)",
    "StripToNetworkHeader",
    "Resize(-30, 10)",
    "ICMPPingEncap(1.1.1.1, 2.2.2.2)",
    "VLANDecap(ETHERTYPE 0x0102)",
    "VLANEncap(1)",
    "StripEtherVLANHeader(-1)",
    "TimeFilter(STOP false)",
];

/// One router in which each element gets a copy of every packet.
fn bench() -> Bench {
    let mut text = format!(
        "in :: TestIn -> t :: Tee({}); q :: ARPQuerier(1.1.1.1, 2:0:0:0:0:1) -> Discard;",
        ELEMENTS.len() + 2
    );
    for (at, element) in ELEMENTS.iter().enumerate() {
        text += &format!("t[{at}] -> MarkIPHeader -> {element} -> Discard;\n");
    }
    text += &format!("t[{}] -> GetIPAddress(16) -> q; t[{}] -> [1]q;", ELEMENTS.len(), ELEMENTS.len() + 1);
    Bench::new(&text)
}

/// A packet that is right in most of its fields and wrong in a few.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let protocol = prop::sample::select(vec![1_u8, 6, 17, 4, 255]);
    let body = prop::collection::vec(any::<u8>(), 0..90);
    let damage = prop::collection::vec((0_usize..110, any::<u8>()), 0..4);
    (protocol, 5_u8..=15, body, damage, any::<bool>(), 0_usize..120).prop_map(
        |(protocol, words, body, damage, good_sum, cut)| {
            let mut bytes =
                vec![0x40 | words, 0, 0, 0, 1, 2, 0, 0, 1, protocol, 0, 0, 10, 0, 0, 9, 10, 0, 0, 8];
            bytes.extend(body);
            let length = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            for (at, value) in damage {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            if good_sum {
                set_checksum(&mut bytes);
            }
            bytes.truncate(cut.max(1));
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_packet_makes_an_element_panic(packets in prop::collection::vec(hostile(), 1..20)) {
        let mut bench = bench();
        bench.push_packets("in", 0, packets.iter().map(|bytes| Packet::from_slice(bytes)));
    }
}

#[test]
fn every_short_prefix_of_a_packet_is_survived() {
    let mut bench = bench();
    let mut bytes = vec![0x46, 0, 0, 64, 1, 2, 0, 0, 1, 6, 0, 0, 10, 0, 0, 9, 10, 0, 0, 8, 7, 4, 4, 0];
    bytes.resize(64, 0x50);
    for protocol in [1, 6, 17] {
        bytes[9] = protocol;
        set_checksum(&mut bytes);
        for length in 0..=bytes.len() {
            bench.push("in", &bytes[..length]);
        }
    }
}
