//! The lab: a function, its state store, two nodes and two hosts, as processes in network namespaces of one machine.
//!
//! It starts the same programs with the same arguments as the operator does and asks the same control API, so a move
//! here differs from one in a cluster only by what carries the packets between the nodes.

mod example;
mod hosts;
mod redis;
mod sidecar;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anf_sidecar::control::{HandoverPhase, HandoverRequest, HandoverStatus, Role, Status, WATCH_MS};
use serde_json::to_value;

pub use example::Example;
pub use hosts::Traffic;
pub use redis::Redis;
pub use sidecar::{Sidecar, Start};

use crate::Error;
use crate::netns::Namespace;
use crate::process::wait_until;
use crate::report::Move;
use hosts::Hosts;

const READY_PATIENCE: Duration = Duration::from_secs(20);
const MOVE_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Where the programs are and where the lab may write.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folder with `anf-sidecar` and `anf-traffic`.
    pub programs: PathBuf,
    /// Folder for manifests and logs; made anew.
    pub work: PathBuf,
}

/// A node of the lab.
#[derive(Debug)]
pub struct Node {
    /// Its name, as the example's placement knows it.
    pub name: String,
    namespace: Namespace,
    address: String,
}

/// A lab with a running function. Everything in it ends with the handle.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: what runs in a namespace before the namespace.
    owners: BTreeMap<String, Sidecar>,
    redis: Option<Redis>,
    nodes: Vec<Node>,
    hosts: Hosts,
    example: Example,
    places: Places,
    transport: Transport,
    key: String,
    started: u32,
}

/// What carries the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, as between nodes.
    Tcp,
    /// UNIX sockets without rings, as on one node whose memory cannot be shared.
    Unix,
    /// Rings on a node, through a directory that its sidecars share, and TCP between nodes: as pods have it.
    Near,
}

/// What became of a handover.
#[derive(Debug)]
pub enum Handover {
    /// The target owns.
    Finished(Box<Move>),
    /// The source forwards as before.
    Aborted {
        /// One word.
        reason: String,
        /// A sentence.
        message: String,
    },
}

impl Lab {
    /// Builds the room and starts everything but the traffic.
    pub fn start(example: Example, places: Places) -> Result<Self, Error> {
        Self::start_with(example, places, Transport::Tcp)
    }

    /// As [`Lab::start`], with links of the given kind.
    pub fn start_with(example: Example, places: Places, transport: Transport) -> Result<Self, Error> {
        make_anew(&places.work)?;
        let (hosts, nodes) = hosts::build(&example.node_names())?;
        let redis = Redis::start(hosts.room.switch(), &places.work)?;
        let key = write_key(&places.work)?;
        let mut lab = Self {
            owners: BTreeMap::new(),
            redis: Some(redis),
            nodes,
            hosts,
            example,
            places,
            transport,
            key,
            started: 0,
        };
        for part in lab.example.parts() {
            let node = lab.example.first_node(&part);
            let sidecar = lab.start_sidecar(&part, node, Start::ClaimEpoch(0))?;
            lab.owners.insert(part, sidecar);
        }
        for part in lab.example.parts() {
            lab.wait_ready(lab.owner(&part)?)?;
        }
        Ok(lab)
    }

    /// The sidecar that owns a sub-function now.
    pub fn owner(&self, part: &str) -> Result<&Sidecar, Error> {
        self.owners
            .get(part)
            .ok_or_else(|| Error::invalid(self.example.name(), format!("no sub-function {part}")))
    }

    /// As [`Lab::owner`], to do something to it.
    pub fn owner_mut(&mut self, part: &str) -> Result<&mut Sidecar, Error> {
        let problem = Error::invalid(self.example.name(), format!("no sub-function {part}"));
        self.owners.get_mut(part).ok_or(problem)
    }

    /// The nodes' names.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// A node where the sub-function is not.
    pub fn other_node(&self, part: &str) -> Result<usize, Error> {
        let here = self.owner(part)?.node;
        Ok((here + 1) % self.nodes.len())
    }

