// Any address of a network answers DNS questions: they are handed to one resolver, and its answers come back from the
// address that was asked. The resolver knows nothing of it.
//
//   dig @10.53.0.77 -> tun0 [ proxy ] -> tun0 -> resolver on this host at 10.53.0.1, port 53
//
// Run it (as root, with a resolver that listens on all addresses):
//   anf-sidecar run examples/click/dns-proxy.click
//   dig @10.53.0.77 example.org
// What to see: an answer, though no host has the address 10.53.0.77; every ten seconds a line with the number of
// questions and of answers. `ping 10.53.0.77` is answered, too.

tun :: KernelTun(10.53.0.1/24);

// The resolver must see a stranger's address, or its answers would never leave the host again.
proxy :: IPRewriter(pattern 10.53.0.254 1024-65535 10.53.0.1 - 0 1, drop);

tun -> CheckIPHeader
  -> kind :: IPClassifier(dst udp port dns, src udp port dns and dst host 10.53.0.254, icmp type echo, -);
kind[0] -> questions :: Counter -> [0]proxy;
kind[1] -> [1]proxy;
kind[2] -> ICMPPingResponder -> tun;
kind[3] -> Discard;
proxy[0] -> tun;
proxy[1] -> answers :: Counter -> tun;

Script(wait 10s, print "$(questions.count) questions, $(answers.count) answers", loop);
