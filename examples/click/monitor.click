// A flow monitor that looks at a conversation of two hosts and at a host that asks another, which never answers. It
// counts packets and bytes by flow (both directions are one), and packets by destination.
//
// Run it:
//   anf-sidecar run --simtime examples/click/monitor.click
// To look at a file or at a wire, put `FromDump(FILE, STOP true, FORCE_IP true)` or
// `FromDevice(eth0) -> MarkIPHeader(14)` in place of the sources.
// What to see: after three seconds the flows, and the destinations as numbers (167772161 is 10.0.0.1):
//   > 2 flows
//   > udp (10.0.0.1, 4000, 10.0.0.2, 53) packets 10 10 bytes 1280 1280 first 1000000000.000000 last 1000000001.900000
//   > udp (10.0.0.7, 5000, 10.0.0.9, 123) packets 3 0 bytes 144 0 first 1000000000.000000 last 1000000002.000000
//   > 3 destinations
//   > 167772161 10
//   > 167772162 10
//   > 167772169 3

talk :: RatedSource(LENGTH 100, RATE 10, LIMIT 20) -> turn :: RoundRobinSwitch;
turn[0] -> UDPIPEncap(10.0.0.1, 4000, 10.0.0.2, 53) -> seen :: FlowMonitor;
turn[1] -> UDPIPEncap(10.0.0.2, 53, 10.0.0.1, 4000) -> seen;
RatedSource(LENGTH 20, RATE 1, LIMIT 3) -> UDPIPEncap(10.0.0.7, 5000, 10.0.0.9, 123) -> seen;

seen -> AggregateIP(ip dst) -> by_destination :: AggregateCounter -> Discard;

DriverManager(wait 3s,
              print "$(seen.count) flows", print $(seen.dump),
              print "$(by_destination.nagg) destinations", print $(by_destination.counts));
