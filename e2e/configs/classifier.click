// Byte classifier with 20 patterns on the IP header; the packet matches the last.
define($N 20000000, $W 2000000, $BURST 32)

src :: InfiniteSource(DATA \<
    45 00 00 2e  00 00 40 00  40 11 22 fa  0a 00 01 63  0a 00 02 63
    13 88 13 89  00 1a 00 00  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11>,
  LIMIT $N, BURST $BURST, STOP true, TIMESTAMP false)
  -> cl :: Classifier(16/0a000001, 16/0a000102, 16/0a000203, 16/0a000304, 16/0a000405,
                      16/0a000506, 16/0a000607, 16/0a000708, 16/0a000809, 16/0a00090a,
                      9/06 22/0050, 9/06 22/01bb, 9/06 22/0016, 9/11 22/0035, 9/11 22/007b,
                      9/11 22/01f4, 9/01, 9/2f, 12/c0a8%ffff, -);
c :: Counter(COUNT_CALL $W mark.run) -> Discard;
cl[0]  -> d :: Discard; cl[1] -> d; cl[2] -> d; cl[3] -> d; cl[4] -> d; cl[5] -> d; cl[6] -> d;
cl[7] -> d; cl[8] -> d; cl[9] -> d; cl[10] -> d; cl[11] -> d; cl[12] -> d; cl[13] -> d;
cl[14] -> d; cl[15] -> d; cl[16] -> d; cl[17] -> d; cl[18] -> d;
cl[19] -> c;

mark :: Script(TYPE PASSIVE, print "T0 $(now)");
DriverManager(wait_stop, print "T1 $(now)", print "WARM $W", print "COUNT $(c.count)");
