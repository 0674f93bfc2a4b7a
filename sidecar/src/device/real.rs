//! Devices of the kernel, in a network namespace of their own: `make test-devices` runs these, as root.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::element::Time;
use crate::engine::{Env, Router};
use crate::testing::{self, Bench};

/// No test may touch the interfaces of the machine it runs on.
fn isolated() {
    let devices = std::fs::read_to_string("/proc/net/dev").unwrap();
    let mut names = devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
    let foreign = names.find(|name| *name != "lo" && !name.starts_with("anf-"));
    assert_eq!(foreign, None, "not in a network namespace of its own: use make test-devices");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn bench(text: &str) -> Bench {
    isolated();
    let mut env = Env { opener: Some(Box::new(super::open)), now: Time::system(), ..Env::default() };
    let router = testing::build(text, &mut env).unwrap();
    Bench { router, now: Time::system() }
}

/// Runs the router until `done` says so.
fn run_until(bench: &mut Bench, mut done: impl FnMut(&mut Bench) -> bool) {
    let started = Instant::now();
    while !done(bench) {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing came of it");
        turn(&mut bench.router);
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn turn(router: &mut Router) {
    let ids: Vec<_> = router.devices().map(|device| device.id).collect();
    for id in ids {
        router.device_ready(id, true, true);
    }
    router.run(Time::system());
}

/// Sends a datagram through the host's stack and waits for the same to come back.
fn echoes(bench: &mut Bench, local: &str, remote: &str) {
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut last = Instant::now();
    socket.send_to(b"hello", remote).unwrap();
    run_until(bench, |_| {
        if last.elapsed() > Duration::from_secs(1) {
            last = Instant::now();
            socket.send_to(b"hello", remote).unwrap();
        }
        let mut answer = [0; 16];
        matches!(socket.recv_from(&mut answer), Ok((5, from)) if from.to_string() == remote)
    });
}

#[test]
#[ignore = "needs root and a network namespace"]
fn a_kernel_tun_carries_packets_both_ways() {
    let mut bench = bench(
        "tun :: KernelTun(10.77.0.1/24, DEVNAME anf-tun, MTU 1400) -> IPClassifier(udp port 9) -> IPMirror -> tun;",
    );
    echoes(&mut bench, "10.77.0.1:7000", "10.77.0.2:9");
    assert_eq!(bench.read("tun", "dev_name"), "anf-tun");
    let mtu = Command::new("ip").args(["link", "show", "anf-tun"]).output().unwrap();
    assert!(String::from_utf8_lossy(&mtu.stdout).contains("mtu 1400"), "{mtu:?}");
}

/// Answers the host's ARP queries and mirrors its datagrams, behind a virtual Ethernet device.
fn mirror(from: &str, to: &str) -> String {
    format!(
        "{from} -> cl :: Classifier(12/0806 20/0001, 12/0800); out :: {to};
        cl[0] -> ARPResponder(0.0.0.0/0 02:00:00:00:00:02) -> out;
        cl[1] -> MarkIPHeader(14) -> IPClassifier(udp port 9) -> Strip(14) -> IPMirror
            -> EtherEncap(0x0800, 02:00:00:00:00:02, 02:00:00:00:00:01) -> out;"
    )
}

#[test]
#[ignore = "needs root and a network namespace"]
fn a_kernel_tap_carries_frames_both_ways() {
    let tap = "tap :: KernelTap(10.78.0.1/24, DEVNAME anf-tap, ETHER 02:00:00:00:00:01)";
    let text = mirror(tap, "Null").replace("out :: Null;", "").replace("-> out", "-> tap");
    let mut bench = bench(&text);
    echoes(&mut bench, "10.78.0.1:7000", "10.78.0.2:9");
}

#[test]
#[ignore = "needs root and a network namespace"]
fn from_host_and_to_host_share_a_device() {
    let from = "FromHost(anf-host, 10.79.0.1/24, ETHER 02:00:00:00:00:01, GATEWAY 10.79.0.9)";
    let mut bench = bench(&mirror(from, "ToHost(anf-host)"));
    assert_eq!(bench.router.devices().count(), 1);
    echoes(&mut bench, "10.79.0.1:7000", "10.79.0.2:9");
    let routes = Command::new("ip").args(["route"]).output().unwrap();
    assert!(String::from_utf8_lossy(&routes.stdout).contains("default via 10.79.0.9"), "{routes:?}");
}

#[test]
#[ignore = "needs root and a network namespace"]
fn frames_cross_a_pair_of_interfaces_and_checksums_are_completed() {
    isolated();
    ip("link add anf-a address 02:00:00:00:00:01 type veth peer name anf-b");
    ip("address add 10.80.0.1/24 dev anf-a");
    ip("link set anf-a up");
    ip("link set anf-b up");
    ip("neigh add 10.80.0.2 lladdr 02:00:00:00:00:02 dev anf-a");
    let mut bench = bench(
        "InfiniteSource(DATA \\<02000000000a 020000000001 88b5 01020304>, 5) -> Queue -> to :: ToDevice(anf-b);
        PollDevice(anf-a, true) -> Classifier(12/88b5) -> frames :: TestOut;
        FromDevice(anf-b, PROMISC true) -> cl :: Classifier(12/0800, -) -> Strip(14) -> CheckIPHeader -> CheckUDPHeader
            -> udp :: TestOut; cl[1] -> Discard;",
    );
    let mut got = Vec::new();
    run_until(&mut bench, |bench| {
        got.extend(bench.take("frames"));
        got.len() >= 5
    });
    assert_eq!((got.len(), &got[0][12..]), (5, &[0x88, 0xb5, 1, 2, 3, 4][..]));
    assert_eq!(bench.read("to", "count"), "5");
    // The stack leaves the checksum of this one to the hardware, which a veth does not have.
    let socket = UdpSocket::bind("10.80.0.1:7000").unwrap();
    socket.send_to(b"hello", "10.80.0.2:9").unwrap();
    run_until(&mut bench, |bench| bench.take("udp").iter().any(|packet| packet.ends_with(b"hello")));
    ip("link delete anf-a");
}

#[test]
#[ignore = "needs root and a network namespace"]
fn a_raw_socket_carries_whole_ip_packets() {
    isolated();
    ip("link set lo up");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut bench = bench(&format!(
        "InfiniteSource(hello, 1) -> UDPIPEncap(127.0.0.1, 7, 127.0.0.1, {port}) -> Queue -> raw :: RawSocket(UDP)
            -> IPClassifier(dst udp port {port}) -> out :: TestOut;"
    ));
    run_until(&mut bench, |_| matches!(socket.recv_from(&mut [0; 16]), Ok((5, from)) if from.port() == 7));
    run_until(&mut bench, |bench| bench.take("out").iter().any(|packet| packet.ends_with(b"hello")));
}
