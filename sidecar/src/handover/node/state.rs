//! Ownership and the log: starting, claiming, loading, appending, snapshots, a store that goes and comes back.

use bytes::Bytes;

use crate::control::Role;
use crate::link::frame::{Control, Frame};
use crate::link::receiver::InEdge;
use crate::link::sender::OutEdge;
use crate::state::Writer;
use crate::store::{Ownership, StoreCommand, StoreEvent};

use super::super::engine::Engine;
use super::super::journal::{Cover, Journal, Length};
use super::super::loader::Loader;
use super::super::state_frame::{Cut, InPosition, OutPosition, StateFrame};
use super::{Action, ConnUse, Node, StartMode};

/// A sidecar that cannot start asks the store again after this time.
const START_AGAIN: u64 = 500_000_000;
/// A flush is not put off longer than this many packets that wait to be acknowledged.
const MAX_UNCOVERED: u64 = 4_096;

impl Node {
    /// Begins: who owns?
    pub fn begin(&mut self, now: u64) {
        self.retry_start_at = now + START_AGAIN;
        self.actions.push(Action::Store(StoreCommand::ReadOwner));
    }

    pub(super) fn poll_start(&mut self, now: u64) {
        if now >= self.start_deadline() {
            self.begin(now);
        }
    }

    /// When the start is tried again; never once it is known what this sidecar is.
    pub(super) fn start_deadline(&self) -> u64 {
        let knows = self.loader.is_some() || self.takeover.is_some();
        if self.role == Role::Starting && !knows { self.retry_start_at } else { u64::MAX }
    }

    pub(super) fn store_event(&mut self, event: StoreEvent, now: u64, engine: &mut dyn Engine) {
        self.follow(&event, now, engine);
        match event {
            StoreEvent::Owner(ownership) => self.owner_read(ownership, now, engine),
            StoreEvent::Claimed { epoch, last_frame } => self.claimed(epoch, last_frame, now, engine),
            StoreEvent::ClaimRefused(ownership) => self.become_standby(&ownership),
            StoreEvent::Appended { number } => {
                self.journal.appended(number);
                self.finish_snapshot();
                self.flush(now, engine);
                self.send_batches();
            }
            StoreEvent::Fenced(ownership) => self.fenced(&ownership, engine),
            StoreEvent::Sealed => self.seal_stored(now),
            StoreEvent::SealNotSent { reason } => self.seal_failed(&reason, now, engine),
            StoreEvent::Directory { peer, ownership } => self.directory(&peer, ownership.as_ref(), now),
            StoreEvent::Down { reason } => self.store_down(reason),
            StoreEvent::Up { fresh } => self.store_up(fresh, now),
            StoreEvent::SnapshotStored { .. }
            | StoreEvent::FollowReset { .. }
            | StoreEvent::Blob { .. }
            | StoreEvent::LogFrame { .. }
            | StoreEvent::CaughtUp { .. } => {}
        }
    }

    // ---- starting -------------------------------------------------------------------------------------------

    fn owner_read(&mut self, ownership: Option<Ownership>, now: u64, engine: &mut dyn Engine) {
        if self.role == Role::Owner || self.takeover.is_some() {
            return self.check_ownership(ownership, engine);
        }
        if self.role != Role::Starting || self.loader.is_some() {
            return;
        }
        let mine = ownership.as_ref().is_some_and(|known| known.entry.owner == self.me.owner);
        let epoch = ownership.as_ref().map_or(0, |known| known.epoch);
        let claim = match self.start {
            _ if mine => Some(epoch + 1),
            // A directory below what was expected has forgotten: it was lost, and an owner began anew in it.
            StartMode::Claim { expected } if epoch <= expected => Some(expected + 1),
            _ => None,
        };
        match (claim, ownership) {
            (Some(epoch), _) => {
                self.retry_start_at = now + START_AGAIN;
                let entry = self.me.clone();
                self.actions.push(Action::Store(StoreCommand::Claim { epoch, entry }));
            }
            (None, Some(ownership)) => self.become_standby(&ownership),
            (None, None) => self.role = Role::Standby,
        }
        if self.role == Role::Standby {
            self.not_ready = None;
        }
    }

    fn become_standby(&mut self, ownership: &Ownership) {
        if self.role == Role::Starting {
            self.role = Role::Standby;
            self.not_ready = None;
            self.note(format!("standby: {} owns at epoch {}", ownership.entry.owner, ownership.epoch));
        }
    }

