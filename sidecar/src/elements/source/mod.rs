//! Elements that make packets of their own.

use crate::config::Bytes;
use crate::element::{Args, ConfigError, Descriptor};
use crate::packet::MAX_LENGTH;

mod infinite_source;
mod rated_source;
mod timed_source;

pub(super) static GROUP: &[&Descriptor] =
    &[&infinite_source::DESCRIPTOR, &rated_source::DESCRIPTOR, &timed_source::DESCRIPTOR];

/// What a source sends when it is not told.
const DEFAULT_DATA: &[u8] = b"This packet was made by a source that was given no data of its own.";

/// The bytes of a source's packets: DATA, repeated or cut to LENGTH.
fn packet_data(args: &Args<'_>, length: Option<usize>) -> Result<Vec<u8>, ConfigError> {
    let data = args.get::<Bytes>("DATA")?.map_or_else(|| DEFAULT_DATA.to_vec(), |data| data.0);
    match length {
        None => Ok(data),
        Some(length) if length > MAX_LENGTH => Err(format!("LENGTH: maximum is {MAX_LENGTH}").into()),
        Some(length) if data.is_empty() => Ok(vec![0; length]),
        Some(length) => Ok(data.iter().copied().cycle().take(length).collect()),
    }
}

/// `HANDLER [VALUE]`.
pub(crate) fn split_call(text: &str) -> (String, String) {
    let (handler, value) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    (handler.to_owned(), value.trim().to_owned())
}
