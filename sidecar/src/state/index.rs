//! Where a key's record stands. The index keeps a part of each hash: a look-up compares a key only where that part
//! agrees, and growing reads no record, which would miss the cache once for each.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

/// Where a record stands in its table; good until the record is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId(pub(super) u32);

/// The part of a key's hash that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// The hash that the table sees: its low bits choose the place, its high ones go into the control bytes.
    fn hash(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// An index from keys to the places of their records, which are somewhere else.
#[derive(Default)]
pub struct Index {
    places: HashTable<(Tag, SlotId)>,
    hasher: foldhash::fast::RandomState,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Index {
    /// A key's tag.
    #[inline]
    pub fn tag(&self, key: &impl Hash) -> Tag {
        Tag(self.hasher.hash_one(key) as u32)
    }

    /// The place whose record `is` the one.
    #[inline]
    pub fn find(&self, tag: Tag, is: impl Fn(SlotId) -> bool) -> Option<SlotId> {
        self.places.find(tag.hash(), |&(other, at)| other == tag && is(at)).map(|&(_, at)| at)
    }

    /// Adds a record that is not there yet.
    pub fn insert(&mut self, tag: Tag, at: SlotId) {
        self.places.insert_unique(tag.hash(), (tag, at), |(tag, _)| tag.hash());
    }

    /// Forgets the record at a place. Whether it was there.
    pub fn remove(&mut self, tag: Tag, at: SlotId) -> bool {
        let found = self.places.find_entry(tag.hash(), |&place| place == (tag, at));
        found.map(|found| found.remove()).is_ok()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.places.clear();
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
