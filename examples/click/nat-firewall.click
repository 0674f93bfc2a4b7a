// A firewall with address translation between a private network and a provider's. Private hosts open whatever they
// like and share one public address; from outside only a web server inside can be reached; FTP works in its active
// form too, pings and ICMP errors find their way.
//
//   192.168.5.0/24 <-> 192.168.5.1 [ inside0 | firewall | outside0 ] 203.0.113.2/24 <-> provider at 203.0.113.1
//                                                       port 80 and 443 -> 192.168.5.80
//
// Run it (as root):
//   anf-sidecar run examples/click/nat-firewall.click INSIDE=eth1 OUTSIDE=eth0
//   anf-sidecar run -p 7777 examples/click/nat-firewall.click      then: printf 'read flows.table\n' | nc localhost 7777
// What to see: connections of private hosts come from 203.0.113.2 on the provider's side; a connection to
// 203.0.113.2 port 80 ends at 192.168.5.80; to any other port it is dropped, and `refused.count` counts.

define($INSIDE inside0, $OUTSIDE outside0);

AddressInfo(private 192.168.5.1/24 02:00:c0:a8:05:01,
            public 203.0.113.2/24 02:00:cb:00:71:02,
            provider 203.0.113.1,
            server 192.168.5.80);

IPRewriterPatterns(to_world public 20000-65535# - -,
                   to_server - - server -);

// One side: Ethernet and ARP.
//   input     IP packets that leave, next hop set          output    IP packets that came in, checked
elementclass Wire { $device, $me |
  out :: Queue(1000) -> ToDevice($device);
  arp :: ARPQuerier($me) -> out;
  FromDevice($device, PROMISC true)
    -> HostEtherFilter($me)
    -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800);
  kind[0] -> ARPResponder($me) -> out;
  kind[1] -> [1]arp;
  kind[2] -> Strip(14) -> CheckIPHeader -> output;
  input -> arp;
}
inside :: Wire($INSIDE, private);
outside :: Wire($OUTSIDE, public);

flows :: IPRewriter(pattern to_world 0 1,               // input 0: opened by a private host
                    pattern to_server 1 0,              // input 1: opened from outside, to the web server
                    drop);                              // input 2: must belong to a flow
ftp :: TCPRewriter(pattern to_world 0 1, drop);
pings :: ICMPPingRewriter(pattern to_world 0 1, drop);
errors :: ICMPRewriter(flows ftp pings);

leave :: SetIPAddress(provider) -> outside;
enter :: GetIPAddress(16) -> inside;
flows[0], ftp[0], pings[0] => leave, leave, leave;
flows[1], ftp[1], pings[1] => enter, enter, enter;
errors -> GetIPAddress(16) -> side :: IPClassifier(dst net private, -) -> enter;
side[1] -> leave;

// From inside.
inside -> own :: IPClassifier(dst host private and icmp type echo, dst net private, -)
  -> ICMPPingResponder -> enter;
own[1] -> Discard;
own[2] -> ttl :: DecIPTTL
  -> IPFilter(drop not src net private, allow all)      // nobody lies about where he is
  -> what :: IPClassifier(dst tcp port ftp, tcp or udp, icmp type echo, icmp, -);
ttl[1] -> ICMPError(private, timeexceeded) -> enter;
what[0] -> FTPPortMapper(ftp, flows, 0) -> ftp;
what[1] -> flows;
what[2] -> pings;
what[3] -> errors;
what[4] -> Discard;

// From outside.
refused :: Counter -> Discard;
outside -> honest :: IPClassifier(src net private, dst host public, -);
honest[0] -> refused;                                   // a private address has no business out there
honest[1] -> DecIPTTL
  -> asked :: IPClassifier(dst tcp port www or https, src tcp port ftp, tcp or udp, icmp type echo-reply,
                           icmp type unreachable or icmp type timeexceeded or icmp type parameterproblem, -);
honest[2] -> Discard;
asked[0] -> [1]flows;
asked[1] -> [1]ftp;
asked[2] -> [2]flows;
asked[3] -> [1]pings;
asked[4] -> errors;
asked[5] -> refused;
