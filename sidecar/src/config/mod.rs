//! Configuration strings of elements, parsed into types.
//!
//! `split` cuts a string into arguments and undoes quoting; `args` sorts them by an element's descriptor; `value` turns
//! one argument into a type; `names` knows the names that AddressInfo and PortInfo define. Input is untrusted: errors
//! are sentences in Click's manner, nothing panics.

mod args;
mod names;
mod split;
mod value;

pub use args::{Args, ConfigError, Scope};
pub(crate) use names::Named;
pub use names::Names;
pub(crate) use split::unquote_into;
pub use split::{quote_inside, shift_word, split_arguments, split_words, unquote};
pub use value::{Bandwidth, Bytes, EtherAddr, IpPrefix, Network, Seconds, Value};
