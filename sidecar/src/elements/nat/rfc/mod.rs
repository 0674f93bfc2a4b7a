//! The requirements that RFC 4787 (UDP), RFC 5382 (TCP) and RFC 5508 (ICMP) place on a translator, a test each, named by
//! its number. What needs a configuration of its own to be met shows it. docs/nat.md is the table of contents.

use super::tests::{INSIDE, NAPT, OUTSIDE, PUBLIC, error, only, ping, read, sent, tcp, udp, verified};
use crate::testing::Bench;

mod rfc4787;
mod rfc5382;
mod rfc5508;

/// An address and a port.
type Endpoint = ([u8; 4], u16);

const NEIGHBOUR: [u8; 4] = [10, 0, 0, 6];

/// A translator that looks at its own outside address (hairpinning), open to strangers or not.
fn hairpin(strangers: &str) -> Bench {
    Bench::new(&format!(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, {strangers});
        back :: TestIn -> MarkIPHeader -> [1]rw; rw[1] -> home :: TestOut;
        rw[0] -> own :: IPClassifier(dst host 203.0.113.1, -); own[0] -> [1]rw; own[1] -> out :: TestOut;"
    ))
}

/// What one packet from inside becomes that comes back in.
fn returned(bench: &mut Bench, packet: &[u8]) -> (Endpoint, Endpoint) {
    bench.push("in", packet);
    assert!(bench.take("out").is_empty());
    verified(&only(bench.take("home")))
}

/// What one packet from outside becomes.
fn received(bench: &mut Bench, packet: &[u8]) -> (Endpoint, Endpoint) {
    bench.push("back", packet);
    verified(&only(bench.take("home")))
}

/// Rewriters for all, and what sends on errors that come from outside or inside.
const ERRORS: &str =
    "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, drop);
    back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;
    pin :: TestIn -> MarkIPHeader -> [0]ping :: ICMPPingRewriter(pattern 203.0.113.1 20000-20009 - - 0 0) -> pout :: TestOut;
    errors :: TestIn -> MarkIPHeader -> icmp :: ICMPRewriter(rw ping) -> sent :: TestOut; icmp[1] -> other :: TestOut;";

/// Sends the error on; its outer addresses, and what it quotes. All its checksums are right.
fn sent_on(bench: &mut Bench, error: &[u8]) -> ([u8; 4], [u8; 4], Vec<u8>) {
    bench.push("errors", error);
    let packet = only(bench.take("sent"));
    let headers = etherparse::PacketHeaders::from_ip_slice(&packet).unwrap();
    let Some(etherparse::NetHeaders::Ipv4(ip, _)) = headers.net else { panic!("no IPv4 header") };
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!(crate::wire::checksum::of(&packet[20..]), 0);
    (ip.source, ip.destination, packet[28..].to_vec())
}
