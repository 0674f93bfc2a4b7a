//! The sending end of a link, and its part in a handover of the peer (U in the design): it announces nothing and
//! decides nothing, it ends its frames to the source with markers, sends on to the target, and goes back if told.

use crate::link::frame::{Data, Marker, PeerReport, Prepare};
use crate::link::handshake::{EdgePosition, Welcome};
use crate::link::sender::OutEdge;
use crate::manifest::LinkSpec;

use super::dialer::{ConnId, Destination, Dialer};

/// The handover of the peer, as its upstream sees it.
#[derive(Debug)]
pub struct PeerMove {
    /// What was announced.
    pub prepare: Prepare,
    /// Keeps a connection to the target.
    pub target: Dialer,
    /// Set by CUT: per edge the first sequence number that goes to the target.
    pub markers: Option<Vec<u64>>,
    /// Set by ARM: when the window of measurement began.
    pub armed_at: Option<u64>,
    dropped_before: u64,
}

/// What a new connection to the owner makes necessary.
#[derive(Debug, Default)]
pub struct Reunion {
    /// Packets that cannot be sent again.
    pub lost: u64,
    /// Batches that a source in the middle of a cut must get again.
    pub again: Vec<Data>,
    /// Markers that it must get again, behind the batches.
    pub markers: Vec<Marker>,
    /// The connection to a target that is none any more.
    pub unneeded: Option<ConnId>,
}

/// The sending end of a link.
#[derive(Debug)]
pub struct OutLink {
    /// The sub-function at the other end.
    pub peer: String,
    /// Whether it drops when full.
    pub in_cycle: bool,
    /// The edges, in the manifest's order.
    pub edges: Vec<OutEdge>,
    /// Keeps a connection to the peer's owner.
    pub owner: Dialer,
    /// A handover of the peer.
    pub peer_move: Option<PeerMove>,
    /// A handover of the peer that is done but for the report.
    pub to_report: Option<PeerMove>,
}

impl OutLink {
    /// A link that was never used, of a sub-function whose packets have one of `causes` causes.
    pub fn new(spec: &LinkSpec, causes: usize) -> Self {
        Self {
            peer: spec.peer.clone(),
            in_cycle: spec.in_cycle,
            edges: spec.edges.iter().map(|edge| OutEdge::new(edge.id, causes)).collect(),
            owner: Dialer::by_directory(),
            peer_move: None,
            to_report: None,
        }
    }

    /// The connection that packets take now.
    pub fn route(&self) -> Option<ConnId> {
        match &self.peer_move {
            Some(PeerMove { markers: Some(_), target, .. }) => target.up(),
            _ => self.owner.up(),
        }
    }

    /// Packets dropped because the peer did not keep up.
    pub fn dropped(&self) -> u64 {
        self.edges.iter().map(OutEdge::dropped).sum()
    }

    /// Whether a sender that may wait must wait.
    pub fn must_wait(&self) -> bool {
        !self.in_cycle && self.edges.iter().any(OutEdge::must_wait)
    }

    /// The next batch to send, over all edges.
    pub fn next_to_send(&mut self, epoch: u64, stored: u64) -> Option<Data> {
        self.edges.iter_mut().find_map(|edge| edge.next_to_send(epoch, stored))
    }

    /// Closes the open batches; those from `starts` on wait for frame `hold`.
    pub fn close(&mut self, hold: u64) {
        self.edges.iter_mut().for_each(|edge| edge.close(hold));
    }

    /// PREPARE: the peer will move. A repeated announcement changes nothing; another one ends the handover before it,
    /// whose connection is returned.
    pub fn prepare(&mut self, prepare: Prepare) -> Option<ConnId> {
        let before = self.peer_move.as_ref().map(|known| known.prepare.id.clone());
        if before.as_ref() == Some(&prepare.id) {
            return None;
        }
        let gone = before.and_then(|id| self.abort(&id));
        self.peer_move = Some(PeerMove {
            target: Dialer::to(Destination {
                owner: prepare.target.clone(),
                address: prepare.address.clone(),
            }),
            prepare,
            markers: None,
            armed_at: None,
            dropped_before: self.dropped(),
        });
        gone.and_then(|gone| gone.target.up())
    }

    fn moving(&mut self, id: &str) -> Option<&mut PeerMove> {
        self.peer_move.as_mut().filter(|known| known.prepare.id == id)
    }

    /// ARM: ready, or why not.
    pub fn arm(&mut self, id: &str, now: u64) -> Result<(), String> {
        let me = format!("the link to \"{}\"", self.peer);
        let Some(known) = self.moving(id) else { return Err(format!("{me} knows of no such handover")) };
        if known.target.up().is_none() {
            return Err(format!("{me} has no connection to the target at {} yet", known.prepare.address));
        }
        known.armed_at = Some(now);
        Ok(())
    }

    /// CUT: the markers to send to the source. What was not sent to it goes to the target. The same again for a
    /// source that asks again after a broken connection.
    pub fn cut(&mut self, id: &str) -> Vec<Marker> {
        let sent: Vec<u64> = self.edges.iter().map(OutEdge::sent).collect();
        let Some(known) = self.moving(id) else { return Vec::new() };
        let epoch = known.prepare.epoch;
        let markers = known.markers.get_or_insert(sent).clone();
        self.edges.iter().zip(markers).map(|(edge, next)| Marker { edge: edge.id(), next, epoch }).collect()
    }

    /// ABORT: everything from the markers on goes to the source after all.
    pub fn abort(&mut self, id: &str) -> Option<PeerMove> {
        self.moving(id)?;
        let gone = self.peer_move.take()?;
        if let Some(markers) = &gone.markers {
            self.edges.iter_mut().zip(markers).for_each(|(edge, from)| edge.send_from(*from));
        }
        Some(gone)
    }