    /// The state store; `None` while it is down.
    pub fn redis(&mut self) -> Option<&mut Redis> {
        self.redis.as_mut()
    }

    /// Takes the state store down, with everything in it.
    pub fn stop_redis(&mut self) {
        self.redis = None;
    }

    /// Starts an empty state store at the same address.
    pub fn start_redis(&mut self) -> Result<(), Error> {
        self.redis = Some(Redis::start(self.hosts.room.switch(), &self.places.work)?);
        Ok(())
    }

    /// Starts client and server.
    pub fn start_traffic(
        &self,
        flows: u32,
        packets_per_second: u32,
        tcp_mbit: f64,
    ) -> Result<Traffic, Error> {
        Traffic::start(&self.hosts, &self.places, flows, packets_per_second, tcp_mbit)
    }

    /// What a sidecar says of itself.
    pub fn status(&self, sidecar: &Sidecar) -> Result<Status, Error> {
        sidecar.get(&self.nodes[sidecar.node].namespace, "/v1/status", &self.key)
    }

    /// Starts a standby of a sub-function and waits until it is ready.
    pub fn start_standby(&mut self, part: &str, node: usize) -> Result<Sidecar, Error> {
        let standby = self.start_sidecar(part, node, Start::Standby)?;
        self.wait_ready(&standby)?;
        Ok(standby)
    }

    /// Asks the owner to hand over to a standby; answers the handover's id.
    pub fn ask_handover(&self, part: &str, target: &Sidecar) -> Result<String, Error> {
        let epoch = self.status(self.owner(part)?)?.epoch;
        self.ask_handover_at(part, target, epoch)
    }

    /// As [`Lab::ask_handover`], in the belief that the owner's epoch is this one.
    pub fn ask_handover_at(&self, part: &str, target: &Sidecar, epoch: u64) -> Result<String, Error> {
        let source = self.owner(part)?;
        let id = format!("{}-to-{}", source.owner_id, target.owner_id);
        let request = HandoverRequest {
            id: id.clone(),
            target_owner_id: target.owner_id.clone(),
            target_link_addr: target.link_address.clone(),
            target_node: self.nodes[target.node].name.clone(),
            expected_epoch: epoch,
            max_downtime_ms: 50,
            deadline_ms: 20_000,
            watch_ms: WATCH_MS,
        };
        source.post(&self.nodes[source.node].namespace, "/v1/handover", &self.key, &request)?;
        Ok(id)
    }

    /// How far a handover is, by its source.
    pub fn handover(&self, part: &str, id: &str) -> Result<HandoverStatus, Error> {
        let source = self.owner(part)?;
        source.get(&self.nodes[source.node].namespace, &format!("/v1/handover/{id}"), &self.key)
    }

    /// Calls a handover off.
    pub fn abort(&self, part: &str, id: &str) -> Result<(), Error> {
        let source = self.owner(part)?;
        let path = format!("/v1/handover/{id}/abort");
        source.post(&self.nodes[source.node].namespace, &path, &self.key, &serde_json::Value::Null)
    }

    /// Waits until a handover has reached a phase, or is over.
    pub fn wait_phase(&self, part: &str, id: &str, phase: HandoverPhase) -> Result<HandoverStatus, Error> {
        wait_until(&format!("phase {phase:?} of handover {id}"), MOVE_PATIENCE, POLL, |last| {
            let status = self.handover(part, id)?;
            *last = format!("{:?}", status.phase);
            Ok((status.phase >= phase).then_some(status))
        })
    }

