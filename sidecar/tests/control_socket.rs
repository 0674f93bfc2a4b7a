//! Handlers of a running router over its control sockets, as a user's own script speaks to them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ROUTER: &str = "RatedSource(RATE 1000) -> c :: Counter -> q :: Queue(5) -> Idle;";

/// Ends the router whatever becomes of the test.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(socket: &Path, router: &str, options: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anf-sidecar"));
    command.args(["run", "-e", router]).args(options).arg("-u").arg(socket).stdin(Stdio::null());
    Run(command.spawn().unwrap())
}

fn connect(socket: &Path) -> BufReader<UnixStream> {
    let started = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                return BufReader::new(stream);
            }
            Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn line(client: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn say(client: &mut BufReader<UnixStream>, text: &str) {
    client.get_mut().write_all(text.as_bytes()).unwrap();
}

#[test]
fn handlers_of_a_running_router_are_read_and_written_and_stop_it() {
    let socket = std::env::temp_dir().join(format!("anf-control-{}.sock", std::process::id()));
    let mut router = run(&socket, ROUTER, &[]);
    let (mut first, mut second) = (connect(&socket), connect(&socket));
    assert_eq!(line(&mut first), "Click::ControlSocket/1.3");
    assert_eq!(line(&mut second), "Click::ControlSocket/1.3");

    say(&mut first, "WRITE c.reset\nREAD q.capacity\r\nREAD 2.class\n");
    assert_eq!(line(&mut first), "200 Write handler 'c.reset' OK");
    assert_eq!(line(&mut first), "200 Read handler 'q.capacity' OK");
    assert_eq!((line(&mut first).as_str(), &*line_of(&mut first, 1)), ("DATA 1", "5"));
    assert_eq!(line(&mut first), "200 Read handler '2.class' OK");
    assert_eq!((line(&mut first).as_str(), &*line_of(&mut first, 7)), ("DATA 7", "Counter"));

    say(&mut second, "READ nobody.count\nQUIT\n");
    assert_eq!(line(&mut second), "510 No element named 'nobody'");
    assert_eq!((line(&mut second).as_str(), &*line(&mut second)), ("200 Goodbye!", ""));

    say(&mut first, "WRITE stop\n");
    assert_eq!(line(&mut first), "200 Write handler 'stop' OK");
    assert!(router.0.wait().unwrap().success());
    assert!(!socket.exists(), "a run leaves no socket behind");
}

/// So many bytes of data.
fn line_of(client: &mut BufReader<UnixStream>, length: usize) -> String {
    let mut data = vec![0; length];
    std::io::Read::read_exact(client, &mut data).unwrap();
    String::from_utf8(data).unwrap()
}

#[test]
fn a_running_router_is_replaced_and_keeps_what_is_in_its_queue() {
    let socket = std::env::temp_dir().join(format!("anf-hot-{}.sock", std::process::id()));
    let source =
        "InfiniteSource(LIMIT 3) -> q :: Queue -> u :: Unqueue(ACTIVE false) -> c :: Counter -> Discard;";
    let mut router = run(&socket, source, &["-R"]);
    let mut client = connect(&socket);
    line(&mut client);

    let bad = "q :: Queue -> Discad;";
    say(&mut client, &format!("WRITEDATA hotconfig {}\n{bad}", bad.len()));
    let mut refusal = vec![line(&mut client)];
    while refusal.last().is_some_and(|line| line.starts_with("520-")) {
        refusal.push(line(&mut client));
    }
    assert!(refusal.concat().contains("520") && refusal.concat().contains("Discad"), "{refusal:?}");

    let good = "Idle -> q :: Queue -> Unqueue -> c :: Counter -> Discard; ";
    say(&mut client, &format!("WRITEDATA hotconfig {}\n{good}", good.len()));
    assert_eq!(line(&mut client), "200 Write handler 'hotconfig' OK");
    for _ in 0..200 {
        say(&mut client, "READ c.count\n");
        if line(&mut client).starts_with("200")
            && line(&mut client) == "DATA 1"
            && line_of(&mut client, 1) == "3"
        {
            say(&mut client, "WRITE stop\n");
            assert!(router.0.wait().unwrap().success());
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the packets of the old router did not reach the new one");
}
