//! Client and server: ordinary Linux hosts, as containers on the nodes' own network segment.
//!
//! Their own kernels speak TCP and UDP. Offloads are off because the interface of a container stands for a wire: what
//! a function sees are frames as long as the MTU, with complete checksums.

use std::process::Command;
use std::time::Duration;

use super::Environment;
use crate::Error;
use crate::process::run;
use crate::traffic::ledger::Report;
use crate::traffic::remote::{Outcome, RemoteClient};

const NETWORK: &str = "kind";
const CLIENT_ADDRESS: &str = "10.100.1.2/24";
const SERVER_ADDRESS: &str = "10.100.2.2/24";
const SERVER: &str = "10.100.2.2";
const WAY_TO_SERVER: [&str; 4] = ["10.100.2.0/24", "via", "10.100.1.1", "dev"];
const START_PATIENCE: Duration = Duration::from_secs(60);
const MARK_PATIENCE: Duration = Duration::from_secs(15);

/// The two containers; removed with the handle.
#[derive(Debug)]
pub struct Hosts {
    client: String,
    server: String,
}

impl Hosts {
    /// Starts both, in place of what an earlier run with this name left.
    pub fn start(environment: &Environment, name: &str) -> Result<Self, Error> {
        let hosts = Self { client: format!("{name}-client"), server: format!("{name}-server") };
        hosts.remove();
        for (container, address) in [(&hosts.client, CLIENT_ADDRESS), (&hosts.server, SERVER_ADDRESS)] {
            docker(
                &["run", "-d", "--name", container, "--network", NETWORK, "--cap-add", "NET_ADMIN"]
                    .into_iter()
                    .chain([environment.host_image.as_str(), "sleep", "infinity"])
                    .collect::<Vec<_>>(),
            )?;
            docker(&["exec", container, "ip", "address", "add", address, "dev", "eth0"])?;
            let features = ["tso", "off", "gso", "off", "gro", "off", "tx", "off"];
            let ethtool = ["exec", container, "ethtool", "-K", "eth0"];
            docker(&ethtool.into_iter().chain(features).collect::<Vec<_>>())?;
        }
        let route = ["exec", &hosts.client, "ip", "route", "add"];
        docker(&route.into_iter().chain(WAY_TO_SERVER).chain(["eth0"]).collect::<Vec<_>>())?;
        docker(&["exec", "-d", &hosts.server, "anf-traffic", "server"])?;
        Ok(hosts)
    }

    /// Starts the client and waits for its first answer.
    pub fn start_traffic(
        &self,
        flows: u32,
        packets_per_second: u32,
        tcp_mbit: f64,
    ) -> Result<Traffic, Error> {
        let mut command = Command::new("docker");
        command.args(["exec", "-i", &self.client, "anf-traffic", "client", "--stdin", "--server", SERVER]);
        command.args(["--flows", &flows.to_string(), "--rate", &packets_per_second.to_string()]);
        command.args(["--tcp-rate", &tcp_mbit.to_string(), "--wait", &START_PATIENCE.as_secs().to_string()]);
        RemoteClient::start(command, START_PATIENCE + MARK_PATIENCE).map(Traffic)
    }

    fn remove(&self) {
        // They may not be there.
        let _ = docker(&["rm", "-f", &self.client, &self.server]);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The client under way.
#[derive(Debug)]
pub struct Traffic(RemoteClient);

impl Traffic {
    /// Ends an interval and answers its counts.
    pub fn mark(&mut self, name: &str) -> Result<Report, Error> {
        self.0.mark(name, MARK_PATIENCE)
    }

    /// Ends the run.
    pub fn stop(self) -> Result<Outcome, Error> {
        self.0.stop(MARK_PATIENCE)
    }
}

fn docker(arguments: &[&str]) -> Result<String, Error> {
    run(Command::new("docker").args(arguments))
}
