//! FTPPortMapper: lets active FTP (RFC 959) through a translator.
//!
//! A PORT command names the address and port at which the client waits for data. They are put in the place of what a
//! rewriter maps them to, with a mapping for the server's connection, and the rewriter of the control connection is told by how
//! much its data has grown or shrunk.

use std::net::Ipv4Addr;

use super::ip_rewriter::IpRewriter;
use crate::config::{split_arguments, split_words};
use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, ElementId, Packet};
use crate::wire::checksum::Sum;
use crate::wire::{FlowId, Ipv4, Protocol, Tcp, ipv4};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FTPPortMapper",
    summary: "manipulates IPRewriter for FTP",
    args: &[
        Arg::required("CONTROL_REWRITER", "element name", "the rewriter that the packets go to after this"),
        Arg::required(
            "DATA_REWRITER",
            "element name",
            "the rewriter of the data connections; may be the same",
        ),
        Arg::required(
            "DATA_REWRITER_INPUT",
            "unsigned",
            "the input whose specification makes their mappings",
        ),
    ],
    reads: Annotations::NETWORK_HEADER,
    ties: |config| {
        split_arguments(config).iter().take(2).filter_map(|text| split_words(text).pop()).collect()
    },
    details: "Stands before the rewriter of FTP control connections. A PORT command gets the public address and port of a \
              new mapping for the data connection; checksums and lengths follow, and the rewriter is told how far the \
              connection's data has grown.",
    example: r#"
        FromIPSummaryDump(DATA "10.0.0.1 1024 20.0.0.9 21 PA 1 1 \"PORT 10,0,0,1,4,5\\r\\n\"
        10.0.0.1 1024 20.0.0.9 21 PA 20 1 \"NLST\\r\\n\"
        10.0.0.1 1024 20.0.0.9 21 PA 26 1 \"PORT 10,0,0,1,4,6\\r\\n\"",
            FIELDS ip_src sport ip_dst dport tcp_flags tcp_seq tcp_ack payload, CHECKSUM true, STOP true)
            -> FTPPortMapper(control, data, 0)
            -> control :: TCPRewriter(pattern 192.0.2.1 7000-7999# - - 0 1, drop)
            -> ToIPSummaryDump(-, FIELDS ip_src sport tcp_seq payload)
            -> Discard;
        control[1] -> Discard;  Idle -> [1]control;
        Idle -> [0]data :: TCPRewriter(pattern 192.0.2.1 8000-8999# - - 0 1, drop) -> Discard;
        Idle -> [1]data[1] -> Discard;
        DriverManager(wait_stop, print $(data.table));
    "#,
    build,
    ..Descriptor::BASE
};

struct FtpPortMapper {
    names: [String; 2],
    /// Rewriters of control and data connections.
    rewriters: Option<(ElementId, ElementId)>,
    input: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(FtpPortMapper {
        names: [args.need("CONTROL_REWRITER")?, args.need("DATA_REWRITER")?],
        rewriters: None,
        input: args.need("DATA_REWRITER_INPUT")?,
    }))
}

/// A PORT command at the start of a segment's data.
#[derive(Debug, PartialEq, Eq)]
struct Command {
    /// Where in the data its argument begins and ends.
    argument: std::ops::Range<usize>,
    address: Ipv4Addr,
    port: u16,
}

impl Command {
    /// Reads a command that is all in this segment.
    fn parse(data: &[u8]) -> Option<Self> {
        let (word, _) = data.split_first_chunk::<5>()?;
        if !word.eq_ignore_ascii_case(b"PORT ") {
            return None;
        }
        let start = 5 + data[5..].iter().take_while(|byte| **byte == b' ').count();
        let length = data[start..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b',').count();
        let argument = start..start + length;
        if !matches!(data.get(argument.end), Some(b'\r' | b'\n')) {
            return None;
        }
        let text = std::str::from_utf8(&data[argument.clone()]).ok()?;
        let mut numbers = [0_u8; 6];
        let mut fields = text.split(',');
        for number in &mut numbers {
            // Click takes an empty field for zero.
            *number = fields
                .next()
                .and_then(|field| if field.is_empty() { Some(0) } else { field.parse().ok() })?;
        }
        let [a, b, c, d, high, low] = numbers;
        let port = u16::from_be_bytes([high, low]);
        fields.next().is_none().then_some(Self { argument, address: Ipv4Addr::new(a, b, c, d), port })
    }
}

