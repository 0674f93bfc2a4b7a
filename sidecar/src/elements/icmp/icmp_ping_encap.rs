//! ICMPPingEncap: puts packets into ICMP echo requests.

use super::icmp_ip_encap::{Encap, HANDLERS, TOO_LONG, WRITES};
use crate::element::{Arg, Args, ConfigError, Descriptor, Element, StateKind};
use crate::wire::icmp;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ICMPPingEncap",
    summary: "encapsulates packets in ICMP ping headers",
    args: &[
        Arg::required("SRC", "IP address", "source of the pings"),
        Arg::required("DST", "IP address", "destination of the pings"),
        Arg::keyword("IDENTIFIER", "0-65535", "0", "identifier of the pings"),
    ],
    writes: WRITES,
    drops: &[TOO_LONG],
    handlers: HANDLERS,
    state: StateKind::Small,
    details: "Pings are numbered from 1: the number is the sequence number, and the IP identification.",
    example: r#"
        RatedSource(DATA hello, RATE 10, LIMIT 4)
            -> e :: ICMPPingEncap(10.0.0.1, 10.0.0.2, IDENTIFIER 7)
            -> IPPrint(ID true, TTL true, TIMESTAMP false)
            -> r :: ICMPPingResponder
            -> IPPrint(TIMESTAMP false)
            -> Discard;
        DriverManager(wait 0.15s, write e.src 10.0.0.9, wait 1s, print "$(e.src) to $(e.dst)");
    "#,
    build,
    ..Descriptor::BASE
};

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Encap::new(args, icmp::ECHO, 0)?))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::wire::checksum;

    #[test]
    fn packets_become_numbered_pings() {
        let mut bench =
            Bench::new("in :: TestIn -> ICMPPingEncap(10.0.0.1, 10.0.0.2, IDENTIFIER 7) -> out :: TestOut;");
        bench.push("in", b"a");
        bench.push("in", b"b");
        let out = bench.take("out");
        assert_eq!((&out[0][20..22], &out[0][24..]), (&[8, 0][..], &b"\0\x07\0\x01a"[..]));
        assert_eq!(&out[1][24..], b"\0\x07\0\x02b");
        assert_eq!((checksum::of(&out[1][..20]), checksum::of(&out[1][20..])), (0, 0));
    }

    #[test]
    fn an_identifier_of_more_than_sixteen_bits_is_refused() {
        let error = Bench::error("Idle -> ICMPPingEncap(1.1.1.1, 1.1.1.2, IDENTIFIER 65536) -> Discard;");
        assert!(error.contains("IDENTIFIER: out of range, maximum is 65535"), "{error}");
    }
}
