// An OLT for 4 ONUs of an EPON, as examples/click/make-olt prints it for any number.
//
//   pon -> up ------> bridge <-> uplink     every subscriber has a VLAN on the uplink: 101, 102 and so on
//          |  \          |
//          |  disc       |                  up, disc, dba, down and bridge are joined by frames alone, so that they
//          |    |        v                  can run in different places: see examples/olt.yaml
//          '-> dba --> down -> pon
//
// Run it (as root, on devices between which frames keep their EPON preamble, as on a pair of veth):
//   anf-sidecar run examples/click/olt.click
//   anf-sidecar run -p 7777 examples/click/olt.click
//   printf 'read disc.onus\nread dba.onus\nread up_rx.collisions\n' | nc localhost 7777
// What to see: who is registered, at what distance, and what each was granted. On devices that do not tell times to
// some nanoseconds, DRIFT and GUARD have to be as large as they are off: docs/epon.md.

// The parts that others lead to.
bridge_links :: EPONDecap(1, 2, 3, 4);
bridge_switch :: EtherSwitch;
dba :: EPONDBA(02:00:00:00:00:01, SERVICE limited, CYCLE 50ms, POLL 10ms,
  REACH 1000, GUARD 2ms, LEAD 5ms, GRACE 50ms);
down_data :: Queue(1000);

// The way up: bursts, and what is control and what is data.
up_in :: FromDevice(pon, PROMISC true)
  -> up_rx :: EPONReceiver
  -> up_kind :: Classifier(20/8808, -);
up_kind[0] -> up_control :: Tee(2);
up_kind[1] -> bridge_links;

// Discovery and bandwidth allocation, joined by control frames.
up_control[0] -> disc :: EPONDiscovery(02:00:00:00:00:01, ONUS 4, PERIOD 1s, REACH 1000, DRIFT 2ms) -> [1]dba;
up_control[1] -> [0]dba;

// The way down: control frames before data.
dba -> down_control :: Queue(1000) -> [0]down_order :: PrioSched;
down_data -> [1]down_order;
down_order -> down_tx :: EPONTransmitter
  -> down_queue :: Queue(1000) -> down_out :: ToDevice(pon);

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

bridge_in :: FromDevice(uplink, PROMISC true) -> [0]bridge_switch;
bridge_switch[0] -> bridge_queue :: Queue(1000) -> bridge_out :: ToDevice(uplink);
