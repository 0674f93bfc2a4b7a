//! Connections and packets: dialling, accepting, taking batches in, sending batches out, acknowledgements, probes.

use bytes::BytesMut;

use crate::control::Role;
use crate::link::frame::{Ack, Control, Data, Frame, Probe};
use crate::link::handshake::{EdgePosition, Hello, Purpose, Welcome};
use crate::link::sender::OutEdge;
use crate::store::StoreCommand;

use super::super::dialer::Wish;
use super::super::downstream::{Peer, Verdict};
use super::super::engine::{Engine, OutputSink};
use super::super::upstream::{OutLink, Reunion};
use super::super::watch::PROBE_INTERVAL;
use super::{Action, Conn, ConnId, ConnUse, DialKey, Node};

/// An idle connection says something this often.
const HEARTBEAT_INTERVAL: u64 = 100_000_000;
/// A connection that is silent this long is broken.
const SILENCE: u64 = 2_000_000_000;
/// Acknowledge after this many packets, or after [`ACK_INTERVAL`].
const ACK_STEP: u64 = 256;
const ACK_INTERVAL: u64 = 2_000_000;

struct LinkSink<'a> {
    links: &'a mut [OutLink],
    /// Where the edge of the packet before is: mostly that of the next one, too.
    at: (usize, usize),
}

impl<'a> LinkSink<'a> {
    fn new(links: &'a mut [OutLink]) -> Self {
        Self { links, at: (0, 0) }
    }

    fn find(&self, edge: u16) -> Option<(usize, usize)> {
        let of_link = |link: &OutLink| link.edges.iter().position(|out| out.id() == edge);
        self.links.iter().enumerate().find_map(|(at, link)| Some((at, of_link(link)?)))
    }

    fn known(&mut self) -> Option<&mut OutEdge> {
        self.links.get_mut(self.at.0)?.edges.get_mut(self.at.1)
    }
}

impl OutputSink for LinkSink<'_> {
    fn open_packet(&mut self, edge: u16) -> Option<&mut BytesMut> {
        if self.known().is_none_or(|known| known.id() != edge) {
            self.at = self.find(edge)?;
        }
        self.known()?.open_packet()
    }
}

/// After a crash: packets that a downstream has are passed over.
struct RepeatingSink<'a>(&'a mut [OutLink]);

impl OutputSink for RepeatingSink<'_> {
    fn open_packet(&mut self, edge: u16) -> Option<&mut BytesMut> {
        out_edge(self.0, edge)?.open_packet_again()
    }
}

fn out_edge(links: &mut [OutLink], edge: u16) -> Option<&mut OutEdge> {
    links.iter_mut().flat_map(|link| &mut link.edges).find(|out| out.id() == edge)
}

impl Node {
    // ---- dialling -------------------------------------------------------------------------------------------

    /// Links out are wanted by an owner, also one that takes over, and by a target that prepares to be one.
    fn wants_links(&self) -> bool {
        self.role == Role::Owner
            || self.is_taking_over()
            || self.target.as_ref().is_some_and(|target| target.is_waiting())
    }

    pub(super) fn poll_dialers(&mut self, now: u64) {
        if self.wants_links() {
            for at in 0..self.outs.len() {
                if let Some(wish) = self.outs[at].owner.poll(now) {
                    self.grant(DialKey::Owner(at), wish);
                }
            }
        }
        for at in 0..self.outs.len() {
            let wish = self.outs[at].peer_move.as_mut().and_then(|known| known.target.poll(now));
            if let Some(wish) = wish {
                self.grant(DialKey::Target(at), wish);
            }
        }
        if let Some(wish) =
            self.source.as_mut().filter(|source| !source.phase().is_over()).and_then(|s| s.target.poll(now))
        {
            self.grant(DialKey::Handover, wish);
        }
    }

