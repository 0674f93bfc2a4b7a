// A learning Ethernet switch with three ports that prints no frame but counts them all.
//
// Run it (as root; the interfaces should have no addresses and no offloads):
//   anf-sidecar run examples/click/switch.click A=eth1 B=eth2 C=eth3
//   anf-sidecar run -p 7777 examples/click/switch.click A=eth1 B=eth2 C=eth3
//   printf 'read sw.table\nread a/in.count\n' | nc localhost 7777
// What to see: hosts behind the three interfaces reach each other; `sw.table` lists who is behind which port, until
// he has been silent for two minutes; every ten seconds a line with the frames that each port took in.

define($A port0, $B port1, $C port2);

// A port: input to the wire, output from the wire.
elementclass Port { $device |
  FromDevice($device, PROMISC true, SNIFFER false) -> in :: Counter -> output;
  input -> Queue(500) -> out :: Counter -> ToDevice($device);
}

sw :: EtherSwitch(TIMEOUT 120);
a :: Port($A) -> [0]sw[0] -> a;
b :: Port($B) -> [1]sw[1] -> b;
c :: Port($C) -> [2]sw[2] -> c;

Script(wait 10s, print "$(a/in.count) $(b/in.count) $(c/in.count)", loop);
