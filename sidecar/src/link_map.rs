//! The map of a cut: which parts there are, in which files their texts stand, and what crosses between them.
//!
//! `kubectl anf cut --click-dir` writes it beside the texts (`links.json`). A pod's manifest holds the same, as one part
//! sees it.

use std::path::{Path, PathBuf};

use anf_click::{Annotations, Cut, Mode};
use serde::{Deserialize, Serialize};

use crate::manifest::{EdgeSpec, LinkSpec};

/// Name of the map in its folder.
pub const FILE: &str = "links.json";

/// A cut without the texts of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkMap {
    /// [`Cut::hash`]: only parts of the same cut talk to each other.
    pub graph_hash: String,
    /// The parts, in the order in which they run where time is virtual.
    pub parts: Vec<PartEntry>,
    /// The cut edges.
    pub edges: Vec<EdgeEntry>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartEntry {
    /// Its name.
    pub name: String,
    /// The file of its Click text, beside the map.
    pub file: PathBuf,
    /// How many elements of the whole graph it has.
    pub elements: usize,
    /// The parts that it has links with.
    pub peers: Vec<String>,
}

/// One cut edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeEntry {
    /// Its number, the `EDGE` of the link elements.
    pub id: u16,
    /// The part that packets leave.
    pub from_part: String,
    /// The output that they leave by.
    pub from: String,
    /// The part that they enter.
    pub to_part: String,
    /// The input that they enter by.
    pub to: String,
    /// `push` or `pull`.
    pub mode: String,
    /// The annotations that cross with each packet.
    pub annotations: Vec<String>,
    /// Packets may come back over links: then the link drops (and counts) when it is full, where others hold back.
    pub in_cycle: bool,
    /// The number of the way back, by which the far end says how many packets may cross.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u16>,
    /// Packets that cross a pull edge before they are asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ahead: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

impl EdgeEntry {
    /// The annotations as bits; names that this version does not know are left out.
    pub fn annotations(&self) -> Annotations {
        let known = self.annotations.iter().filter_map(|name| Annotations::named(name));
        known.fold(Annotations::NONE, Annotations::union)
    }
}

/// Why the folder of a cut cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkMapError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not a map.
    #[error("{path} is not the map of a cut: {source}")]
    Parse {
        /// The file.
        path: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The map does not fit together.
    #[error("{path}: {message}")]
    Wrong {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
}

impl LinkMap {
    /// The map of a cut.
    pub fn of(cut: &Cut) -> Self {
        let mut map = Self {
            graph_hash: cut.hash(),
            parts: Vec::new(),
            edges: cut.edges.iter().map(|edge| entry(cut, edge)).collect(),
        };
        for part in &cut.parts {
            let peers = map.peers(&part.name);
            map.parts.push(PartEntry {
                name: part.name.clone(),
                file: format!("{}.click", part.name).into(),
                elements: part.elements,
                peers,
            });
        }
        map
    }

    /// Reads the map of a folder.
    pub fn read(dir: &Path) -> Result<Self, LinkMapError> {
        let path = dir.join(FILE);
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| LinkMapError::Read { path: shown.clone(), source })?;
        let map: Self = serde_json::from_str(&text)
            .map_err(|source| LinkMapError::Parse { path: shown.clone(), source })?;
        map.check().map_err(|message| LinkMapError::Wrong { path: shown, message })?;
        Ok(map)
    }

    /// The Click text of a part in the map's folder.
    pub fn text(&self, dir: &Path, part: &str) -> Result<String, LinkMapError> {
        let found = self.parts.iter().find(|known| known.name == part);
        let entry = found.ok_or_else(|| LinkMapError::Wrong {
            path: dir.join(FILE).display().to_string(),
            message: format!("it has no part \"{part}\""),
        })?;
        let path = dir.join(&entry.file);
        std::fs::read_to_string(&path)
            .map_err(|source| LinkMapError::Read { path: path.display().to_string(), source })
    }

    fn check(&self) -> Result<(), String> {
        if self.parts.is_empty() {
            return Err("it has no parts".to_owned());
        }
        for part in &self.parts {
            if part.file.file_name() != Some(part.file.as_os_str()) {
                let (file, name) = (part.file.display(), &part.name);
                return Err(format!("the file \"{file}\" of part \"{name}\" is not beside it"));
            }
        }
        for edge in &self.edges {
            for part in [&edge.from_part, &edge.to_part] {
                if !self.parts.iter().any(|known| known.name == *part) {
                    return Err(format!("edge {} names part \"{part}\", which it does not list", edge.id));
                }
            }
        }
        Ok(())
    }

    /// The links that bring packets to a part.
    pub fn in_links(&self, part: &str) -> Vec<LinkSpec> {
        self.links(|from, to| (to == part).then_some(from))
    }

    /// The links that take packets away from a part.
    pub fn out_links(&self, part: &str) -> Vec<LinkSpec> {
        self.links(|from, to| (from == part).then_some(to))
    }

    fn peers(&self, part: &str) -> Vec<String> {
        let links = self.in_links(part).into_iter().chain(self.out_links(part));
        let mut peers: Vec<String> = links.map(|link| link.peer).collect();
        peers.sort();
        peers.dedup();
        peers
    }

    /// Edges, and the signals beside them, by peer. Signals alone make no link that waits: the next one says all that a
    /// lost one said.
    fn links<'a>(&'a self, peer_of: impl Fn(&'a str, &'a str) -> Option<&'a str>) -> Vec<LinkSpec> {
        let mut links: Vec<LinkSpec> = Vec::new();
        let mut add = |from, to, edge: EdgeSpec, in_cycle: Option<bool>| {
            let Some(peer) = peer_of(from, to) else { return };
            match links.iter_mut().find(|link| link.peer == peer) {
                Some(link) => {
                    link.edges.push(edge);
                    link.in_cycle |= in_cycle.unwrap_or(false);
                }
                None => {
                    let in_cycle = in_cycle.unwrap_or(true);
                    links.push(LinkSpec { peer: peer.to_owned(), edges: vec![edge], in_cycle });
                }
            }
        };
        for edge in &self.edges {
            let spec = EdgeSpec { id: edge.id, annotations: edge.annotations().0 };
            add(&edge.from_part, &edge.to_part, spec, Some(edge.in_cycle));
        }
        for edge in &self.edges {
            if let Some(id) = edge.signal {
                add(&edge.to_part, &edge.from_part, EdgeSpec { id, annotations: 0 }, None);
            }
        }
        links
    }
}

