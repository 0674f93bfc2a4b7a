//! How two sidecars meet: who they are, that they share the function's key, and where the edges stand.
//!
//! dialler: Hello → listener: Challenge (with its proof) → dialler: Proof → listener: Welcome or Refusal. Each end sends
//! a fresh nonce and a fresh X25519 share; both proofs are HMAC-SHA-256 with the function's key over the whole hello and
//! the listener's nonce and share, so neither end believes a stranger and nothing can be replayed. What the shares agree
//! on, together with the key, makes the [`SessionKeys`]: who learns the function's key later cannot read what was
//! recorded before. Bytes in, bytes out; only the randomness comes from the system.

use bytes::{Buf, BufMut, BytesMut};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{self, SHA256};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::seal::SessionKeys;

/// Version of the protocol on links.
pub const PROTOCOL_VERSION: u16 = 2;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgePosition {
    /// The edge.
    pub edge: u16,
    /// Next sequence number that the end accepts, if it has one.
    pub accepted: Option<u64>,
    /// What stored state covers.
    pub durable: u64,
    /// What the dialler's sub-function had made, from each cause, up to `accepted`: see `Data::made`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<u64>,
}

/// The dialler's introduction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
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
}

/// What an end asks of the connection. What either end asks for is done, so ends whose manifests differ for a while
/// understand each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// Packets are sealed as well (`spec.links.encryption`), not only what changes ownership.
    pub seal_packets: bool,
}

impl Terms {
    /// What holds between two ends.
    pub fn and(self, other: Self) -> Self {
        Self { seal_packets: self.seal_packets || other.seal_packets }
    }
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

type Nonce = [u8; 16];
type Share = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Greeting {
    Hello { version: u16, hello: Hello, terms: Terms, nonce: Nonce, share: Share },
    Challenge { nonce: Nonce, share: Share, proof: Vec<u8> },
    Proof { proof: Vec<u8> },
    Welcome { welcome: Welcome, terms: Terms },
    Refusal { reason: String },
}

/// What a hello of any version has.
#[derive(Debug, Deserialize)]
struct Introduction {
    version: u16,
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
    #[error(
        "the peer speaks link protocol {0}, this end speaks {PROTOCOL_VERSION}: all sidecars of a function must run \
         releases that speak the same"
    )]
    Version(u16),
    /// The peer refused.
    #[error("refused by the peer: {0}")]
    Refused(String),
    /// The system has no random numbers.
    #[error("the system gives no random numbers, and no link is made without them")]
    NoRandomness,
}

impl HandshakeError {
    /// The error as a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed-greeting",
            Self::OutOfTurn => "greeting-out-of-turn",
            Self::WrongKey => "wrong-key",
            Self::Version(_) => "other-version",
            Self::Refused(_) => "refused",
            Self::NoRandomness => "no-randomness",
        }
    }
}

/// What a step leads to.
#[derive(Debug)]
pub enum Step {
    /// More bytes are needed.
    Pending,
    /// Dialler: the listener has the key and was answered; everything from here on is sealed, both ways.
    Keyed(SessionKeys),
    /// Listener: the dialler is who it says, and everything from here on is sealed, both ways; answer with
    /// [`Handshake::welcome`] or [`Handshake::refuse`].
    Known(Box<Hello>, Terms, SessionKeys),
    /// Dialler: the link is up.
    Up(Welcome, Terms),
}

#[derive(Debug)]
enum State {
    DiallerWaitsForChallenge {
        hello: Vec<u8>,
        secret: EphemeralPrivateKey,
    },
    DiallerWaitsForWelcome,
    ListenerWaitsForHello,
    ListenerWaitsForProof {
        hello: Box<Hello>,
        theirs: Terms,
        transcript: digest::Digest,
        keys: Box<SessionKeys>,
    },
    Done,
}

/// One end of a handshake.
#[derive(Debug)]
pub struct Handshake {
    key: hmac::Key,
    function_key: Vec<u8>,
    terms: Terms,
    random: SystemRandom,
    state: State,
}

impl Handshake {
    fn new(key: &[u8], terms: Terms, state: State) -> Self {
        let (mac, random) = (hmac::Key::new(hmac::HMAC_SHA256, key), SystemRandom::new());
        Self { key: mac, function_key: key.to_vec(), terms, random, state }
    }

