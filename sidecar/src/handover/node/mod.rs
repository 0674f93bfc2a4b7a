//! One sidecar, without its sockets: the owner (or standby) of a sub-function and its part in handovers.
//!
//! `state.rs` keeps ownership and the log, `links.rs` the connections and the packets, `moves.rs` the handovers,
//! `takeover.rs` the start after a crash.
//! Always: packets are processed only by an owner that is not frozen, and every output of a strict change waits for
//! its frame.

mod links;
mod moves;
mod state;
mod takeover;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::control::{Carrier, Direction, HandoverRequest, HandoverStatus, LinkStatus, Refusal, Role};
use crate::link::frame::Frame;
use crate::link::handshake::{Hello, Purpose, Welcome};
use crate::manifest::{Manifest, OnUnavailable};
use crate::store::{OwnerEntry, StoreCommand, StoreEvent};

pub use super::dialer::{ConnId, Destination};
use super::downstream::InLink;
use super::engine::Engine;
use super::journal::{Journal, Length};
use super::loader::Loader;
use super::source::Source;
use super::state_frame::StateFrame;
use super::target::Target;
use super::upstream::OutLink;

/// Handovers remembered after their end.
const HISTORY: usize = 16;

/// Packets of each edge, by its number.
pub type PacketCounts = Vec<(u16, u64)>;

/// How a sidecar begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMode {
    /// Claim the next epoch unless the directory is past this one (0: nobody owned yet).
    Claim {
        /// The last epoch that is known.
        expected: u64,
    },
    /// Wait for a handover.
    Standby,
}

