//! What must hold, named as in the design: during a run, and over the whole of it.

use super::*;

impl World {
    pub(super) fn check_aborted(&self, source: usize) {
        let node = &self.sides[source].node;
        assert!(node.is_serving(), "seed {}: I11: the source does not serve after an abort", self.seed);
    }

    /// I6: no output of a strict change arrives before its record is stored (unless the store is away: fail-open).
    pub(super) fn check_released(&mut self, at: usize) {
        if at > 1 || self.faults.store_outages || self.faults.chain || self.store_lost {
            return;
        }
        let AnyEngine::Peer(peer) = &self.sides[at].engine else { return };
        for packet in &peer.received[self.checked[at]..] {
            let known = self.stored_bindings.contains(&(packet.flow, packet.binding));
            assert!(known, "seed {}: I6: {packet:?} arrived before its binding was stored", self.seed);
        }
        self.checked[at] = peer.received.len();
    }

    pub(in super::super) fn settle(&mut self) {
        self.emitting = false;
        self.set_store_down(false);
        let end = self.now + 8_000 * MS;
        while self.now < end && !self.all_arrived() {
            self.step();
        }
        // What comes twice would come now.
        self.run_for(30 * MS);
    }

    /// What happens in one second without packets.
    pub(in super::super) fn idle_steps(&mut self) -> u64 {
        let before = self.steps;
        self.run_for(1_000 * MS);
        self.steps - before
    }

    pub(super) fn all_arrived(&self) -> bool {
        let count = |at: usize| match &self.sides[at].engine {
            AnyEngine::Peer(peer) => (peer.all_sent(), peer.received.len() as u64),
            AnyEngine::Nat(_) => (0, 0),
        };
        let (a, b) = (count(0), count(1));
        // A successor that makes again what the peers have is not done before it has made all of it.
        let owners = [self.owner].into_iter().chain(self.mid);
        let has_all = |at: usize| match &self.sides[at].engine {
            AnyEngine::Nat(nat) => nat.total >= a.0 + b.0,
            AnyEngine::Peer(_) => true,
        };
        b.1 >= a.0 && a.1 >= b.0 && owners.into_iter().all(has_all)
    }

    /// I3, I4, I5, I8, I9 over the whole run.
    pub(in super::super) fn check(&self) {
        let seed = self.seed;
        let peers: Vec<&PeerEngine> = self.sides[..2]
            .iter()
            .filter_map(|side| if let AnyEngine::Peer(peer) = &side.engine { Some(peer) } else { None })
            .collect();
        let mut bindings: BTreeMap<u16, u64> = BTreeMap::new();
        for (from, to) in [(0, 1), (1, 0)] {
            for (stream, sent) in peers[from].sent.iter().enumerate() {
                let of_stream = peers[to].received.iter().filter(|p| peers[from].stream(p.flow) == stream);
                let numbers: Vec<u64> = of_stream.map(|packet| packet.number).collect();
                let expected: Vec<u64> = (0..*sent).collect();
                let differs = numbers.iter().zip(&expected).position(|(got, wanted)| got != wanted);
                let lens = (numbers.len(), expected.len());
                assert!(
                    numbers == expected,
                    "seed {seed}: I3-I5: packets {lens:?} of stream {stream} differ at {differs:?} on the way to {to}"
                );
            }
            for SimPacket { flow, binding, .. } in &peers[to].received {
                let known = *bindings.entry(*flow).or_insert(*binding);
                assert_eq!(known, *binding, "seed {seed}: flow {flow} changed its binding");
            }
        }
        let distinct: BTreeSet<u64> = bindings.values().copied().collect();
        assert_eq!(distinct.len(), bindings.len(), "seed {seed}: I8: one binding for two flows");
        let all = peers[0].all_sent() + peers[1].all_sent();
        for at in [self.owner].into_iter().chain(self.mid) {
            let AnyEngine::Nat(nat) = &self.sides[at].engine else { panic!("{at} is no translator") };
            assert_eq!(nat.total, all, "seed {seed}: I9: the counter differs from the packets sent");
            let of_flows = nat.bindings.values().map(|(_, count)| count).sum::<u64>();
            assert_eq!(of_flows, all, "seed {seed}: I9: flow counters");
        }
    }
}