    /// The dialling end; `out` gets what is to be sent.
    pub fn dial(key: &[u8], hello: Hello, terms: Terms, out: &mut BytesMut) -> Result<Self, HandshakeError> {
        let mut this = Self::new(key, terms, State::Done);
        let (nonce, secret, share) = this.fresh()?;
        let hello = put(&Greeting::Hello { version: PROTOCOL_VERSION, hello, terms, nonce, share }, out);
        this.state = State::DiallerWaitsForChallenge { hello, secret };
        Ok(this)
    }

    /// The listening end.
    pub fn listen(key: &[u8], terms: Terms) -> Self {
        Self::new(key, terms, State::ListenerWaitsForHello)
    }

    fn fresh(&self) -> Result<(Nonce, EphemeralPrivateKey, Share), HandshakeError> {
        let no_randomness = |_| HandshakeError::NoRandomness;
        let mut nonce = Nonce::default();
        self.random.fill(&mut nonce).map_err(no_randomness)?;
        let secret = EphemeralPrivateKey::generate(&X25519, &self.random).map_err(no_randomness)?;
        let public = secret.compute_public_key().map_err(no_randomness)?;
        let share = public.as_ref().try_into().map_err(|_| HandshakeError::NoRandomness)?;
        Ok((nonce, secret, share))
    }

    /// Takes one greeting from `input`, if a whole one is there. After an error, what is in `out` tells the peer why.
    pub fn step(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Step, HandshakeError> {
        let Some(bytes) = take(input)? else { return Ok(Step::Pending) };
        let state = std::mem::replace(&mut self.state, State::Done);
        if matches!(state, State::ListenerWaitsForHello) {
            check_version(&bytes).inspect_err(|error| Self::refuse(&mirrored(error), out))?;
        }
        match (state, parse(&bytes)?) {
            (State::ListenerWaitsForHello, Greeting::Hello { hello, terms, share, .. }) => {
                self.challenge(&bytes, hello, terms, &share, out)
            }
            (
                State::DiallerWaitsForChallenge { hello, secret },
                Greeting::Challenge { nonce, share, proof },
            ) => {
                let transcript = transcript(&hello, &nonce, &share);
                self.check(b"listener", &transcript, &proof)?;
                put(&Greeting::Proof { proof: self.proof(b"dialler", &transcript) }, out);
                self.state = State::DiallerWaitsForWelcome;
                Ok(Step::Keyed(self.agree(secret, &share, &transcript)?))
            }
            (State::ListenerWaitsForProof { hello, theirs, transcript, keys }, Greeting::Proof { proof }) => {
                self.check(b"dialler", &transcript, &proof)?;
                Ok(Step::Known(hello, self.terms.and(theirs), *keys))
            }
            (State::DiallerWaitsForWelcome, Greeting::Welcome { welcome, terms }) => {
                Ok(Step::Up(welcome, self.terms.and(terms)))
            }
            (_, Greeting::Refusal { reason }) => Err(HandshakeError::Refused(reason)),
            _ => Err(HandshakeError::OutOfTurn),
        }
    }

    fn challenge(
        &mut self,
        bytes: &[u8],
        hello: Hello,
        theirs: Terms,
        their_share: &Share,
        out: &mut BytesMut,
    ) -> Result<Step, HandshakeError> {
        let (nonce, secret, share) = self.fresh()?;
        let transcript = transcript(bytes, &nonce, &share);
        let keys = self.agree(secret, their_share, &transcript)?;
        put(&Greeting::Challenge { nonce, share, proof: self.proof(b"listener", &transcript) }, out);
        self.state =
            State::ListenerWaitsForProof { hello: Box::new(hello), theirs, transcript, keys: Box::new(keys) };
        Ok(Step::Pending)
    }

    /// The listener takes the dialler, on terms that it asks for.
    pub fn welcome(welcome: Welcome, terms: Terms, out: &mut BytesMut) {
        put(&Greeting::Welcome { welcome, terms }, out);
    }

    /// The listener does not, and says why.
    pub fn refuse(reason: &str, out: &mut BytesMut) {
        put(&Greeting::Refusal { reason: reason.to_string() }, out);
    }

    /// A share that gives no secret (a point of small order) is rubbish, not a stranger's.
    fn agree(
        &self,
        secret: EphemeralPrivateKey,
        share: &Share,
        transcript: &digest::Digest,
    ) -> Result<SessionKeys, HandshakeError> {
        let share = UnparsedPublicKey::new(&X25519, share);
        agree_ephemeral(secret, &share, |agreed| {
            SessionKeys::new(&[agreed, &self.function_key].concat(), transcript.as_ref())
        })
        .map_err(|_| HandshakeError::Malformed)
    }

    fn proof(&self, side: &[u8], transcript: &digest::Digest) -> Vec<u8> {
        hmac::sign(&self.key, &[side, transcript.as_ref()].concat()).as_ref().to_vec()
    }

    fn check(&self, side: &[u8], transcript: &digest::Digest, proof: &[u8]) -> Result<(), HandshakeError> {
        hmac::verify(&self.key, &[side, transcript.as_ref()].concat(), proof)
            .map_err(|_| HandshakeError::WrongKey)
    }
}

/// All that both ends said before the proofs. The hello comes last: it alone has no fixed length.
fn transcript(hello: &[u8], nonce: &Nonce, share: &Share) -> digest::Digest {
    digest::digest(&SHA256, &[&nonce[..], share, hello].concat())
}

fn check_version(hello: &[u8]) -> Result<(), HandshakeError> {
    let Introduction { version } = serde_json::from_slice(hello).map_err(|_| HandshakeError::Malformed)?;
    if version == PROTOCOL_VERSION { Ok(()) } else { Err(HandshakeError::Version(version)) }
}

/// What this end's error is in the peer's eyes.
fn mirrored(error: &HandshakeError) -> String {
    match error {
        HandshakeError::Version(theirs) => {
            format!("link protocol {theirs} is not spoken here, this end speaks {PROTOCOL_VERSION}")
        }
        other => other.to_string(),
    }
}

/// Appends a greeting; returns its JSON.
fn put(greeting: &Greeting, out: &mut BytesMut) -> Vec<u8> {
    // Serialising these types cannot fail: they hold strings and numbers only.
    let json = serde_json::to_vec(greeting).unwrap_or_default();
    out.put_u32(json.len() as u32);
    out.put_slice(&json);
    json
}

/// The bytes of the next greeting.
fn take(input: &mut BytesMut) -> Result<Option<BytesMut>, HandshakeError> {
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
    Ok(Some(input.split_to(length)))
}

fn parse(json: &[u8]) -> Result<Greeting, HandshakeError> {
    serde_json::from_slice(json).map_err(|_| HandshakeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            function: "uid".into(),
            graph: "hash".into(),
            from: "classify".into(),
            to: "nat".into(),
            owner: "pod".into(),
            epoch: 3,
            purpose: Purpose::Packets,
        }
    }

