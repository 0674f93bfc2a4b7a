use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

impl Record for u32 {
    fn put(&self, w: &mut Writer) {
        w.put_u32(*self);
    }
    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        r.get_u32()
    }
}
impl Record for u64 {
    fn put(&self, w: &mut Writer) {
        w.put_u64(*self);
    }
    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        r.get_u64()
    }
}

/// Key: any number; value: the deadline itself.
fn table() -> FlowTable<u32, u64> {
    let mut table = FlowTable::new(Schema { name: "test", version: 1 }, |_, due: &u64| *due);
    table.set_tracking(true);
    table
}

fn contents(table: &FlowTable<u32, u64>) -> BTreeMap<u32, u64> {
    table.iter().map(|(k, v)| (*k, *v)).collect()
}

#[derive(Debug, Clone)]
enum Op {
    Insert(u32, u64),
    Touch(u32, u64),
    Remove(u32),
    Flush,
    Snapshot,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u32..40, any::<u64>()).prop_map(|(k, v)| Op::Insert(k, v)),
        4 => (0u32..40, any::<u64>()).prop_map(|(k, v)| Op::Touch(k, v)),
        3 => (0u32..40).prop_map(Op::Remove),
        2 => Just(Op::Flush),
        1 => Just(Op::Snapshot),
    ]
}

proptest! {
    #[test]
    fn a_snapshot_taken_at_any_time_and_all_later_changes_give_the_same_table(ops in prop::collection::vec(op(), 1..200)) {
        let (mut owner, mut log) = (table(), Vec::new());
        let (mut snapshot, mut model) = (Writer::new(), BTreeMap::new());
        for op in ops.into_iter().chain([Op::Flush]) {
            match op {
                Op::Insert(k, v) => { owner.insert_strict(k, v); model.insert(k, v); }
                Op::Touch(k, v) => if let Some(value) = owner.get_mut_lazy(&k) { *value = v; model.insert(k, v); },
                Op::Remove(k) => { owner.remove(&k); model.remove(&k); }
                Op::Flush => { let mut w = Writer::new(); owner.take_changes(&mut w); log.push(w); }
                Op::Snapshot => {
                    snapshot.clear();
                    log.clear();
                    for chunk in 0..owner.chunks() { owner.snapshot_chunk(chunk, &mut snapshot); }
                }
            }
        }
        let mut target = table();
        let mut r = Reader::new(snapshot.as_bytes());
        while !r.is_empty() { target.apply(&mut r).unwrap(); }
        for frame in &log { target.apply(&mut Reader::new(frame.as_bytes())).unwrap(); }
        prop_assert_eq!(contents(&target), model.clone());
        prop_assert_eq!(contents(&owner), model);
        prop_assert!(!target.has_changes());
    }

    #[test]
    fn bytes_that_make_no_sense_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = table().apply(&mut Reader::new(&bytes));
    }
}

#[test]
fn records_expire_when_due_and_not_before_and_touched_ones_live_on() {
    const SECOND: u64 = 1_000_000_000;
    let start = 1_700_000_000 * SECOND;
    let mut table = table();
    table.expire(start, |_, _, _| panic!("nothing is there yet"));
    table.insert_lazy(1, start + 10 * SECOND);
    table.insert_lazy(2, start + 10 * SECOND);
    table.insert_lazy(3, start + 1000 * SECOND);
    *table.get_mut_lazy(&2).unwrap() = start + 20 * SECOND;
    let mut gone = Vec::new();
    table.expire(start + 9 * SECOND, |_, k, _| gone.push(k));
    assert!(gone.is_empty());
    table.expire(start + 11 * SECOND, |_, k, _| gone.push(k));
    assert_eq!(gone, [1]);
    table.expire(start + 21 * SECOND, |_, k, _| gone.push(k));
    assert_eq!(gone, [1, 2]);
    for second in 22..1002 {
        table.expire(start + second * SECOND, |_, k, _| gone.push(k));
    }
    assert_eq!(gone, [1, 2, 3]);
    assert!(table.is_empty());
}

#[test]
fn records_inserted_before_the_first_expiry_call_expire_too() {
    let start = 1_700_000_000_000_000_000;
    let mut table = table();
    table.insert_lazy(1, start + 1_000_000_000);
    table.expire(start, |_, _, _| panic!("too early"));
    let mut gone = 0;
    table.expire(start + 2_000_000_000, |_, _, _| gone += 1);
    assert_eq!(gone, 1);
}

#[test]
fn endless_churn_without_a_flush_keeps_the_change_list_bounded() {
    let mut table = table();
    table.insert_strict(u32::MAX, 7);
    for key in 0..200_000 {
        table.insert_strict(key, 1);
        table.remove(&key);
    }
    assert!(table.tombstones.len() <= MAX_TOMBSTONES);
    let mut w = Writer::new();
    table.take_changes(&mut w);
    let mut target = self::table();
    target.insert_lazy(5, 5);
    target.apply(&mut Reader::new(w.as_bytes())).unwrap();
    assert_eq!(contents(&target), BTreeMap::from([(u32::MAX, 7)]));
}

#[test]
fn nothing_is_tracked_when_tracking_is_off() {
    let mut table = table();
    table.insert_strict(1, 1);
    table.set_tracking(false);
    table.insert_strict(2, 2);
    assert!(!table.has_changes() && !table.has_strict());
}

#[test]
fn strict_changes_are_given_at_once_and_again_with_all_others() {
    let mut owner = table();
    owner.insert_lazy(1, 10);
    let gone = owner.insert_strict(2, 20);
    owner.insert_strict(3, 30);
    owner.remove_slot(gone);
    assert!(owner.has_strict());
    let (mut strict, mut all) = (Writer::new(), Writer::new());
    assert_eq!(owner.take_strict(&mut strict), 2, "a tombstone and a record");
    assert!(!owner.has_strict() && owner.has_changes());
    assert_eq!(owner.take_strict(&mut Writer::new()), 0);
    owner.take_changes(&mut all);
    let mut copy = table();
    copy.insert_lazy(2, 19);
    copy.apply(&mut Reader::new(strict.as_bytes())).unwrap();
    assert_eq!(contents(&copy), [(3, 30)].into());
    copy.apply(&mut Reader::new(all.as_bytes())).unwrap();
    assert_eq!(contents(&copy), contents(&owner));
    copy.apply(&mut Reader::new(strict.as_bytes())).unwrap();
    assert_eq!(contents(&copy), contents(&owner), "strict records may come before or after");
}

#[test]
fn a_strict_change_is_listed_once_however_often_it_happens() {
    let mut owner = table();
    let slot = owner.insert_strict(1, 10);
    (0..1_000).for_each(|_| *owner.value_mut_strict(slot).unwrap() += 1);
    let mut strict = Writer::new();
    assert_eq!(owner.take_strict(&mut strict), 1);
    owner.value_mut_strict(slot);
    assert_eq!(owner.take_strict(&mut Writer::new()), 1);
}
