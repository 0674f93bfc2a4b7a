//! One handover of the simulation, with the faults that happen during it.

use super::*;

impl World {
    /// One handover to a new target; whether it went through.
    pub(in super::super) fn hand_over(&mut self) -> bool {
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
            if at_source >= Some(HandoverPhase::Sealed) && !self.sides[target].alive {
                self.restart_nat(target);
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

    /// The owner dies, the store has forgotten it, and its container begins anew at the epoch that it was made for: one
    /// that the neighbours know to be past. A successor is made by whoever remembers; the epoch that it gets to.
    pub(in super::super) fn succeed_after_amnesia(&mut self) -> u64 {
        self.store_lost = true;
        let remembered = self.sides[self.owner].node.epoch();
        self.kill(self.owner);
        self.store.shards.remove("nat");
        let behind = self.add_nat("nat-behind", StartMode::Claim { expected: 0 });
        self.run_for(200 * MS);
        assert!(self.sides[behind].node.epoch() < remembered, "seed {}: nothing was forgotten", self.seed);
        self.kill(behind);
        let successor = self.add_nat("nat-successor", StartMode::Claim { expected: remembered });
        self.run_for(200 * MS);
        self.owner = successor;
        self.sides[successor].node.epoch()
    }

    pub(super) fn after_move(&mut self, moved: bool) -> bool {
        self.set_store_down(false);
        self.run_for(40 * MS);
        moved
    }

    pub(super) fn fault(&mut self, source: usize, target: usize, id: &str) {
        let faults = self.faults;
        let not_owner = self.sides[target].node.role() == Role::Standby;
        match self.random.below(5) {
            0 if faults.call_off => {
                let Side { node, engine, .. } = &mut self.sides[source];
                let _ = node.abort_handover(id, self.now, engine.as_engine());
                self.work(source);
            }
            1 if faults.kill_target && not_owner => self.kill(target),
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
                // Never shorter than before: what waits would be overtaken by what comes later.
                let until = self.now + self.random.below(30 * MS);
                self.trace(at, || format!("is frozen until {:.3} ms", until as f64 / 1e6));
                self.sides[at].frozen_until = self.sides[at].frozen_until.max(until);
            }
            _ => {}
        }
    }

    /// Kills the owner of a translator at once, and again while its successor takes over, and starts new pods until one
    /// owns.
    pub(in super::super) fn crash(&mut self, of_mid: bool) {
        let wait = self.random.below(60 * MS);
        self.run_for(wait);
        let mut victim = if of_mid { self.mid.unwrap_or(self.owner) } else { self.owner };
        let mut kills_left = 1 + self.random.below(2);
        loop {
            let epoch = self.sides[victim].node.epoch();
            self.trace(victim, || format!("is killed at epoch {epoch}"));
            self.kill(victim);
            kills_left -= 1;
            self.moves += 1;
            let start = StartMode::Claim { expected: self.stored_epoch(victim) };
            let successor = match of_mid {
                true => self.add_mid(&format!("mid-{}", self.moves), start),
                false => self.add_nat(&format!("nat-{}", self.moves), start),
            };
            let end = if kills_left > 0 { self.now + self.random.below(10 * MS) } else { u64::MAX };
            self.run_until(|world| world.now >= end || world.sides[successor].node.role() == Role::Owner);
            victim = successor;
            match of_mid {
                true => self.mid = Some(successor),
                false => self.owner = successor,
            }
            if kills_left == 0 {
                return;
            }
        }
    }

    fn stored_epoch(&self, at: usize) -> u64 {
        let shard = self.store.shards.get(&self.sides[at].shard);
        shard.and_then(|shard| shard.owner.as_ref()).map_or(0, |owner| owner.epoch)
    }
}