/// The control flow of a packet, and where its data lies, counted from the IP header.
fn control(bytes: &[u8]) -> Option<(FlowId, std::ops::Range<usize>)> {
    let flow = FlowId::of_packet(bytes).filter(|flow| flow.protocol == Protocol::Tcp)?;
    let (ip, _) = Ipv4::parse(bytes)?;
    let (tcp, _) = Tcp::parse(ipv4::payload(bytes)?)?;
    let start = ip.header_length() + tcp.header_length();
    let end = ip.total_length().min(bytes.len());
    (!ip.is_fragment() && start <= end).then_some((flow, start..end))
}

impl FtpPortMapper {
    /// Rewrites the command in `packet`, if there is one of a connection that is known.
    fn rewrite(&self, cx: &mut Cx<'_>, packet: &mut Packet) -> Option<()> {
        let (control_id, data_id) = self.rewriters?;
        let bytes = packet.network();
        let (flow, data) = control(bytes)?;
        let command = Command::parse(bytes.get(data.clone())?)?;
        let sequence = Tcp::parse(ipv4::payload(bytes)?)?.0.sequence.get();
        let reply_anno = cx.element_mut::<IpRewriter>(control_id)?.reply_anno(&flow)?;
        // The server connects from the port below the one that it was called at.
        let connection = FlowId {
            source: command.address.into(),
            source_port: command.port,
            destination: flow.destination,
            destination_port: flow.destination_port.wrapping_sub(1),
            protocol: Protocol::Tcp,
        };
        let to = cx.with_element(data_id, |rewriter: &mut IpRewriter, cx| {
            rewriter.entry(cx, connection, self.input, reply_anno)
        })??;
        let [a, b, c, d] = Ipv4Addr::from(to.source).octets();
        let [high, low] = to.source_port.to_be_bytes();
        let text = format!("{a},{b},{c},{d},{high},{low}");
        let start = packet.len() - packet.network().len() + data.start;
        replace(packet, start + command.argument.start..start + command.argument.end, text.as_bytes());
        let grown = text.len() as i32 - command.argument.len() as i32;
        complete(packet, grown);
        let trigger = sequence.wrapping_add(data.len() as u32);
        cx.element_mut::<IpRewriter>(control_id)?.shift_sequence(&flow, trigger, grown);
        Some(())
    }
}

/// Puts `text` in the place of some bytes of a packet.
fn replace(packet: &mut Packet, place: std::ops::Range<usize>, text: &[u8]) {
    let old_length = packet.len();
    let end = place.start + text.len();
    if text.len() > place.len() {
        packet.grow_back(text.len() - place.len());
    }
    packet.data_mut().copy_within(place.end..old_length, end);
    packet.truncate(old_length - place.len() + text.len());
    if let Some(room) = packet.data_mut().get_mut(place.start..end) {
        room.copy_from_slice(text);
    }
}

/// Makes lengths and checksums right again after the packet has grown.
fn complete(packet: &mut Packet, grown: i32) {
    let bytes = packet.network_mut();
    let Some((ip, _)) = Ipv4::parse_mut(bytes) else { return };
    ip.length.set(ip.length.get().wrapping_add_signed(grown as i16));
    let (source, destination) = (ip.source.get(), ip.destination.get());
    ipv4::set_checksum(bytes);
    let Some(transport) = ipv4::payload_mut(bytes) else { return };
    let length = transport.len() as u16;
    if let Some((tcp, _)) = Tcp::parse_mut(transport) {
        tcp.checksum.set(0);
    }
    let sum = Sum::new().pseudo(source, destination, ipv4::TCP, length).bytes(transport).finish();
    if let Some((tcp, _)) = Tcp::parse_mut(transport) {
        tcp.checksum.set(sum);
    }
}