    fn grant(&mut self, key: DialKey, wish: Wish) {
        let (to, epoch, purpose) = match key {
            DialKey::Owner(at) | DialKey::Target(at) => {
                let waiting = self.target.as_ref().filter(|target| target.is_waiting());
                let (epoch, purpose) = match waiting {
                    Some(target) => (target.prepare.epoch, Purpose::Candidate),
                    None => (self.epoch, Purpose::Packets),
                };
                (self.outs[at].peer.clone(), epoch, purpose)
            }
            DialKey::Handover => (self.name.clone(), self.epoch, Purpose::Handover),
        };
        self.actions.push(match wish {
            Wish::Lookup => Action::Store(StoreCommand::Lookup { peer: to }),
            Wish::Dial(destination) => Action::Dial { key, destination, to, epoch, purpose },
        });
    }

    /// The directory answered.
    pub(super) fn directory(&mut self, peer: &str, ownership: Option<&crate::store::Ownership>, now: u64) {
        for at in 0..self.outs.len() {
            if self.outs[at].peer == peer
                && let Some(wish) = self.outs[at].owner.found(ownership, now)
            {
                self.grant(DialKey::Owner(at), wish);
            }
        }
    }

    pub(super) fn connected(&mut self, conn: ConnId, key: DialKey, welcome: &Welcome, now: u64) {
        let used_for = match key {
            DialKey::Owner(at) => ConnUse::OutOwner(at),
            DialKey::Target(at) => ConnUse::OutTarget(at),
            DialKey::Handover => ConnUse::HandoverTo,
        };
        self.conns.insert(conn, Conn::new(used_for, now));
        match key {
            DialKey::Owner(at) if self.is_taking_over() => {
                self.outs[at].owner.connected(conn);
                self.meet(at, welcome);
            }
            DialKey::Owner(at) => {
                let reunion = self.outs[at].owner_connected(conn, welcome);
                self.reunite(conn, at, reunion, now);
            }
            DialKey::Target(at) if self.outs[at].moves_to(&welcome.owner) => {
                self.outs[at].target_connected(conn, welcome);
                // It may own already, and have said so when nobody could hear it.
                self.peer_moved_if_owner(conn, at, welcome.epoch);
            }
            DialKey::Handover
                if self.source.as_ref().is_some_and(|s| s.request.target_owner_id == welcome.owner) =>
            {
                if let Some(source) = &mut self.source {
                    source.target.connected(conn);
                }
                self.handover_connected(conn, now);
            }
            _ => self.close(conn, "the handover that it was for is over"),
        }
    }

    fn reunite(&mut self, conn: ConnId, at: usize, reunion: Reunion, now: u64) {
        self.note_lost(at, reunion.lost);
        if let Some(unneeded) = reunion.unneeded {
            self.close(unneeded, "the handover that it was for is over");
        }
        let epoch = self.epoch;
        if self.role == Role::Owner {
            // The dial may have begun as a candidate's.
            self.send(conn, Frame::Control(Control::Owner { epoch, id: None }), now);
        }
        for data in reunion.again {
            self.send(conn, Frame::Data(Data { epoch, ..data }), now);
        }
        for marker in reunion.markers {
            self.send(conn, Frame::Marker(marker), now);
        }
    }

    /// Packets that a downstream lacks and nobody has: two ends of a link were lost together.
    pub(super) fn note_lost(&mut self, at: usize, lost: u64) {
        if lost > 0 {
            let text = format!("{lost} packets for \"{}\" can no longer be sent again", self.outs[at].peer);
            self.note(text);
        }
    }

    fn peer_moved_if_owner(&mut self, conn: ConnId, at: usize, epoch: u64) {
        if self.outs[at].peer_move.as_ref().is_some_and(|known| epoch >= known.prepare.epoch) {
            self.peer_moved(conn, at, epoch);
        }
    }

    pub(super) fn dial_failed(&mut self, key: DialKey, now: u64) {
        match key {
            DialKey::Owner(at) => {
                self.outs[at].owner.failed(now);
                if self.is_taking_over() {
                    // A downstream may know a later owner than this one.
                    self.actions.push(Action::Store(StoreCommand::ReadOwner));
                }
            }
            DialKey::Target(at) => {
                if let Some(known) = &mut self.outs[at].peer_move {
                    known.target.failed(now);
                }
            }
            DialKey::Handover => {
                if let Some(source) = &mut self.source {
                    source.target.failed(now);
                }
            }
        }
    }

