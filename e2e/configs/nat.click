// Source NAT: every flow already has its mapping when T0 is taken (W >= flows).
define($PCAP f1000.pcap, $W 2000000, $CAP 8000000)

FromDump($PCAP, STOP true)
  -> Strip(14) -> CheckIPHeader
  -> rw :: IPRewriter(pattern 203.0.113.1 1024-65535# - - 0 1, drop,
                      MAPPING_CAPACITY $CAP, UDP_TIMEOUT 3600, UDP_GUARANTEE 3600)
  -> c :: Counter(COUNT_CALL $W mark.run) -> Discard;
Idle -> [1]rw;  rw[1] -> Discard;

mark :: Script(TYPE PASSIVE, print "T0 $(now)");
DriverManager(wait_stop, print "T1 $(now)", print "WARM $W", print "COUNT $(c.count)", print "FLOWS $(rw.nmappings)");