impl Element for FtpPortMapper {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let [control, data] = &self.names;
        let control_id = rewriter(cx, control, "CONTROL_REWRITER", "TCPRewriter", IpRewriter::tracks_tcp)?;
        let data_id = rewriter(cx, data, "DATA_REWRITER", "IPRewriterBase", |_| true)?;
        let inputs = cx.element_mut::<IpRewriter>(data_id).map_or(0, |rewriter| rewriter.inputs());
        if self.input >= inputs {
            return Err("DATA_REWRITER_INPUT out of range".to_owned());
        }
        self.rewriters = Some((control_id, data_id));
        Ok(())
    }

    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let _ = self.rewrite(cx, &mut packet);
        Some(packet)
    }
}

/// The rewriter of a name.
fn rewriter(
    cx: &mut Cx<'_>,
    name: &str,
    argument: &str,
    kind: &str,
    is_kind: impl FnOnce(&IpRewriter) -> bool,
) -> Result<ElementId, String> {
    let id = cx.find(name).ok_or_else(|| format!("{argument}: does not name an element"))?;
    let good = cx.element_mut::<IpRewriter>(id).is_some_and(|rewriter| is_kind(rewriter));
    good.then_some(id).ok_or_else(|| format!("{argument}: element type mismatch, expected {kind}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{copy_state, only, udp, verified};
    use super::*;
    use crate::testing::Bench;

    const CLIENT: [u8; 4] = [1, 0, 0, 2];
    const SERVER: [u8; 4] = [2, 0, 0, 2];
    const PUBLIC: [u8; 4] = [1, 0, 0, 1];

    /// The example of the manual page, with ports that make the command longer.
    const TEXT: &str = "in :: TestIn -> MarkIPHeader -> ftp :: FTPPortMapper(rw, rw, 0) -> [0]rw :: IPRewriter(pattern 1.0.0.1 19000-29000# - - 0 1, drop);
        back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;";

    fn segment(
        outwards: bool,
        server_port: u16,
        (sequence, acknowledgement): (u32, u32),
        data: &[u8],
    ) -> Vec<u8> {
        use etherparse::PacketBuilder;
        let (from, to) = if outwards {
            ((CLIENT, 6587), (SERVER, server_port))
        } else {
            ((SERVER, server_port), (PUBLIC, 19000))
        };
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(from.0, to.0, 64)
            .tcp(from.1, to.1, sequence, 4096)
            .ack(acknowledgement)
            .write(&mut bytes, data)
            .unwrap();
        bytes
    }

    fn number(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn out(bench: &mut Bench, packet: &[u8]) -> Vec<u8> {
        bench.push("in", packet);
        let out = only(bench.take("out"));
        verified(&out);
        out
    }

    #[test]
    fn a_port_command_is_rewritten_mapped_and_its_growth_known_to_the_connection() {
        let mut bench = Bench::new(TEXT);
        out(&mut bench, &segment(true, 21, (999, 0), b""));
        let command = b"PORT 1,0,0,2,3,9\r\n";
        let sent = out(&mut bench, &segment(true, 21, (1000, 500), command));
        assert_eq!(&sent[40..], b"PORT 1,0,0,1,74,57\r\n");
        assert_eq!((number(&sent, 24), number(&sent, 28)), (1000, 500));
        // The server acknowledges two bytes more than the client sent.
        bench.push("back", &segment(false, 21, (500, 1020), b"200 ok\r\n"));
        let answer = only(bench.take("home"));
        assert_eq!((verified(&answer).1, number(&answer, 28)), ((CLIENT, 6587), 1018));
        let next = out(&mut bench, &segment(true, 21, (1018, 508), b"RETR x\r\n"));
        assert_eq!((number(&next, 24), number(&next, 28)), (1020, 508));
        // The data connection comes from the server's port 20 and finds the client where it waits.
        bench.push("back", &super::super::tests::tcp((SERVER, 20), (PUBLIC, 19001), "S", b""));
        assert_eq!(verified(&only(bench.take("home"))), ((SERVER, 20), (CLIENT, 777)));
    }

    #[test]
    fn a_command_sent_again_changes_nothing_more() {
        let mut bench = Bench::new(TEXT);
        out(&mut bench, &segment(true, 21, (999, 0), b""));
        let command = segment(true, 21, (1000, 500), b"port 1,0,0,2,3,9\r\n");
        let first = out(&mut bench, &command);
        assert_eq!(out(&mut bench, &command), first);
        assert_eq!(number(&out(&mut bench, &segment(true, 21, (1018, 508), b"x")), 24), 1020);
        assert_eq!(bench.read("rw", "size"), "2");
    }

    #[test]
    fn a_command_may_get_shorter_and_everything_moves_to_another_node() {
        let text = TEXT.replace("19000-29000#", "1-9#");
        let (mut before, mut after) = (Bench::new(&text), Bench::new(&text));
        out(&mut before, &segment(true, 21, (999, 0), b""));
        let sent = out(&mut before, &segment(true, 21, (1000, 500), b"PORT   1,0,0,2,203,109\nrest"));
        assert_eq!(&sent[40..], b"PORT   1,0,0,1,0,2\nrest");
        copy_state(&mut before, &mut after, "rw");
        for bench in [&mut before, &mut after] {
            assert_eq!(number(&out(bench, &segment(true, 21, (1027, 508), b"x")), 24), 1023);
        }
    }

    #[test]
    fn what_is_no_whole_command_of_a_known_connection_passes_unchanged() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> FTPPortMapper(rw, rw, 0) -> out :: TestOut; i :: Idle -> rw :: TCPRewriter(keep 0 0) -> Discard;",
        );
        let packets = [
            segment(true, 21, (1, 1), b"PORT 1,0,0,2,3,9\r\n"),
            udp((CLIENT, 1), (SERVER, 21), b"PORT 1,0,0,2,3,9\r\n"),
        ];
        for packet in &packets {
            bench.push("in", packet);
            assert_eq!(&only(bench.take("out")), packet);
        }
        for data in [
            "PORT 1,0,0,2,3,9",
            "PORT 1,0,0,2,3\r\n",
            "PORT 1,0,0,2,3,999\r\n",
            "PORT 1,0,0,2,3,9,4\r\n",
            "PORT",
            "STOR 1,0,0,2,3,9\r\n",
            "PORT 1,0,0,2,3,9 \r\n",
        ] {
            assert_eq!(Command::parse(data.as_bytes()), None, "{data}");
        }
        let command = Command::parse(b"PORT  1,0,0,2,3,9\n").unwrap();
        assert_eq!((command.argument, command.address, command.port), (6..17, Ipv4Addr::from(CLIENT), 777));
    }

    #[test]
    fn rewriters_that_are_none_are_refused() {
        let refused = |arguments: &str| {
            Bench::error(&format!(
                "TestIn -> FTPPortMapper({arguments}) -> [0]rw :: IPRewriter(drop) -> d :: Discard; Idle -> udp :: UDPRewriter(drop) -> d;"
            ))
        };
        for (arguments, message) in [
            ("nobody, rw, 0", "CONTROL_REWRITER: does not name an element"),
            ("udp, rw, 0", "CONTROL_REWRITER: element type mismatch, expected TCPRewriter"),
            ("rw, d, 0", "DATA_REWRITER: element type mismatch, expected IPRewriterBase"),
            ("rw, rw, 1", "DATA_REWRITER_INPUT out of range"),
        ] {
            assert!(refused(arguments).contains(message), "{arguments}: {}", refused(arguments));
        }
        assert_eq!((DESCRIPTOR.ties)("a, b, 0"), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(data in "(PORT |port)[0-9, ]{0,30}[\\r\\nx]{0,3}", cut in 0usize..80) {
            let mut bench = Bench::new(TEXT);
            bench.push("in", &segment(true, 21, (999, 0), b""));
            let mut packet = segment(true, 0, (1000, 0), data.as_bytes());
            bench.push("in", &packet);
            packet.truncate(cut);
            bench.push("in", &packet);
            for data in [data.as_bytes(), &data.as_bytes()[..data.len() / 2]] {
                Command::parse(data);
            }
        }
    }
}
