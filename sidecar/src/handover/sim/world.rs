//! The simulated world: time, messages, connections, faults, and what must hold at the end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use bytes::Bytes;

mod checks;
mod faults;

use super::engine::{PeerEngine, SimPacket, Translator};
use super::store::SimStore;
use crate::control::{HandoverPhase, HandoverRequest, Role};
use crate::handover::engine::Engine;
use crate::handover::node::{Action, ConnId, DialKey, Event, Node, StartMode};
use crate::handover::state_frame::StateFrame;
use crate::link::frame::Frame;
use crate::link::handshake::Hello;
use crate::manifest::{EdgeSpec, FunctionRef, LinkPolicy, LinkSpec, Manifest, OnUnavailable, StoreSpec};
use crate::state::Reader;
use crate::store::{OwnerEntry, StoreCommand, StoreEvent};

const MS: u64 = 1_000_000;

/// Which faults happen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) call_off: bool,
    pub(super) kill_target: bool,
    pub(super) break_connections: bool,
    pub(super) slow: bool,
    pub(super) store_outages: bool,
    pub(super) frozen: bool,
    /// Not a fault: a second translator between `nat` and `b`.
    pub(super) chain: bool,
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

enum AnyEngine {
    Nat(Translator),
    Peer(PeerEngine),
}

impl AnyEngine {
    fn as_engine(&mut self) -> &mut dyn Engine {
        match self {
            Self::Nat(engine) => engine,
            Self::Peer(engine) => engine,
        }
    }
}

struct Side {
    node: Node,
    engine: AnyEngine,
    shard: String,
    address: String,
    alive: bool,
    frozen_until: u64,
    wake_at: u64,
    commands: VecDeque<StoreCommand>,
    told_down: bool,
    pumping: bool,
    follow: Option<(u64, Option<u64>)>,
    seen_epoch: u64,
}

enum Happening {
    Wake,
    Tell(Event),
    PumpStore,
    /// Of the call with this session.
    FollowStep(u64),
}

struct End {
    side: usize,
    other: ConnId,
    /// Of a dialler that has no answer yet.
    dialing: Option<DialKey>,
    /// Nothing sent later may arrive before this.
    free_at: u64,
}

pub(super) struct World {
    seed: u64,
    faults: Faults,
    now: u64,
    random: Random,
    sides: Vec<Side>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: HashMap<u64, (usize, Happening)>,
    sequence: u64,
    ends: HashMap<ConnId, End>,
    dials: HashMap<ConnId, (usize, DialKey, ConnId)>,
    store: SimStore,
    stored_bindings: BTreeSet<(u16, u64)>,
    checked: [usize; 2],
    next_emit: u64,
    emitting: bool,
    owner: usize,
    mid: Option<usize>,
    moves: u32,
    steps: u64,
    /// Whether the store has lost what it had: what it stores is then not all that was released.
    store_lost: bool,
    /// Whether one seed is replayed, with its story.
    traced: bool,
}

fn link(peer: &str, edges: &[u16]) -> LinkSpec {
    let edges = edges.iter().map(|id| EdgeSpec { id: *id, annotations: 0 }).collect();
    LinkSpec { peer: peer.into(), edges, in_cycle: true }
}

fn manifest(name: &str, ins: Vec<LinkSpec>, outs: Vec<LinkSpec>) -> Manifest {
    Manifest {
        function: FunctionRef { namespace: "sim".into(), name: "f".into(), uid: "uid".into() },
        sub_function: name.into(),
        graph_hash: "hash".into(),
        click: String::new(),
        ports: Vec::new(),
        in_links: ins,
        out_links: outs,
        links: LinkPolicy::default(),
        store: StoreSpec { url: String::new(), on_unavailable: OnUnavailable::FailOpen },
    }
}

/// `a` leads to `b` by two edges that `nat` joins. `mid` stands between `nat` and `b`, if it is there.
fn nat_manifest(chain: bool) -> Manifest {
    let (beyond, back) = if chain { ("mid", 6) } else { ("b", 3) };
    let ins = vec![link("a", &[1, 11]), link(beyond, &[back])];
    manifest("nat", ins, vec![link(beyond, &[2]), link("a", &[back + 1])])
}

fn mid_manifest() -> Manifest {
    manifest("mid", vec![link("nat", &[2]), link("b", &[5])], vec![link("b", &[3]), link("nat", &[6])])
}

