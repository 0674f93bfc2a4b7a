//! The server: echoes UDP with its own counts of each flow filled in, and serves downloads on the same TCP port.
//!
//! It keeps no more than [`MAX_SESSIONS`] sessions and [`MAX_FLOWS`] flows a session; what goes beyond is not echoed,
//! which the client sees as loss.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread;

use nix::sys::socket::{setsockopt, sockopt};

use super::arrivals::Arrivals;
use super::download;
use super::message::{self, Kind, MAX_BYTES, Message};
use crate::Error;

/// Sessions that are kept; the oldest makes room.
pub const MAX_SESSIONS: usize = 64;
/// Flows of a session that are kept.
pub const MAX_FLOWS: u32 = 1 << 16;

const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// Serves for ever.
pub fn serve(address: IpAddr, port: u16) -> Result<(), Error> {
    let address = SocketAddr::new(address, port);
    let listener = TcpListener::bind(address).map_err(Error::io(format!("bind TCP {address}")))?;
    let socket = UdpSocket::bind(address).map_err(Error::io(format!("bind UDP {address}")))?;
    widen_receive_buffer(&socket);
    thread::spawn(move || serve_downloads(&listener));
    echo(&socket)
}

/// A burst after a pause of the network must not be dropped by the host that measures it. Beyond the system's limit
/// only with NET_ADMIN, so the plain call is the fallback and its failure changes nothing.
pub(super) fn widen_receive_buffer(socket: &UdpSocket) {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES);
    }
}

fn serve_downloads(listener: &TcpListener) {
    for connection in listener.incoming() {
        match connection {
            Ok(connection) => {
                thread::spawn(move || {
                    let peer = connection.peer_addr();
                    if let Err(error) = download::serve(connection) {
                        eprintln!("download to {peer:?} ended: {error}");
                    }
                });
            }
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

fn echo(socket: &UdpSocket) -> Result<(), Error> {
    let mut sessions = Sessions::default();
    let mut payload = [0; MAX_BYTES];
    loop {
        let (length, from) = match socket.recv_from(&mut payload) {
            Ok(received) => received,
            // An ICMP error about an earlier echo: the client is gone.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
            Err(source) => return Err(Error::Io { doing: "receive UDP".into(), source }),
        };
        let payload = &mut payload[..length];
        if sessions.note(payload) {
            // A full send queue or a client that is gone: the client will count it as lost on the way back.
            let _ = socket.send_to(payload, from);
        }
    }
}

#[derive(Default)]
struct Sessions {
    flows: HashMap<u64, Vec<Arrivals>>,
    oldest_first: Vec<u64>,
}

impl Sessions {
    /// Counts a packet and fills the counts in; answers whether it is to be echoed.
    fn note(&mut self, payload: &mut [u8]) -> bool {
        let Some(message) = Message::read(payload) else { return false };
        if message.kind == Kind::Probe {
            return true;
        }
        if message.flow >= MAX_FLOWS {
            return false;
        }
        let flows = self.session(message.session);
        let flow = message.flow as usize;
        if flows.len() <= flow {
            flows.resize_with(flow + 1, Arrivals::default);
        }
        flows[flow].note(message.sequence);
        let counts = flows[flow].counts();
        message::answer(payload, &counts);
        true
    }

    fn session(&mut self, session: u64) -> &mut Vec<Arrivals> {
        if !self.flows.contains_key(&session) {
            if self.oldest_first.len() == MAX_SESSIONS {
                self.flows.remove(&self.oldest_first.remove(0));
            }
            self.oldest_first.push(session);
        }
        self.flows.entry(session).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::arrivals::Counts;

    fn payload(session: u64, flow: u32, sequence: u32) -> Vec<u8> {
        let mut payload = vec![0; 64];
        let server = Counts::default();
        Message { kind: Kind::Data, session, flow, sequence, sent_at: 0, server }.write(&mut payload);
        payload
    }

    #[test]
    fn each_session_and_flow_has_counts_of_its_own() {
        let mut sessions = Sessions::default();
        for (session, flow) in [(1, 0), (1, 1), (2, 0)] {
            let mut packet = payload(session, flow, 0);
            assert!(sessions.note(&mut packet));
            assert_eq!(Message::read(&packet).unwrap().server.unique, 1);
        }
        let mut again = payload(1, 1, 0);
        assert!(sessions.note(&mut again));
        assert_eq!(Message::read(&again).unwrap().server.duplicated, 1);
    }

    #[test]
    fn memory_stays_bounded_whatever_arrives() {
        let mut sessions = Sessions::default();
        for session in 0..3 * MAX_SESSIONS as u64 {
            assert!(sessions.note(&mut payload(session, 0, 0)));
        }
        assert_eq!(sessions.flows.len(), MAX_SESSIONS);
        assert!(!sessions.note(&mut payload(1, MAX_FLOWS, 0)));
        assert!(!sessions.note(&mut [0; 10]));
    }
}
