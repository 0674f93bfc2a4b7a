//! One `anf-sidecar serve` and its control API.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anf_sidecar::manifest::Manifest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Places, Transport};
use crate::Error;
use crate::http;
use crate::netns::Namespace;
use crate::process::Process;

const FIRST_PORT: u32 = 7000;
const TIMEOUT: Duration = Duration::from_secs(3);

/// What a sidecar is to be at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The owner, if the epoch in the directory is this one.
    ClaimEpoch(u64),
    /// One that could take over.
    Standby,
}

/// Where a sidecar runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) node: usize,
    pub(super) name: &'a str,
    pub(super) address: &'a str,
    pub(super) namespace: &'a Namespace,
}

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    /// Its id in the directory.
    pub owner_id: String,
    /// The number of its node.
    pub node: usize,
    /// Where peers dial it: `IP:PORT` or `unix:PATH`.
    pub link_address: String,
    /// The process.
    pub process: Process,
    /// Where it writes its log.
    pub log: PathBuf,
    control_address: SocketAddr,
}

impl Sidecar {
    pub(super) fn start(
        places: &Places,
        manifest: &Manifest,
        place: Place<'_>,
        transport: Transport,
        number: u32,
        start: Start,
    ) -> Result<Self, Error> {
        let Place { node, name, address, namespace } = place;
        let owner_id = format!("{}-{number}", manifest.sub_function);
        let file = places.work.join(format!("{owner_id}.json"));
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| Error::invalid("manifest", error))?;
        fs::write(&file, text).map_err(Error::io(format!("write {}", file.display())))?;
        let (link_port, control_port) = (FIRST_PORT + 2 * number, FIRST_PORT + 2 * number + 1);
        let mut command = namespace.command(places.programs.join("anf-sidecar"));
        command.arg("serve").arg("--manifest").arg(&file);
        command.args(["--owner-id", &owner_id, "--node", name, "--advertise", address]);
        command.args(["--link-port", &link_port.to_string(), "--control-port", &control_port.to_string()]);
        command.arg("--key-file").arg(places.work.join("key"));
        match start {
            Start::ClaimEpoch(epoch) => command.args(["--claim-epoch", &epoch.to_string()]),
            Start::Standby => command.arg("--standby"),
        };
        let link_address = match transport {
            Transport::Tcp => format!("{address}:{link_port}"),
            Transport::Near => {
                let shared = places.work.join(format!("links-{name}"));
                fs::create_dir_all(&shared).map_err(Error::io(format!("make {}", shared.display())))?;
                command.arg("--link-directory").arg(&shared);
                format!("{address}:{link_port}")
            }
            Transport::Unix => {
                let socket = places.work.join(format!("{owner_id}.sock"));
                command.arg("--link-socket").arg(&socket).args(["--link-rings", "false"]);
                format!("unix:{}", socket.display())
            }
        };
        let control = format!("{address}:{control_port}");
        let control_address = control.parse().map_err(|error| Error::invalid(control, error))?;
        let log = places.work.join(format!("{owner_id}.log"));
        let process = Process::start(&owner_id, &mut command, &log)?;
        Ok(Self { owner_id, node, link_address, process, log, control_address })
    }

    /// `Ok` when it owns and forwards, or could take over; else the reason.
    pub(super) fn readiness(&self, namespace: &Namespace) -> Result<(), String> {
        let answer =
            self.request(namespace, "GET", "/readyz", None, None).map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.body.trim())) }
    }

    pub(super) fn get<T: DeserializeOwned>(
        &self,
        from: &Namespace,
        path: &str,
        key: &str,
    ) -> Result<T, Error> {
        let answer = self.request(from, "GET", path, Some(key), None)?;
        let request = || format!("GET {path} at {}", self.owner_id);
        if !answer.is_success() {
            return Err(Error::Http { request: request(), status: answer.status, body: answer.body });
        }
        serde_json::from_str(&answer.body).map_err(|error| Error::invalid(request(), error))
    }

    pub(super) fn post(
        &self,
        from: &Namespace,
        path: &str,
        key: &str,
        body: &impl Serialize,
    ) -> Result<(), Error> {
        let text = serde_json::to_string(body).map_err(|error| Error::invalid(path, error))?;
        let body = (text != "null").then_some(text.as_str());
        let answer = self.request(from, "POST", path, Some(key), body)?;
        if answer.is_success() {
            return Ok(());
        }
        Err(Error::Http {
            request: format!("POST {path} at {}", self.owner_id),
            status: answer.status,
            body: answer.body,
        })
    }

    fn request(
        &self,
        from: &Namespace,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&str>,
    ) -> Result<http::Answer, Error> {
        from.enter(|| {
            http::request(self.control_address, method, path, key, body, TIMEOUT).map_err(Error::io(format!(
                "{method} {path} at {} ({})",
                self.owner_id, self.control_address
            )))
        })
    }
}
