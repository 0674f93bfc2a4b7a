// Floor: what the packet source, one counter and the sink cost by themselves.

// Two clock readings are printed, T0 after W packets and T1 at the end.
define($N 40000000, $W 2000000, $BURST 32)

src :: InfiniteSource(LENGTH 60, LIMIT $N, BURST $BURST, STOP true, TIMESTAMP false)
  -> c :: Counter(COUNT_CALL $W mark.run)
  -> Discard;

mark :: Script(TYPE PASSIVE, print "T0 $(now)");
DriverManager(wait_stop, print "T1 $(now)", print "WARM $W", print "COUNT $(c.count)");
