//! The receiving end of a link, and its part in a handover of the peer (D in the design): it takes packets in
//! sequence from whoever owns the peer, fences owners of the past, and measures the gap.

use crate::link::frame::{Ack, Data};
use crate::link::handshake::EdgePosition;
use crate::link::receiver::{InEdge, Offer};
use crate::manifest::LinkSpec;

use super::dialer::ConnId;
use super::watch::Watch;

/// One connection of a link: there are two while the peer moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The connection.
    pub conn: ConnId,
    /// Id of the dialler.
    pub owner: String,
    /// Its epoch; of a candidate the one that it may get.
    pub epoch: u64,
    /// Whether it only may become the owner.
    pub candidate: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Process it but for its first packets.
    Process {
        /// Packets to leave out.
        skip: u16,
    },
    /// It is known already.
    Known,
    /// Its sender is an owner of the past.
    Fenced,
    /// The link has no such edge: the peer is broken.
    NoSuchEdge,
}

/// The receiving end of a link.
#[derive(Debug)]
pub struct InLink {
    /// The sub-function at the other end.
    pub peer: String,
    /// The edges, in the manifest's order.
    pub edges: Vec<InEdge>,
    /// Highest epoch that packets came with.
    pub epoch: u64,
    /// The connections.
    pub peers: Vec<Peer>,
    /// A handover of the peer that is measured.
    pub watch: Option<Watch>,
    /// Batches of owners of the past.
    pub fenced: u64,
}

impl InLink {
    /// A link that was never used.
    pub fn new(spec: &LinkSpec) -> Self {
        Self {
            peer: spec.peer.clone(),
            edges: spec.edges.iter().map(|edge| InEdge::new(edge.id)).collect(),
            epoch: 0,
            peers: Vec::new(),
            watch: None,
            fenced: 0,
        }
    }

    /// A dialler came. Returns the connections that it replaces, or why it is refused.
    pub fn accept(&mut self, peer: Peer) -> Result<Vec<ConnId>, String> {
        if peer.epoch < self.epoch {
            let (mine, its) = (self.epoch, peer.epoch);
            return Err(format!("\"{}\" is at epoch {mine}, the dialler is of epoch {its}", self.peer));
        }
        let replaced =
            self.peers.iter().filter(|known| known.owner == peer.owner || known.epoch == peer.epoch);
        let replaced: Vec<ConnId> = replaced.map(|known| known.conn).collect();
        self.peers.retain(|known| !replaced.contains(&known.conn));
        if !peer.candidate {
            self.owner_reaches(peer.epoch);
        }
        self.peers.push(peer);
        Ok(replaced)
    }

    /// A connection is gone.
    pub fn closed(&mut self, conn: ConnId) {
        self.peers.retain(|peer| peer.conn != conn);
    }

    /// The connection of the peer's owner: acknowledgements go there.
    pub fn owner_conn(&self) -> Option<ConnId> {
        self.peers.iter().filter(|peer| !peer.candidate).max_by_key(|peer| peer.epoch).map(|peer| peer.conn)
    }

    /// The connection of an owner that may come.
    pub fn candidate_conn(&self) -> Option<ConnId> {
        self.peers.iter().find(|peer| peer.candidate).map(|peer| peer.conn)
    }

    /// The peer at `conn` owns, at `epoch`.
    pub fn owner_is(&mut self, conn: ConnId, epoch: u64) {
        if epoch < self.epoch {
            return;
        }
        self.owner_reaches(epoch);
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.conn == conn) {
            peer.candidate = false;
            peer.epoch = epoch;
        }
    }

    /// An owner of `epoch` is there: owners before it are fenced, and it has not heard yet what is here.
    fn owner_reaches(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        if let Some(watch) = &mut self.watch {
            watch.owner_seen();
        }
        self.edges.iter_mut().for_each(InEdge::acknowledge_again);
    }

    /// A batch that was parked: its sender was known when it came.
    pub fn offer_parked(&mut self, data: &Data) -> Verdict {
        let Some(edge) = self.edges.iter_mut().find(|edge| edge.id() == data.edge) else {
            return Verdict::NoSuchEdge;
        };
        match edge.offer(data.first, data.count) {
            Offer::Take { skip } => {
                edge.note_made(data.made());
                Verdict::Process { skip }
            }
            Offer::Known => Verdict::Known,
        }
    }

    /// A batch came over `conn`.
    pub fn offer(&mut self, conn: ConnId, data: &Data) -> Verdict {
        let sender = self.peers.iter().find(|peer| peer.conn == conn);
        if !sender.is_some_and(|peer| !peer.candidate && peer.epoch >= self.epoch) {
            self.fenced += 1;
            return Verdict::Fenced;
        }
        self.offer_parked(data)
    }

    /// Where the edges stand, for a dialler.
    pub fn positions(&self) -> Vec<EdgePosition> {
        let position = |edge: &InEdge| EdgePosition {
            edge: edge.id(),
            accepted: edge.next(),
            durable: edge.durable(),
            made: edge.made().to_vec(),
        };
        self.edges.iter().map(position).collect()
    }

    /// Acknowledgements with at least `step` packets of news.
    pub fn take_acks(&mut self, step: u64) -> impl Iterator<Item = Ack> + '_ {
        self.edges.iter_mut().filter_map(move |edge| {
            let (accepted, durable) = edge.take_ack(step)?;
            Some(Ack { edge: edge.id(), accepted, durable })
        })
    }

    /// Sequence numbers that never came.
    pub fn lost(&self) -> u64 {
        self.edges.iter().map(InEdge::lost).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::manifest::EdgeSpec;

    fn link() -> InLink {
        InLink::new(&LinkSpec {
            peer: "u".into(),
            edges: vec![EdgeSpec { id: 1, annotations: 0 }],
            in_cycle: false,
        })
    }

    fn peer(conn: ConnId, owner: &str, epoch: u64, candidate: bool) -> Peer {
        Peer { conn, owner: owner.into(), epoch, candidate }
    }

    fn data(first: u64) -> Data {
        Data { edge: 1, epoch: 1, first, count: 2, columns: 0, body: Bytes::new() }
    }

    #[test]
    fn a_parked_batch_counts_although_its_connection_was_replaced_before_the_start() {
        let mut link = link();
        link.accept(peer(7, "u-0", 1, false)).unwrap();
        assert_eq!(link.accept(peer(8, "u-0", 1, false)), Ok(vec![7]));
        assert_eq!(link.offer(7, &data(0)), Verdict::Fenced);
        assert_eq!(link.offer_parked(&data(0)), Verdict::Process { skip: 0 });
        assert_eq!(link.offer(8, &data(0)), Verdict::Known);
    }

    #[test]
    fn a_new_owner_is_told_again_what_is_here() {
        let mut link = link();
        link.accept(peer(7, "u-0", 1, false)).unwrap();
        link.offer(7, &data(0));
        assert_eq!(link.take_acks(1).count(), 1);
        link.accept(peer(8, "u-1", 2, true)).unwrap();
        assert_eq!(link.take_acks(1).count(), 0);
        link.owner_is(8, 2);
        assert_eq!(link.take_acks(1).map(|ack| ack.accepted).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_owner_that_dials_fences_those_before_it() {
        let mut link = link();
        link.accept(peer(7, "u-0", 1, false)).unwrap();
        link.accept(peer(8, "u-1", 2, false)).unwrap();
        assert_eq!(link.offer(7, &data(0)), Verdict::Fenced);
    }
}
