//! The one flow table: a slab of records behind a hash index, with change tracking and coarse-wheel expiry.
//!
//! A look-up is one probe of the index and one record. A change marks its record once, however often it changes
//! before the next flush. Expiry looks at a record only when a coarse slot says that it may be due: no heap and no
//! timer work per packet. Times are nanoseconds, given by the caller.

use std::hash::Hash;

use super::index::{Index, SlotId};
use super::{Reader, Schema, StateError, Table, Writer};

/// A value with a fixed binary form.
pub trait Record: Sized {
    /// Writes the value.
    fn put(&self, w: &mut Writer);
    /// Reads a value that [`Record::put`] wrote.
    fn get(r: &mut Reader<'_>) -> Result<Self, StateError>;
}

struct Entry<K, V> {
    key: K,
    value: V,
    /// Tells a stale wheel entry from the present one.
    generation: u32,
    dirty: bool,
    /// Whether it is in the list of strict changes.
    strict: bool,
}

/// Records of one chunk of a snapshot.
const CHUNK: usize = 1024;
/// One slot of the expiry wheel: 2^28 ns, about 0.27 s.
const WHEEL_SHIFT: u32 = 28;
const WHEEL_SLOTS: u64 = 512;
/// Tombstones kept before the next flush becomes "clear, then everything" instead.
const MAX_TOMBSTONES: usize = 1 << 16;

const UPSERT: u8 = 0;
const TOMBSTONE: u8 = 1;
const CLEAR: u8 = 2;

/// When a record is due to expire, in nanoseconds; `u64::MAX` for never.
type Deadline<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send>;

/// A table of flows. See the module's head.
pub struct FlowTable<K, V> {
    schema: Schema,
    deadline: Deadline<K, V>,
    entries: Vec<Option<Entry<K, V>>>,
    free: Vec<u32>,
    index: Index,
    next_generation: u32,
    wheel: Vec<Vec<(u32, u32)>>,
    /// First wheel tick that was not looked at yet.
    tick: u64,
    tracking: bool,
    has_strict: bool,
    reset: bool,
    dirty: Vec<u32>,
    /// Records with strict changes since the last [`Table::take_strict`]; each is in `dirty` as well.
    strict: Vec<u32>,
    tombstones: Vec<K>,
    /// Tombstones that [`Table::take_strict`] has given.
    strict_tombstones: usize,
}

impl<K: std::fmt::Debug, V: std::fmt::Debug> std::fmt::Debug for FlowTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowTable").field("schema", &self.schema).field("len", &self.index.len()).finish()
    }
}

