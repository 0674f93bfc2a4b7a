//! A router with a Socket, run as a user runs it: the driver waits for connections that come and go.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Ends the router whatever becomes of the test.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(socket: &Path) -> UnixStream {
    let started = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                return stream;
            }
            Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_echo_server_serves_one_client_after_the_other() {
    let socket = std::env::temp_dir().join(format!("anf-echo-{}.sock", std::process::id()));
    let text = format!("s :: Socket(UNIX, \"{}\") -> Queue -> s;", socket.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_anf-sidecar"));
    let _router = Run(command.args(["run", "-e", &text]).stdin(Stdio::null()).spawn().unwrap());
    for round in 0..3 {
        let mut client = connect(&socket);
        for word in ["one", "two"] {
            client.write_all(word.as_bytes()).unwrap();
            let mut answer = [0; 3];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, word.as_bytes(), "round {round}");
        }
    }
    let _ = std::fs::remove_file(socket);
}
