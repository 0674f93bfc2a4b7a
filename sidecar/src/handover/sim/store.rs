//! The store of the simulation: the three scripts' rules over memory, for all shards.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::store::{OwnerEntry, Ownership, StoreCommand, StoreEvent};

#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) owner: Option<Ownership>,
    pub(super) log: BTreeMap<u64, Bytes>,
    snapshot: Option<(u64, Vec<Bytes>)>,
    copy: Vec<Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct SimStore {
    pub(super) shards: BTreeMap<String, Shard>,
    pub(super) down: bool,
}

impl SimStore {
    fn append(
        shard: &mut Shard,
        epoch: u64,
        number: u64,
        frame: &Bytes,
        next: Option<&OwnerEntry>,
    ) -> StoreEvent {
        let Some(owner) = &mut shard.owner else { return StoreEvent::Up { fresh: true } };
        if owner.epoch != epoch {
            let repeated = next.is_some_and(|next| owner.epoch == epoch + 1 && owner.entry == *next);
            return if repeated { StoreEvent::Sealed } else { StoreEvent::Fenced(owner.clone()) };
        }
        assert!(number <= owner.last_frame + 1, "a frame number was left out");
        if number == owner.last_frame + 1 {
            let before = shard.log.insert(number, frame.clone());
            assert!(before.is_none(), "I1: two frames share a number");
            owner.last_frame = number;
        }
        match next {
            None => StoreEvent::Appended { number },
            Some(next) => {
                owner.epoch += 1;
                owner.entry = next.clone();
                StoreEvent::Sealed
            }
        }
    }

    /// Carries one command of `shard_name` out; the events that answer it.
    pub(super) fn execute(&mut self, shard_name: &str, command: &StoreCommand) -> Vec<StoreEvent> {
        if let StoreCommand::Lookup { peer } = command {
            let ownership = self.shards.get(peer).and_then(|shard| shard.owner.clone());
            return vec![StoreEvent::Directory { peer: peer.clone(), ownership }];
        }
        let shard = self.shards.entry(shard_name.to_string()).or_default();
        match command {
            StoreCommand::Claim { epoch, entry } => {
                let stored = shard.owner.as_ref().map_or(0, |owner| owner.epoch);
                if *epoch <= stored {
                    return shard.owner.clone().map(StoreEvent::ClaimRefused).into_iter().collect();
                }
                let last_frame = shard.owner.as_ref().map_or(0, |owner| owner.last_frame);
                shard.owner = Some(Ownership { epoch: *epoch, last_frame, entry: entry.clone() });
                vec![StoreEvent::Claimed { epoch: *epoch, last_frame }]
            }
            StoreCommand::ReadOwner => vec![StoreEvent::Owner(shard.owner.clone())],
            StoreCommand::Append { epoch, number, frame } => {
                vec![Self::append(shard, *epoch, *number, frame, None)]
            }
            StoreCommand::Seal { epoch, number, frame, next } => {
                vec![Self::append(shard, *epoch, *number, frame, Some(next))]
            }
            StoreCommand::SnapshotBlob { index, blob, .. } => {
                if *index == 0 {
                    shard.copy.clear();
                }
                shard.copy.push(blob.clone());
                Vec::new()
            }
            StoreCommand::SnapshotDone { base, .. } => {
                shard.snapshot = Some((*base, std::mem::take(&mut shard.copy)));
                shard.log.retain(|number, _| number >= base);
                vec![StoreEvent::SnapshotStored { base: *base }]
            }
            StoreCommand::Lookup { .. } | StoreCommand::Follow { .. } | StoreCommand::Unfollow => Vec::new(),
        }
    }

    /// One step of a follower that has everything before `next` (`None`: nothing yet).
    pub(super) fn follow(&self, shard: &str, session: u64, next: &mut Option<u64>) -> Vec<StoreEvent> {
        let Some(shard) = self.shards.get(shard) else { return Vec::new() };
        let mut events = Vec::new();
        let from = match *next {
            Some(next) => next,
            None => {
                let first = shard.snapshot.as_ref().map_or(1, |(base, _)| (*base).max(1));
                events.push(StoreEvent::FollowReset { session, first });
                let blobs = shard.snapshot.iter().flat_map(|(_, blobs)| blobs);
                events.extend(blobs.map(|blob| StoreEvent::Blob { session, blob: blob.clone() }));
                first
            }
        };
        let frames = shard.log.range(from..);
        events.extend(frames.map(|(number, frame)| StoreEvent::LogFrame {
            session,
            number: *number,
            frame: frame.clone(),
        }));
        *next = Some(shard.log.keys().last().map_or(from, |last| (last + 1).max(from)));
        events.extend(shard.owner.clone().map(|ownership| StoreEvent::CaughtUp { session, ownership }));
        events
    }
}
