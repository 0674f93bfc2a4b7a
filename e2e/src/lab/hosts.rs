//! The room: two nodes, and a client and a server host that reach each other only through the function.
//!
//! Addresses are those of the demo: the hosts' networks are on the same segment as the nodes, and the server knows no
//! way back to the client's network, so only translated packets are answered.

use std::process::Command;
use std::time::Duration;

use super::{Node, Places};
use crate::Error;
use crate::netns::{Namespace, Room, switch_offloads_off};
use crate::process::Process;
use crate::traffic::ledger::Report;
use crate::traffic::remote::{Outcome, RemoteClient};

pub(super) const SWITCH_ADDRESS: &str = "10.77.0.1";
const SERVER: &str = "10.100.2.2";
const START_PATIENCE: Duration = Duration::from_secs(40);
const MARK_PATIENCE: Duration = Duration::from_secs(10);

/// The hosts and what joins them.
#[derive(Debug)]
pub(super) struct Hosts {
    client: Namespace,
    server: Namespace,
    pub(super) room: Room,
}

/// Builds the room with a node for each name.
pub(super) fn build(node_names: &[String]) -> Result<(Hosts, Vec<Node>), Error> {
    let mut room = Room::open(&format!("{SWITCH_ADDRESS}/24"))?;
    let client = room.add("client", "10.100.1.2/24")?;
    client.ip(&["route", "add", "10.100.2.0/24", "via", "10.100.1.1"])?;
    let server = room.add("server", &format!("{SERVER}/24"))?;
    switch_offloads_off(&client)?;
    switch_offloads_off(&server)?;
    let mut nodes = Vec::new();
    for (number, name) in node_names.iter().enumerate() {
        let address = format!("10.77.0.{}", 11 + number);
        let namespace = room.add(&format!("node{number}"), &format!("{address}/24"))?;
        nodes.push(Node { name: name.clone(), namespace, address });
    }
    Ok((Hosts { client, server, room }, nodes))
}

/// Client and server under way.
#[derive(Debug)]
pub struct Traffic {
    client: RemoteClient,
    _server: Process,
}

impl Traffic {
    pub(super) fn start(
        hosts: &Hosts,
        places: &Places,
        flows: u32,
        packets_per_second: u32,
        tcp_mbit: f64,
    ) -> Result<Self, Error> {
        let program = places.programs.join("anf-traffic");
        let mut command = hosts.server.command(&program);
        let server =
            Process::start("anf-traffic server", command.arg("server"), &places.work.join("server.log"))?;
        let mut client: Command = hosts.client.command(&program);
        client.args(["client", "--stdin", "--server", SERVER]);
        client.args(["--flows", &flows.to_string(), "--rate", &packets_per_second.to_string()]);
        client.args(["--tcp-rate", &tcp_mbit.to_string()]);
        Ok(Self { client: RemoteClient::start(client, START_PATIENCE)?, _server: server })
    }

    /// Ends an interval and answers its counts.
    pub fn mark(&mut self, name: &str) -> Result<Report, Error> {
        self.client.mark(name, MARK_PATIENCE)
    }

    /// Ends the run.
    pub fn stop(self) -> Result<Outcome, Error> {
        self.client.stop(MARK_PATIENCE)
    }
}