/// Bindings of `mid` count in other places than those of `nat`.
const MID_BINDINGS: u64 = 1 << 32;

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let mut world = Self {
            seed,
            store_lost: false,
            traced: std::env::var("ANF_SIM_SEED").is_ok(),
            faults,
            now: 1_000 * MS,
            random: Random(seed),
            sides: Vec::new(),
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            sequence: 0,
            ends: HashMap::new(),
            dials: HashMap::new(),
            store: SimStore::default(),
            stored_bindings: BTreeSet::new(),
            checked: [0; 2],
            next_emit: 0,
            emitting: true,
            owner: 2,
            mid: None,
            moves: 0,
            steps: 0,
        };
        let (neighbour, to_b, from_b, to_a) = if faults.chain { ("mid", 3, 5, 7) } else { ("nat", 2, 3, 4) };
        let a = manifest("a", vec![link("nat", &[to_a])], vec![link("nat", &[1, 11])]);
        let b = manifest("b", vec![link(neighbour, &[to_b])], vec![link(neighbour, &[from_b])]);
        world.add(&a, "a-0", AnyEngine::Peer(PeerEngine::new(&[1, 11])), StartMode::Claim { expected: 0 });
        world.add(&b, "b-0", AnyEngine::Peer(PeerEngine::new(&[from_b])), StartMode::Claim { expected: 0 });
        world.add_nat("nat-0", StartMode::Claim { expected: 0 });
        if faults.chain {
            world.mid = Some(world.add_mid("mid-0", StartMode::Claim { expected: 0 }));
        }
        world.run_until(|world| world.sides.iter().all(|side| side.node.role() == Role::Owner));
        world.run_for(50 * MS);
        world
    }

    fn add_nat(&mut self, owner: &str, start: StartMode) -> usize {
        let manifest = nat_manifest(self.faults.chain);
        self.add(&manifest, owner, AnyEngine::Nat(Translator::new(1)), start)
    }

    fn add_mid(&mut self, owner: &str, start: StartMode) -> usize {
        let engine = Translator::new(MID_BINDINGS);
        self.add(&mid_manifest(), owner, AnyEngine::Nat(engine), start)
    }

    /// The container of a dead translator starts again, with the name that it had.
    fn restart_nat(&mut self, at: usize) {
        let address = self.sides[at].address.clone();
        let entry = OwnerEntry { owner: address.trim_end_matches(":1").into(), address, node: "n".into() };
        let mut node = Node::new(&nat_manifest(self.faults.chain), entry, StartMode::Standby);
        node.begin(self.now);
        let side = &mut self.sides[at];
        side.node = node;
        side.engine = AnyEngine::Nat(Translator::new(1));
        (side.alive, side.pumping, side.follow, side.wake_at, side.seen_epoch) =
            (true, false, None, u64::MAX, 0);
        side.commands.clear();
        self.work(at);
    }

    fn add(&mut self, manifest: &Manifest, owner: &str, engine: AnyEngine, start: StartMode) -> usize {
        let entry = OwnerEntry { owner: owner.into(), address: format!("{owner}:1"), node: "n".into() };
        let mut node = Node::new(manifest, entry, start);
        node.begin(self.now);
        self.sides.push(Side {
            node,
            engine,
            shard: manifest.sub_function.clone(),
            address: format!("{owner}:1"),
            alive: true,
            frozen_until: 0,
            wake_at: u64::MAX,
            commands: VecDeque::new(),
            told_down: false,
            pumping: false,
            follow: None,
            seen_epoch: 0,
        });
        let at = self.sides.len() - 1;
        self.work(at);
        at
    }

    // ---- time -----------------------------------------------------------------------------------------------

    fn later(&mut self, at: u64, side: usize, happening: Happening) {
        self.sequence += 1;
        self.happenings.insert(self.sequence, (side, happening));
        self.queue.push(Reverse((at, self.sequence)));
    }

    fn delay(&mut self) -> u64 {
        let usual = 20_000 + self.random.below(80_000);
        if self.faults.slow && self.random.below(50) == 0 {
            usual + self.random.below(20 * MS)
        } else {
            usual
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        let Some(&Reverse((at, sequence))) = self.queue.peek() else {
            self.now += MS;
            return self.emit();
        };
        if self.emitting && self.next_emit < at {
            self.now = self.next_emit.max(self.now);
            return self.emit();
        }
        self.queue.pop();
        self.now = self.now.max(at);
        let Some((side, happening)) = self.happenings.remove(&sequence) else { return };
        if !self.sides[side].alive {
            return;
        }
        if self.sides[side].frozen_until > self.now && !matches!(happening, Happening::PumpStore) {
            // Under its own number: what waits together, perhaps through several freezes, stays in the order it came in.
            self.happenings.insert(sequence, (side, happening));
            return self.queue.push(Reverse((self.sides[side].frozen_until, sequence)));
        }
        match happening {
            Happening::Wake if self.sides[side].wake_at > self.now => {}
            Happening::Wake => {
                self.sides[side].wake_at = u64::MAX;
                self.work(side);
            }
            Happening::Tell(event) => {
                match &event {
                    Event::Connected { conn, .. } => {
                        self.ends.get_mut(conn).into_iter().for_each(|end| end.dialing = None)
                    }
                    Event::Closed { conn } => drop(self.ends.remove(conn)),
                    _ => {}
                }
                let Side { node, engine, .. } = &mut self.sides[side];
                node.handle(event, self.now, engine.as_engine());
                self.work(side);
            }
            Happening::PumpStore => self.pump_store(side),
            Happening::FollowStep(session) => self.follow_step(side, session),
        }
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let limit = self.now + 60_000 * MS;
        while !done(self) {
            self.step();
            assert!(self.now < limit, "seed {}: I12: nothing ends any more", self.seed);
        }
    }

    fn run_for(&mut self, time: u64) {
        let end = self.now + time;
        while self.now < end {
            if self.queue.is_empty() && !self.emitting {
                self.now = end;
            }
            self.step();
        }
    }

    /// Until what was sent is in the log of whoever has it: a crash is then one failure, not two.
    pub(super) fn quieten(&mut self) {
        self.run_for(200 * MS);
    }

    fn emit(&mut self) {
        self.next_emit = self.now + MS / 2 + self.random.below(MS);
        for side in 0..2 {
            let packets = self.random.below(4);
            for _ in 0..packets {
                let flow = self.random.below(40) as u16;
                if let AnyEngine::Peer(peer) = &mut self.sides[side].engine {
                    peer.emit(flow);
                }
            }
            if self.sides[side].frozen_until <= self.now {
                self.work(side);
            }
        }
    }

    // ---- one side -------------------------------------------------------------------------------------------

    fn work(&mut self, at: usize) {
        let now = self.now;
        let Side { node, engine, .. } = &mut self.sides[at];
        node.round(now, engine.as_engine());
        let actions: Vec<Action> = node.take_actions().collect();
        let epoch = node.epoch();
        let deadline = node.deadline(engine.as_engine()).max(now + 100_000);
        assert!(epoch >= self.sides[at].seen_epoch, "seed {}: I2: an epoch went back", self.seed);
        self.sides[at].seen_epoch = epoch;
        for action in actions {
            self.act(at, action);
        }
        if deadline < self.sides[at].wake_at {
            self.sides[at].wake_at = deadline;
            self.later(deadline, at, Happening::Wake);
        }
        self.check_released(at);
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Dial { key, destination, to, epoch, purpose } => {
                let address = destination.address;
                let time = self.now + self.delay();
                let listener = self.sides.iter().position(|side| side.alive && side.address == address);
                let Some(listener) = listener else {
                    return self.later(time, at, Happening::Tell(Event::DialFailed { key }));
                };
                let (mine, theirs) = (self.new_end(at, Some(key)), self.new_end(listener, None));
                self.trace(at, || {
                    format!("dials {to} at {address} as {purpose:?}: {mine}, the other end is {theirs}")
                });
                self.join(mine, theirs);
                self.dials.insert(theirs, (at, key, mine));
                let owner = self.sides[at].address.trim_end_matches(":1").to_string();
                let hello = Hello {
                    function: "uid".into(),
                    graph: "hash".into(),
                    from: self.sides[at].shard.clone(),
                    to,
                    owner,
                    epoch,
                    purpose,
                };
                self.later(time, listener, Happening::Tell(Event::Accepted { conn: theirs, hello }));
            }
            Action::Welcome { conn, welcome } => {
                if let Some((_, key, mine)) = self.dials.remove(&conn) {
                    self.transmit(conn, Event::Connected { conn: mine, key, welcome });
                }
            }
            Action::Refuse { conn, .. } => {
                if let Some((_, key, _)) = self.dials.remove(&conn) {
                    self.transmit(conn, Event::DialFailed { key });
                }
                self.ends.remove(&conn);
            }
            Action::Send { conn, frame } => {
                if matches!(frame, Frame::Control(_) | Frame::Marker(_)) {
                    self.trace(at, || format!("sends on {conn}: {frame:?}"));
                }
                if let Some(other) = self.ends.get(&conn).map(|end| end.other) {
                    self.transmit(conn, Event::Frame { conn: other, frame });
                }
            }
            Action::Close { conn, reason } => {
                self.trace(at, || format!("closes {conn}: {reason}"));
                if let Some(other) = self.ends.get(&conn).map(|end| end.other) {
                    self.transmit(conn, Event::Closed { conn: other });
                    self.ends.remove(&conn);
                }
            }
            Action::Store(StoreCommand::Follow { session }) => {
                self.sides[at].follow = Some((session, None));
                self.later(self.now + 200_000, at, Happening::FollowStep(session));
            }
            Action::Store(StoreCommand::Unfollow) => self.sides[at].follow = None,
            Action::Store(command) => {
                self.sides[at].commands.push_back(command);
                let delay = self.delay();
                self.pump_after(at, delay);
            }
            Action::Note(text) => self.trace(at, || text),
        }
    }

    fn new_end(&mut self, side: usize, dialing: Option<DialKey>) -> ConnId {
        self.sequence += 1;
        self.ends.insert(self.sequence, End { side, other: 0, dialing, free_at: 0 });
        self.sequence
    }

    fn join(&mut self, one: ConnId, two: ConnId) {
        for (end, other) in [(one, two), (two, one)] {
            if let Some(end) = self.ends.get_mut(&end) {
                end.other = other;
            }
        }
    }

    /// Delivers an event at the other end of `conn`, in order.
    fn transmit(&mut self, conn: ConnId, event: Event) {
        let time = self.now + self.delay();
        let Some(end) = self.ends.get_mut(&conn) else { return };
        end.free_at = end.free_at.max(time);
        let (time, other) = (end.free_at, end.other);
        if let Some(side) = self.ends.get(&other).map(|end| end.side) {
            self.later(time, side, Happening::Tell(event));
        }
    }

    /// Printed when one seed is replayed.
    fn trace(&self, at: usize, text: impl FnOnce() -> String) {
        if self.traced {
            println!("{:9.3} ms {}: {}", self.now as f64 / 1e6, self.sides[at].address, text());
        }
    }

    fn break_connection(&mut self, conn: ConnId) {
        let Some(end) = self.ends.remove(&conn) else { return };
        let other = end.other;
        self.trace(end.side, || format!("loses {conn}, the other end is {other}"));
        let there = self.ends.remove(&other);
        // Whatever was under way on it is gone.
        self.happenings.retain(|_, (_, happening)| match happening {
            Happening::Tell(
                Event::Frame { conn: at, .. }
                | Event::Accepted { conn: at, .. }
                | Event::Connected { conn: at, .. },
            ) => *at != conn && *at != other,
            _ => true,
        });
        for (conn, end) in [(conn, Some(end)), (other, there)] {
            self.dials.remove(&conn);
            let Some(End { side, dialing, .. }) = end else { continue };
            let event = dialing.map_or(Event::Closed { conn }, |key| Event::DialFailed { key });
            self.later(self.now, side, Happening::Tell(event));
        }
    }

    fn kill(&mut self, at: usize) {
        self.sides[at].alive = false;
        let mut ends: Vec<ConnId> =
            self.ends.iter().filter(|(_, end)| end.side == at).map(|(conn, _)| *conn).collect();
        ends.sort_unstable();
        for conn in ends {
            let other = self.ends.get(&conn).map_or(0, |end| end.other);
            let is_up = self.ends.get(&other).is_some_and(|end| end.dialing.is_none());
            if is_up && self.random.below(2) == 0 {
                // What it had sent arrives, and then the end of the connection.
                self.transmit(conn, Event::Closed { conn: other });
                self.ends.remove(&conn);
            } else {
                self.break_connection(conn);
            }
        }
        let shard = self.sides[at].shard.clone();
        if let Some(command) = self.sides[at].commands.pop_front().filter(|_| !self.store.down)
            && self.random.below(2) == 0
        {
            // What it had asked of the store is done, and nobody hears of it.
            self.note_stored(&shard, &command);
            self.store.execute(&shard, &command);
        }
        self.happenings.retain(|_, (side, _)| *side != at);
    }

    // ---- the store ------------------------------------------------------------------------------------------

    fn set_store_down(&mut self, down: bool) {
        self.store.down = down;
        (0..self.sides.len()).filter(|_| !down).for_each(|at| self.pump_after(at, MS));
    }

    /// The store goes away, with new flows waiting for it, and comes back without anything.
    pub(super) fn lose_store(&mut self) {
        self.store_lost = true;
        self.set_store_down(true);
        self.run_for(20 * MS);
        self.store.shards.clear();
        // Whoever writes nothing finds out by its ping.
        self.sides.iter_mut().for_each(|side| side.told_down = true);
        self.set_store_down(false);
        self.run_for(100 * MS);
    }

    /// The store loses everything at once, without going away, while new flows wait for it.
    pub(super) fn empty_store(&mut self) {
        self.store_lost = true;
        self.run_for(300 * MS);
        for (side, flow) in [(0, 1_000), (1, 2_000)] {
            if let AnyEngine::Peer(peer) = &mut self.sides[side].engine {
                peer.emit(flow);
            }
            self.work(side);
        }
        self.store.shards.clear();
        self.run_for(100 * MS);
    }

    fn pump_after(&mut self, at: usize, delay: u64) {
        if !std::mem::replace(&mut self.sides[at].pumping, true) {
            self.later(self.now + delay, at, Happening::PumpStore);
        }
    }

    fn pump_store(&mut self, at: usize) {
        self.sides[at].pumping = false;
        if !self.store.down && std::mem::take(&mut self.sides[at].told_down) {
            let fresh = !self.store.shards.contains_key(&self.sides[at].shard);
            self.answer(at, StoreEvent::Up { fresh });
        }
        let Some(command) = self.sides[at].commands.front().cloned() else { return };
        if self.store.down {
            if !std::mem::replace(&mut self.sides[at].told_down, true) {
                self.answer(at, StoreEvent::Down { reason: "simulated".into() });
            }
            match command {
                StoreCommand::Append { .. } => return self.pump_after(at, 10 * MS),
                StoreCommand::Seal { .. } => {
                    self.answer(at, StoreEvent::SealNotSent { reason: "simulated".into() })
                }
                _ => {}
            }
            self.sides[at].commands.pop_front();
            return self.pump_after(at, 1);
        }
        let shard = self.sides[at].shard.clone();
        self.note_stored(&shard, &command);
        let events = self.store.execute(&shard, &command);
        if self.faults.store_outages
            && matches!(command, StoreCommand::Append { .. })
            && self.random.below(20) == 0
        {
            // The answer is lost: the writer repeats the command.
            return self.pump_after(at, 5 * MS);
        }
        self.sides[at].commands.pop_front();
        events.into_iter().for_each(|event| self.answer(at, event));
        self.pump_after(at, 1);
    }

    fn answer(&mut self, at: usize, event: StoreEvent) {
        let time = self.now + 30_000;
        self.later(time, at, Happening::Tell(Event::Store(event)));
    }

    fn note_stored(&mut self, shard: &str, command: &StoreCommand) {
        if let (StoreCommand::Append { frame, .. } | StoreCommand::Seal { frame, .. }, "nat") =
            (command, shard)
        {
            let bindings = bindings_of(frame);
            self.stored_bindings.extend(bindings);
        }
    }

    fn follow_step(&mut self, at: usize, session: u64) {
        let Some((_, mut next)) = self.sides[at].follow.filter(|(present, _)| *present == session) else {
            return;
        };
        if !self.store.down {
            let events = self.store.follow(&self.sides[at].shard.clone(), session, &mut next);
            events.into_iter().for_each(|event| self.answer(at, event));
            self.sides[at].follow = Some((session, next));
        }
        self.later(self.now + 5 * MS, at, Happening::FollowStep(session));
    }
}

fn bindings_of(frame: &Bytes) -> Vec<(u16, u64)> {
    let Ok(frame) = StateFrame::decode(frame) else { return Vec::new() };
    let mut scratch = Translator::default();
    let _ = scratch.apply_changes(&mut Reader::new(&frame.changes));
    scratch.bindings.into_iter().map(|(flow, (binding, _))| (flow, binding)).collect()
}
