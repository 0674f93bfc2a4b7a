//! The state of a router, taken out and put into a fresh one, as a move does.

use anf_sidecar::engine::{Router, put_table};
use anf_sidecar::state::{Reader, Writer};

/// Tables and small state of a router, as a move carries them.
pub(crate) struct Saved {
    tables: Writer,
    small: Writer,
}

/// Takes the state out of a router.
pub(crate) fn save(router: &mut Router) -> Saved {
    let mut tables = Writer::new();
    for id in router.ids() {
        let name = router.name(id).to_owned();
        let Some(state) = router.state_of(id) else { continue };
        for (index, table) in state.tables().into_iter().enumerate() {
            for chunk in 0..table.chunks() {
                put_table(&name, index as u8, table, &mut tables, |table, w| table.snapshot_chunk(chunk, w));
            }
        }
    }
    let mut small = Writer::new();
    router.save(&mut small);
    Saved { tables, small }
}

/// Puts the state into a router of the same text.
pub(crate) fn restore(router: &mut Router, saved: &Saved) {
    let mut tables = Reader::new(saved.tables.as_bytes());
    while !tables.is_empty() {
        router.apply_table(&mut tables).expect("tables are read back");
    }
    router.restore(&mut Reader::new(saved.small.as_bytes())).expect("small state is read back");
}
