//! The public ports of an internal endpoint, and by how many flows each is held.
//!
//! Nearly always it is one. An endpoint has more when its port serves another endpoint's flow to the same destination,
//! after all ports were used up. What there is depends on the flows only, not on the order in which they came: the owner
//! and a target that was told of them in another order choose the same port for the next flow.

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Binding {
    port: u16,
    flows: u32,
    /// The others, by port; all above `port`.
    #[allow(clippy::box_collection)] // A pointer in place of three words, for the few that need it.
    more: Option<Box<Vec<(u16, u32)>>>,
}

impl Binding {
    /// One more flow on `port`. Whether it is the first.
    pub(super) fn add(&mut self, port: u16) -> bool {
        if self.flows == 0 {
            (self.port, self.flows) = (port, 1);
            return true;
        }
        if port == self.port {
            self.flows += 1;
            return false;
        }
        let more = self.more.get_or_insert_default();
        match more.binary_search_by_key(&port, |(known, _)| *known) {
            Ok(at) => {
                more[at].1 += 1;
                false
            }
            Err(at) if port > self.port => {
                more.insert(at, (port, 1));
                true
            }
            Err(_) => {
                more.insert(0, (self.port, self.flows));
                (self.port, self.flows) = (port, 1);
                true
            }
        }
    }

    /// One flow less on `port`. Whether it was the last.
    pub(super) fn remove(&mut self, port: u16) -> bool {
        if port == self.port && self.flows > 0 {
            self.flows -= 1;
            if self.flows == 0
                && let Some(more) = &mut self.more
            {
                (self.port, self.flows) = more.remove(0);
                if more.is_empty() {
                    self.more = None;
                }
                return true;
            }
            return self.flows == 0;
        }
        let Some(more) = &mut self.more else { return false };
        let Ok(at) = more.binary_search_by_key(&port, |(known, _)| *known) else { return false };
        more[at].1 -= 1;
        let last = more[at].1 == 0;
        if last {
            more.remove(at);
            if more.is_empty() {
                self.more = None;
            }
        }
        last
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows == 0
    }

    /// The ports, lowest first.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        let first = (self.flows > 0).then_some(self.port);
        first.into_iter().chain(self.more.iter().flat_map(|more| more.iter().map(|(port, _)| *port)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_ports_with_counts(steps in prop::collection::vec((0u16..6, any::<bool>()), 0..60)) {
            let (mut binding, mut model) = (Binding::default(), BTreeMap::<u16, u32>::new());
            for (port, add) in steps {
                if add {
                    let count = model.entry(port).or_default();
                    *count += 1;
                    prop_assert_eq!(binding.add(port), *count == 1);
                } else {
                    let last = model.get(&port) == Some(&1);
                    if let Some(count) = model.get_mut(&port) {
                        *count -= 1;
                    }
                    model.retain(|_, count| *count > 0);
                    prop_assert_eq!(binding.remove(port), last);
                }
                prop_assert_eq!(binding.ports().collect::<Vec<_>>(), model.keys().copied().collect::<Vec<_>>());
                prop_assert_eq!(binding.is_empty(), model.is_empty());
            }
        }
    }
}
