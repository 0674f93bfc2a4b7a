// A NAT router between clients in 10.100.1.0/24 and a network 10.100.2.0/24 that sees one address, 10.100.2.1.
//
//              classify                      nat                     egress
//   lan <-> ARP, TTL, routing <====> address translation <====> ARP, TTL, MTU <-> wan
//
// Each side is a compound element, so that the cut can name it. Only `nat` remembers flows, and it owns no device:
// it is the part that can move.

// The clients' side: 10.100.1.1 at 02:00:0a:64:01:01.
//   input 0   packets for the clients, translated back
//   output 0  TCP and UDP to translate
//   output 1  ICMP echo requests to translate
classify :: {
  FromDevice(lan, PROMISC true)
    -> eth :: Classifier(12/0806 20/0001, 12/0806 20/0002, 0/02000a640101 12/0800, -);
  out :: Queue(4096) -> ToDevice(lan);
  arp :: ARPQuerier(10.100.1.1, 02:00:0a:64:01:01) -> out;
  eth[0] -> ARPResponder(10.100.1.1 02:00:0a:64:01:01) -> out;
  eth[1] -> [1]arp;
  eth[3] -> Discard;                                    // for somebody else

  eth[2] -> Strip(14) -> CheckIPHeader
    -> route :: StaticIPLookup(10.100.1.1/32 0, 10.100.2.0/24 1, 0.0.0.0/0 2);
  route[0] -> mine :: IPClassifier(icmp type echo, -) -> ICMPPingResponder -> arp;
  mine[1] -> Discard;
  // The TTL is counted before the translation, so that the error names the packet as the client sent it.
  route[1] -> ttl :: DecIPTTL
    -> kind :: IPClassifier(tcp or udp, icmp type echo, -);
  route[2] -> ICMPError(10.100.1.1, unreachable, net) -> arp;
  ttl[1] -> ICMPError(10.100.1.1, timeexceeded, transit) -> arp;
  kind[0] -> [0]output;
  kind[1] -> [1]output;
  kind[2] -> Discard;                                   // other protocols cannot be told apart behind one address

  input -> IPFragmenter(1500, HONOR_DF false) -> arp;
};

// The translation. Ports and ICMP identifiers 20000-65535 belong to it.
//   input 0   TCP and UDP of clients            output 0  to the outside
//   input 1   echo requests of clients          output 1  to the clients
//   input 2   TCP and UDP from outside
//   input 3   echo replies from outside
//   input 4   ICMP errors about what was sent, from outside or from our own egress side
nat :: {
  rw :: IPRewriter(pattern 10.100.2.1 20000-65535 - - 0 1, drop,
                   UDP_TIMEOUT 300,                     // RFC 4787, REQ-5: at least 2 minutes, better 5
                   TCP_TIMEOUT 7440);                   // RFC 5382, REQ-5: at least 2 hours 4 minutes
  ping :: ICMPPingRewriter(pattern 10.100.2.1 20000-65535 - - 0 1, drop);
  errors :: ICMPRewriter(rw ping);                      // RFC 5508, REQ-4: errors follow their flow

  input[0] -> [0]rw;
  input[1] -> [0]ping;
  input[2] -> [1]rw;
  input[3] -> [1]ping;
  input[4] -> errors;
  rw[0], ping[0] => [0]output;
  rw[1], ping[1] => [1]output;
  errors -> [1]output;
};

// The outside: 10.100.2.1 at 02:00:0a:64:02:01.
//   input 0   translated packets
//   output 0  TCP and UDP to translate back
//   output 1  echo replies to translate back
//   output 2  ICMP errors to translate back
egress :: {
  FromDevice(wan, PROMISC true)
    -> eth :: Classifier(12/0806 20/0001, 12/0806 20/0002, 0/02000a640201 12/0800, -);
  out :: Queue(4096) -> ToDevice(wan);
  arp :: ARPQuerier(10.100.2.1, 02:00:0a:64:02:01) -> out;
  eth[0] -> ARPResponder(10.100.2.1 02:00:0a:64:02:01) -> out;
  eth[1] -> [1]arp;
  eth[3] -> Discard;

  eth[2] -> Strip(14) -> CheckIPHeader
    -> mine :: IPClassifier(dst host 10.100.2.1 and icmp type echo, dst host 10.100.2.1, -);
  mine[0] -> ICMPPingResponder -> arp;
  mine[1] -> ttl :: DecIPTTL
    -> kind :: IPClassifier(tcp or udp, icmp type echo-reply,
                            icmp type unreachable or icmp type timeexceeded or icmp type parameterproblem, -);
  mine[2] -> Discard;
  ttl[1] -> ICMPError(10.100.2.1, timeexceeded, transit) -> arp;
  kind[0] -> [0]output;
  kind[1] -> [1]output;
  kind[2] -> [2]output;
  kind[3] -> Discard;

  // A packet that must not be fragmented and is too long: its sender learns of it through the translation.
  input -> mtu :: IPFragmenter(1500) -> arp;
  mtu[1] -> ICMPError(10.100.2.1, unreachable, needfrag) -> [2]output;
};

classify[0] -> [0]nat;
classify[1] -> [1]nat;
nat[0] -> egress;
egress[0] -> [2]nat;
egress[1] -> [3]nat;
egress[2] -> [4]nat;
nat[1] -> classify;
