//! Loading a shard from the store: snapshot, then the log, frame after frame. Used by a target and by an owner that
//! starts over what was there before.

use std::collections::HashMap;

use bytes::Bytes;

use crate::state::{Reader, StateError};
use crate::store::StoreEvent;

use super::engine::Engine;
use super::journal::Length;
use super::state_frame::{InPosition, OutPosition, StateFrame};

/// What was loaded so far.
#[derive(Debug, Default)]
pub struct Loader {
    session: u64,
    /// Number of the last frame applied.
    pub applied: u64,
    /// How much was read.
    pub length: Length,
    /// Where the in-edges stood at the last cut frame.
    pub inputs: HashMap<u16, InPosition>,
    /// Where the out-edges stood at the last cut frame.
    pub outputs: HashMap<u16, OutPosition>,
    caught_up: u32,
    frames_since_caught_up: u32,
    /// A final frame that waits for frames before it.
    waiting: Option<StateFrame>,
    /// The handover whose final frame was applied.
    pub sealed_by: Option<String>,
}

impl Loader {
    /// A loader for the answers of one `Follow` call.
    pub fn new(session: u64) -> Self {
        Self { session, ..Self::default() }
    }

    /// Whether the log was followed closely, twice in a row: at most one frame behind.
    pub fn is_synced(&self) -> bool {
        self.caught_up >= 2
    }

    /// Takes an event of its call; others are left alone.
    pub fn handle(&mut self, event: &StoreEvent, engine: &mut dyn Engine) -> Result<(), StateError> {
        match event {
            StoreEvent::FollowReset { session, first } if *session == self.session => {
                engine.reset();
                let applied = first.saturating_sub(1);
                *self = Self { applied, waiting: self.waiting.take(), ..Self::new(self.session) };
                Ok(())
            }
            StoreEvent::Blob { session, blob } if *session == self.session => {
                self.length.snapshot_bytes += blob.len() as u64;
                engine.apply_changes(&mut Reader::new(blob))
            }
            StoreEvent::LogFrame { session, number, frame } if *session == self.session => {
                self.log_frame(*number, frame, engine)
            }
            StoreEvent::CaughtUp { session, .. } if *session == self.session => {
                let close = self.frames_since_caught_up <= 1;
                self.caught_up = if close { self.caught_up + 1 } else { 1 };
                self.frames_since_caught_up = 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn log_frame(&mut self, number: u64, bytes: &Bytes, engine: &mut dyn Engine) -> Result<(), StateError> {
        if number <= self.applied {
            return Ok(());
        }
        let frame = StateFrame::decode(bytes)?;
        self.length.bytes += bytes.len() as u64;
        self.frames_since_caught_up += 1;
        self.apply(number, frame, engine)?;
        match self.waiting.take() {
            Some(last) => self.offer_final(last, engine).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The final frame, straight from the source. Applied once every frame before it is; tells whether it was.
    pub fn offer_final(&mut self, frame: StateFrame, engine: &mut dyn Engine) -> Result<bool, StateError> {
        if frame.number > self.applied + 1 {
            self.waiting = Some(frame);
            return Ok(false);
        }
        if frame.number == self.applied + 1 {
            self.apply(frame.number, frame, engine)?;
        }
        Ok(true)
    }

    fn apply(&mut self, number: u64, frame: StateFrame, engine: &mut dyn Engine) -> Result<(), StateError> {
        engine.advance_time(frame.time);
        engine.apply_changes(&mut Reader::new(&frame.changes))?;
        self.sealed_by = None;
        if let Some(cut) = frame.cut {
            if let Some(small) = &cut.small_state {
                engine.restore(&mut Reader::new(small))?;
            }
            self.sealed_by = cut.handover;
            self.inputs = cut.inputs.into_iter().map(|position| (position.edge, position)).collect();
            self.outputs = cut.outputs.into_iter().map(|position| (position.edge, position)).collect();
        }
        self.applied = number;
        self.length.frames += 1;
        Ok(())
    }
}
