//! Handovers: what the source decides is carried out here, and what peers and target are told is obeyed.

use bytes::Bytes;

use crate::control::{HandoverPhase, HandoverRequest, Refusal, Role};
use crate::link::frame::{Control, Frame, Marker, Prepare};
use crate::store::StoreCommand;

use super::super::downstream::InLink;
use super::super::engine::Engine;
use super::super::source::{Facts, Party, Source, Step};
use super::super::state_frame::StateFrame;
use super::super::target::Target;
use super::super::upstream::PeerMove;
use super::super::watch::Watch;
use super::{Action, ConnId, ConnUse, Node};

fn refusal(reason: &str, message: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), message: message.into() }
}

impl Node {
    // ---- the operator's wishes ------------------------------------------------------------------------------

    pub(super) fn begin_handover(
        &mut self,
        request: HandoverRequest,
        now: u64,
        engine: &mut dyn Engine,
    ) -> Result<(), Refusal> {
        if self.handover(Some(&request.id)).is_some() {
            return Ok(());
        }
        if self.role != Role::Owner {
            return Err(refusal(
                "NotOwner",
                format!("{} is {}, only an owner hands over", self.me.owner, self.role),
            ));
        }
        if request.expected_epoch != self.epoch {
            let text = format!(
                "the owner is at epoch {}, the request expects {}",
                self.epoch, request.expected_epoch
            );
            return Err(refusal("WrongEpoch", text));
        }
        if request.target_owner_id == self.me.owner {
            return Err(refusal("SameOwner", "source and target are the same sidecar"));
        }
        if let Some(running) = self.source.as_ref().filter(|source| !source.phase().is_over()) {
            return Err(refusal(
                "Busy",
                format!("handover {} of this sub-function is under way", running.id()),
            ));
        }
        if self.journal.is_down() {
            return Err(refusal(
                "StateStoreDown",
                "the state store is not reachable, so nothing can be handed over",
            ));
        }
        self.retire_moves();
        let edges: Vec<usize> = self.ins.iter().map(|link| link.edges.len()).collect();
        self.note(format!("handover {} to {} begins", request.id, request.target_owner_id));
        self.source = Some(Source::new(request, self.epoch, &edges, self.outs.len(), now));
        self.poll_moves(now, engine);
        Ok(())
    }

    /// Puts what is over into the history.
    fn retire_moves(&mut self) {
        if let Some(past) = self.source.take_if(|source| source.phase().is_over()) {
            self.remember(past.status());
        }
        if let Some(past) = self.target.take_if(|target| target.phase().is_over()) {
            self.remember(past.status());
        }
    }

    pub(super) fn call_off(&mut self, id: &str, now: u64, engine: &mut dyn Engine) -> Result<(), Refusal> {
        let Some(source) = self.source.as_mut().filter(|source| source.id() == id) else {
            let known = self.handover(Some(id));
            let text = known.map_or_else(
                || format!("no handover {id} is known here"),
                |past| format!("handover {id} is {:?} and cannot be called off here", past.phase),
            );
            return Err(refusal("NotRunning", text));
        };
        if source.phase() == HandoverPhase::Aborted {
            return Ok(());
        }
        if !source.can_abort() {
            return Err(refusal(
                "AlreadySealed",
                "the final frame is on its way: the move can no longer be called off",
            ));
        }
        let step = source.give_up("Requested", "called off on request".into(), now);
        self.carry_out(step, now, engine);
        Ok(())
    }

    // ---- the source -----------------------------------------------------------------------------------------

    pub(super) fn poll_moves(&mut self, now: u64, engine: &mut dyn Engine) {
        // A step may make the next one due at once.
        for _ in 0..4 {
            let facts = self.facts(engine);
            let Some(step) = self.source.as_mut().and_then(|source| source.poll(now, &facts)) else { break };
            self.carry_out(step, now, engine);
        }
        self.poll_target(now, engine);
    }

    fn facts(&self, engine: &mut dyn Engine) -> Facts {
        if self.source.is_none() {
            return Facts::default();
        }
        Facts {
            missing_link: self.missing_link(),
            journal_busy: self.journal.is_busy(),
            store_down: self.journal.is_down(),
            flows: engine.flows(),
        }
    }

