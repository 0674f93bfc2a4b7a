//! Elements that make packets of their own.

use crate::config::Value;
use crate::element::{Args, ConfigError, Cx, Descriptor, HandlerError};
use crate::elements::basic::{HandlerCall, parse_handler};

mod contents;
mod infinite_source;
mod rated_source;
mod timed_source;

pub(super) static GROUP: &[&Descriptor] =
    &[&infinite_source::DESCRIPTOR, &rated_source::DESCRIPTOR, &timed_source::DESCRIPTOR];

/// What a source sends when it is not told.
const DEFAULT_DATA: &[u8] = b"This packet was made by a source that was given no data of its own.";

/// `HANDLER [VALUE]`.
pub(crate) fn split_call(text: &str) -> (String, String) {
    let (handler, value) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    (handler.to_owned(), value.trim().to_owned())
}

/// What happens at the limit of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AtEnd {
    Nothing,
    Stop,
    Call(String, String),
}

impl AtEnd {
    /// STOP and END_CALL.
    fn build(args: &Args<'_>) -> Result<Self, ConfigError> {
        match (args.text("END_CALL"), args.or("STOP", false)?) {
            (Some(_), true) => Err("END_CALL and STOP are mutually exclusive".into()),
            (Some(call), false) => {
                let (handler, value) = split_call(call);
                Ok(Self::Call(handler, value))
            }
            (None, true) => Ok(Self::Stop),
            (None, false) => Ok(Self::Nothing),
        }
    }

    /// The element whose handler it calls.
    fn ties(config: &str) -> Vec<String> {
        HandlerCall::ties(config, &["END_CALL"], 0)
    }

    fn happen(&self, cx: &mut Cx<'_>) {
        match self {
            Self::Nothing => {}
            Self::Stop => cx.stop(),
            Self::Call(handler, value) => cx.write_later(handler, value),
        }
    }
}

/// How many packets are left to make; negative limits are none.
fn left(limit: i64, count: u64) -> u64 {
    u64::try_from(limit).map_or(u64::MAX, |limit| limit.saturating_sub(count))
}

/// Parses the value of a write handler, refused with Click's words.
fn parse_as<T: Value>(value: &str, refusal: &str) -> Result<T, HandlerError> {
    parse_handler(value).map_err(|_| HandlerError::Refused(refusal.to_owned()))
}
