//! The state of a whole router: what its elements keep, and what the engine keeps for them.
//!
//! Elements are named and their schemas checked, so that state read from elsewhere cannot reach the wrong one. Small
//! state is written whole: [`Router::save`]. Tables are written as runs of records: [`put_table`].

use super::cx::Cx;
use super::{ElementId, Router, Time};
use crate::state::{Reader, Schema, StateError, Stateful, Table, Writer};

/// Written before the engine's own part.
const SCHEMA: Schema = Schema { name: "engine", version: 3 };

impl Router {
    /// Writes the small state of all elements, and of the engine: timers, tasks, requests to stop, counts of drops.
    pub fn save(&mut self, w: &mut Writer) {
        put_schema(SCHEMA, w);
        self.save_engine(w);
        for id in self.ids() {
            let name = self.name(id).to_owned();
            let Some(state) = self.state_of(id) else { continue };
            w.put_str(&name);
            put_schema(state.schema(), w);
            let at = w.reserve_u32();
            let before = w.len();
            state.save(w);
            w.fill_u32(at, (w.len() - before) as u32);
        }
    }

    /// Replaces small state by what [`Router::save`] wrote.
    pub fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        check_schema(SCHEMA, r)?;
        self.restore_engine(r)?;
        while !r.is_empty() {
            let name = r.get_str()?;
            let state = self.named_state(name)?;
            check_schema(state.schema(), r)?;
            let mut small = Reader::new(r.get_bytes()?);
            state.restore(&mut small)?;
            whole(&small)?;
        }
        Ok(())
    }

    /// Reads a run of records as [`put_table`] writes it.
    pub fn apply_table(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let name = r.get_str()?;
        let index = usize::from(r.get_u8()?);
        let mut tables = self.named_state(name)?.tables();
        let table = tables.get_mut(index).ok_or_else(|| StateError::UnknownElement(name.to_owned()))?;
        check_schema(table.schema(), r)?;
        let mut run = Reader::new(r.get_bytes()?);
        table.apply(&mut run)?;
        whole(&run)
    }

    /// Takes over from the router that this one replaces: tables, and what elements take ([`Element::take_state`]), of
    /// elements that both have under one name and class.
    pub fn take_state(&mut self, old: &mut Router) {
        for id in self.ids() {
            let class = self.core.classes[id.0 as usize];
            let Some(old_id) = old.find(self.name(id)) else { continue };
            if !std::ptr::eq(class, old.core.classes[old_id.0 as usize]) {
                continue;
            }
            self.take_tables(id, old, old_id);
            let (Some(mut element), Some(from)) =
                (self.elements[id.0 as usize].take(), old.element_mut(old_id))
            else {
                continue;
            };
            let mut cx = Cx { elements: &mut self.elements, core: &mut self.core, id: id.0, base: 0 };
            element.take_state(&mut cx, from);
            self.elements[id.0 as usize] = Some(element);
            self.settle_handler();
        }
    }

    fn take_tables(&mut self, id: ElementId, old: &mut Router, old_id: ElementId) {
        let (Some(to), Some(from)) = (self.state_of(id), old.state_of(old_id)) else { return };
        for (to, from) in to.tables().into_iter().zip(from.tables()) {
            for chunk in 0..from.chunks() {
                let mut w = Writer::new();
                from.snapshot_chunk(chunk, &mut w);
                // A table reads back what one of its kind wrote.
                let _ = to.apply(&mut Reader::new(w.as_bytes()));
            }
        }
    }

    /// The state of an element, if it has any.
    pub fn state_of(&mut self, id: ElementId) -> Option<&mut dyn Stateful> {
        self.element_mut(id)?.stateful()
    }

    /// The numbers of all elements, in graph order.
    pub fn ids(&self) -> impl Iterator<Item = ElementId> + use<> {
        (0..self.elements.len() as u32).map(ElementId)
    }

    fn named_state(&mut self, name: &str) -> Result<&mut dyn Stateful, StateError> {
        let found = self.find(name).and_then(|id| self.state_of(id));
        found.ok_or_else(|| StateError::UnknownElement(name.to_owned()))
    }

    fn save_engine(&self, w: &mut Writer) {
        let (core, names) = (&self.core, &self.core.names);
        w.put_u64(core.random);
        w.put_u32(core.stops);
        w.put_bool(core.finished);
        let timers = core.timers.pending();
        w.put_u32(timers.len() as u32);
        for (time, element) in timers {
            w.put_str(&names[element as usize]);
            w.put_u64(time.0);
        }
        w.put_u32(core.ready.len() as u32);
        for &element in &core.ready {
            w.put_str(&names[element as usize]);
        }
        let full = || names.iter().zip(&core.full).filter(|(_, full)| **full);
        w.put_u32(full().count() as u32);
        for (name, _) in full() {
            w.put_str(name);
        }
        w.put_u32(self.drops().count() as u32);
        for (name, reason, count) in self.drops() {
            w.put_str(name);
            w.put_str(reason);
            w.put_u64(count);
        }
    }

    fn restore_engine(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.core.random = r.get_u64()?;
        self.core.stops = r.get_u32()?;
        self.core.finished = r.get_bool()?;
        self.core.timers.clear_all();
        for _ in 0..r.get_u32()? {
            let element = self.number(r)?;
            self.core.timers.set(element, Time(r.get_u64()?));
        }
        self.core.ready.clear();
        self.core.queued.fill(false);
        for _ in 0..r.get_u32()? {
            let element = self.number(r)?;
            self.core.schedule(element);
        }
        self.core.full.fill(false);
        for _ in 0..r.get_u32()? {
            let element = self.number(r)?;
            self.core.full[element as usize] = true;
        }
        self.core.drops.iter_mut().for_each(Vec::clear);
        for _ in 0..r.get_u32()? {
            let element = self.number(r)?;
            let (reason, count) = (r.get_str()?, r.get_u64()?);
            if let Some(known) = self.drop_reason(element, reason) {
                self.core.count_drop(element, known, count);
            }
        }
        Ok(())
    }

    /// Reads the name of an element.
    fn number(&self, r: &mut Reader<'_>) -> Result<u32, StateError> {
        let name = r.get_str()?;
        self.core.index.get(name).copied().ok_or_else(|| StateError::UnknownElement(name.to_owned()))
    }

    /// The reason as the element's class writes it. One that it does not have (any more) is not counted.
    fn drop_reason(&self, element: u32, reason: &str) -> Option<&'static str> {
        let own = self.core.classes[element as usize].drops.iter();
        own.chain(&[super::NO_OUTPUT]).copied().find(|known| *known == reason)
    }
}

/// Writes one table's run of records, as [`Router::apply_table`] reads it; returns their number.
pub fn put_table(
    name: &str,
    index: u8,
    table: &mut dyn Table,
    w: &mut Writer,
    fill: impl FnOnce(&mut dyn Table, &mut Writer) -> u32,
) -> u32 {
    w.put_str(name);
    w.put_u8(index);
    put_schema(table.schema(), w);
    let at = w.reserve_u32();
    let before = w.len();
    let count = fill(table, w);
    w.fill_u32(at, (w.len() - before) as u32);
    count
}

fn put_schema(schema: Schema, w: &mut Writer) {
    w.put_str(schema.name);
    w.put_u16(schema.version);
}

fn check_schema(wanted: Schema, r: &mut Reader<'_>) -> Result<(), StateError> {
    let (name, version) = (r.get_str()?, r.get_u16()?);
    if wanted.name == name && wanted.version == version {
        return Ok(());
    }
    Err(StateError::Schema {
        found: format!("{name} {version}"),
        wanted: format!("{} {}", wanted.name, wanted.version),
    })
}

fn whole(r: &Reader<'_>) -> Result<(), StateError> {
    match r.remaining() {
        0 => Ok(()),
        left => Err(StateError::TrailingBytes(left)),
    }
}
