//! How two sidecars meet: who they are, that they share the function's key, and where the edges stand.
//!
//! dialler: Hello → listener: Challenge (with its proof) → dialler: Proof → listener: Welcome or Refusal. Both proofs
//! are HMAC-SHA-256 with the function's key over the hello and the listener's nonce, so neither end believes a
//! stranger and nothing can be replayed. Pure: bytes in, bytes out.

use bytes::{Buf, BufMut, BytesMut};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Version of the protocol on links.
pub const PROTOCOL_VERSION: u16 = 1;
/// Longest greeting.
const MAX_GREETING: usize = 64 << 10;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Packets from the dialler, which owns its sub-function.
    Packets,
    /// The same from a dialler that may become the owner.
    Candidate,
    /// Source to target of a handover.
    Handover,
}

/// Where an edge stands at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgePosition {
    /// The edge.
    pub edge: u16,
    /// Next sequence number that the end accepts, if it has one.
    pub accepted: Option<u64>,
    /// What stored state covers.
    pub durable: u64,
}

/// The dialler's introduction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`PROTOCOL_VERSION`].
    pub version: u16,
    /// UID of the function.
    pub function: String,
    /// Hash of the cut.
    pub graph: String,
    /// Sub-function of the dialler.
    pub from: String,
    /// Sub-function that it wants.
    pub to: String,
    /// Id of the dialler.
    pub owner: String,
    /// Its epoch (for a candidate the one that it may get).
    pub epoch: u64,
    /// What for.
    pub purpose: Purpose,
    /// Random bytes.
    pub nonce: [u8; 16],
}

/// The listener's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// Id of the listener.
    pub owner: String,
    /// Its epoch.
    pub epoch: u64,
    /// Where its edges stand.
    pub edges: Vec<EdgePosition>,
    /// The handover that it is in, if any.
    pub handover: Option<String>,
    /// Whether the dialler may offer a ring in memory (of a listener on the same node).
    #[serde(default)]
    pub takes_ring: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Greeting {
    Hello(Hello),
    Challenge { nonce: [u8; 16], proof: Vec<u8> },
    Proof { proof: Vec<u8> },
    Welcome(Welcome),
    Refusal { reason: String },
}

/// Why two ends do not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not a greeting.
    #[error("the peer does not speak the link protocol")]
    Malformed,
    /// A greeting out of turn.
    #[error("the peer greets out of turn")]
    OutOfTurn,
    /// The peer has another key.
    #[error("the peer does not have the function's key")]
    WrongKey,
    /// The peer speaks another version.
    #[error("the peer speaks link protocol {0}, this end speaks {PROTOCOL_VERSION}")]
    Version(u16),
    /// The peer refused.
    #[error("refused by the peer: {0}")]
    Refused(String),
}

/// What a step leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Pending,
    /// Listener: the dialler is who it says; answer with [`Handshake::welcome`] or [`Handshake::refuse`].
    Known(Hello),
    /// Dialler: the link is up.
    Up(Welcome),
}

#[derive(Debug)]
enum State {
    DiallerWaitsForChallenge(Hello),
    DiallerWaitsForWelcome,
    ListenerWaitsForHello { nonce: [u8; 16] },
    ListenerWaitsForProof { hello: Hello, nonce: [u8; 16] },
    Done,
}

/// One end of a handshake.
#[derive(Debug)]
pub struct Handshake {
    key: Vec<u8>,
    state: State,
}

impl Handshake {
    /// The dialling end; `out` gets what is to be sent.
    pub fn dial(key: &[u8], hello: Hello, out: &mut BytesMut) -> Self {
        put(&Greeting::Hello(hello.clone()), out);
        Self { key: key.to_vec(), state: State::DiallerWaitsForChallenge(hello) }
    }

    /// The listening end; `nonce` is fresh random bytes.
    pub fn listen(key: &[u8], nonce: [u8; 16]) -> Self {
        Self { key: key.to_vec(), state: State::ListenerWaitsForHello { nonce } }
    }

