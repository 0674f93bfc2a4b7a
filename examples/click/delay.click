// What a long and narrow line does to packets: 50 ms from end to end, 100 kb/s. Five packets of 500 bytes come in, one
// every 10 ms; each keeps the line busy for 40 ms, so that they wait longer and longer for their turn.
//
// Run it:
//   anf-sidecar run --simtime examples/click/delay.click
//   anf-sidecar run --simtime examples/click/delay.click LATENCY=200ms BANDWIDTH=1Mbps
// To put such a line between two interfaces, put FromDevice(...) in place of the source and ToDevice(...) in place of
// Discard. What to see: the seconds that each packet spent in the queue and on the line.
//   > spent: 0.090000:  500
//   > spent: 0.120000:  500
//   > spent: 0.150000:  500
//   > spent: 0.180000:  500
//   > spent: 0.210000:  500

define($LATENCY 50ms, $BANDWIDTH 100kbps);

RatedSource(LENGTH 500, RATE 100, LIMIT 5)
  -> SetTimestamp(FIRST true)
  -> Queue(100)
  -> LinkUnqueue($LATENCY, $BANDWIDTH)
  -> SetTimestampDelta(TYPE FIRST)
  -> Print(spent, TIMESTAMP true, CONTENTS NONE)
  -> Discard;

DriverManager(wait 1s);