    /// The first peer without a connection.
    fn missing_link(&self) -> Option<String> {
        let ins = self.ins.iter().filter(|link| link.owner_conn().is_none()).map(|link| &link.peer);
        let outs = self.outs.iter().filter(|link| link.owner.up().is_none()).map(|link| &link.peer);
        ins.chain(outs).next().cloned()
    }

    fn party_conn(&self, party: Party) -> Option<ConnId> {
        match party {
            Party::Upstream(at) => self.ins.get(at)?.owner_conn(),
            Party::Downstream(at) => self.outs.get(at)?.owner.up(),
            Party::Target => self.source.as_ref()?.target.up(),
        }
    }

    fn tell(&mut self, parties: &[Party], control: &Control, now: u64) {
        for party in parties {
            if let Some(conn) = self.party_conn(*party) {
                self.send(conn, Frame::Control(control.clone()), now);
            }
        }
    }

    fn carry_out(&mut self, step: Step, now: u64, engine: &mut dyn Engine) {
        let Some(source) = &self.source else { return };
        let id = source.id().to_string();
        let all = source.parties();
        match step {
            Step::Announce => {
                let prepare = self.announcement(source);
                self.tell(&all, &Control::Prepare(prepare), now);
            }
            Step::Arm(waiting) => self.tell(&waiting, &Control::Arm { id }, now),
            Step::Cut => {
                let upstreams: Vec<Party> = (0..self.ins.len()).map(Party::Upstream).collect();
                engine.set_serving(false);
                self.tell(&upstreams, &Control::Cut { id }, now);
            }
            Step::Seal => self.seal(now, engine),
            Step::Abort(reason, text) => {
                self.note(format!("handover {id} is called off ({reason}): {text}"));
                self.tell(&all, &Control::Abort { id }, now);
                self.frozen = false;
                engine.set_serving(self.role == Role::Owner);
                if let Some(conn) = self.source.as_ref().and_then(|source| source.target.up()) {
                    self.close(conn, "the handover was called off");
                }
                self.retire_moves();
            }
        }
    }

    fn announcement(&self, source: &Source) -> Prepare {
        Prepare {
            id: source.id().to_string(),
            epoch: source.epoch,
            target: source.request.target_owner_id.clone(),
            address: source.request.target_link_addr.clone(),
            watch_ms: source.request.watch_ms,
        }
    }

    /// The commit point: everything is finished, the final frame goes to the store and, the same bytes, to the target.
    fn seal(&mut self, now: u64, engine: &mut dyn Engine) {
        self.run_engine(now, engine);
        self.frozen = true;
        let Some(source) = &self.source else { return };
        let (id, target) = (source.id().to_string(), source.target.up());
        let next = crate::store::OwnerEntry {
            owner: source.request.target_owner_id.clone(),
            address: source.request.target_link_addr.clone(),
            node: source.request.target_node.clone(),
        };
        let strict = engine.has_strict();
        let last = self.final_state(id, now, engine);
        let frame = last.encode();
        self.unsettled = Some(last);
        let number = self.journal.issue(frame.len(), strict);
        if let Some(conn) = target {
            self.send(conn, Frame::Final(frame.clone()), now);
        }
        let epoch = self.epoch;
        self.actions.push(Action::Store(StoreCommand::Seal { epoch, number, frame, next }));
    }

    pub(super) fn seal_stored(&mut self, now: u64) {
        let Some(source) = self.source.as_mut().filter(|source| source.is_sealing()) else { return };
        source.sealed(now);
        self.unsettled = None;
        let (id, target) = (source.id().to_string(), source.target.up());
        self.role = Role::Sealed;
        self.not_ready = Some("handed over".into());
        if let Some(conn) = target {
            self.send(conn, Frame::Control(Control::Sealed { id }), now);
        }
    }

    /// The store certainly did not carry the seal out: it can be called off after all.
    pub(super) fn seal_failed(&mut self, reason: &str, now: u64, engine: &mut dyn Engine) {
        let Some(source) = self.source.as_mut().filter(|source| source.is_sealing()) else { return };
        let step =
            source.give_up("StateStoreDown", format!("the final frame could not be stored: {reason}"), now);
        self.append_instead_of_seal();
        self.carry_out(step, now, engine);
    }

