//! Tests of the crate as its users see it.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod composing;
mod cutting;
mod drawing;
mod hostile;
mod language;
mod libraries;
mod properties;
mod proposing;
mod settling;
mod support;
