// An IP router with two interfaces, complete as RFC 1812 wants the forwarding: ARP on both sides, options, TTL, MTU,
// and the ICMP errors that tell senders what went wrong.
//
//   west 10.1.0.1/24 <-> [ west0 | router | east0 ] <-> 10.2.0.1/24 east, and the rest of the world by 10.2.0.254
//
// Run it (as root, on a machine that has both interfaces, without addresses of their own):
//   anf-sidecar run examples/click/router.click
//   anf-sidecar run examples/click/router.click WEST=eth0 EAST=eth1
//   anf-sidecar run -q examples/click/router.click -o -     only shows it, taken apart
// What to see: hosts of either side that use 10.1.0.1 or 10.2.0.1 as their gateway reach the other side; `ping
// 10.1.0.1` is answered; `traceroute` through it shows it. For more interfaces: examples/click/make-router.

define($WEST west0, $EAST east0);

AddressInfo(west 10.1.0.1/24 02:00:0a:01:00:01,
            east 10.2.0.1/24 02:00:0a:02:00:01);

// One interface.
//   input     IP packets that leave here, their next hop set by the routing table
//   output    IP packets that came in, and ICMP errors about those that could not leave
elementclass Interface { $device, $me, $number |
  out :: Queue(1000) -> ToDevice($device);
  arp :: ARPQuerier($me) -> out;

  FromDevice($device, PROMISC true)
    -> HostEtherFilter($me)
    -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
  kind[0] -> ARPResponder($me) -> out;
  kind[1] -> [1]arp;
  kind[2] -> Paint($number) -> Strip(14) -> CheckIPHeader -> output;
  kind[3] -> Discard;

  input -> DropBroadcasts
    -> back :: PaintTee($number)                        // leaves where it came in
    -> options :: IPGWOptions($me)
    -> FixIPSrc($me)
    -> ttl :: DecIPTTL
    -> mtu :: IPFragmenter(1500)
    -> arp;
  back[1] -> ICMPError($me, redirect, host) -> output;
  options[1] -> ICMPError($me, parameterproblem) -> output;
  ttl[1] -> ICMPError($me, timeexceeded) -> output;
  mtu[1] -> ICMPError($me, unreachable, needfrag) -> output;
}

routes :: RadixIPLookup(10.1.0.1/32 0, 10.1.0.255/32 0,
                        10.2.0.1/32 0, 10.2.0.255/32 0,
                        10.1.0.0/24 1,
                        10.2.0.0/24 2,
                        0.0.0.0/0 10.2.0.254 2);

routes[0] -> own :: IPClassifier(icmp type echo, -) -> ICMPPingResponder -> routes;
own[1] -> Discard;                                      // no other service lives here
routes[1] -> Interface($WEST, west, 1) -> routes;
routes[2] -> Interface($EAST, east, 2) -> routes;