impl<K, V> FlowTable<K, V>
where
    K: Record + Hash + Eq + Clone,
    V: Record,
{
    /// An empty table. `deadline` says when a record is due, in nanoseconds of the engine's time.
    pub fn new(schema: Schema, deadline: impl Fn(&K, &V) -> u64 + Send + 'static) -> Self {
        Self {
            schema,
            deadline: Box::new(deadline),
            entries: Vec::new(),
            free: Vec::new(),
            index: Index::default(),
            next_generation: 0,
            wheel: (0..WHEEL_SLOTS).map(|_| Vec::new()).collect(),
            tick: 0,
            tracking: false,
            has_strict: false,
            reset: false,
            dirty: Vec::new(),
            strict: Vec::new(),
            tombstones: Vec::new(),
            strict_tombstones: 0,
        }
    }

    /// Live records.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds a record.
    #[inline]
    pub fn find(&self, key: &K) -> Option<SlotId> {
        self.index.find(self.index.tag(key), |slot| self.key(slot) == Some(key))
    }

    /// The value of a record.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).and_then(|slot| self.value(slot))
    }

    /// The value at a slot.
    #[inline]
    pub fn value(&self, slot: SlotId) -> Option<&V> {
        self.entries.get(slot.0 as usize)?.as_ref().map(|entry| &entry.value)
    }

    /// The key at a slot.
    #[inline]
    pub fn key(&self, slot: SlotId) -> Option<&K> {
        self.entries.get(slot.0 as usize)?.as_ref().map(|entry| &entry.key)
    }

    /// The value at a slot for a lazy change: one that no later output depends on (last seen, counters).
    #[inline]
    pub fn value_mut_lazy(&mut self, slot: SlotId) -> Option<&mut V> {
        let entry = self.entries.get_mut(slot.0 as usize)?.as_mut()?;
        if self.tracking && !self.reset && !entry.dirty {
            entry.dirty = true;
            self.dirty.push(slot.0);
        }
        Some(&mut entry.value)
    }

    /// The value of a record for a lazy change.
    #[inline]
    pub fn get_mut_lazy(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.find(key)?;
        self.value_mut_lazy(slot)
    }

    /// The value at a slot for a strict change: later outputs depend on it.
    pub fn value_mut_strict(&mut self, slot: SlotId) -> Option<&mut V> {
        self.mark_strict(slot);
        self.value_mut_lazy(slot)
    }

    fn mark_strict(&mut self, slot: SlotId) {
        if !self.tracking {
            return;
        }
        self.has_strict = true;
        if let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut)
            && !std::mem::replace(&mut entry.strict, true)
        {
            self.strict.push(slot.0);
        }
    }

    /// Inserts or replaces a record by a strict change (a NAT binding, a firewall opening).
    pub fn insert_strict(&mut self, key: K, value: V) -> SlotId {
        let slot = self.insert_lazy(key, value);
        self.mark_strict(slot);
        slot
    }

    /// Inserts or replaces a record by a lazy change.
    pub fn insert_lazy(&mut self, key: K, value: V) -> SlotId {
        let slot = self.place(key, value);
        self.value_mut_lazy(slot);
        slot
    }

    /// Removes a record.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.take(key).map(|(_, value)| value)
    }

    /// Removes a record and tells where it stood.
    fn take(&mut self, key: &K) -> Option<(SlotId, V)> {
        let slot = self.find(key)?;
        self.remove_slot(slot).map(|(_, value)| (slot, value))
    }

    /// Removes the record at a slot.
    pub fn remove_slot(&mut self, slot: SlotId) -> Option<(K, V)> {
        let entry = self.entries.get_mut(slot.0 as usize)?.take()?;
        self.index.remove(self.index.tag(&entry.key), slot);
        self.free.push(slot.0);
        if self.tracking {
            self.note_tombstone(entry.key.clone());
        }
        Some((entry.key, entry.value))
    }

    fn note_tombstone(&mut self, key: K) {
        if self.tombstones.len() >= MAX_TOMBSTONES {
            self.reset = true;
            self.tombstones.clear();
            self.strict_tombstones = 0;
            self.dirty.clear();
        }
        if !self.reset {
            self.tombstones.push(key);
        }
    }

    /// Puts a record in place without marking a change.
    fn place(&mut self, key: K, value: V) -> SlotId {
        if let Some(slot) = self.find(&key) {
            if let Some(entry) = self.entries[slot.0 as usize].as_mut() {
                entry.value = value;
            }
            return slot;
        }
        let due = (self.deadline)(&key, &value);
        let tag = self.index.tag(&key);
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let entry = Some(Entry { key, value, generation, dirty: false, strict: false });
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.index.insert(tag, SlotId(at));
        self.schedule(at, generation, due);
        SlotId(at)
    }

    fn schedule(&mut self, at: u32, generation: u32, due: u64) {
        // One tick late rather than early: a record in a slot that is looked at is then really due.
        let tick = ((due >> WHEEL_SHIFT) + 1).clamp(self.tick, self.tick + WHEEL_SLOTS - 1);
        self.wheel[(tick % WHEEL_SLOTS) as usize].push((at, generation));
    }

    /// Looks a record up again at its (new, earlier) deadline, for changes that shorten a timeout.
    pub fn reschedule(&mut self, slot: SlotId) {
        if let Some(entry) = self.entries.get(slot.0 as usize).and_then(Option::as_ref) {
            let (generation, due) = (entry.generation, (self.deadline)(&entry.key, &entry.value));
            self.schedule(slot.0, generation, due);
        }
    }

    /// Removes what is due at `now` and hands it, with where it stood, to `on_expired`. Cheap when called often.
    pub fn expire(&mut self, now: u64, mut on_expired: impl FnMut(SlotId, K, V)) {
        let until = now >> WHEEL_SHIFT;
        if self.tick == 0 {
            // The first call: records scheduled before it stand in slots relative to tick 0.
            self.rebase(until);
        }
        let steps = (until + 1).saturating_sub(self.tick).min(WHEEL_SLOTS);
        if until >= self.tick + WHEEL_SLOTS {
            self.tick = until + 1 - WHEEL_SLOTS;
        }
        for _ in 0..steps {
            let slot = (self.tick % WHEEL_SLOTS) as usize;
            self.tick += 1;
            for (at, generation) in std::mem::take(&mut self.wheel[slot]) {
                self.look_at(at, generation, now, &mut on_expired);
            }
        }
    }

    /// Moves everything scheduled so far to where it belongs when the wheel stands at `tick`.
    fn rebase(&mut self, tick: u64) {
        self.tick = tick.max(1);
        let all: Vec<_> = self.wheel.iter_mut().flat_map(std::mem::take).collect();
        for (at, generation) in all {
            if let Some(entry) = self.entries[at as usize].as_ref().filter(|e| e.generation == generation) {
                let due = (self.deadline)(&entry.key, &entry.value);
                self.schedule(at, generation, due);
            }
        }
    }

    fn look_at(&mut self, at: u32, generation: u32, now: u64, on_expired: &mut impl FnMut(SlotId, K, V)) {
        let Some(entry) = self.entries[at as usize].as_ref().filter(|e| e.generation == generation) else {
            return;
        };
        let due = (self.deadline)(&entry.key, &entry.value);
        // By the tick, not by the nanosecond: when a record goes must not depend on when its slot is looked at, which
        // is another time in a table that was copied.
        if due >> WHEEL_SHIFT >= now >> WHEEL_SHIFT {
            self.schedule(at, generation, due);
        } else if let Some((key, value)) = self.remove_slot(SlotId(at)) {
            on_expired(SlotId(at), key, value);
        }
    }

    /// All live records, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().flatten().map(|entry| (&entry.key, &entry.value))
    }

    /// The same with where they stand.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, &K, &V)> {
        let slots = (0..).map(SlotId).zip(&self.entries);
        slots.filter_map(|(slot, entry)| entry.as_ref().map(|entry| (slot, &entry.key, &entry.value)))
    }

    fn put_upsert(entry: &Entry<K, V>, w: &mut Writer) {
        w.put_u8(UPSERT);
        entry.key.put(w);
        entry.value.put(w);
    }

    /// Applies one run of records and tells `observe` of each: `Some(value)` for an upsert, `None` for a tombstone,
    /// and a clear as `None` without a key. For elements that derive indices from their records.
    pub fn apply_observed(
        &mut self,
        r: &mut Reader<'_>,
        mut observe: impl FnMut(Applied<'_, K, V>),
    ) -> Result<u32, StateError> {
        let count = r.get_u32()?;
        let tracking = std::mem::replace(&mut self.tracking, false);
        let result = (0..count).try_for_each(|_| self.apply_one(r, &mut observe));
        self.tracking = tracking;
        result.map(|()| count)
    }

    fn apply_one(
        &mut self,
        r: &mut Reader<'_>,
        observe: &mut impl FnMut(Applied<'_, K, V>),
    ) -> Result<(), StateError> {
        match r.get_u8()? {
            UPSERT => {
                let (key, value) = (K::get(r)?, V::get(r)?);
                let old = self.take(&key);
                let slot = self.place(key, value);
                if let Some(entry) = &self.entries[slot.0 as usize] {
                    observe(Applied::Upsert { slot, key: &entry.key, old, value: &entry.value });
                }
            }
            TOMBSTONE => {
                let key = K::get(r)?;
                let old = self.take(&key);
                observe(Applied::Tombstone { key: &key, old });
            }
            CLEAR => {
                self.clear_all();
                observe(Applied::Clear);
            }
            other => return Err(StateError::Invalid { what: "change record", value: u64::from(other) }),
        }
        Ok(())
    }

    fn clear_all(&mut self) {
        self.entries.clear();
        self.free.clear();
        self.index.clear();
        self.wheel.iter_mut().for_each(Vec::clear);
        self.dirty.clear();
        self.tombstones.clear();
        self.strict.clear();
        (self.strict_tombstones, self.has_strict, self.reset) = (0, false, false);
    }
}

/// What [`FlowTable::apply_observed`] tells.
#[derive(Debug)]
pub enum Applied<'a, K, V> {
    /// A record was put in place; `old` is the value it replaced.
    Upsert {
        /// Where it stands.
        slot: SlotId,
        /// The record's key.
        key: &'a K,
        /// What it replaced, and where that stood.
        old: Option<(SlotId, V)>,
        /// The new value.
        value: &'a V,
    },
    /// A record went; `old` is its value, if there was one.
    Tombstone {
        /// The record's key.
        key: &'a K,
        /// The value that went, and where it stood.
        old: Option<(SlotId, V)>,
    },
    /// All records went.
    Clear,
}