    /// Takes one greeting from `input`, if a whole one is there.
    pub fn step(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Step, HandshakeError> {
        let Some(greeting) = take(input)? else { return Ok(Step::Pending) };
        match (std::mem::replace(&mut self.state, State::Done), greeting) {
            (State::ListenerWaitsForHello { nonce }, Greeting::Hello(hello)) => {
                if hello.version != PROTOCOL_VERSION {
                    return Err(HandshakeError::Version(hello.version));
                }
                put(&Greeting::Challenge { nonce, proof: self.proof(b"listener", &hello, &nonce) }, out);
                self.state = State::ListenerWaitsForProof { hello, nonce };
                Ok(Step::Pending)
            }
            (State::DiallerWaitsForChallenge(hello), Greeting::Challenge { nonce, proof }) => {
                self.check(b"listener", &hello, &nonce, &proof)?;
                put(&Greeting::Proof { proof: self.proof(b"dialler", &hello, &nonce) }, out);
                self.state = State::DiallerWaitsForWelcome;
                Ok(Step::Pending)
            }
            (State::ListenerWaitsForProof { hello, nonce }, Greeting::Proof { proof }) => {
                self.check(b"dialler", &hello, &nonce, &proof)?;
                Ok(Step::Known(hello))
            }
            (State::DiallerWaitsForWelcome, Greeting::Welcome(welcome)) => Ok(Step::Up(welcome)),
            (_, Greeting::Refusal { reason }) => Err(HandshakeError::Refused(reason)),
            _ => Err(HandshakeError::OutOfTurn),
        }
    }

    /// The listener takes the dialler.
    pub fn welcome(welcome: Welcome, out: &mut BytesMut) {
        put(&Greeting::Welcome(welcome), out);
    }

    /// The listener does not, and says why.
    pub fn refuse(reason: &str, out: &mut BytesMut) {
        put(&Greeting::Refusal { reason: reason.to_string() }, out);
    }

    fn mac(&self, side: &[u8], hello: &Hello, nonce: &[u8; 16]) -> Hmac<Sha256> {
        let mut mac = new_mac(&self.key);
        mac.update(side);
        mac.update(&serde_json::to_vec(hello).unwrap_or_default());
        mac.update(nonce);
        mac
    }

    fn proof(&self, side: &[u8], hello: &Hello, nonce: &[u8; 16]) -> Vec<u8> {
        self.mac(side, hello, nonce).finalize().into_bytes().to_vec()
    }

    fn check(
        &self,
        side: &[u8],
        hello: &Hello,
        nonce: &[u8; 16],
        proof: &[u8],
    ) -> Result<(), HandshakeError> {
        self.mac(side, hello, nonce).verify_slice(proof).map_err(|_| HandshakeError::WrongKey)
    }
}

#[allow(clippy::expect_used)]
fn new_mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn put(greeting: &Greeting, out: &mut BytesMut) {
    let json = serde_json::to_vec(greeting).unwrap_or_default();
    out.put_u32(json.len() as u32);
    out.put_slice(&json);
}

fn take(input: &mut BytesMut) -> Result<Option<Greeting>, HandshakeError> {
    let Some(length) = input.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes) as usize) else {
        return Ok(None);
    };
    if length > MAX_GREETING {
        return Err(HandshakeError::Malformed);
    }
    if input.len() < 4 + length {
        return Ok(None);
    }
    input.advance(4);
    let json = input.split_to(length);
    serde_json::from_slice(&json).map(Some).map_err(|_| HandshakeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            function: "uid".into(),
            graph: "hash".into(),
            from: "classify".into(),
            to: "nat".into(),
            owner: "pod".into(),
            epoch: 3,
            purpose: Purpose::Packets,
            nonce: [1; 16],
        }
    }

    fn meet(dial_key: &[u8], listen_key: &[u8]) -> Result<Welcome, HandshakeError> {
        let (mut to_listener, mut to_dialler) = (BytesMut::new(), BytesMut::new());
        let mut dialler = Handshake::dial(dial_key, hello(), &mut to_listener);
        let mut listener = Handshake::listen(listen_key, [2; 16]);
        assert_eq!(listener.step(&mut to_listener, &mut to_dialler)?, Step::Pending);
        assert_eq!(dialler.step(&mut to_dialler, &mut to_listener)?, Step::Pending);
        assert_eq!(listener.step(&mut to_listener, &mut to_dialler)?, Step::Known(hello()));
        let welcome =
            Welcome { owner: "pod2".into(), epoch: 4, edges: vec![], handover: None, takes_ring: false };
        Handshake::welcome(welcome, &mut to_dialler);
        match dialler.step(&mut to_dialler, &mut to_listener)? {
            Step::Up(welcome) => Ok(welcome),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_ends_with_one_key_meet() {
        assert_eq!(meet(b"key", b"key").unwrap().epoch, 4);
    }

    #[test]
    fn an_end_with_another_key_is_not_believed() {
        assert_eq!(meet(b"key", b"other"), Err(HandshakeError::WrongKey));
    }

    #[test]
    fn another_version_rubbish_and_greetings_out_of_turn_are_refused() {
        let mut out = BytesMut::new();
        let mut input = BytesMut::new();
        Handshake::dial(b"k", Hello { version: 9, ..hello() }, &mut input);
        assert_eq!(
            Handshake::listen(b"k", [0; 16]).step(&mut input, &mut out),
            Err(HandshakeError::Version(9))
        );
        let mut rubbish = BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]);
        assert_eq!(
            Handshake::listen(b"k", [0; 16]).step(&mut rubbish, &mut out),
            Err(HandshakeError::Malformed)
        );
        let mut early = BytesMut::new();
        put(&Greeting::Proof { proof: vec![1] }, &mut early);
        assert_eq!(
            Handshake::listen(b"k", [0; 16]).step(&mut early, &mut out),
            Err(HandshakeError::OutOfTurn)
        );
    }
}
