//! The order in which a routing table shows its routes: Click's, which is that of the places that they take in a list.

use hashbrown::HashMap;

use crate::state::{Reader, StateError, Writer};

/// A prefix: network address and length.
pub(super) type Prefix = (u32, u8);

/// Which free place a new route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// The first one. A route that replaces another takes its place.
    First,
    /// The one that became free last. A route that replaces another takes a place of its own.
    Last,
}

/// Places of routes.
#[derive(Debug, Clone)]
pub(super) struct RouteOrder {
    reuse: Reuse,
    places: Vec<Option<Prefix>>,
    /// Free places, the one that became free last at the end.
    free: Vec<u32>,
    known: HashMap<Prefix, u32>,
}

impl RouteOrder {
    pub(super) fn new(reuse: Reuse) -> Self {
        Self { reuse, places: Vec::new(), free: Vec::new(), known: HashMap::new() }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.reuse);
    }

    pub(super) fn contains(&self, prefix: Prefix) -> bool {
        self.known.contains_key(&prefix)
    }

    /// Gives a place to a new route, or to one that replaces the route of the same prefix.
    pub(super) fn insert(&mut self, prefix: Prefix) {
        let old = self.known.get(&prefix).copied();
        if old.is_some() && self.reuse == Reuse::First {
            return;
        }
        let place = self.take_place();
        self.places[place as usize] = Some(prefix);
        self.known.insert(prefix, place);
        if let Some(old) = old {
            self.release(old);
        }
    }

    fn take_place(&mut self) -> u32 {
        let free = match self.reuse {
            Reuse::Last => self.free.pop(),
            Reuse::First => {
                let first = self.free.iter().enumerate().min_by_key(|(_, place)| **place);
                first.map(|(at, _)| at).map(|at| self.free.swap_remove(at))
            }
        };
        free.unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        })
    }

    fn release(&mut self, place: u32) {
        self.places[place as usize] = None;
        self.free.push(place);
    }

    pub(super) fn remove(&mut self, prefix: Prefix) {
        if let Some(place) = self.known.remove(&prefix) {
            self.release(place);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Prefix> {
        self.places.iter().copied().flatten()
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u32(self.places.len() as u32);
        for place in &self.places {
            let (network, length) = place.unwrap_or((0, u8::MAX));
            w.put_u32(network);
            w.put_u8(length);
        }
        for place in &self.free {
            w.put_u32(*place);
        }
    }

    /// Replaces places by those that were saved; prefixes are checked by whoever asks.
    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let mut order = Self::new(self.reuse);
        let mut free = 0;
        for place in 0..r.get_u32()? {
            let (network, length) = (r.get_u32()?, r.get_u8()?);
            let prefix = (length != u8::MAX).then_some((network, length));
            free += u32::from(prefix.is_none());
            if let Some(prefix) = prefix
                && order.known.insert(prefix, place).is_some()
            {
                return Err(StateError::Invalid { what: "second route of a prefix", value: network.into() });
            }
            order.places.push(prefix);
        }
        let mut seen = vec![false; order.places.len()];
        for _ in 0..free {
            let place = r.get_u32()?;
            let is_free = order.places.get(place as usize).is_some_and(Option::is_none);
            if !is_free || std::mem::replace(&mut seen[place as usize], true) {
                return Err(StateError::Invalid { what: "free place of a route", value: place.into() });
            }
            order.free.push(place);
        }
        *self = order;
        Ok(())
    }
}
