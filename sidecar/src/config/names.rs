//! Names for addresses and ports, as AddressInfo and PortInfo define them.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::value::{EtherAddr, IpPrefix};

/// What one name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) prefix: Option<IpPrefix>,
    pub(crate) ether: Option<EtherAddr>,
    pub(crate) port: Option<u16>,
}

/// All names that a configuration defines. A name defined inside a compound is seen only there and deeper.
#[derive(Debug, Clone, Default)]
pub struct Names {
    known: HashMap<String, Named>,
}

impl Names {
    /// No names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what `name`, defined by element `definer`, stands for.
    pub(crate) fn define(&mut self, definer: &str, name: &str, named: Named) {
        let full = match definer.rfind('/') {
            Some(slash) => format!("{}{name}", &definer[..=slash]),
            None => name.to_owned(),
        };
        let entry = self.known.entry(full).or_default();
        entry.ip = named.ip.or(entry.ip);
        entry.prefix = named.prefix.or(entry.prefix);
        entry.ether = named.ether.or(entry.ether);
        entry.port = named.port.or(entry.port);
    }

    /// What `name` stands for when element `user` says it.
    pub(crate) fn find(&self, user: &str, name: &str) -> Option<&Named> {
        let mut scope = user;
        while let Some(slash) = scope.rfind('/') {
            scope = &scope[..slash];
            if let Some(found) = self.known.get(&format!("{scope}/{name}")) {
                return Some(found);
            }
        }
        self.known.get(name)
    }
}
