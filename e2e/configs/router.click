// Two-interface IPv4 router, the complete forwarding path, no devices.
// A 60-byte frame (64 on the wire with the FCS) enters on interface 0 and
// leaves by interface 1.  Eight routes.  ENCAP: EtherEncap stands in for ARP.
define($N 10000000, $W 1000000, $BURST 32)

src :: InfiniteSource(DATA \<
    02 00 00 00 01 01  02 00 00 00 01 63  08 00
    45 00 00 2e  00 00 40 00  40 11 22 fa  0a 00 01 63  0a 00 02 63
    13 88 13 89  00 1a 00 00  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11>,
  LIMIT $N, BURST $BURST, STOP true, TIMESTAMP false);

elementclass Port { $ip, $mac, $color |
  // 0: request for us, 1: reply, 2: IP, 3: everything else
  input -> cl :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
  cl[0] -> ARPResponder($ip $mac) -> [1]output;
  cl[1] -> [2]output;
  cl[2] -> Paint($color) -> Strip(14)
        -> CheckIPHeader(INTERFACES 10.0.1.1/24 10.0.2.1/24) -> [0]output;
  cl[3] -> Discard;
}

elementclass Out { $ip, $color, $mtu |
  // 0: good, 1: redirect, 2: bad option, 3: ttl, 4: too big
  input -> DropBroadcasts
        -> pt :: PaintTee($color)
        -> go :: IPGWOptions($ip)
        -> FixIPSrc($ip)
        -> dt :: DecIPTTL
        -> fr :: IPFragmenter($mtu)
        -> [0]output;
  pt[1] -> ICMPError($ip, redirect, host) -> [1]output;
  go[1] -> ICMPError($ip, parameterproblem) -> [1]output;
  dt[1] -> ICMPError($ip, timeexceeded) -> [1]output;
  fr[1] -> ICMPError($ip, unreachable, needfrag) -> [1]output;
}

p0 :: Port(10.0.1.1, 02:00:00:00:01:01, 1);
p1 :: Port(10.0.2.1, 02:00:00:00:02:01, 2);
rt :: RadixIPLookup(10.0.1.1/32 0, 10.0.1.255/32 0, 10.0.1.0/32 0,
                    10.0.2.1/32 0, 10.0.2.255/32 0, 10.0.2.0/32 0,
                    10.0.1.0/24 1, 10.0.2.0/24 2, 0.0.0.0/0 10.0.1.254 1);
o0 :: Out(10.0.1.1, 1, 1500);
o1 :: Out(10.0.2.1, 2, 1500);
q0 :: Queue(1000);  q1 :: Queue(1000);
host :: Discard;
e0 :: EtherEncap(0x0800, 02:00:00:00:01:01, 02:00:00:00:01:63);
e1 :: EtherEncap(0x0800, 02:00:00:00:02:01, 02:00:00:00:02:63);

src -> p0;  Idle -> p1;
p0[0] -> rt;      p1[0] -> rt;
p0[1] -> q0;      p1[1] -> q1;
p0[2] -> host;    p1[2] -> host;
rt[0] -> host;
rt[1] -> o0;  o0[0] -> e0 -> q0;  o0[1] -> rt;
rt[2] -> o1;  o1[0] -> e1 -> q1;  o1[1] -> rt;
q0 -> Unqueue(BURST $BURST) -> Discard;
q1 -> Unqueue(BURST $BURST) -> c :: Counter(COUNT_CALL $W mark.run) -> Discard;

mark :: Script(TYPE PASSIVE, print "T0 $(now)");
DriverManager(wait_stop, print "T1 $(now)", print "WARM $W", print "COUNT $(c.count)", print "DROPS $(q1.drops)");