    pub(super) fn close(&mut self, conn: ConnId, reason: &str) {
        self.conns.remove(&conn);
        self.actions.push(Action::Close { conn, reason: reason.to_string() });
    }

    /// Closes a connection that this end has found to be broken, and tells its user.
    fn drop_connection(&mut self, conn: ConnId, reason: &str, now: u64) {
        self.actions.push(Action::Close { conn, reason: reason.to_string() });
        self.closed(conn, now);
    }

    pub(super) fn closed(&mut self, conn: ConnId, now: u64) {
        let Some(known) = self.conns.remove(&conn) else { return };
        match known.used_for {
            ConnUse::In(at) => self.ins[at].closed(conn),
            ConnUse::OutOwner(at) => self.dial_failed_if_up(DialKey::Owner(at), conn, now),
            ConnUse::OutTarget(at) => self.dial_failed_if_up(DialKey::Target(at), conn, now),
            ConnUse::HandoverTo => self.dial_failed_if_up(DialKey::Handover, conn, now),
            ConnUse::HandoverFrom => {
                if let Some(target) = self.target.as_mut().filter(|target| target.source == Some(conn)) {
                    target.source = None;
                }
            }
        }
    }

    fn dial_failed_if_up(&mut self, key: DialKey, conn: ConnId, now: u64) {
        let up = match key {
            DialKey::Owner(at) => self.outs[at].owner.up(),
            DialKey::Target(at) => self.outs[at].peer_move.as_ref().and_then(|known| known.target.up()),
            DialKey::Handover => self.source.as_ref().and_then(|source| source.target.up()),
        };
        if up == Some(conn) {
            self.dial_failed(key, now);
        }
    }

