//! Where a key's record stands. The index keeps a part of each hash: a look-up compares a key only where that part
//! agrees, and growing reads no record, which would miss the cache once for each.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

/// The part of a key's hash that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    /// The hash that the table sees: its low bits choose the place, its high ones go into the control bytes.
    fn hash(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// An index from keys to the places of their records, which are somewhere else.
#[derive(Default)]
pub(super) struct Index {
    places: HashTable<(Tag, u32)>,
    hasher: foldhash::fast::RandomState,
}

impl Index {
    /// A key's tag.
    #[inline]
    pub(super) fn tag(&self, key: &impl Hash) -> Tag {
        Tag(self.hasher.hash_one(key) as u32)
    }

    /// The place whose record `is` the one.
    #[inline]
    pub(super) fn find(&self, tag: Tag, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.places.find(tag.hash(), |&(other, at)| other == tag && is(at)).map(|&(_, at)| at)
    }

    /// Adds a record that is not there yet.
    pub(super) fn insert(&mut self, tag: Tag, at: u32) {
        self.places.insert_unique(tag.hash(), (tag, at), |(tag, _)| tag.hash());
    }

    /// Forgets the record at a place.
    pub(super) fn remove(&mut self, tag: Tag, at: u32) {
        if let Ok(found) = self.places.find_entry(tag.hash(), |&place| place == (tag, at)) {
            found.remove();
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.places.clear();
    }

    /// Number of records.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