    pub(super) fn handover_connected(&mut self, conn: ConnId, now: u64) {
        let Some(source) = &self.source else { return };
        // A connection made anew after the announcement: the target may have lost it.
        if source.phase() > HandoverPhase::Preparing {
            let prepare = self.announcement(source);
            self.send(conn, Frame::Control(Control::Prepare(prepare)), now);
        }
    }

    pub(super) fn marker(&mut self, at: usize, marker: Marker) {
        let Some(source) = &mut self.source else { return };
        let Some(edge) = self.ins[at].edges.iter().position(|edge| edge.id() == marker.edge) else { return };
        if marker.epoch == source.epoch && source.phase() == HandoverPhase::Cutting {
            let known = &mut self.ins[at].edges[edge];
            if known.next().is_none() {
                let made = known.made().to_vec();
                known.restore(Some(marker.next), made);
            }
            source.marker(at, edge, marker.next);
        }
    }

    // ---- what others say ------------------------------------------------------------------------------------

    pub(super) fn control(
        &mut self,
        conn: ConnId,
        used_for: ConnUse,
        control: Control,
        now: u64,
        engine: &mut dyn Engine,
    ) {
        match control {
            Control::Prepare(prepare) => self.prepared(conn, used_for, prepare, now),
            Control::Arm { id } => {
                let answer = match self.try_arm(used_for, &id, now) {
                    Ok(()) => Control::Armed { id },
                    Err(reason) => Control::Refused { id, reason },
                };
                self.send(conn, Frame::Control(answer), now);
            }
            Control::Armed { id } => {
                let party = self.party_of(used_for);
                if let (Some(source), Some(party)) = (self.source_of(&id), party) {
                    source.armed(party, now);
                }
            }
            Control::Refused { id, reason } => {
                if let Some(source) = self.source_of(&id) {
                    source.refused(reason);
                }
            }
            Control::Synced { id, flows, ready } => {
                if let Some(source) = self.source_of(&id) {
                    source.synced(flows, ready, now);
                }
            }
            Control::Cut { id } => self.cut_link(conn, used_for, &id, now),
            Control::Sealed { id } => {
                if let Some(target) = self.target.as_mut().filter(|target| target.id() == id) {
                    target.seal_stored(now);
                }
            }
            Control::Abort { id } => self.aborted(used_for, &id, now, engine),
            Control::Owner { epoch, id } => self.owner_announced(conn, used_for, epoch, id.as_deref()),
            Control::Fenced { epoch } => self.fenced_by_downstream(epoch),
            Control::Report(report) => {
                if let Some(target) = &mut self.target {
                    target.report(report);
                }
            }
            Control::Finished { id, report } => {
                if let Some(source) = self.source_of(&id) {
                    source.finished(report);
                }
            }
        }
    }

    fn source_of(&mut self, id: &str) -> Option<&mut Source> {
        self.source.as_mut().filter(|source| source.id() == id)
    }

    fn party_of(&self, used_for: ConnUse) -> Option<Party> {
        match used_for {
            ConnUse::In(at) => Some(Party::Upstream(at)),
            ConnUse::OutOwner(at) => Some(Party::Downstream(at)),
            ConnUse::HandoverTo => Some(Party::Target),
            ConnUse::OutTarget(_) | ConnUse::HandoverFrom => None,
        }
    }

    fn prepared(&mut self, conn: ConnId, used_for: ConnUse, prepare: Prepare, now: u64) {
        match used_for {
            ConnUse::OutOwner(at) => {
                if let Some(old) = self.outs[at].prepare(prepare) {
                    self.close(old, "another handover of the peer has begun");
                }
            }
            ConnUse::In(at) => {
                let lost = self.ins[at].lost();
                let window = u64::from(prepare.watch_ms) * 1_000_000;
                let known = self.ins[at].watch.as_ref().is_some_and(|watch| watch.id() == prepare.id);
                if !known {
                    self.ins[at].watch = Some(Watch::new(prepare.id, window, lost));
                }
            }
            ConnUse::HandoverFrom => self.become_target(conn, prepare, now),
            ConnUse::OutTarget(_) | ConnUse::HandoverTo => {}
        }
    }

