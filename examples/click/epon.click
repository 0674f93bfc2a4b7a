// An EPON in virtual time, in one text: an OLT, a splitter, and 4 ONUs at 5 to 20 km whose hosts ping a server. Each
// host also sends 300 Mb/s, more than all fits: 1.2 Gb/s into 1. As examples/click/make-olt prints it for any number.
//
// Run it:
//   anf-sidecar run --simtime examples/click/epon.click
//   anf-sidecar run --simtime examples/click/epon.click -h disc.onus -h dba.onus -h sub1/onu.delays
// What to see: all are registered and none collide; pings, which are more urgent, do not wait for the rest: of class 0
// the longest wait is some milliseconds, of class 1 it grows until the queue is full.
//   > 4 of 4 ONUs registered, after 4 requests
//   > 0 collisions, 0 reports missed, 0 ONUs lost
//   > sub1: 0 grants missed, 5 pings answered

// A subscriber: the fiber to it, the ONU, and two hosts in one, whose pings go before all else it sends.
elementclass Subscriber { $n, $hex, $km |
  input -> [0]fiber :: EPONFiber($km) -> [0]onu :: EPONONU(02:00:00:00:01:$hex);
  onu[1] -> [1]fiber[1] -> output;
  RatedSource(LENGTH 56, RATE 100) -> ICMPPingEncap(10.0.0.$n, 10.0.0.254)
    -> arp :: ARPQuerier(10.0.0.$n, 02:00:00:00:02:$hex) -> [1]onu;
  onu[0] -> kind :: Classifier(12/0806 20/0002, 12/0800, -);
  kind[0] -> [1]arp[1] -> [1]onu;
  kind[1] -> Strip(14) -> CheckIPHeader -> answers :: IPClassifier(icmp type echo-reply, -) -> pongs :: Counter -> Discard;
  answers[1] -> got :: Counter -> Discard;
  kind[2] -> Discard;
  load :: RatedSource(LENGTH 1458, BANDWIDTH 300Mbps, ACTIVE true)
    -> UDPIPEncap(10.0.0.$n, 5000, 10.0.0.254, 5000)
    -> EtherEncap(0x0800, 02:00:00:00:02:$hex, 02:00:00:00:03:fe) -> [2]onu;
}

splitter :: EPONSplitter;
uplink :: Null;

// The server at 10.0.0.254 answers in every VLAN.
server_in :: VLANDecap -> server_kind :: Classifier(12/0806 20/0001, 12/0800, -);
server_kind[0] -> ARPResponder(10.0.0.254 02:00:00:00:03:fe) -> server_out :: VLANEncap(ANNO) -> uplink;
server_kind[1] -> Strip(14) -> CheckIPHeader -> server_what :: IPClassifier(icmp type echo, udp, -);
server_what[0] -> ICMPPingResponder -> Unstrip(14) -> EtherMirror -> server_out;
server_what[1] -> server_load :: Counter -> Discard;
server_what[2] -> Discard;
server_kind[2] -> Discard;

// The parts that others lead to.
bridge_links :: EPONDecap(1, 2, 3, 4);
bridge_switch :: EtherSwitch;
dba :: EPONDBA(02:00:00:00:00:01, SERVICE limited, CYCLE 2ms, POLL 500us);
down_data :: Queue(1000);

// The way up: bursts, and what is control and what is data.
splitter[0]
  -> up_rx :: EPONReceiver
  -> up_kind :: Classifier(20/8808, -);
up_kind[0] -> up_control :: Tee(2);
up_kind[1] -> bridge_links;

// Discovery and bandwidth allocation, joined by control frames.
up_control[0] -> disc :: EPONDiscovery(02:00:00:00:00:01, ONUS 4, PERIOD 10ms,
  ONU 02:00:00:00:01:01 1,
  ONU 02:00:00:00:01:02 2,
  ONU 02:00:00:00:01:03 3,
  ONU 02:00:00:00:01:04 4) -> [1]dba;
up_control[1] -> [0]dba;

// The way down: control frames before data.
dba -> down_control :: Queue(1000) -> [0]down_order :: PrioSched;
down_data -> [1]down_order;
down_order -> down_tx :: EPONTransmitter
  -> [0]splitter;

// The bridge: port 0 is the uplink, port N the subscriber of link N, in VLAN 100 + N.
bridge_down :: Null -> down_data;
bridge_rest :: Discard;

bridge_links[0] -> bridge_tag1 :: VLANEncap(VLAN_ID 101) -> [1]bridge_switch;
bridge_switch[1] -> bridge_mine1 :: Classifier(12/8100 14/0065%0fff, -)
  -> bridge_untag1 :: VLANDecap -> bridge_link1 :: EPONEncap(1) -> bridge_down;
bridge_mine1[1] -> bridge_rest;

bridge_links[1] -> bridge_tag2 :: VLANEncap(VLAN_ID 102) -> [2]bridge_switch;
bridge_switch[2] -> bridge_mine2 :: Classifier(12/8100 14/0066%0fff, -)
  -> bridge_untag2 :: VLANDecap -> bridge_link2 :: EPONEncap(2) -> bridge_down;
bridge_mine2[1] -> bridge_rest;

bridge_links[2] -> bridge_tag3 :: VLANEncap(VLAN_ID 103) -> [3]bridge_switch;
bridge_switch[3] -> bridge_mine3 :: Classifier(12/8100 14/0067%0fff, -)
  -> bridge_untag3 :: VLANDecap -> bridge_link3 :: EPONEncap(3) -> bridge_down;
bridge_mine3[1] -> bridge_rest;

bridge_links[3] -> bridge_tag4 :: VLANEncap(VLAN_ID 104) -> [4]bridge_switch;
bridge_switch[4] -> bridge_mine4 :: Classifier(12/8100 14/0068%0fff, -)
  -> bridge_untag4 :: VLANDecap -> bridge_link4 :: EPONEncap(4) -> bridge_down;
bridge_mine4[1] -> bridge_rest;

uplink -> [0]bridge_switch;
bridge_switch[0] -> server_in;

sub1 :: Subscriber(1, 01, 5.0);
splitter[1] -> sub1 -> [1]splitter;
sub2 :: Subscriber(2, 02, 10.0);
splitter[2] -> sub2 -> [2]splitter;
sub3 :: Subscriber(3, 03, 15.0);
splitter[3] -> sub3 -> [3]splitter;
sub4 :: Subscriber(4, 04, 20.0);
splitter[4] -> sub4 -> [4]splitter;

DriverManager(wait 50ms,
  print "$(disc.registered) of 4 ONUs registered, after $(disc.requests) requests",
  print "$(up_rx.collisions) collisions, $(dba.missed) reports missed, $(disc.lost) ONUs lost",
  print "sub1: $(sub1/onu.missed) grants missed, $(sub1/pongs.count) pings answered");
