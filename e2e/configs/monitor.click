// Flow monitor: number each packet's flow, then count packets per flow.
define($PCAP f1000.pcap, $W 2000000)

FromDump($PCAP, STOP true)
  -> Strip(14) -> CheckIPHeader
  -> AggregateIPFlows(UDP_TIMEOUT 3600)
  -> agg :: AggregateCounter
  -> c :: Counter(COUNT_CALL $W mark.run) -> Discard;

mark :: Script(TYPE PASSIVE, print "T0 $(now)");
DriverManager(wait_stop, print "T1 $(now)", print "WARM $W", print "COUNT $(c.count)", print "FLOWS $(agg.nagg)");
