//! The simulated world: time, messages, connections, faults, and what must hold at the end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use bytes::Bytes;

use super::engine::{PeerEngine, SimPacket, Translator};
use super::store::SimStore;
use crate::control::{HandoverPhase, HandoverRequest, Role};
use crate::handover::engine::Engine;
use crate::handover::node::{Action, ConnId, DialKey, Event, Node, StartMode};
use crate::handover::state_frame::StateFrame;
use crate::link::handshake::{Hello, PROTOCOL_VERSION};
use crate::manifest::{EdgeSpec, FunctionRef, LinkSpec, Manifest, OnUnavailable, StoreSpec};
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
    moves: u32,
}

fn link(peer: &str, edge: u16) -> LinkSpec {
    LinkSpec { peer: peer.into(), edges: vec![EdgeSpec { id: edge, annotations: 0 }], in_cycle: true }
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
        store: StoreSpec { url: String::new(), on_unavailable: OnUnavailable::FailOpen },
    }
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let mut world = Self {
            seed,
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
            moves: 0,
        };
        let a = manifest("a", vec![link("nat", 4)], vec![link("nat", 1)]);
        let b = manifest("b", vec![link("nat", 2)], vec![link("nat", 3)]);
        world.add(&a, "a-0", AnyEngine::Peer(PeerEngine::new(1)), StartMode::Claim { expected: 0 });
        world.add(&b, "b-0", AnyEngine::Peer(PeerEngine::new(3)), StartMode::Claim { expected: 0 });
        world.add_nat("nat-0", StartMode::Claim { expected: 0 });
        world.run_until(|world| world.sides.iter().all(|side| side.node.role() == Role::Owner));
        world.run_for(50 * MS);
        world
    }

    fn add_nat(&mut self, owner: &str, start: StartMode) -> usize {
        let nat = manifest("nat", vec![link("a", 1), link("b", 3)], vec![link("b", 2), link("a", 4)]);
        self.add(&nat, owner, AnyEngine::Nat(Translator::default()), start)
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
            let until = self.sides[side].frozen_until;
            return self.later(until, side, happening);
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
            Action::Dial { key, address, to, epoch, purpose } => {
                let time = self.now + self.delay();
                let listener = self.sides.iter().position(|side| side.alive && side.address == address);
                let Some(listener) = listener else {
                    return self.later(time, at, Happening::Tell(Event::DialFailed { key }));
                };
                let (mine, theirs) = (self.new_end(at, Some(key)), self.new_end(listener, None));
                self.join(mine, theirs);
                self.dials.insert(theirs, (at, key, mine));
                let owner = self.sides[at].address.trim_end_matches(":1").to_string();
                let hello = Hello {
                    version: PROTOCOL_VERSION,
                    function: "uid".into(),
                    graph: "hash".into(),
                    from: self.sides[at].shard.clone(),
                    to,
                    owner,
                    epoch,
                    purpose,
                    nonce: [0; 16],
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
                if let Some(other) = self.ends.get(&conn).map(|end| end.other) {
                    self.transmit(conn, Event::Frame { conn: other, frame });
                }
            }
            Action::Close { conn, .. } => {
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
            Action::Note(text) => {
                if std::env::var("ANF_SIM_SEED").is_ok() {
                    println!("{:9.3} ms {}: {text}", self.now as f64 / 1e6, self.sides[at].address);
                }
            }
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

    fn break_connection(&mut self, conn: ConnId) {
        let Some(end) = self.ends.remove(&conn) else { return };
        let other = end.other;
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
        ends.into_iter().for_each(|conn| self.break_connection(conn));
    }

    // ---- the store ------------------------------------------------------------------------------------------

    fn set_store_down(&mut self, down: bool) {
        self.store.down = down;
        (0..self.sides.len()).filter(|_| !down).for_each(|at| self.pump_after(at, MS));
    }

    fn pump_after(&mut self, at: usize, delay: u64) {
        if !std::mem::replace(&mut self.sides[at].pumping, true) {
            self.later(self.now + delay, at, Happening::PumpStore);
        }
    }

    fn pump_store(&mut self, at: usize) {
        self.sides[at].pumping = false;
        if !self.store.down && std::mem::take(&mut self.sides[at].told_down) {
            self.answer(at, StoreEvent::Up { fresh: false });
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

    // ---- handovers and faults -------------------------------------------------------------------------------

    /// One handover to a new target; whether it went through.
    pub(super) fn hand_over(&mut self) -> bool {
        self.moves += 1;
        let name = format!("nat-{}", self.moves);
        let target = self.add_nat(&name, StartMode::Standby);
        self.run_until(|world| world.sides[target].node.role() == Role::Standby);
        let source = self.owner;
        let request = HandoverRequest {
            id: name.clone(),
            target_owner_id: name.clone(),
            target_link_addr: format!("{name}:1"),
            target_node: "n".into(),
            expected_epoch: self.sides[source].node.epoch(),
            max_downtime_ms: 50,
            deadline_ms: 2_000,
            watch_ms: 20,
        };
        let Side { node, engine, .. } = &mut self.sides[source];
        if node.request_handover(request, self.now, engine.as_engine()).is_err() {
            self.kill(target);
            return self.after_move(false);
        }
        self.work(source);
        let fault_at = self.now + self.random.below(60 * MS);
        let end = self.now + 20_000 * MS;
        let mut next_fault = fault_at;
        let phase = |world: &Self| world.sides[source].node.handover(Some(&name)).map(|status| status.phase);
        loop {
            let (at_source, at_target) = (phase(self), self.sides[target].node.role());
            if at_source == Some(HandoverPhase::Aborted) {
                self.check_aborted(source);
                self.kill(target);
                break self.after_move(false);
            }
            if at_target == Role::Owner && at_source >= Some(HandoverPhase::Sealed) {
                self.owner = target;
                let overlap = self.random.below(60 * MS);
                self.run_for(overlap);
                self.kill(source);
                break self.after_move(true);
            }
            if self.now >= next_fault {
                next_fault = self.now + 1 + self.random.below(40 * MS);
                self.fault(source, target, &name);
            }
            assert!(
                self.now < end,
                "seed {}: I12: a handover does not end: {at_source:?}, target {at_target}",
                self.seed
            );
            self.step();
        }
    }

    fn after_move(&mut self, moved: bool) -> bool {
        self.set_store_down(false);
        self.run_for(40 * MS);
        moved
    }

    fn fault(&mut self, source: usize, target: usize, id: &str) {
        let faults = self.faults;
        let before_seal = self.sides[source].node.is_serving();
        match self.random.below(5) {
            0 if faults.call_off => {
                let Side { node, engine, .. } = &mut self.sides[source];
                let _ = node.abort_handover(id, self.now, engine.as_engine());
                self.work(source);
            }
            1 if faults.kill_target && before_seal => self.kill(target),
            2 if faults.break_connections => {
                let mut conns: Vec<ConnId> = self.ends.keys().copied().collect();
                conns.sort_unstable();
                if !conns.is_empty() {
                    let conn = conns[self.random.below(conns.len() as u64) as usize];
                    self.break_connection(conn);
                }
            }
            3 if faults.store_outages => self.set_store_down(!self.store.down),
            4 if faults.frozen => {
                let at = self.random.below(self.sides.len() as u64) as usize;
                self.sides[at].frozen_until = self.now + self.random.below(30 * MS);
            }
            _ => {}
        }
    }

    // ---- what must hold -------------------------------------------------------------------------------------

    fn check_aborted(&self, source: usize) {
        let node = &self.sides[source].node;
        assert!(node.is_serving(), "seed {}: I11: the source does not serve after an abort", self.seed);
    }

    /// I6: no output of a strict change arrives before its record is stored (unless the store is away: fail-open).
    fn check_released(&mut self, at: usize) {
        if at > 1 || self.faults.store_outages {
            return;
        }
        let AnyEngine::Peer(peer) = &self.sides[at].engine else { return };
        for packet in &peer.received[self.checked[at]..] {
            let known = self.stored_bindings.contains(&(packet.flow, packet.binding));
            assert!(known, "seed {}: I6: {packet:?} arrived before its binding was stored", self.seed);
        }
        self.checked[at] = peer.received.len();
    }

    pub(super) fn settle(&mut self) {
        self.emitting = false;
        self.set_store_down(false);
        self.sides.iter_mut().for_each(|side| side.frozen_until = 0);
        let end = self.now + 8_000 * MS;
        while self.now < end && !self.all_arrived() {
            self.step();
        }
        // What comes twice would come now.
        self.run_for(30 * MS);
    }

    fn all_arrived(&self) -> bool {
        let count = |at: usize| match &self.sides[at].engine {
            AnyEngine::Peer(peer) => (peer.sent, peer.received.len() as u64),
            AnyEngine::Nat(_) => (0, 0),
        };
        let (a, b) = (count(0), count(1));
        b.1 >= a.0 && a.1 >= b.0
    }

    /// I3, I4, I5, I8, I9 over the whole run.
    pub(super) fn check(&self) {
        let seed = self.seed;
        let peers: Vec<&PeerEngine> = self.sides[..2]
            .iter()
            .filter_map(|side| if let AnyEngine::Peer(peer) = &side.engine { Some(peer) } else { None })
            .collect();
        let mut bindings: BTreeMap<u16, u64> = BTreeMap::new();
        for (from, to) in [(0, 1), (1, 0)] {
            let numbers: Vec<u64> = peers[to].received.iter().map(|packet| packet.number).collect();
            let expected: Vec<u64> = (0..peers[from].sent).collect();
            let differs = numbers.iter().zip(&expected).position(|(got, wanted)| got != wanted);
            let lens = (numbers.len(), expected.len());
            assert!(
                numbers == expected,
                "seed {seed}: I3-I5: packets {lens:?} differ at {differs:?} on the way to {to}"
            );
            for SimPacket { flow, binding, .. } in &peers[to].received {
                let known = *bindings.entry(*flow).or_insert(*binding);
                assert_eq!(known, *binding, "seed {seed}: flow {flow} changed its binding");
            }
        }
        let distinct: BTreeSet<u64> = bindings.values().copied().collect();
        assert_eq!(distinct.len(), bindings.len(), "seed {seed}: I8: one binding for two flows");
        let AnyEngine::Nat(nat) = &self.sides[self.owner].engine else {
            panic!("the owner is no translator")
        };
        let all = peers[0].sent + peers[1].sent;
        assert_eq!(nat.total, all, "seed {seed}: I9: the counter differs from the packets sent");
        assert_eq!(
            nat.bindings.values().map(|(_, count)| count).sum::<u64>(),
            all,
            "seed {seed}: I9: flow counters"
        );
    }
}

fn bindings_of(frame: &Bytes) -> Vec<(u16, u64)> {
    let Ok(frame) = StateFrame::decode(frame) else { return Vec::new() };
    let mut scratch = Translator::default();
    let _ = scratch.apply_changes(&mut Reader::new(&frame.changes));
    scratch.bindings.into_iter().map(|(flow, (binding, _))| (flow, binding)).collect()
}