fn entry(cut: &Cut, edge: &anf_click::CutEdge) -> EdgeEntry {
    let signal = cut.signals.iter().find(|signal| signal.edge == edge.id);
    EdgeEntry {
        id: edge.id,
        from_part: edge.from_part.clone(),
        from: edge.from.clone(),
        to_part: edge.to_part.clone(),
        to: edge.to.clone(),
        mode: match edge.mode {
            Mode::Push => "push".to_owned(),
            Mode::Pull => "pull".to_owned(),
        },
        annotations: edge.annotations.names().map(str::to_owned).collect(),
        in_cycle: edge.in_cycle,
        signal: signal.map(|signal| signal.id),
        ahead: edge.ahead,
    }
}

#[cfg(test)]
mod tests {
    use anf_click::PartSpec;

    use super::*;
    use crate::registry::Registry;

    fn cut(text: &str, part: &str) -> Cut {
        let registry = Registry::standard();
        let flat = anf_click::flatten(&anf_click::parse("t", text).unwrap(), &[]).unwrap();
        let settled = anf_click::settle(flat, &registry).unwrap();
        let parts = [PartSpec { name: "x".into(), elements: part.split(' ').map(Into::into).collect() }];
        anf_click::cut(&settled, &parts, &registry).unwrap()
    }

    #[test]
    fn a_map_is_read_as_it_was_written_and_has_what_the_cut_has() {
        let cut = cut(
            "s :: TimedSource(1) -> p :: Paint(3) -> q :: Queue -> u :: Unqueue -> PaintSwitch -> Discard",
            "s q p",
        );
        let map = LinkMap::of(&cut);
        let text = serde_json::to_string_pretty(&map).unwrap();
        assert_eq!(serde_json::from_str::<LinkMap>(&text).unwrap(), map);
        let edge = &map.edges[0];
        assert_eq!((edge.mode.as_str(), edge.ahead, edge.signal), ("pull", 64, Some(1)));
        assert_eq!(edge.annotations(), Annotations::PAINT);
        assert_eq!(map.parts[0].peers, ["main"]);
        let back = map.out_links("main");
        assert_eq!((back[0].peer.as_str(), back[0].edges[0].id, back[0].in_cycle), ("x", 1, true));
        assert!(!map.in_links("main")[0].in_cycle);
    }

    #[test]
    fn a_map_that_does_not_fit_together_is_refused() {
        let mut map = LinkMap::of(&cut("s :: TimedSource(1) -> d :: Discard", "s"));
        map.parts.remove(0);
        assert_eq!(map.check().unwrap_err(), "edge 0 names part \"x\", which it does not list");
        map.parts.clear();
        assert_eq!(map.check().unwrap_err(), "it has no parts");
    }
}
