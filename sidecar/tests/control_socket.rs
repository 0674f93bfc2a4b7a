//! Handlers of a running router over its control sockets, as a user's own script speaks to them.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

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

fn run(socket: &Path) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anf-sidecar"));
    command.args(["run", "-e", ROUTER, "-u"]).arg(socket).stdin(Stdio::null());
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
    let mut router = run(&socket);
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
