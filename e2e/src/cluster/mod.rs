//! A function on a real cluster, driven as a user drives it: through kubectl, its `anf` plugin and docker.
//!
//! Nothing here links a Kubernetes client: what these programs print is what users get.

pub mod function;
pub mod hosts;
pub mod kubectl;

pub use function::{Function, Migration};
pub use hosts::Hosts;

use crate::Error;

/// What `e2e/on-cluster` tells through the environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The cluster's name, with which its nodes' names begin.
    pub cluster: String,
    /// The image of the test hosts.
    pub host_image: String,
}

impl Environment {
    /// Reads it; says how to get it if it is not there.
    pub fn read() -> Result<Self, Error> {
        let variable = |name: &str| {
            std::env::var(name)
                .map_err(|_| Error::invalid(name, "is not set; run this through e2e/on-cluster"))
        };
        Ok(Self { cluster: variable("ANF_CLUSTER")?, host_image: variable("ANF_HOST_IMAGE")? })
    }
}
