//! The state store: who owns a shard, the log of its frames and its snapshot, in Redis (handover.md, section 2).
//!
//! This module is the vocabulary; `redis.rs` is the only place that talks to Redis. The handover sees commands and
//! events only, so that the simulator can stand in for the store.

mod local;
mod redis;
mod scripts;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::local::local;
pub use self::redis::{StoreHandle, StoreSettings, connect};

/// The directory's entry of a shard: who owns it and where that owner takes links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerEntry {
    /// Id of the owner (a pod's name).
    pub owner: String,
    /// Where it takes links.
    pub address: String,
    /// The node that it runs on.
    pub node: String,
}

/// An [`OwnerEntry`] with its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The epoch, which only grows.
    pub epoch: u64,
    /// Number of the last stored frame.
    pub last_frame: u64,
    /// The owner.
    pub entry: OwnerEntry,
}

/// What the handover asks of the store. Commands are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreCommand {
    /// Become owner at `epoch`, refused unless it is higher than the stored one.
    Claim {
        /// The new epoch.
        epoch: u64,
        /// Who claims.
        entry: OwnerEntry,
    },
    /// Who owns this shard?
    ReadOwner,
    /// Append frame `number`.
    Append {
        /// Epoch of the owner.
        epoch: u64,
        /// The frame's number: one more than the last.
        number: u64,
        /// The frame.
        frame: Bytes,
    },
    /// Append the final frame and change the owner, in one atomic call.
    Seal {
        /// Epoch of the owner that seals.
        epoch: u64,
        /// The frame's number.
        number: u64,
        /// The final frame.
        frame: Bytes,
        /// The next owner, at `epoch + 1`.
        next: OwnerEntry,
    },
    /// One blob of a new snapshot.
    SnapshotBlob {
        /// Epoch of the owner.
        epoch: u64,
        /// Names the snapshot: the number of the last frame before its copy began.
        base: u64,
        /// The blob's number in it.
        index: u32,
        /// A run of records.
        blob: Bytes,
    },
    /// The snapshot is whole: readers use it, and the log before its base goes.
    SnapshotDone {
        /// Epoch of the owner.
        epoch: u64,
        /// The snapshot.
        base: u64,
        /// How many blobs it has.
        blobs: u32,
    },
    /// Where is the owner of another sub-function?
    Lookup {
        /// The sub-function.
        peer: String,
    },
    /// Read snapshot and log of this shard, then follow the log until told to stop. `session` comes back in events.
    Follow {
        /// Tells answers to an earlier call apart.
        session: u64,
    },
    /// Stop following.
    Unfollow,
}

/// What the store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// The claim holds.
    Claimed {
        /// The epoch.
        epoch: u64,
        /// Number of the last stored frame: 0 when there is no state yet.
        last_frame: u64,
    },
    /// Somebody has that epoch or a higher one.
    ClaimRefused(Ownership),
    /// Who owns this shard.
    Owner(Option<Ownership>),
    /// Frame `number` is stored.
    Appended {
        /// The frame's number.
        number: u64,
    },
    /// Another owner has a higher epoch.
    Fenced(Ownership),
    /// The seal is stored.
    Sealed,
    /// The seal was certainly not carried out.
    SealNotSent {
        /// Why.
        reason: String,
    },
    /// The snapshot is in use.
    SnapshotStored {
        /// Its name.
        base: u64,
    },
    /// Where the owner of another sub-function is.
    Directory {
        /// The sub-function.
        peer: String,
        /// Its owner, if it has one.
        ownership: Option<Ownership>,
    },
    /// Following begins or begins anew: forget what was loaded before.
    FollowReset {
        /// The call.
        session: u64,
        /// Number of the first frame that will come.
        first: u64,
    },
    /// A blob of the snapshot.
    Blob {
        /// The call.
        session: u64,
        /// A run of records.
        blob: Bytes,
    },
    /// A frame of the log, in order.
    LogFrame {
        /// The call.
        session: u64,
        /// Its number.
        number: u64,
        /// The frame.
        frame: Bytes,
    },
    /// The log was read up to the newest frame that there was at this moment.
    CaughtUp {
        /// The call.
        session: u64,
        /// Who owns the shard now.
        ownership: Ownership,
    },
    /// The store cannot be reached or refuses to write.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// The store answers (again), as it was (`fresh` false) or without this shard's data.
    Up {
        /// Whether nothing is stored of this shard.
        fresh: bool,
    },
}
