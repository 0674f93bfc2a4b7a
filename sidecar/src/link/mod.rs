//! Links between sub-functions: framed streams that carry all cut edges from one sub-function to another.
//!
//! `frame` is the wire form, `handshake` how two ends meet, `sender` and `receiver` keep the order of each edge
//! across connections and owners; all of these are pure. `transport` is the only part that touches sockets;
//! `connection` puts frames on it.

pub mod address;
pub mod connection;
pub mod frame;
pub mod handshake;
pub mod receiver;
pub mod ring;
pub mod seal;
pub mod sender;
pub mod transport;