    /// Whether a connection brings packets.
    pub fn takes_packets(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|known| matches!(known.used_for, ConnUse::In(_)))
    }

    // ---- accepting ------------------------------------------------------------------------------------------

    pub(super) fn accepted(&mut self, conn: ConnId, hello: Hello, now: u64) {
        match self.admit(conn, &hello) {
            Ok((used_for, edges)) => {
                self.conns.insert(conn, Conn::new(used_for, now));
                let handover = self.source.as_ref().filter(|source| !source.phase().is_over());
                let welcome = Welcome {
                    owner: self.me.owner.clone(),
                    epoch: self.epoch,
                    edges,
                    handover: handover.map(|source| source.id().to_string()),
                    // Whoever has the socket knows.
                    takes_ring: false,
                };
                self.actions.push(Action::Welcome { conn, welcome });
            }
            Err(reason) => self.actions.push(Action::Refuse { conn, reason }),
        }
    }

    fn admit(&mut self, conn: ConnId, hello: &Hello) -> Result<(ConnUse, Vec<EdgePosition>), String> {
        if hello.to != self.name {
            return Err(format!("this is \"{}\", not \"{}\"", self.name, hello.to));
        }
        if hello.graph != self.graph {
            return Err("the two ends run different cuts of the graph".into());
        }
        if hello.purpose == Purpose::Handover {
            if self.role != Role::Standby {
                return Err(format!("{} is no standby, it is {}", self.me.owner, self.role));
            }
            return Ok((ConnUse::HandoverFrom, Vec::new()));
        }
        let parking = self.target.as_ref().is_some_and(|target| target.is_waiting());
        if self.role != Role::Owner && !parking && !self.is_taking_over() {
            return Err(format!("{} does not own \"{}\", it is {}", self.me.owner, self.name, self.role));
        }
        let at = self.ins.iter().position(|link| link.peer == hello.from);
        let at = at.ok_or_else(|| format!("\"{}\" has no link from \"{}\"", self.name, hello.from))?;
        let candidate = hello.purpose == Purpose::Candidate;
        let peer = Peer { conn, owner: hello.owner.clone(), epoch: hello.epoch, candidate };
        for old in self.ins[at].accept(peer)? {
            self.close(old, "replaced by a newer connection of the same peer");
        }
        self.forget_parked(at);
        Ok((ConnUse::In(at), self.positions(at)))
    }

    /// Where the edges of an in-link stand; of a target: where its parked packets end.
    fn positions(&self, at: usize) -> Vec<EdgePosition> {
        let mut positions = self.ins[at].positions();
        if let Some(target) = self.target.as_ref().filter(|target| target.is_waiting()) {
            for position in &mut positions {
                position.accepted = target.parked_end(at, position.edge);
                position.durable = 0;
            }
        }
        positions
    }

    // ---- frames ---------------------------------------------------------------------------------------------

    pub(super) fn frame(&mut self, conn: ConnId, frame: Frame, now: u64, engine: &mut dyn Engine) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        known.last_heard = now;
        let used_for = known.used_for;
        match (frame, used_for) {
            (Frame::Heartbeat, _) => {}
            (Frame::Data(data), ConnUse::In(at)) => self.data(conn, at, data, now, engine),
            (Frame::Probe(probe), ConnUse::In(at)) => self.probe(at, probe, now, engine),
            (Frame::Marker(marker), ConnUse::In(at)) => self.marker(at, marker),
            (Frame::Ack(ack), ConnUse::OutOwner(at)) => self.ack(at, ack),
            (Frame::Ack(_), ConnUse::OutTarget(_)) => {}
            (Frame::Final(bytes), ConnUse::HandoverFrom) => self.final_frame(conn, &bytes, now, engine),
            (Frame::Control(control), _) => self.control(conn, used_for, control, now, engine),
            (other, _) => {
                let text = format!("a frame that does not belong here: {other:.40?}");
                self.drop_connection(conn, &text, now);
            }
        }
    }

    pub(super) fn data(&mut self, conn: ConnId, at: usize, data: Data, now: u64, engine: &mut dyn Engine) {
        if let Some(target) = self.target.as_mut().filter(|target| target.is_waiting()) {
            if !target.park(at, data) {
                self.drop_connection(conn, "no room to park more packets before the start", now);
            }
            return;
        }
        if self.is_taking_over() {
            if !self.park(at, data) {
                self.drop_connection(conn, "no room to park more packets before the start", now);
            }
            return;
        }
        if !self.is_serving() {
            self.strays += u64::from(data.count);
            return;
        }
        match self.ins[at].offer(conn, &data) {
            Verdict::Process { skip } => {
                if !self.process(at, &data, skip, now, engine) {
                    self.drop_connection(conn, "a batch that does not decode", now);
                }
            }
            Verdict::Known => {}
            Verdict::Fenced => {
                self.strays += u64::from(data.count);
                let epoch = self.ins[at].epoch;
                self.send(conn, Frame::Control(Control::Fenced { epoch }), now);
            }
            Verdict::NoSuchEdge => {
                self.drop_connection(conn, "a batch of an edge that the link does not have", now)
            }
        }
    }

    fn process(&mut self, at: usize, data: &Data, skip: u16, now: u64, engine: &mut dyn Engine) -> bool {
        self.packets_in += u64::from(data.count - skip);
        self.set_cause(self.cause_of(at, data.edge), engine);
        engine.inject(data.edge, data.count, skip, &data.packets(), now).is_ok()
    }

    fn cause_of(&self, at: usize, edge: u16) -> usize {
        let before: usize = self.ins[..at].iter().map(|link| link.edges.len()).sum();
        before + self.ins[at].edges.iter().position(|known| known.id() == edge).unwrap_or(0)
    }

    /// What the engine makes from here on comes from `cause`.
    fn set_cause(&mut self, cause: usize, engine: &mut dyn Engine) {
        if self.cause != cause {
            self.take_output(engine);
            self.cause = cause;
            self.outs.iter_mut().flat_map(|link| &mut link.edges).for_each(|edge| edge.set_cause(cause));
        }
    }

    /// Processes a batch that waited for the start.
    pub(super) fn unpark(&mut self, at: usize, data: &Data, now: u64, engine: &mut dyn Engine) {
        if let Verdict::Process { skip } = self.ins[at].offer_parked(data)
            && !self.process(at, data, skip, now, engine)
        {
            self.note(format!("a batch of edge {} that waited for the start does not decode", data.edge));
        }
    }

    fn ack(&mut self, at: usize, ack: Ack) {
        if let Some(edge) = self.outs[at].edges.iter_mut().find(|edge| edge.id() == ack.edge) {
            edge.acknowledge(ack.accepted, ack.durable);
        }
    }

    // ---- the way out ----------------------------------------------------------------------------------------

    /// Runs the engine and takes what it made. Outputs of strict changes wait for the frame that will hold them.
    pub(super) fn run_engine(&mut self, now: u64, engine: &mut dyn Engine) {
        if !self.must_wait() {
            let itself = self.ins.iter().map(|link| link.edges.len()).sum();
            self.set_cause(itself, engine);
            engine.run(now);
        }
        self.collect(engine);
    }

    /// Takes what the engine has made, into batches that can be sent.
    pub(super) fn collect(&mut self, engine: &mut dyn Engine) {
        self.take_output(engine);
        self.outs.iter_mut().for_each(|link| link.close(0));
    }

    fn take_output(&mut self, engine: &mut dyn Engine) {
        if !engine.has_output() {
            return;
        }
        let hold = match engine.has_strict() {
            _ if self.journal.is_down() && self.fail_open => 0,
            true => self.journal.next_number(),
            // A packet on one edge may use what a packet on another changed: it waits for the same frame.
            false => self.journal.strict_under_way().unwrap_or(0),
        };
        if hold == 0 {
            return self.fill_batches(engine);
        }
        self.outs.iter_mut().for_each(|link| link.close(0));
        let next = |edge: &OutEdge| edge.next();
        let starts: Vec<u64> = self.outs.iter().flat_map(|link| &link.edges).map(next).collect();
        self.fill_batches(engine);
        self.outs.iter_mut().for_each(|link| link.close(0));
        let edges = self.outs.iter_mut().flat_map(|link| &mut link.edges);
        edges.zip(starts).for_each(|(edge, start)| edge.hold_from(start, hold));
    }

    fn fill_batches(&mut self, engine: &mut dyn Engine) {
        if !self.repeating {
            return engine.take_output(&mut LinkSink::new(&mut self.outs));
        }
        engine.take_output(&mut RepeatingSink(&mut self.outs));
        self.repeating = self.outs.iter().flat_map(|link| &link.edges).any(OutEdge::has_repeats);
    }

    pub(super) fn send_batches(&mut self) {
        if self.role == Role::Sealed || (self.role != Role::Owner) {
            return;
        }
        let released = self.journal.released(self.fail_open);
        let epoch = self.epoch;
        for link in &mut self.outs {
            let Some(conn) = link.route() else { continue };
            let Some(known) = self.conns.get_mut(&conn) else { continue };
            while known.room > 0
                && let Some(data) = link.next_to_send(epoch, released)
            {
                known.room = known.room.saturating_sub(data.body.len());
                self.actions.push(Action::Send { conn, frame: Frame::Data(data) });
            }
        }
    }

    pub(super) fn acknowledge(&mut self, now: u64) {
        let step = if now >= self.next_ack { 1 } else { ACK_STEP };
        if step == 1 {
            self.next_ack = now + ACK_INTERVAL;
        }
        if self.journal.has_covers()
            && let Some(cover) = self.journal.take_covered(&self.accepted_positions(), self.fail_open)
        {
            for (link, positions) in self.ins.iter_mut().zip(cover.inputs) {
                link.edges.iter_mut().zip(positions).for_each(|(edge, position)| edge.cover(position));
            }
        }
        for at in 0..self.ins.len() {
            let Some(conn) = self.ins[at].owner_conn() else { continue };
            let acks: Vec<Ack> = self.ins[at].take_acks(step).collect();
            for ack in acks {
                self.send(conn, Frame::Ack(ack), now);
            }
        }
    }

    // ---- probes and heartbeats ------------------------------------------------------------------------------

    /// A probe is passed on behind the packets before it, by the sub-function that moves; any other notes its time.
    fn probe(&mut self, at: usize, probe: Probe, now: u64, engine: &mut dyn Engine) {
        if let Some(watch) = &mut self.ins[at].watch
            && id_hash(watch.id()) == probe.handover
        {
            watch.probe(probe.origin, now);
            return;
        }
        if let Some(target) = self.target.as_mut().filter(|target| target.is_waiting()) {
            target.park_probe(probe);
            return;
        }
        let source = self.source.as_ref().map(|source| source.id());
        let target = self.target.as_ref().map(|target| target.id());
        if self.is_serving() && source.or(target).is_some_and(|id| id_hash(id) == probe.handover) {
            self.run_engine(now, engine);
            self.flush(now, engine);
            self.send_batches();
            self.pass_on(probe, now);
        }
    }

    pub(super) fn pass_on(&mut self, probe: Probe, now: u64) {
        for at in 0..self.outs.len() {
            if let Some(conn) = self.outs[at].owner.up() {
                self.send(conn, Frame::Probe(probe), now);
            }
        }
    }

    /// Sends probes while a peer's handover is watched, and reports when the windows are over.
    pub(super) fn poll_watches(&mut self, now: u64) {
        let probing = self.is_serving() && now >= self.next_probe;
        for at in 0..self.outs.len() {
            let link = &self.outs[at];
            let moving = link.peer_move.as_ref().or(link.to_report.as_ref());
            if let (true, Some(known), Some(conn)) = (probing, moving, link.route()) {
                let probe = Probe { handover: id_hash(&known.prepare.id), origin: origin(&self.name) };
                self.send(conn, Frame::Probe(probe), now);
            }
            if let Some(report) = self.outs[at].take_report(&self.name, now)
                && let Some(conn) = self.outs[at].owner.up()
            {
                self.send(conn, Frame::Control(Control::Report(report)), now);
            }
        }
        if probing {
            self.next_probe = now + PROBE_INTERVAL;
        }
        for at in 0..self.ins.len() {
            let lost = self.ins[at].lost();
            let complete = self.ins[at].watch.take_if(|watch| watch.is_complete(now));
            if let (Some(watch), Some(conn)) = (complete, self.ins[at].owner_conn()) {
                let report = watch.report(&self.name, lost);
                self.send(conn, Frame::Control(Control::Report(report)), now);
            }
        }
    }

    pub(super) fn heartbeat(&mut self, now: u64) {
        let mut silent = Vec::new();
        for (conn, known) in &mut self.conns {
            if now >= known.last_heard + SILENCE {
                silent.push(*conn);
            } else if now >= known.last_sent + HEARTBEAT_INTERVAL {
                known.last_sent = now;
                self.actions.push(Action::Send { conn: *conn, frame: Frame::Heartbeat });
            }
        }
        for conn in silent {
            self.drop_connection(conn, "silent for two seconds", now);
        }
    }

    pub(super) fn link_deadline(&self) -> u64 {
        let heartbeats = self.conns.values().map(|conn| conn.last_sent + HEARTBEAT_INTERVAL);
        let owners = self.outs.iter().filter(|_| self.wants_links()).map(|link| link.owner.deadline());
        let moving =
            self.outs.iter().filter_map(|link| link.peer_move.as_ref()).map(|known| known.target.deadline());
        let probing = self.outs.iter().any(|link| link.peer_move.is_some() || link.to_report.is_some());
        let probes = (probing && self.is_serving()).then_some(self.next_probe);
        let handover =
            self.source.as_ref().filter(|source| !source.phase().is_over()).map(|s| s.target.deadline());
        let watches = self.ins.iter().filter_map(|link| link.watch.as_ref()?.deadline());
        heartbeats
            .chain(owners)
            .chain(moving)
            .chain(handover)
            .chain(probes)
            .chain(watches)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// What a probe carries instead of the handover's id (FNV-1a).
pub(super) fn id_hash(id: &str) -> u64 {
    id.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn origin(name: &str) -> u32 {
    id_hash(name) as u32
}
