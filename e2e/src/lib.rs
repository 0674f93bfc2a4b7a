//! What exercises the whole: traffic from ordinary hosts, the lab in network namespaces, the demo and the tests on a
//! real cluster, and the benchmarks.
//!
//! Nothing here decides whether a move was good by asking the code under test alone: the traffic tools count with
//! sequence numbers of their own, and every report carries their counts beside ours.

#[cfg(feature = "lab")]
pub mod bench;
pub mod cluster;
pub mod error;
pub mod hogs;
pub mod http;
#[cfg(feature = "lab")]
pub mod lab;
pub mod netns;
pub mod process;
pub mod report;
pub mod traffic;

pub use error::Error;
