//! Packets: exclusively owned 8-byte handles to pooled buffers, and fixed-size batches of them.
//!
//! A buffer holds head (lengths, header offsets, annotations), headroom and data in one allocation, so a packet moves
//! through the graph as one pointer. Nobody shares a packet: a copy is a copy. `unsafe` lives in `buffer` and `batch`
//! only, each with its invariant stated.

mod batch;
mod buffer;
mod record;

pub use batch::{BATCH, Batch};
pub use buffer::{Anno, HEADROOM, MAX_LENGTH, POOLED_BYTES, Packet, PacketType};
