//! Events: the story of an object as `kubectl events` tells it.
//!
//! Reasons are API. A failed event never fails a reconcile: it is logged and forgotten.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// The API server refuses a longer note.
const NOTE_BYTES: usize = 1024;

/// Writes events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events reported by this replica.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: "atomicnf.dev/operator".into(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Something went as it should.
    pub async fn normal(
        &self,
        about: &ObjectReference,
        related: Option<&ObjectReference>,
        reason: &str,
        note: &str,
    ) {
        self.publish(EventType::Normal, about, related, reason, note).await;
    }

    /// Something needs a look.
    pub async fn warning(
        &self,
        about: &ObjectReference,
        related: Option<&ObjectReference>,
        reason: &str,
        note: &str,
    ) {
        self.publish(EventType::Warning, about, related, reason, note).await;
    }

    async fn publish(
        &self,
        type_: EventType,
        about: &ObjectReference,
        related: Option<&ObjectReference>,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(clip(note, NOTE_BYTES)),
            action: "Reconcile".into(),
            secondary: related.cloned(),
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::warn!(reason, %error, "an event could not be written");
        }
    }
}

/// The longest beginning of `text` of at most `bytes` bytes that ends between two characters.
fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes - 3).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_clipped_between_characters() {
        assert_eq!(clip("short", 10), "short");
        let clipped = clip(&"é".repeat(20), 12);
        assert!(clipped.len() <= 12 && clipped.ends_with('…'), "{clipped}");
    }
}
