//! Where a sidecar takes links, as text in the directory and on command lines: `IP:PORT` or `unix:PATH`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a sidecar takes links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Between nodes.
    Tcp(SocketAddr),
    /// On one node.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a link address; write IP:PORT or unix:PATH")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(|_| BadAddress(text.to_string())),
        }
    }
}