/// Which connection is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DialKey {
    /// To the owner at the other end of out-link *j*.
    Owner(usize),
    /// To the target of that peer's handover.
    Target(usize),
    /// To the target of our own handover.
    Handover,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A dialler proved who it is.
    Accepted {
        /// The connection.
        conn: ConnId,
        /// Its introduction.
        hello: Hello,
    },
    /// Our dial succeeded.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Which one it is.
        key: DialKey,
        /// The peer's answer.
        welcome: Welcome,
    },
    /// Our dial did not succeed.
    DialFailed {
        /// Which one it was.
        key: DialKey,
    },
    /// A connection is gone.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// A frame came in.
    Frame {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// The store says something.
    Store(StoreEvent),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect and introduce ourselves.
    Dial {
        /// Which connection it will be.
        key: DialKey,
        /// Where to.
        destination: Destination,
        /// The sub-function there.
        to: String,
        /// The epoch to say.
        epoch: u64,
        /// What for.
        purpose: Purpose,
    },
    /// Answer a dialler.
    Welcome {
        /// The connection.
        conn: ConnId,
        /// The answer.
        welcome: Welcome,
    },
    /// Send a dialler away.
    Refuse {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: String,
    },
    /// Send a frame.
    Send {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// Close a connection.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why, for the log.
        reason: String,
    },
    /// Ask the store.
    Store(StoreCommand),
    /// For the log.
    Note(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnUse {
    In(usize),
    OutOwner(usize),
    OutTarget(usize),
    HandoverTo,
    HandoverFrom,
}

#[derive(Debug)]
struct Conn {
    used_for: ConnUse,
    last_sent: u64,
    last_heard: u64,
    /// Bytes of packets that it takes before it says anew what it takes.
    room: usize,
}

impl Conn {
    fn new(used_for: ConnUse, now: u64) -> Self {
        Self { used_for, last_sent: now, last_heard: now, room: usize::MAX }
    }
}

/// One sidecar. See the module's head.
#[derive(Debug)]
pub struct Node {
    name: String,
    graph: String,
    me: OwnerEntry,
    fail_open: bool,
    role: Role,
    epoch: u64,
    start: StartMode,
    retry_start_at: u64,
    ins: Vec<InLink>,
    outs: Vec<OutLink>,
    conns: BTreeMap<ConnId, Conn>,
    journal: Journal,
    loader: Option<Loader>,
    takeover: Option<takeover::Takeover>,
    /// The small state in the last cut.
    small_state: Option<Bytes>,
    /// What the engine does now comes from this: an in-edge by its place among all, or, behind them, the engine itself.
    cause: usize,
    /// Whether packets may be made again that downstreams have.
    repeating: bool,
    follow_session: u64,
    source: Option<Source>,
    target: Option<Target>,
    history: VecDeque<HandoverStatus>,
    /// Set from the moment that the final frame is made: nothing is processed any more.
    frozen: bool,
    /// The final frame while it is not known to be stored.
    unsettled: Option<StateFrame>,
    not_ready: Option<String>,
    store_reason: Option<String>,
    packets_in: u64,
    strays: u64,
    next_probe: u64,
    next_ack: u64,
    actions: Vec<Action>,
}

impl Node {
    /// A sidecar for the sub-function of `manifest` that has not begun.
    pub fn new(manifest: &Manifest, me: OwnerEntry, start: StartMode) -> Self {
        let causes = manifest.in_links.iter().map(|link| link.edges.len()).sum::<usize>() + 1;
        Self {
            name: manifest.sub_function.clone(),
            graph: manifest.graph_hash.clone(),
            me,
            fail_open: manifest.store.on_unavailable == OnUnavailable::FailOpen,
            role: Role::Starting,
            epoch: 0,
            start,
            retry_start_at: u64::MAX,
            ins: manifest.in_links.iter().map(InLink::new).collect(),
            outs: manifest.out_links.iter().map(|link| OutLink::new(link, causes)).collect(),
            conns: BTreeMap::new(),
            journal: Journal::new(0, Length::default()),
            loader: None,
            takeover: None,
            small_state: None,
            cause: 0,
            repeating: false,
            follow_session: 0,
            source: None,
            target: None,
            history: VecDeque::new(),
            frozen: false,
            unsettled: None,
            not_ready: Some("the state store has not answered yet".into()),
            store_reason: None,
            packets_in: 0,
            strays: 0,
            next_probe: 0,
            next_ack: 0,
            actions: Vec::new(),
        }
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: u64, engine: &mut dyn Engine) {
        match event {
            Event::Accepted { conn, hello } => self.accepted(conn, hello, now),
            Event::Connected { conn, key, welcome } => self.connected(conn, key, &welcome, now),
            Event::DialFailed { key } => self.dial_failed(key, now),
            Event::Closed { conn } => self.closed(conn, now),
            Event::Frame { conn, frame } => self.frame(conn, frame, now, engine),
            Event::Store(event) => self.store_event(event, now, engine),
        }
    }

    /// After a burst of events: run the engine, send what it made, flush what is due, do what a deadline asks.
    pub fn round(&mut self, now: u64, engine: &mut dyn Engine) {
        self.poll_start(now);
        self.poll_takeover(now, engine);
        if self.is_serving() {
            self.run_engine(now, engine);
            self.flush(now, engine);
            self.copy_snapshot(engine);
            self.acknowledge(now);
        }
        self.poll_moves(now, engine);
        self.poll_dialers(now);
        self.poll_watches(now);
        self.send_batches();
        self.heartbeat(now);
    }

    /// What is to be done, in order.
    pub fn take_actions(&mut self) -> std::vec::Drain<'_, Action> {
        self.actions.drain(..)
    }

    /// A connection takes that many bytes of packets now; what is more stays with the edges. Without a word of it a
    /// connection takes any number.
    pub fn set_room(&mut self, conn: ConnId, bytes: usize) {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.room = bytes;
        }
    }

    /// Sends what connections have room for again; whether there was something.
    pub fn send_more(&mut self) -> bool {
        let before = self.actions.len();
        self.send_batches();
        self.actions.len() > before
    }

    /// Whether packets are processed now.
    pub fn is_serving(&self) -> bool {
        self.role == Role::Owner && !self.frozen
    }

    /// Whether the sidecar should take no more packets in, because a peer does not keep up.
    pub fn must_wait(&self) -> bool {
        self.outs.iter().any(OutLink::must_wait)
    }

    /// When [`Node::round`] has something to do at the latest.
    pub fn deadline(&self, engine: &dyn Engine) -> u64 {
        let mut deadline = self.start_deadline().min(self.link_deadline()).min(self.move_deadline());
        if self.is_serving() {
            if !self.must_wait() {
                deadline = deadline.min(engine.next_timer());
            }
            if self.journal_has_work() {
                deadline = deadline.min(self.next_ack);
                if self.journal.can_cut(self.fail_open) && !self.journal.is_busy() {
                    deadline = deadline.min(self.journal.flush_deadline());
                }
            }
        }
        deadline
    }

    /// What it is now.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Why it is not ready, if it is not.
    pub fn not_ready(&self) -> Option<&str> {
        self.not_ready.as_deref()
    }

    /// Why the store is not reachable, if it is not.
    pub fn store_trouble(&self) -> Option<&str> {
        self.store_reason.as_deref()
    }

    /// Its log.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Packets taken in from links.
    pub fn packets_in(&self) -> u64 {
        self.packets_in
    }

    /// Packets that came to an owner of the past or a standby.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// How many packets were sent over each edge that begins here, and taken from each that ends here.
    pub fn packets_by_edge(&self) -> (PacketCounts, PacketCounts) {
        let outs = self.outs.iter().flat_map(|link| &link.edges);
        let ins = self.ins.iter().flat_map(|link| &link.edges);
        let sent = outs.map(|edge| (edge.id(), edge.next()));
        let taken = ins.map(|edge| (edge.id(), edge.next().unwrap_or(0)));
        (sent.collect(), taken.collect())
    }

    /// The links, for the control API. `carrier` tells what carries a connection.
    pub fn links(&self, carrier: impl Fn(ConnId) -> Carrier) -> Vec<LinkStatus> {
        let carrier = |conn: Option<ConnId>| conn.map_or(Carrier::default(), &carrier);
        let ins = self.ins.iter().map(|link| LinkStatus {
            peer: link.peer.clone(),
            direction: Direction::In,
            transport: carrier(link.owner_conn()).transport.to_string(),
            edges: link.edges.iter().map(|edge| edge.id()).collect(),
            connected: link.owner_conn().is_some(),
            packets: link.edges.iter().filter_map(|edge| edge.next()).sum(),
            lost: link.lost(),
            repeated: link.edges.iter().map(|edge| edge.known()).sum(),
            kept: 0,
            unread_bytes: carrier(link.owner_conn()).unread_bytes,
        });
        let outs = self.outs.iter().map(|link| LinkStatus {
            peer: link.peer.clone(),
            direction: Direction::Out,
            transport: carrier(link.route()).transport.to_string(),
            edges: link.edges.iter().map(|edge| edge.id()).collect(),
            connected: link.route().is_some(),
            packets: link.edges.iter().map(|edge| edge.next()).sum(),
            lost: link.dropped(),
            repeated: link.edges.iter().map(|edge| edge.resent()).sum(),
            kept: link.edges.iter().map(|edge| edge.kept()).sum(),
            unread_bytes: carrier(link.route()).unread_bytes,
        });
        ins.chain(outs).collect()
    }

    /// A handover by its id; without one, the present or the last.
    pub fn handover(&self, id: Option<&str>) -> Option<HandoverStatus> {
        let wanted = |found: &str| id.is_none_or(|id| id == found);
        let source = self.source.as_ref().filter(|source| wanted(source.id())).map(Source::status);
        let target = self.target.as_ref().filter(|target| wanted(target.id())).map(Target::status);
        source.or(target).or_else(|| self.history.iter().rev().find(|past| wanted(&past.id)).cloned())
    }

    /// The operator asks for a handover.
    pub fn request_handover(
        &mut self,
        request: HandoverRequest,
        now: u64,
        engine: &mut dyn Engine,
    ) -> Result<(), Refusal> {
        self.begin_handover(request, now, engine)
    }

    /// The operator calls a handover off.
    pub fn abort_handover(&mut self, id: &str, now: u64, engine: &mut dyn Engine) -> Result<(), Refusal> {
        self.call_off(id, now, engine)
    }

    fn note(&mut self, text: impl Into<String>) {
        self.actions.push(Action::Note(text.into()));
    }

    fn send(&mut self, conn: ConnId, frame: Frame, now: u64) {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.last_sent = now;
            self.actions.push(Action::Send { conn, frame });
        }
    }

    fn remember(&mut self, status: HandoverStatus) {
        self.history.retain(|past| past.id != status.id);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(status);
    }
}