    fn dial(key: &[u8], out: &mut BytesMut) -> Handshake {
        Handshake::dial(key, hello(), Terms::default(), out).unwrap()
    }

    fn listen(key: &[u8]) -> Handshake {
        Handshake::listen(key, Terms { seal_packets: true })
    }

    fn meet(dial_key: &[u8], listen_key: &[u8]) -> Result<(Welcome, Terms), HandshakeError> {
        let (mut to_listener, mut to_dialler) = (BytesMut::new(), BytesMut::new());
        let mut dialler = dial(dial_key, &mut to_listener);
        let mut listener = listen(listen_key);
        assert!(matches!(listener.step(&mut to_listener, &mut to_dialler)?, Step::Pending));
        let Step::Keyed(dialler_keys) = dialler.step(&mut to_dialler, &mut to_listener)? else { panic!() };
        let Step::Known(known, terms, listener_keys) = listener.step(&mut to_listener, &mut to_dialler)?
        else {
            panic!()
        };
        assert_eq!(*known, hello());
        assert!(dialler_keys.same_as(&listener_keys));
        let welcome =
            Welcome { owner: "pod2".into(), epoch: 4, edges: vec![], handover: None, takes_ring: false };
        Handshake::welcome(welcome, terms, &mut to_dialler);
        match dialler.step(&mut to_dialler, &mut to_listener)? {
            Step::Up(welcome, terms) => Ok((welcome, terms)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_ends_with_one_key_meet_and_agree_on_session_keys_and_what_either_asks() {
        let (welcome, terms) = meet(b"key", b"key").unwrap();
        assert_eq!((welcome.epoch, terms), (4, Terms { seal_packets: true }));
    }

    #[test]
    fn an_end_with_another_key_is_not_believed() {
        assert_eq!(meet(b"key", b"other"), Err(HandshakeError::WrongKey));
    }

    #[test]
    fn a_listener_does_not_believe_a_dialler_without_the_key() {
        let (mut to_listener, mut to_dialler) = (BytesMut::new(), BytesMut::new());
        let mut listener = listen(b"key");
        dial(b"other", &mut to_listener);
        listener.step(&mut to_listener, &mut to_dialler).unwrap();
        put(&Greeting::Proof { proof: vec![0; 32] }, &mut to_listener);
        assert_eq!(listener.step(&mut to_listener, &mut to_dialler).unwrap_err(), HandshakeError::WrongKey);
    }

    #[test]
    fn a_greeting_that_was_recorded_is_not_believed_again() {
        let (mut to_listener, mut to_dialler) = (BytesMut::new(), BytesMut::new());
        let mut dialler = dial(b"key", &mut to_listener);
        let mut recorded = to_listener.clone();
        let mut listener = listen(b"key");
        listener.step(&mut to_listener, &mut to_dialler).unwrap();
        dialler.step(&mut to_dialler, &mut to_listener).unwrap();
        recorded.unsplit(to_listener.clone());
        assert!(matches!(listener.step(&mut to_listener, &mut to_dialler), Ok(Step::Known(..))));
        let mut again = listen(b"key");
        assert!(matches!(again.step(&mut recorded, &mut to_dialler), Ok(Step::Pending)));
        assert_eq!(again.step(&mut recorded, &mut to_dialler).unwrap_err(), HandshakeError::WrongKey);
    }

    #[test]
    fn a_greeting_that_was_altered_on_the_way_is_not_believed() {
        let (mut to_listener, mut to_dialler) = (BytesMut::new(), BytesMut::new());
        let mut dialler = dial(b"key", &mut to_listener);
        let at = to_listener.windows(8).position(|bytes| bytes == b"classify").unwrap();
        to_listener[at] = b'k';
        listen(b"key").step(&mut to_listener, &mut to_dialler).unwrap();
        assert_eq!(dialler.step(&mut to_dialler, &mut to_listener).unwrap_err(), HandshakeError::WrongKey);
    }

    #[test]
    fn another_version_is_refused_in_words_at_both_ends() {
        for version in [1, 3] {
            let (mut to_listener, mut to_dialler) = (BytesMut::new(), BytesMut::new());
            let mut dialler = dial(b"k", &mut BytesMut::new());
            let json = format!(r#"{{"type":"hello","version":{version},"unheardOf":[]}}"#);
            to_listener.put_u32(json.len() as u32);
            to_listener.put_slice(json.as_bytes());
            let error = listen(b"k").step(&mut to_listener, &mut to_dialler).unwrap_err();
            assert_eq!(error, HandshakeError::Version(version));
            let told = dialler.step(&mut to_dialler, &mut to_listener).unwrap_err();
            assert_eq!(
                told.to_string(),
                format!("refused by the peer: link protocol {version} is not spoken here, this end speaks 2")
            );
        }
    }

    #[test]
    fn rubbish_greetings_out_of_turn_and_shares_that_share_nothing_are_refused() {
        let mut out = BytesMut::new();
        let mut rubbish = BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]);
        assert_eq!(listen(b"k").step(&mut rubbish, &mut out).unwrap_err(), HandshakeError::Malformed);
        let mut early = BytesMut::new();
        let mut dialler = dial(b"k", &mut out);
        put(&Greeting::Proof { proof: vec![1] }, &mut early);
        assert_eq!(dialler.step(&mut early, &mut out).unwrap_err(), HandshakeError::OutOfTurn);
        let (version, nonce, share) = (PROTOCOL_VERSION, [0; 16], [0; 32]);
        let empty = Greeting::Hello { version, hello: hello(), terms: Terms::default(), nonce, share };
        put(&empty, &mut early);
        assert_eq!(listen(b"k").step(&mut early, &mut out).unwrap_err(), HandshakeError::Malformed);
    }
}
