//! Taking over after a crash (handover.md, section 5): the state is loaded, and before anything is processed every
//! downstream is asked what it has. The question, which carries the new epoch, also fences the owner before.
//!
//! Then the inputs since the last cut frame come again from the upstreams, the engine makes the same outputs again, and
//! those that a downstream has are passed over.

use crate::control::Role;
use crate::link::frame::Data;
use crate::link::handshake::Welcome;

use super::super::engine::Engine;
use super::super::loader::Loader;
use super::super::parked::Parked;
use super::Node;

/// An owner that waits for its downstreams.
#[derive(Debug)]
pub(super) struct Takeover {
    /// Out-links whose downstream has not answered.
    waiting: Vec<usize>,
    /// What upstreams have sent meanwhile.
    parked: Parked,
    repeatable: bool,
}

impl Node {
    /// The claim holds and the state is there. The first owner ever has nothing to ask.
    pub(super) fn loaded(&mut self, loader: &Loader, now: u64, engine: &mut dyn Engine) {
        self.continue_from(loader);
        let waiting: Vec<usize> = if self.epoch > 1 { (0..self.outs.len()).collect() } else { Vec::new() };
        self.takeover =
            Some(Takeover { waiting, parked: Parked::default(), repeatable: engine.is_repeatable() });
        self.poll_takeover(now, engine);
    }

    /// A downstream has answered: its edges go on from what it has.
    pub(super) fn meet(&mut self, at: usize, welcome: &Welcome) {
        let Some(takeover) = &mut self.takeover else { return };
        takeover.waiting.retain(|link| *link != at);
        let lost = self.outs[at].take_over(welcome, takeover.repeatable);
        self.repeating = true;
        self.note_lost(at, lost);
    }

    /// Packets wait for the start.
    pub(super) fn park(&mut self, at: usize, data: Data) -> bool {
        self.takeover.as_mut().is_some_and(|takeover| takeover.parked.push(at, data))
    }

    /// A link was made anew: what it brought before will be sent again.
    pub(super) fn forget_parked(&mut self, at: usize) {
        self.takeover.iter_mut().for_each(|takeover| takeover.parked.forget(at));
    }

    /// Starts once every downstream has answered.
    pub(super) fn poll_takeover(&mut self, now: u64, engine: &mut dyn Engine) {
        let Some(takeover) = &mut self.takeover else { return };
        if let Some(at) = takeover.waiting.first() {
            self.not_ready =
                Some(format!("waits for \"{}\" to say what it has of the owner before", self.outs[*at].peer));
            return;
        }
        let parked = takeover.parked.take();
        self.takeover = None;
        let epoch = self.epoch;
        self.become_owner(epoch, None, now, engine);
        for (at, data) in parked {
            self.unpark(at, &data, now, engine);
        }
    }

    /// Whether an owner waits for its downstreams.
    pub(super) fn is_taking_over(&self) -> bool {
        self.role == Role::Starting && self.takeover.is_some()
    }
}
