//! Handlers of a running router over a socket: `run -p PORT`, `-u SOCKET` and the element ControlSocket, by Click's
//! protocol.

mod protocol;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::PollFlags;

use self::protocol::{Conversation, Handlers};
use crate::element::HandlerError;
use crate::engine::{Access, ControlEndpoint, ControlPlace, Router};

/// Most clients at once; more wait in the sockets' queues.
const MAX_CLIENTS: usize = 32;
/// A client that does not read what it asked for is not read from beyond this.
const MAX_UNSENT: usize = 4 << 20;
/// How many ports more a `PORT+` tries.
const NEXT_FREE: u16 = 11;

struct Listener {
    socket: Socket,
    endpoint: ControlEndpoint,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Socket {
    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(prepared(listener.accept()?.0, TcpStream::set_nonblocking)?),
            Self::Unix(listener, _) => Box::new(prepared(listener.accept()?.0, UnixStream::set_nonblocking)?),
        })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may have been removed by somebody else.
            let _ = fs::remove_file(path);
        }
    }
}

fn prepared<S>(stream: S, set: impl FnOnce(&S, bool) -> io::Result<()>) -> io::Result<S> {
    set(&stream, true)?;
    Ok(stream)
}

trait Stream: Read + Write + AsFd {}
impl<S: Read + Write + AsFd> Stream for S {}

struct Client {
    stream: Box<dyn Stream>,
    talk: Conversation,
}

/// The sockets of a run.
#[derive(Default)]
pub(super) struct ControlServer {
    listeners: Vec<Listener>,
    clients: Vec<Client>,
}

impl ControlServer {
    /// Listens to these and no others; an error names the place, and leaves all as it was.
    pub(super) fn listen_to(&mut self, endpoints: &[ControlEndpoint]) -> Result<(), String> {
        let before = self.listeners.len();
        for endpoint in endpoints {
            if self.listeners.iter().any(|listener| listener.endpoint == *endpoint) {
                continue;
            }
            if let Err(message) = self.listen(endpoint) {
                self.listeners.truncate(before);
                return Err(message);
            }
        }
        self.listeners.retain(|listener| endpoints.contains(&listener.endpoint));
        Ok(())
    }

    fn listen(&mut self, endpoint: &ControlEndpoint) -> Result<(), String> {
        let opened = match &endpoint.place {
            ControlPlace::Tcp { port, next_free, localhost } => {
                open_tcp(*port, *next_free, *localhost).map_err(|error| format!("port {port}: {error}"))
            }
            ControlPlace::Unix(path) => {
                open_unix(path).map_err(|error| format!("{}: {error}", path.display()))
            }
        };
        self.listeners.push(Listener { socket: opened?, endpoint: endpoint.clone() });
        Ok(())
    }

    /// What to wait for.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let room = self.clients.len() < MAX_CLIENTS;
        let listeners = self.listeners.iter().filter(move |_| room).map(|at| (at.socket.fd(), PollFlags::IN));
        let clients = self.clients.iter().map(|client| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !client.talk.has_ended() && client.talk.unsent() < MAX_UNSENT);
            flags.set(PollFlags::OUT, client.talk.unsent() > 0);
            (client.stream.as_fd(), flags)
        });
        listeners.chain(clients)
    }

    /// Takes what there is and answers it. Never waits.
    pub(super) fn serve(&mut self, router: &mut Router) {
        for listener in &self.listeners {
            while self.clients.len() < MAX_CLIENTS {
                // A client that is gone again is no client.
                let Ok(stream) = listener.socket.accept() else { break };
                self.clients.push(Client { stream, talk: Conversation::new(listener.endpoint.read_only) });
            }
        }
        self.clients.retain_mut(|client| client.turn(router).is_ok());
    }
}

fn open_tcp(port: u16, next_free: bool, localhost: bool) -> io::Result<Socket> {
    let address = if localhost { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let last = if next_free { port.saturating_add(NEXT_FREE) } else { port };
    let mut ports = port..=last;
    let listener = loop {
        match TcpListener::bind((address, ports.next().unwrap_or(last))) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && !ports.is_empty() => {}
            bound => break bound?,
        }
    };
    listener.set_nonblocking(true)?;
    Ok(Socket::Tcp(listener))
}

/// A UNIX socket, in the place of an old one of that name.
fn open_unix(path: &Path) -> io::Result<Socket> {
    let bound = UnixListener::bind(path).or_else(|error| match error.kind() {
        // Nobody answers there: it is what a run before left behind.
        ErrorKind::AddrInUse if UnixStream::connect(path).is_err() => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        _ => Err(error),
    });
    let listener = bound?;
    listener.set_nonblocking(true)?;
    Ok(Socket::Unix(listener, path.to_owned()))
}

impl Client {
    /// An error ends the connection.
    fn turn(&mut self, router: &mut Router) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while !self.talk.has_ended() && self.talk.unsent() < MAX_UNSENT {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.talk.end_of_input(router),
                Ok(length) => self.talk.receive(&buffer[..length], router),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.send()?;
        if self.talk.has_ended() && self.talk.unsent() == 0 {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let output = self.talk.output();
        let mut sent = 0;
        while sent < output.len() {
            match self.stream.write(&output[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        output.drain(..sent);
        Ok(())
    }
}

/// Element and handler of a path as Click's clients write it: an element may be given by its number from 1 on, and no
/// element, or 0, means the router.
fn split_path<'a>(router: &mut Router, path: &'a str) -> (String, &'a str) {
    let (element, handler) = path.rsplit_once('.').unwrap_or(("", path));
    let name = match element.parse::<usize>() {
        Ok(0) => String::new(),
        Ok(number) => {
            let named = router.elements_mut().nth(number - 1).map(|(name, _)| name.to_owned());
            named.unwrap_or_else(|| element.to_owned())
        }
        Err(_) => element.to_owned(),
    };
    (name, handler)
}

impl Handlers for Router {
    fn access(&mut self, path: &str) -> Result<Access, HandlerError> {
        let (element, handler) = split_path(self, path);
        self.handler_access(&element, handler)
    }

    fn read(&mut self, path: &str, param: &str) -> Result<String, HandlerError> {
        let (element, handler) = split_path(self, path);
        self.read_handler_with(&element, handler, param)
    }

    fn write(&mut self, path: &str, value: &str) -> Result<(), HandlerError> {
        let (element, handler) = split_path(self, path);
        self.write_handler(&element, handler, value)
    }
}