    /// The target owns: its connection becomes the link's. Returns the connection that is no longer needed.
    pub fn commit(&mut self, epoch: u64) -> Option<ConnId> {
        let done = self.peer_move.take_if(|known| known.prepare.epoch <= epoch)?;
        let old = self.owner.up();
        self.owner = Dialer::by_directory();
        if let Some(conn) = done.target.up() {
            self.owner.connected(conn);
        }
        if done.markers.is_none() {
            // The target took over without a cut that reached us: all that is not safe goes to it.
            self.edges.iter_mut().for_each(|edge| edge.send_from(0));
        }
        self.to_report = Some(done);
        old
    }

    /// The owner's connection is up.
    pub fn owner_connected(&mut self, conn: ConnId, welcome: &Welcome) -> Reunion {
        self.owner.connected(conn);
        let mut reunion = Reunion::default();
        let id = self.peer_move.as_ref().map(|known| known.prepare.id.clone());
        if let Some(id) = id.filter(|id| welcome.handover.as_ref() != Some(id)) {
            // The source knows no such handover any more: it gave it up while we could not hear it.
            reunion.unneeded = self.abort(&id).and_then(|gone| gone.target.up());
        }
        match self.peer_move.as_ref().and_then(|known| known.markers.clone()) {
            None => reunion.lost = self.resume(welcome),
            Some(markers) => {
                reunion.again = self.again_up_to(&markers, welcome);
                let id = self.peer_move.as_ref().map(|known| known.prepare.id.clone()).unwrap_or_default();
                reunion.markers = self.cut(&id);
            }
        }
        reunion
    }

    /// The owner before died: goes on where the receiver is, see [`OutEdge::take_over`].
    pub fn take_over(&mut self, welcome: &Welcome, repeat: bool) -> u64 {
        let positions = welcome.edges.iter();
        let known = |id: u16| positions.clone().find(|position| position.edge == id);
        let edges = self.edges.iter_mut();
        edges
            .map(|edge| match known(edge.id()) {
                Some(EdgePosition { accepted: Some(accepted), durable, made, .. }) => {
                    edge.take_over(*accepted, *durable, made, repeat)
                }
                _ => edge.resume(None, 0),
            })
            .sum()
    }

    fn resume(&mut self, welcome: &Welcome) -> u64 {
        let position = |id: u16| welcome.edges.iter().find(|position| position.edge == id);
        self.edges
            .iter_mut()
            .map(|edge| match position(edge.id()) {
                Some(position) => edge.resume(position.accepted, position.durable),
                None => edge.resume(None, 0),
            })
            .sum()
    }

    /// What the source has not got of the packets before the markers.
    fn again_up_to(&self, markers: &[u64], welcome: &Welcome) -> Vec<Data> {
        let accepted =
            |id: u16| welcome.edges.iter().find(|p| p.edge == id).and_then(|p| p.accepted).unwrap_or(0);
        self.edges
            .iter()
            .zip(markers)
            .flat_map(|(edge, marker)| {
                edge.batches(accepted(edge.id()), *marker).map(|batch| batch.data(edge.id(), 0))
            })
            .collect()
    }

    /// Whether a handover of the peer to `owner` is under way.
    pub fn moves_to(&self, owner: &str) -> bool {
        self.peer_move.as_ref().is_some_and(|known| known.prepare.target == owner)
    }

    /// The target's connection is up: send from the markers on, or from where it has parked.
    pub fn target_connected(&mut self, conn: ConnId, welcome: &Welcome) {
        let Some(known) = &mut self.peer_move else { return };
        known.target.connected(conn);
        if let Some(markers) = &known.markers {
            for (edge, marker) in self.edges.iter_mut().zip(markers) {
                let parked = welcome.edges.iter().find(|p| p.edge == edge.id()).and_then(|p| p.accepted);
                edge.send_from(parked.unwrap_or(0).max(*marker));
            }
        }
    }

    /// The report that is due, once the window of measurement is over.
    pub fn take_report(&mut self, me: &str, now: u64) -> Option<PeerReport> {
        let due = |done: &mut PeerMove| {
            let window = u64::from(done.prepare.watch_ms) * 1_000_000;
            done.armed_at.is_none_or(|armed| now >= armed + window)
        };
        let done = self.to_report.take_if(due)?;
        let lost = self.dropped() - done.dropped_before;
        Some(PeerReport { id: done.prepare.id, peer: me.to_string(), lost, ..PeerReport::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::EdgeSpec;

    fn prepare(id: &str) -> Prepare {
        Prepare { id: id.into(), epoch: 2, target: id.into(), address: format!("{id}:1"), watch_ms: 0 }
    }

    #[test]
    fn a_handover_that_replaces_one_after_its_cut_sends_again_from_the_markers() {
        let edges = vec![EdgeSpec { id: 1, annotations: 0 }];
        let mut link = OutLink::new(&LinkSpec { peer: "s".into(), edges, in_cycle: false }, 2);
        link.owner.connected(5);
        assert_eq!(link.prepare(prepare("m1")), None);
        link.peer_move.as_mut().unwrap().target.connected(6);
        link.cut("m1");
        for _ in 0..3 {
            link.edges[0].open_packet().unwrap().extend_from_slice(b"p");
            link.close(0);
        }
        assert_eq!(link.route(), Some(6));
        assert_eq!(std::iter::from_fn(|| link.next_to_send(1, 0)).count(), 3);
        assert_eq!(link.prepare(prepare("m2")), Some(6), "the target before is no longer needed");
        assert_eq!(link.route(), Some(5));
        assert_eq!(
            std::iter::from_fn(|| link.next_to_send(1, 0)).map(|data| data.first).collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }
}
