use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::element::{Packet, Time};
use crate::engine::{Console, Env};
use crate::testing::{self, Bench};

/// A router with real sockets, and what it prints.
fn bench(text: &str) -> (Bench, Console) {
    let console = Console::kept();
    let mut env =
        Env { opener: Some(Box::new(crate::device::open)), console: console.clone(), ..Env::default() };
    let router = testing::build(text, &mut env).unwrap();
    (Bench { router, now: Time(1) }, console)
}

fn error(text: &str) -> String {
    let mut env = Env { opener: Some(Box::new(crate::device::open)), ..Env::default() };
    testing::build(text, &mut env).map(|_| ()).unwrap_err()
}

fn turn(bench: &mut Bench) {
    let ids: Vec<_> = bench.router.devices().map(|device| device.id).collect();
    for id in ids {
        bench.router.device_ready(id, true, true);
    }
    bench.now.0 += 1_000_000;
    bench.settle(5);
}

/// Runs the routers until `done` says so.
fn run_until(benches: &mut [&mut Bench], mut done: impl FnMut(&mut [&mut Bench]) -> bool) {
    let started = Instant::now();
    while !done(benches) {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing came of it");
        benches.iter_mut().for_each(|bench| turn(bench));
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// All bytes that came out at `out`, once there are `count`.
fn bytes(bench: &mut Bench, out: &str, count: usize) -> Vec<u8> {
    let mut got = Vec::new();
    run_until(&mut [bench], |benches| {
        got.extend(benches[0].take(out).concat());
        got.len() >= count
    });
    got
}

/// The packets that came out at `out`, once there are `count`.
fn packets(bench: &mut Bench, out: &str, count: usize) -> Vec<Packet> {
    let mut got = Vec::new();
    run_until(&mut [bench], |benches| {
        got.extend(benches[0].take_packets(out));
        got.len() >= count
    });
    got
}

/// A file name of its own for each test.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("anf-socket-{}-{name}", std::process::id()))
}

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_tcp_server_speaks_with_one_client_after_the_other() {
    let port = free_port();
    let (mut bench, console) = bench(&format!(
        "in :: TestIn -> s :: Socket(TCP, 127.0.0.1, {port}, VERBOSE true) -> out :: TestOut;"
    ));
    bench.push("in", b"nobody hears this");
    assert_eq!(bench.drops("s", "nobody to send to"), 1);
    for round in 0..2 {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(b"hello").unwrap();
        let got = packets(&mut bench, "out", 1);
        assert_eq!((got[0].data(), got[0].anno().timestamp.0 > 0), (&b"hello"[..], true), "round {round}");
        bench.push("in", b"answer");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        drop(client);
        run_until(&mut [&mut bench], |_| {
            let text = String::from_utf8(console.take()).unwrap();
            text.contains("s :: Socket: closed connection ")
        });
    }
}

#[test]
fn two_routers_carry_a_stream_by_a_unix_socket_whatever_the_kernel_takes_at_once() {
    let name = file("stream");
    let path = name.display();
    let (mut server, console) = bench(&format!("Socket(UNIX, \"{path}\", VERBOSE true) -> out :: TestOut;"));
    assert!(String::from_utf8(console.take()).unwrap().contains("listening for connections on /"));
    let (mut client, _) =
        bench(&format!("in :: TestIn -> q :: Queue(10000) -> s :: Socket(UNIX, \"{path}\", SNDBUF 4096);"));
    let sent: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
    for piece in sent.chunks(500) {
        client.push("in", piece);
    }
    let mut got = Vec::new();
    run_until(&mut [&mut server, &mut client], |benches| {
        got.extend(benches[0].take("out").concat());
        got.len() >= sent.len()
    });
    assert_eq!(got, sent);
    drop(server);
    assert!(!name.exists(), "the server takes its file away");
    // The client notices, and has nobody to send to.
    run_until(&mut [&mut client], |benches| {
        benches[0].push("in", b"x");
        benches[0].read("q", "length") != "0"
    });
}

#[test]
fn pushed_packets_wait_in_bounded_number_and_keep_their_order() {
    let name = file("push");
    let path = name.display();
    let listener = std::os::unix::net::UnixListener::bind(&name).unwrap();
    let (mut bench, _) = bench(&format!(
        "in :: TestIn -> s :: Socket(UNIX, \"{path}\", SNDBUF 4096, CLIENT true) -> Discard;"
    ));
    let (mut stream, _) = listener.accept().unwrap();
    let packet = |number: u32| {
        let mut bytes = vec![0; 1000];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    (0..2000).for_each(|number| bench.push("in", &packet(number)));
    let lost = bench.drops("s", "socket is full");
    assert!((800..1000).contains(&lost), "{lost}");
    stream.set_nonblocking(true).unwrap();
    let mut got = Vec::new();
    run_until(&mut [&mut bench], |_| {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            got.extend_from_slice(&buffer[..count]);
        }
        got.len() as u64 >= (2000 - lost) * 1000
    });
    let numbers: Vec<u32> =
        got.chunks(1000).map(|piece| u32::from_be_bytes(piece[..4].try_into().unwrap())).collect();
    assert_eq!(numbers, (0..(2000 - lost) as u32).collect::<Vec<_>>());
    std::fs::remove_file(name).unwrap();
}

#[test]
fn a_udp_server_answers_who_sent_last_and_cuts_long_datagrams() {
    let port = free_port();
    let (mut bench, _) = bench(&format!(
        "in :: TestIn -> s :: Socket(UDP, 127.0.0.1, {port}, SNAPLEN 4, TIMESTAMP false) -> out :: TestOut;"
    ));
    let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    for client in &clients {
        client.send_to(b"123456", ("127.0.0.1", port)).unwrap();
        let got = packets(&mut bench, "out", 1);
        assert_eq!(
            (got[0].data(), got[0].anno().extra_length, got[0].anno().timestamp),
            (&b"1234"[..], 2, Time(0))
        );
        bench.push("in", b"to the last");
        let mut answer = [0; 20];
        assert_eq!(client.recv(&mut answer).unwrap(), 11);
    }
}

#[test]
fn a_udp_client_sends_where_it_is_told_or_to_each_packet_s_own_address() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let local = free_port();
    let (mut bench, _) = bench(&format!(
        "in :: TestIn -> fixed :: Socket(UDP, 127.0.0.1, {port}, 127.0.0.1, {local}) -> out :: TestOut;
        each :: TestIn -> SetIPAddress(127.0.0.1) -> Socket(UDP, 0.0.0.0, {port});"
    ));
    let mut buffer = [0; 20];
    bench.push("in", b"fixed");
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((from.port(), &buffer[..5]), (local, &b"fixed"[..]));
    server.send_to(b"answer", from).unwrap();
    assert_eq!(bytes(&mut bench, "out", 6), b"answer");
    bench.push("each", b"its own");
    assert_eq!(server.recv(&mut buffer).unwrap(), 7);
}

