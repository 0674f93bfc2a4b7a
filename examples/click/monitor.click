// A flow monitor that looks at three flows: a conversation of two hosts, a question nobody answers, and a scan that
// tries one port after the other. It counts packets by flow and by destination.
//
// Run it:
//   anf-sidecar run --simtime examples/click/monitor.click
// To look at a file or at a wire, put `FromDump(FILE, STOP true, FORCE_IP true)` or
// `FromDevice(eth0) -> MarkIPHeader(14)` in place of the three sources.
// What to see at the end: the number of flows, a line for each, and packets by destination.
//   > x

talk :: RatedSource(LENGTH 100, RATE 10, LIMIT 20) -> turn :: RoundRobinSwitch;
turn[0] -> UDPIPEncap(10.0.0.1, 4000, 10.0.0.2, 53) -> seen :: FlowMonitor;
turn[1] -> UDPIPEncap(10.0.0.2, 53, 10.0.0.1, 4000) -> seen;
RatedSource(LENGTH 20, RATE 1, LIMIT 3) -> UDPIPEncap(10.0.0.7, 5000, 10.0.0.9, 123) -> seen;

seen -> AggregateIP(ip dst) -> by_destination :: AggregateCounter -> Discard;

DriverManager(wait 3s, print "$(seen.count) flows", printn $(seen.dump), print $(by_destination.counts));