    fn become_target(&mut self, conn: ConnId, prepare: Prepare, now: u64) {
        if let Some(target) = self.target.as_mut().filter(|target| target.id() == prepare.id) {
            target.source = Some(conn);
            return;
        }
        if self.role != Role::Standby || prepare.target != self.me.owner {
            let text =
                format!("{} is {} and cannot be the target {}", self.me.owner, self.role, prepare.target);
            return self.send(conn, Frame::Control(Control::Refused { id: prepare.id, reason: text }), now);
        }
        self.forget_target();
        self.note(format!("target of handover {} at epoch {}", prepare.id, prepare.epoch));
        self.follow_session += 1;
        self.target = Some(Target::new(prepare, conn, self.follow_session, now));
        let session = self.follow_session;
        self.actions.push(Action::Store(StoreCommand::Follow { session }));
    }

    fn try_arm(&mut self, used_for: ConnUse, id: &str, now: u64) -> Result<(), String> {
        match used_for {
            ConnUse::OutOwner(at) => self.outs[at].arm(id, now),
            ConnUse::In(at) => {
                let candidate = self.ins[at].candidate_conn().is_some();
                let peer = self.ins[at].peer.clone();
                match &mut self.ins[at].watch {
                    Some(watch) if watch.id() == id && candidate => {
                        watch.arm(now);
                        Ok(())
                    }
                    Some(watch) if watch.id() == id => {
                        Err(format!("\"{}\" has no link from the target of \"{peer}\" yet", self.name))
                    }
                    _ => Err(format!("\"{}\" knows of no such handover", self.name)),
                }
            }
            ConnUse::HandoverFrom => {
                let missing =
                    self.outs.iter().find(|link| link.owner.up().is_none()).map(|link| link.peer.clone());
                match self.target.as_mut().filter(|target| target.id() == id) {
                    Some(target) => target.arm(missing.as_deref()),
                    None => Err("the target knows of no such handover".into()),
                }
            }
            ConnUse::OutTarget(_) | ConnUse::HandoverTo => {
                Err("ARM came over a connection that is not for it".into())
            }
        }
    }

    fn cut_link(&mut self, conn: ConnId, used_for: ConnUse, id: &str, now: u64) {
        if let ConnUse::OutOwner(at) = used_for {
            self.outs[at].close(0);
            for marker in self.outs[at].cut(id) {
                self.send(conn, Frame::Marker(marker), now);
            }
        }
    }

    fn aborted(&mut self, used_for: ConnUse, id: &str, now: u64, engine: &mut dyn Engine) {
        match used_for {
            ConnUse::OutOwner(at) => {
                if let Some(PeerMove { target, .. }) = self.outs[at].abort(id)
                    && let Some(conn) = target.up()
                {
                    self.close(conn, "the handover was called off");
                }
            }
            ConnUse::In(at) => {
                self.ins[at].watch.take_if(|watch| watch.id() == id);
            }
            ConnUse::HandoverFrom if self.target.as_ref().is_some_and(|t| t.id() == id && t.is_waiting()) => {
                self.stop_being_target("Aborted", "the source called it off".into(), now, engine);
            }
            _ => {}
        }
    }

    fn owner_announced(&mut self, conn: ConnId, used_for: ConnUse, epoch: u64, id: Option<&str>) {
        match used_for {
            ConnUse::In(at) => self.ins[at].owner_is(conn, epoch),
            ConnUse::OutTarget(at) => self.peer_moved(conn, at, epoch),
            ConnUse::HandoverTo => {
                if let Some(source) = id.and_then(|id| self.source_of(id)) {
                    source.started();
                }
            }
            ConnUse::OutOwner(_) | ConnUse::HandoverFrom => {}
        }
    }

    /// A downstream has seen a later owner of this sub-function than this one is: ask the store.
    fn fenced_by_downstream(&mut self, epoch: u64) {
        if epoch > self.epoch {
            let text =
                format!("a downstream knows epoch {epoch} of this sub-function; this is {}", self.epoch);
            self.note(text);
            self.actions.push(Action::Store(StoreCommand::ReadOwner));
        }
    }

    /// The target of a peer's handover owns: its connection is the link's from now on.
    pub(super) fn peer_moved(&mut self, conn: ConnId, at: usize, epoch: u64) {
        if let Some(old) = self.outs[at].commit(epoch) {
            self.close(old, "the peer has moved");
        }
        if let Some(known) = self.conns.get_mut(&conn) {
            known.used_for = ConnUse::OutOwner(at);
        }
    }