    /// Moves a sub-function, as the operator does: standby, handover, then the old one goes.
    pub fn move_to(&mut self, part: &str, node: usize) -> Result<Handover, Error> {
        let asked = Instant::now();
        let target = self.start_standby(part, node)?;
        let id = self.ask_handover(part, &target)?;
        let mut status = self.wait_phase(part, &id, HandoverPhase::Finished)?;
        if status.phase == HandoverPhase::Aborted {
            target.process.stop();
            return Ok(Handover::Aborted {
                reason: status.reason.unwrap_or_default(),
                message: status.message.unwrap_or_default(),
            });
        }
        // The source may have stopped waiting before the target had all that the peers say, and does not know when the
        // target began.
        let by_target: HandoverStatus =
            target.get(&self.nodes[target.node].namespace, &format!("/v1/handover/{id}"), &self.key)?;
        status.report = status.report.or(by_target.report);
        status.breakdown.start_ms = by_target.breakdown.start_ms;
        let target_node = target.node;
        let source = self.replace_owner(part, target)?;
        let mut done = describe(part, &status);
        done.from.clone_from(&self.nodes[source.node].name);
        done.to.clone_from(&self.nodes[target_node].name);
        done.total_ms = asked.elapsed().as_secs_f64() * 1e3;
        source.process.stop();
        Ok(Handover::Finished(Box::new(done)))
    }

    /// Notes the new owner and answers the old one.
    pub fn replace_owner(&mut self, part: &str, new: Sidecar) -> Result<Sidecar, Error> {
        let role = self.status(&new)?.role;
        if role != Role::Owner {
            return Err(Error::invalid(&new.owner_id, format!("it should own {part} now, but is {role}")));
        }
        let old = self.owners.insert(part.to_owned(), new);
        old.ok_or_else(|| Error::invalid(self.example.name(), format!("no sub-function {part}")))
    }

    /// Fails, with the end of its log, if an owner has ended.
    pub fn check_owners(&mut self) -> Result<(), Error> {
        self.owners.values_mut().try_for_each(|owner| owner.process.check_running())
    }

    /// Starts a sidecar without waiting for it.
    pub fn start_sidecar(&mut self, part: &str, node: usize, start: Start) -> Result<Sidecar, Error> {
        self.started += 1;
        let manifest = self.example.manifest(part, redis::URL)?;
        let at = &self.nodes[node];
        let place = sidecar::Place { node, name: &at.name, address: &at.address, namespace: &at.namespace };
        Sidecar::start(&self.places, &manifest, place, self.transport, self.started, start)
    }

    /// Waits until a sidecar is ready, which it is as an owner that forwards and as a standby that could.
    pub fn wait_ready(&self, sidecar: &Sidecar) -> Result<(), Error> {
        let namespace = &self.nodes[sidecar.node].namespace;
        let what = format!("{} becoming ready (log: {})", sidecar.owner_id, sidecar.log.display());
        wait_until(&what, READY_PATIENCE, POLL, |last| match sidecar.readiness(namespace) {
            Ok(()) => Ok(Some(())),
            Err(reason) => {
                *last = reason;
                Ok(None)
            }
        })
    }
}

fn describe(part: &str, status: &HandoverStatus) -> Move {
    let report = status.report.clone().unwrap_or_default();
    Move {
        sub_function: part.to_owned(),
        gap_ms: report.gap_ms,
        baseline_ms: report.baseline_ms,
        lost: report.lost,
        duplicated: report.duplicated,
        reordered: report.reordered,
        parked: report.parked,
        flows: report.flows,
        breakdown: to_value(&status.breakdown).unwrap_or_default(),
        failure: if status.report.is_some() { String::new() } else { "the peers sent no report".into() },
        ..Move::default()
    }
}

fn make_anew(folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::io(format!("empty {}", folder.display())))?;
    }
    fs::create_dir_all(folder).map_err(Error::io(format!("make {}", folder.display())))
}

/// Writes a fresh key and answers it as the bearer token that the control API wants.
fn write_key(folder: &Path) -> Result<String, Error> {
    use std::io::Read;
    let mut key = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut key))
        .map_err(Error::io("read /dev/urandom"))?;
    fs::write(folder.join("key"), key).map_err(Error::io("write the key"))?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}
