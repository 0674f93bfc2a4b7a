// A generator, a sink, and statistics: 1000 UDP packets a second for three seconds, through a queue that is emptied
// at 800 packets a second. What the generator sends too much waits, and is lost when 250 wait.
//
// Run it:
//   anf-sidecar run --simtime examples/click/traffic.click
//   anf-sidecar run --simtime examples/click/traffic.click RATE=500
// To send to a wire instead, put `ToDevice(eth0)` in place of the last line of the path, and an EtherEncap before it.
// What to see: a line a second. The queue fills, then drops a fifth.
//   > 1 s: 1000 sent, 815 arrived, 185 wait, 0 lost
//   > q :: Queue: overflow
//   > 2 s: 2000 sent, 1615 arrived, 250 wait, 135 lost
//   > 3 s: 3000 sent, 2415 arrived, 250 wait, 335 lost

define($RATE 1000);

RatedSource(LENGTH 64, RATE $RATE)
  -> UDPIPEncap(10.0.0.1, 7000, 10.0.0.2, 9)
  -> sent :: Counter
  -> q :: Queue(250)
  -> RatedUnqueue(800)
  -> CheckIPHeader
  -> arrived :: Counter
  -> Discard;

Script(TYPE DRIVER,
       set second 0,
       label again,
       wait 1s,
       set second $(add $second 1),
       print "$second s: $(sent.count) sent, $(arrived.count) arrived, $(q.length) wait, $(q.drops) lost",
       goto again $(lt $second 3));