impl<K, V> Table for FlowTable<K, V>
where
    K: Record + Hash + Eq + Clone,
    V: Record,
{
    fn schema(&self) -> Schema {
        self.schema
    }

    fn len(&self) -> usize {
        FlowTable::len(self)
    }

    fn set_tracking(&mut self, on: bool) {
        self.tracking = on;
        if !on {
            self.take_changes(&mut Writer::new());
        }
    }

    fn has_strict(&self) -> bool {
        self.has_strict
    }

    fn has_changes(&self) -> bool {
        self.reset || !self.dirty.is_empty() || !self.tombstones.is_empty()
    }

    fn take_strict(&mut self, w: &mut Writer) -> u32 {
        let at = w.reserve_u32();
        let mut count = 0;
        for key in self.tombstones.get(self.strict_tombstones..).unwrap_or_default() {
            w.put_u8(TOMBSTONE);
            key.put(w);
            count += 1;
        }
        self.strict_tombstones = self.tombstones.len();
        for slot in self.strict.drain(..) {
            if let Some(entry) = self.entries[slot as usize].as_mut().filter(|entry| entry.strict) {
                entry.strict = false;
                Self::put_upsert(entry, w);
                count += 1;
            }
        }
        self.has_strict = false;
        w.fill_u32(at, count);
        count
    }

    fn take_changes(&mut self, w: &mut Writer) -> u32 {
        let at = w.reserve_u32();
        let mut count = 0;
        if std::mem::take(&mut self.reset) {
            w.put_u8(CLEAR);
            count += 1;
            self.dirty.clear();
            for entry in self.entries.iter_mut().flatten() {
                entry.dirty = false;
                Self::put_upsert(entry, w);
                count += 1;
            }
        }
        for key in self.tombstones.drain(..) {
            w.put_u8(TOMBSTONE);
            key.put(w);
            count += 1;
        }
        for slot in self.dirty.drain(..) {
            if let Some(entry) = self.entries[slot as usize].as_mut().filter(|entry| entry.dirty) {
                entry.dirty = false;
                Self::put_upsert(entry, w);
                count += 1;
            }
        }
        for slot in self.strict.drain(..) {
            self.entries[slot as usize].iter_mut().for_each(|entry| entry.strict = false);
        }
        (self.strict_tombstones, self.has_strict) = (0, false);
        w.fill_u32(at, count);
        count
    }

    fn chunks(&self) -> u32 {
        self.entries.len().div_ceil(CHUNK) as u32
    }

    fn snapshot_chunk(&self, chunk: u32, w: &mut Writer) -> u32 {
        let at = w.reserve_u32();
        let start = (chunk as usize * CHUNK).min(self.entries.len());
        let end = (start + CHUNK).min(self.entries.len());
        let mut count = 0;
        for entry in self.entries[start..end].iter().flatten() {
            Self::put_upsert(entry, w);
            count += 1;
        }
        w.fill_u32(at, count);
        count
    }

    fn apply(&mut self, r: &mut Reader<'_>) -> Result<u32, StateError> {
        self.apply_observed(r, |_| ())
    }

    fn clear(&mut self) {
        self.clear_all();
    }
}

#[cfg(test)]
mod tests;
