// Floor: what reading the capture costs by itself.
define($PCAP flows.pcap, $W 2000000)

FromDump($PCAP, STOP true) -> c :: Counter(COUNT_CALL $W mark.run) -> Discard;

mark :: Script(TYPE PASSIVE, print "T0 $(now)");
DriverManager(wait_stop, print "T1 $(now)", print "WARM $W", print "COUNT $(c.count)");
