// An overlay: two sites with private networks, joined over the Internet by IP packets inside IP packets (RFC 2003).
// This is one end; the other runs the same file with LOCAL, REMOTE, and the networks swapped.
//
//   10.81.0.0/24 <- tun0 [ this end ] eth0 198.51.100.10  ====  203.0.113.20 [ other end ] -> 10.82.0.0/24
//
// Run it (as root):
//   anf-sidecar run examples/click/tunnel.click GATEWAY=198.51.100.1
//   anf-sidecar run examples/click/tunnel.click LOCAL=203.0.113.20 REMOTE=198.51.100.10 INNER=10.82.0.1/24 \
//                                               MAC=02:00:00:00:82:01 GATEWAY=203.0.113.1
//   ip route add 10.82.0.0/24 dev tun0            (10.81.0.0/24 at the other end)
// What to see: `ping 10.82.0.1` from 10.81.0.1; `tcpdump -i eth0 ip proto 4` shows the packets on their way. What is
// too long for the tunnel comes back as ICMP "fragmentation needed".

define($DEVICE eth0, $LOCAL 198.51.100.10, $MAC 02:00:00:00:81:01, $REMOTE 203.0.113.20, $GATEWAY 198.51.100.1,
       $INNER 10.81.0.1/24);

inner :: KernelTun($INNER);

// The outer side answers ARP for LOCAL and takes only what the other end sends.
out :: Queue(1000) -> ToDevice($DEVICE);
arp :: ARPQuerier($LOCAL, $MAC) -> out;
FromDevice($DEVICE, PROMISC true)
  -> HostEtherFilter($MAC)
  -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
kind[0] -> ARPResponder($LOCAL $MAC) -> out;
kind[1] -> [1]arp;
kind[3] -> Discard;

// In: the outer header goes (20 bytes, as IPEncap makes it), the inner one is checked.
kind[2] -> Strip(14) -> CheckIPHeader
  -> mine :: IPClassifier(src host $REMOTE and dst host $LOCAL and ip proto 4, -)
  -> IPReassembler
  -> Strip(20)
  -> CheckIPHeader
  -> received :: Counter
  -> inner;
mine[1] -> Discard;

// Out: 20 bytes longer, so 1480 of them must do.
inner -> CheckIPHeader
  -> mtu :: IPFragmenter(1480)
  -> sent :: Counter
  -> IPEncap(4, $LOCAL, $REMOTE)
  -> SetIPAddress($GATEWAY)
  -> arp;
mtu[1] -> ICMPError($LOCAL, unreachable, needfrag) -> inner;
