// Firewall-like IPClassifier with 20 rules; the packet matches the last.
define($N 20000000, $W 2000000, $BURST 32)

src :: InfiniteSource(DATA \<
    45 00 00 2e  00 00 40 00  40 11 22 fa  0a 00 01 63  0a 00 02 63
    13 88 13 89  00 1a 00 00  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11>,
  LIMIT $N, BURST $BURST, STOP true, TIMESTAMP false)
  -> MarkIPHeader(0)
  -> cl :: IPClassifier(
      src net 192.168.0.0/16,
      src net 172.16.0.0/12,
      src host 10.0.0.1,
      dst host 10.0.2.1 and tcp port 22,
      dst host 10.0.2.2 and tcp port 80,
      dst host 10.0.2.3 and tcp port 443,
      dst host 10.0.2.4 and udp port 53,
      dst host 10.0.2.5 and udp port 123,
      dst net 10.0.3.0/24 and tcp,
      dst net 10.0.4.0/24 and udp,
      icmp type echo,
      icmp type unreachable,
      tcp opt syn and not tcp opt ack and dst port 25,
      dst tcp port >= 8000 and dst tcp port <= 8080,
      src udp port 67 or src udp port 68,
      dst udp port 500 or dst udp port 4500,
      ip proto 47,
      ip proto 50,
      ip ttl 0,
      -);
c :: Counter(COUNT_CALL $W mark.run) -> Discard;
cl[0]  -> d :: Discard; cl[1] -> d; cl[2] -> d; cl[3] -> d; cl[4] -> d; cl[5] -> d; cl[6] -> d;
cl[7] -> d; cl[8] -> d; cl[9] -> d; cl[10] -> d; cl[11] -> d; cl[12] -> d; cl[13] -> d;
cl[14] -> d; cl[15] -> d; cl[16] -> d; cl[17] -> d; cl[18] -> d;
cl[19] -> c;

mark :: Script(TYPE PASSIVE, print "T0 $(now)");
DriverManager(wait_stop, print "T1 $(now)", print "WARM $W", print "COUNT $(c.count)");