    fn claimed(&mut self, epoch: u64, last_frame: u64, now: u64, engine: &mut dyn Engine) {
        let has_begun = self.role == Role::Owner || self.takeover.is_some();
        if has_begun && epoch == self.epoch {
            // The answer to a repeated claim.
            return;
        }
        self.epoch = epoch;
        if self.role == Role::Owner {
            // The store had lost everything: this is a new incarnation of the data set.
            // Its frames are numbered anew: what waits for a frame of the old one would wait for ever. The snapshot that
            // is written next holds what those frames would have held.
            self.journal = Journal::new(last_frame, Length::default());
            self.journal.want_snapshot();
            self.outs.iter_mut().flat_map(|link| &mut link.edges).for_each(OutEdge::release);
            self.announce(now, None);
            return;
        }
        if last_frame == 0 {
            return self.loaded(&Loader::default(), now, engine);
        }
        self.not_ready = Some(format!("loads the state up to frame {last_frame}"));
        self.follow_session += 1;
        self.loader = Some(Loader::new(self.follow_session));
        let session = self.follow_session;
        self.actions.push(Action::Store(StoreCommand::Follow { session }));
    }

    /// Feeds whoever loads: an owner that starts, or a target.
    fn follow(&mut self, event: &StoreEvent, now: u64, engine: &mut dyn Engine) {
        if let Some(loader) = &mut self.loader {
            let result = loader.handle(event, engine);
            let caught_up =
                matches!(event, StoreEvent::CaughtUp { session, .. } if *session == self.follow_session);
            if let Err(error) = result {
                self.note(format!("the stored state cannot be used and is left out: {error}"));
                engine.reset();
            } else if !caught_up {
                return;
            }
            let loader = self.loader.take().unwrap_or_default();
            self.actions.push(Action::Store(StoreCommand::Unfollow));
            return self.loaded(&loader, now, engine);
        }
        let Some(target) = self.target.as_mut().filter(|target| target.is_waiting()) else { return };
        if let Err(error) = target.loader.handle(event, engine) {
            return self.stop_being_target("BadState", error.to_string(), now, engine);
        }
        if let StoreEvent::CaughtUp { ownership, .. } = event
            && ownership.entry.owner == self.me.owner
            && ownership.epoch == target.prepare.epoch
        {
            target.seal_stored(now);
        }
    }

    /// The edges and the log go on where an owner before stopped.
    pub(super) fn continue_from(&mut self, loader: &Loader) {
        self.journal = Journal::new(loader.applied, loader.length);
        self.small_state = None;
        for edge in self.ins.iter_mut().flat_map(|link| &mut link.edges) {
            if let Some(InPosition { next, made, .. }) = loader.inputs.get(&edge.id()) {
                edge.restore(*next, made.clone());
            }
        }
        for edge in self.outs.iter_mut().flat_map(|link| &mut link.edges) {
            if let Some(position) = loader.outputs.get(&edge.id()) {
                edge.restore(position.next, &position.made, position.accepted, position.tail.clone());
            }
        }
    }

    /// From here on packets are processed.
    pub(super) fn become_owner(
        &mut self,
        epoch: u64,
        handover: Option<String>,
        now: u64,
        engine: &mut dyn Engine,
    ) {
        self.epoch = epoch;
        self.role = Role::Owner;
        self.frozen = false;
        self.not_ready = None;
        engine.set_tracking(true);
        engine.set_serving(true);
        self.note(format!("owner at epoch {epoch} with {} flows", engine.flows()));
        self.announce(now, handover);
    }

