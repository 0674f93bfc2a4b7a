//! What the control API asks of the packet thread, and the answers.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::control::{HandoverRequest, HandoverStatus, Refusal, Status, StoreStatus};
use crate::handover::engine::Engine;

use super::beside::{Answer, Ask};
use super::event_loop::{EventLoop, TERMINATION_GRACE};

/// A question with the way back for its answer.
#[derive(Debug)]
pub(super) enum Request {
    /// `GET /v1/status`.
    Status(oneshot::Sender<Status>),
    /// `POST /v1/handover`.
    Handover(HandoverRequest, oneshot::Sender<Result<(), Refusal>>),
    /// `GET /v1/handover/{id}`.
    HandoverStatus(String, oneshot::Sender<Option<HandoverStatus>>),
    /// `POST /v1/handover/{id}/abort`.
    Abort(String, oneshot::Sender<Result<(), Refusal>>),
    /// `GET /v1/handlers/{element.handler}`.
    ReadHandler(String, oneshot::Sender<Result<String, String>>),
    /// SIGTERM.
    Terminate,
    /// From the process that runs all parts of a cut.
    Beside(Ask, oneshot::Sender<Answer>),
    /// The end, at once.
    End,
}

/// Packets per second, over about a second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    since: u64,
    packets: u64,
    rate: f64,
}

impl Rate {
    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.since + 1_000_000_000
    }

    /// `packets` so far, at `now`.
    pub(super) fn tick(&mut self, now: u64, packets: u64) {
        let elapsed = now.saturating_sub(self.since);
        if elapsed >= 1_000_000_000 {
            let more = packets.saturating_sub(self.packets);
            self.rate = if self.since == 0 { 0.0 } else { more as f64 * 1e9 / elapsed as f64 };
            self.since = now;
            self.packets = packets;
        }
    }
}

impl EventLoop {
    pub(super) fn answer(&mut self, request: Request, now: u64) {
        // An asker that is gone does not want its answer.
        match request {
            Request::Status(back) => {
                let _ = back.send(self.status());
            }
            Request::Handover(request, back) => {
                let _ = back.send(self.node.request_handover(request, now, &mut self.engine));
            }
            Request::HandoverStatus(id, back) => {
                let _ = back.send(self.node.handover(Some(&id)));
            }
            Request::Abort(id, back) => {
                let _ = back.send(self.node.abort_handover(&id, now, &mut self.engine));
            }
            Request::ReadHandler(path, back) => {
                let (element, handler) = path.rsplit_once('.').unwrap_or(("", &path));
                let answer = self.engine.router().read_handler(element, handler);
                let _ = back.send(answer.map_err(|error| error.to_string()));
            }
            Request::Terminate => {
                let grace = if self.node.is_serving() { TERMINATION_GRACE.as_nanos() as u64 } else { 0 };
                self.stop_at.get_or_insert(now + grace);
            }
            Request::Beside(ask, back) => {
                let _ = back.send(self.answer_runner(&ask, now));
            }
            Request::End => self.stop_at = Some(now),
        }
        self.act();
    }

    fn status(&mut self) -> Status {
        let journal = self.node.journal();
        let store = StoreStatus {
            reachable: !journal.is_down(),
            lag_frames: journal.lag(),
            last_frame: journal.stored(),
            reason: self.node.store_trouble().map(str::to_string),
        };
        let links = self.node.links(|conn| self.carrier_of(conn));
        let mut drops: BTreeMap<String, u64> = self
            .engine
            .router_ref()
            .drops()
            .map(|(element, reason, count)| (format!("{element}/{reason}"), count))
            .collect();
        drops.extend(
            links
                .iter()
                .filter(|link| link.lost > 0)
                .map(|link| (format!("link {}/full", link.peer), link.lost)),
        );
        if self.node.strays() > 0 {
            drops.insert("links/stray".into(), self.node.strays());
        }
        Status {
            sub_function: self.identity.name.clone(),
            owner_id: self.identity.owner.clone(),
            role: self.node.role(),
            epoch: self.node.epoch(),
            graph_hash: self.identity.graph.clone(),
            elements: self.engine.router_ref().classes().count() as u32,
            flows: self.engine.flows(),
            packet_rate: self.rate.rate,
            packets: self.node.packets_in() + self.engine.device_packets(),
            links,
            store,
            handover: self.node.handover(None),
            drops,
            link_ends: self.link_ends.iter().map(|(kind, count)| ((*kind).to_string(), *count)).collect(),
            not_ready: self.node.not_ready().map(str::to_string),
        }
    }
}