#[test]
fn unix_datagrams_keep_their_boundaries() {
    let (server, peer) = (file("dgram"), file("peer"));
    let (mut bench, _) = bench(&format!(
        "in :: TestIn -> Socket(UNIX_DGRAM, \"{}\", CLIENT false) -> out :: TestOut;",
        server.display()
    ));
    let socket = UnixDatagram::bind(&peer).unwrap();
    socket.send_to(b"one", &server).unwrap();
    socket.send_to(b"two", &server).unwrap();
    let got = packets(&mut bench, "out", 2);
    assert_eq!((got[0].data(), got[1].data()), (&b"one"[..], &b"two"[..]));
    bench.push("in", b"back");
    let mut answer = [0; 10];
    assert_eq!(socket.recv(&mut answer).unwrap(), 4);
    std::fs::remove_file(peer).unwrap();
}

#[test]
fn tables_say_who_may_connect_and_send() {
    let (tcp, udp) = (free_port(), free_port());
    let (mut bench, console) = bench(&format!(
        "allow :: RadixIPLookup(127.0.0.2/32 0); deny :: RadixIPLookup(0.0.0.0/0 0);
        Idle -> allow -> deny -> Discard;
        Socket(TCP, 0.0.0.0, {tcp}, ALLOW allow, DENY deny, VERBOSE true) -> stream :: TestOut;
        u :: Socket(UDP, 0.0.0.0, {udp}, ALLOW allow, DENY deny, VERBOSE true) -> datagrams :: TestOut;"
    ));
    let from = |address: u8| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, address), 0)).unwrap();
    from(1).send_to(b"denied", ("127.0.0.1", udp)).unwrap();
    from(2).send_to(b"let in", ("127.0.0.1", udp)).unwrap();
    assert_eq!(bytes(&mut bench, "datagrams", 6), b"let in");
    assert_eq!(bench.drops("u", "sender not allowed"), 1);
    // A connection from 127.0.0.1 is ended at once.
    let mut denied = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
    run_until(&mut [&mut bench], |_| {
        let _ = denied.set_read_timeout(Some(Duration::from_millis(1)));
        matches!(denied.read(&mut [0; 1]), Ok(0)) || denied.write(b"x").is_err()
    });
    let said = String::from_utf8(console.take()).unwrap();
    assert!(said.contains("u :: Socket: dropped datagram from 127.0.0.1:"), "{said}");
    assert!(said.contains(": denied connection ") && !said.contains(": opened connection "), "{said}");
}