    fn announce(&mut self, now: u64, id: Option<String>) {
        let epoch = self.epoch;
        let peers =
            self.conns.iter().filter(|(_, c)| matches!(c.used_for, ConnUse::In(_) | ConnUse::OutOwner(_)));
        for conn in peers.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.send(conn, Frame::Control(Control::Owner { epoch, id: id.clone() }), now);
        }
    }

    // ---- losing ownership -----------------------------------------------------------------------------------

    fn check_ownership(&mut self, ownership: Option<Ownership>, engine: &mut dyn Engine) {
        if let Some(other) = ownership.filter(|known| known.epoch > self.epoch) {
            self.fenced(&other, engine);
        }
    }

    fn fenced(&mut self, ownership: &Ownership, engine: &mut dyn Engine) {
        if self.role == Role::Owner || self.takeover.take().is_some() {
            engine.set_serving(false);
            self.retire_as_fenced(ownership);
        }
    }

    fn retire_as_fenced(&mut self, ownership: &Ownership) {
        self.role = Role::Sealed;
        let text = format!("{} owns at epoch {}", ownership.entry.owner, ownership.epoch);
        self.note(format!("fenced: {text}"));
        self.not_ready = Some(text);
    }

    // ---- the log --------------------------------------------------------------------------------------------

    /// Whether something waits for the next flush or acknowledgement.
    pub(super) fn journal_has_work(&self) -> bool {
        let uncovered = |edge: &InEdge| edge.next().is_some_and(|next| next > edge.durable());
        self.journal.has_covers() || self.ins.iter().flat_map(|link| &link.edges).any(uncovered)
    }

    fn uncovered(&self) -> u64 {
        let edges = self.ins.iter().flat_map(|link| &link.edges);
        edges
            .map(|edge| edge.next().unwrap_or(0) - edge.durable().min(edge.next().unwrap_or(0)))
            .max()
            .unwrap_or(0)
    }

    /// Appends what is due: strict changes at once, a cut now and then, when the downstreams have accepted its outputs.
    pub(super) fn flush(&mut self, now: u64, engine: &mut dyn Engine) {
        if !self.is_serving() {
            return;
        }
        self.append(now, engine);
        if self.is_cut_due(now, engine) {
            self.journal.flushed(now);
            match self.journal.is_down() {
                true => {
                    let cover = self.cover(self.journal.issued());
                    self.journal.add_cover(cover);
                }
                false => self.take_cut(now, engine),
            }
            self.append(now, engine);
        }
    }

    fn is_cut_due(&self, now: u64, engine: &mut dyn Engine) -> bool {
        let is_down = self.journal.is_down();
        // A cut takes strict changes along, and outputs that the cut waits for may wait for these: they go first.
        if !is_down && engine.has_strict() {
            return false;
        }
        if !is_down && (self.journal.is_stale() || self.journal.needs_cut()) {
            return true;
        }
        if !self.journal.can_cut(self.fail_open) {
            return false;
        }
        let uncovered = self.uncovered();
        let due = uncovered >= MAX_UNCOVERED || self.journal.flush_due(now);
        due && (uncovered > 0 || engine.has_changes())
    }

    /// What the engine, the in-edges and the out-edges are at one moment, to be appended later.
    fn take_cut(&mut self, now: u64, engine: &mut dyn Engine) {
        self.collect(engine);
        let mut changes = Writer::new();
        engine.take_changes(&mut changes);
        let cut = self.cut(engine);
        let cover = self.cover(0);
        self.journal.hold_cut(now, cut, changes.as_bytes(), cover);
    }

    fn cut(&mut self, engine: &mut dyn Engine) -> Cut {
        let mut small = Writer::new();
        engine.save(&mut small);
        let small: Bytes = small.into_bytes().into();
        let known = self.small_state.as_ref() == Some(&small) && !self.journal.needs_cut();
        self.small_state = Some(small.clone());
        let input =
            |edge: &InEdge| InPosition { edge: edge.id(), next: edge.next(), made: edge.made().to_vec() };
        let output = |edge: &mut OutEdge| OutPosition {
            edge: edge.id(),
            next: edge.next(),
            made: edge.made().to_vec(),
            accepted: edge.accepted(),
            tail: Vec::new(),
        };
        Cut {
            inputs: self.ins.iter().flat_map(|link| &link.edges).map(input).collect(),
            outputs: self.outs.iter_mut().flat_map(|link| &mut link.edges).map(output).collect(),
            small_state: (!known).then_some(small),
            handover: None,
        }
    }

    fn cover(&self, number: u64) -> Cover {
        let next = |edge: &InEdge| edge.next().unwrap_or(0);
        let inputs = self.ins.iter().map(|link| link.edges.iter().map(next).collect()).collect();
        let outputs = self.outs.iter().map(|link| link.edges.iter().map(OutEdge::next).collect()).collect();
        Cover { number, inputs, outputs }
    }

    /// What the downstreams have accepted.
    pub(super) fn accepted_positions(&self) -> Vec<Vec<u64>> {
        self.outs.iter().map(|link| link.edges.iter().map(OutEdge::accepted).collect()).collect()
    }

    /// Appends one frame, if none is under way: the cut that waits, if its outputs are accepted, and all strict changes.
    fn append(&mut self, now: u64, engine: &mut dyn Engine) {
        if !self.journal.can_append() {
            return;
        }
        let accepted = self.accepted_positions();
        let ready = self.journal.take_ready(&accepted);
        let is_strict = engine.has_strict();
        if ready.is_none() && !is_strict {
            return;
        }
        let mut strict = Writer::new();
        if is_strict {
            engine.take_strict(&mut strict);
            self.journal.note_strict(strict.as_bytes());
        }
        let number = self.journal.next_number();
        let (time, changes, cut, cover) = match ready {
            Some(ready) => {
                let changes = [&ready.changes[..], &ready.strict_since, strict.as_bytes()].concat();
                (ready.time, changes, Some(ready.cut), Some(Cover { number, ..ready.cover }))
            }
            None => (now, strict.into_bytes(), None, None),
        };
        let frame = StateFrame { number, epoch: self.epoch, time, changes: changes.into(), cut }.encode();
        self.journal.issue(frame.len(), is_strict);
        cover.into_iter().for_each(|cover| self.journal.add_cover(cover));
        self.actions.push(Action::Store(StoreCommand::Append { epoch: self.epoch, number, frame }));
    }

    /// The final frame of a handover: changes, small state, and what the downstreams have not accepted. It takes the
    /// place of a cut that waits.
    pub(super) fn final_state(&mut self, id: String, now: u64, engine: &mut dyn Engine) -> StateFrame {
        self.collect(engine);
        let mut changes = Writer::new();
        engine.take_changes(&mut changes);
        let changes = [&self.journal.take_pending_changes()[..], changes.as_bytes()].concat();
        self.small_state = None;
        let mut cut = self.cut(engine);
        let edges = self.outs.iter().flat_map(|link| &link.edges);
        for (position, edge) in cut.outputs.iter_mut().zip(edges) {
            position.tail = edge.batches(edge.accepted(), edge.next()).cloned().collect();
            position.tail.iter_mut().for_each(|batch| batch.hold = 0);
        }
        cut.handover = Some(id);
        let number = self.journal.next_number();
        StateFrame { number, epoch: self.epoch, time: now, changes: changes.into(), cut: Some(cut) }
    }

    /// The changes of a final frame that was not stored are in nobody's log: its number goes to a cut frame with the
    /// same content, packets included, which the store takes when it can.
    pub(super) fn append_instead_of_seal(&mut self) {
        let Some(mut frame) = self.unsettled.take() else { return };
        frame.cut.iter_mut().for_each(|cut| cut.handover = None);
        let (epoch, number, frame) = (self.epoch, frame.number, frame.encode());
        self.actions.push(Action::Store(StoreCommand::Append { epoch, number, frame }));
    }

    /// Copies one blob of a snapshot, if one is due, so that packets wait for a blob at most.
    pub(super) fn copy_snapshot(&mut self, engine: &mut dyn Engine) {
        let epoch = self.epoch;
        let Some(copy) = self.journal.snapshot() else { return };
        let blobs = engine.snapshot_blobs();
        let base = copy.base;
        if copy.next_blob < blobs {
            let mut blob = Writer::new();
            engine.snapshot_blob(copy.next_blob, &mut blob);
            let index = copy.next_blob;
            copy.next_blob += 1;
            let blob: Bytes = blob.into_bytes().into();
            copy.bytes += blob.len() as u64;
            self.actions.push(Action::Store(StoreCommand::SnapshotBlob { epoch, base, index, blob }));
        } else {
            self.journal.snapshot_copied(blobs);
        }
    }

    fn finish_snapshot(&mut self) {
        if let Some((base, blobs)) = self.journal.take_whole_snapshot() {
            let epoch = self.epoch;
            self.actions.push(Action::Store(StoreCommand::SnapshotDone { epoch, base, blobs }));
        }
    }

    // ---- a store that goes and comes back -------------------------------------------------------------------

    fn store_down(&mut self, reason: String) {
        if !self.journal.is_down() {
            self.note(format!("the state store is not reachable: {reason}"));
        }
        self.journal.set_down(true);
        if self.role == Role::Starting && self.takeover.is_none() {
            self.not_ready = Some(format!("the state store is not reachable: {reason}"));
        }
        self.store_reason = Some(reason);
    }

    fn store_up(&mut self, fresh: bool, now: u64) {
        let was_down = self.journal.is_down();
        self.journal.set_down(false);
        self.store_reason = None;
        if !was_down && self.role != Role::Owner {
            return;
        }
        self.note(if fresh {
            "the state store is back, without our state"
        } else {
            "the state store is back"
        });
        if self.role == Role::Owner && fresh {
            let (epoch, entry) = (self.epoch + 1, self.me.clone());
            self.actions.push(Action::Store(StoreCommand::Claim { epoch, entry }));
        }
        if self.role == Role::Starting && self.takeover.is_none() {
            self.begin(now);
        }
    }
}