    // ---- the target -----------------------------------------------------------------------------------------

    pub(super) fn final_frame(&mut self, conn: ConnId, bytes: &Bytes, now: u64, engine: &mut dyn Engine) {
        match StateFrame::decode(bytes) {
            Ok(frame) => {
                let of = frame.handover().map(str::to_string);
                if let Some(target) = self.target.as_mut().filter(|target| Some(target.id()) == of.as_deref())
                {
                    target.final_frame(frame, now);
                }
                self.poll_target(now, engine);
            }
            Err(error) => {
                self.note(format!("the final frame from the source does not decode: {error}"));
                self.close(conn, "a final frame that does not decode");
            }
        }
    }

    pub(super) fn poll_target(&mut self, now: u64, engine: &mut dyn Engine) {
        let flows = if self.target.is_some() { engine.flows() } else { 0 };
        let Some(target) = &mut self.target else { return };
        let (id, source) = (target.id().to_string(), target.source);
        if target.is_waiting() {
            if let (Some(conn), Some((flows, ready))) = (source, target.take_progress(flows, now)) {
                return self.send(conn, Frame::Control(Control::Synced { id, flows, ready }), now);
            }
            if let Some(frame) = target.take_final_frame()
                && let Err(error) = target.loader.offer_final(frame, engine)
            {
                return self.stop_being_target("BadState", error.to_string(), now, engine);
            }
            let whole = target.loader.sealed_by.as_deref() == Some(target.id());
            if whole && target.is_sealed() {
                self.take_over(now, engine);
            }
        } else if target.take_finished(flows, now)
            && let Some(conn) = source
        {
            let report = target.sum_up();
            self.send(conn, Frame::Control(Control::Finished { id, report }), now);
        }
    }

    /// START: the state is whole and the seal stored. Peers are told, the tail is sent again, what waited is processed.
    fn take_over(&mut self, now: u64, engine: &mut dyn Engine) {
        let links = self.ins.len() + self.outs.len();
        let Some(target) = &mut self.target else { return };
        let (parked, probes) = target.start(now, links);
        let (id, epoch, source) = (target.id().to_string(), target.prepare.epoch, target.source);
        let loader = std::mem::take(&mut target.loader);
        self.actions.push(Action::Store(StoreCommand::Unfollow));
        self.continue_from(&loader);
        self.become_owner(epoch, Some(id.clone()), now, engine);
        if let Some(conn) = source {
            self.send(conn, Frame::Control(Control::Owner { epoch, id: Some(id) }), now);
        }
        for (at, data) in parked {
            self.unpark(at, &data, now, engine);
        }
        self.run_engine(now, engine);
        self.flush(now, engine);
        self.send_batches();
        for probe in probes {
            self.pass_on(probe, now);
        }
    }

    /// A target that will not take over becomes a standby again.
    pub(super) fn stop_being_target(
        &mut self,
        reason: &'static str,
        text: String,
        now: u64,
        engine: &mut dyn Engine,
    ) {
        if let Some(target) = &mut self.target {
            target.give_up(reason, text.clone());
            if let Some(conn) = target.source {
                let id = target.id().to_string();
                self.send(conn, Frame::Control(Control::Refused { id, reason: text }), now);
            }
        }
        self.actions.push(Action::Store(StoreCommand::Unfollow));
        engine.reset();
        self.retire_moves();
        self.forget_target();
    }

    /// Closes what belongs to a target that is no longer one.
    fn forget_target(&mut self) {
        self.target = None;
        let conns: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, c)| c.used_for != ConnUse::HandoverFrom)
            .map(|(id, _)| *id)
            .collect();
        conns.into_iter().for_each(|conn| self.close(conn, "not a target any more"));
        self.ins.iter_mut().for_each(|link: &mut InLink| link.peers.clear());
        self.outs.iter_mut().for_each(|link| link.owner = super::super::dialer::Dialer::by_directory());
    }

    pub(super) fn move_deadline(&self) -> u64 {
        let source = self.source.as_ref().map_or(u64::MAX, Source::deadline);
        source.min(self.target.as_ref().map_or(u64::MAX, Target::deadline))
    }
}