#[test]
fn what_cannot_be_opened_or_understood_is_an_error_in_click_s_words() {
    let port = free_port();
    for (text, message) in [
        (format!("Idle -> Socket(TCP, 127.0.0.1, {port});"), "connect: Connection refused"),
        ("Socket(UNIX, \"/nowhere/at/all\") -> Discard;".to_owned(), "bind: No such file or directory"),
        ("Socket(XTP, 1.2.3.4, 5) -> Discard;".to_owned(), "unknown socket type `XTP'"),
        ("Socket(TCP, 1.2.3.4) -> Discard;".to_owned(), "too few arguments; need 'PORT'"),
        ("Socket(UNIX, a, b, c) -> Discard;".to_owned(), "too many arguments, 'c' is left over"),
        (format!("Socket(UNIX, \"{}\") -> Discard;", "x".repeat(108)), "remote filename 'xx"),
        ("d :: Discard; Socket(UDP, 0.0.0.0, 0, DENY d) -> d;".to_owned(), "d is not an IPRouteTable"),
        ("Socket(UDP, 0.0.0.0, no-such) -> Discard;".to_owned(), "PORT: expected unsigned integer"),
    ] {
        assert!(error(&text).contains(message), "{text}: {}", error(&text));
    }
    // Ports have names, and so may sockets in the abstract namespace.
    let name = format!("anf-{}", std::process::id());
    let (mut bench, _) = bench(&format!(
        "PortInfo(mine {port}); Socket(UDP, 127.0.0.1, mine) -> out :: TestOut;
        Socket(UNIX, \"\\<00>{name}\") -> stream :: TestOut;"
    ));
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"by name", ("127.0.0.1", port)).unwrap();
    assert_eq!(bytes(&mut bench, "out", 7), b"by name");
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
    UnixStream::connect_addr(&address.unwrap()).unwrap().write_all(b"abstract").unwrap();
    assert_eq!(bytes(&mut bench, "stream", 8), b"abstract");
    assert_eq!((super::DESCRIPTOR.ties)("UDP, 1.2.3.4, 5, ALLOW a, DENY b"), ["a", "b"]);
}

#[test]
fn a_router_that_is_only_looked_at_opens_nothing() {
    let name = file("dry");
    let mut env = Env { dry: true, ..Env::default() };
    testing::build(&format!("Socket(UNIX, \"{}\") -> Discard;", name.display()), &mut env).unwrap();
    assert!(!name.exists());
}
