//! One part of a cut as a process beside the others on one machine (`anf-sidecar run --parts`): the packet thread and
//! the links of a pod, a store that keeps nothing, and a conversation with the process that runs all parts in place of
//! the control API. A line of JSON each: the runner asks, the part answers.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anf_click::Diagnostics;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::engine::{Env, Router, Time};
use crate::handover::engine::Engine as _;
use crate::handover::node::{Node, PacketCounts, StartMode};
use crate::link::address::Address;
use crate::link::handshake::Terms;
use crate::link_map::LinkMap;
use crate::manifest::{FunctionRef, LinkPolicy, Manifest, OnUnavailable, StoreSpec};
use crate::registry::Registry;
use crate::store::OwnerEntry;

use super::RouterEngine;
use super::doors::Doors;
use super::event_loop::{EventLoop, Identity, Message, Waker};
use super::requests::Request;

/// Messages that may wait for the packet thread.
const INBOX: usize = 1024;

/// What the runner asks of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// How far are you?
    Progress,
    /// So many parts ask to stop: your driver script decides.
    Stop(u32),
    /// The driver script of another part decides about your requests to stop: go on.
    GoOn,
    /// The value of a read handler.
    Read(String),
    /// The end.
    End,
}

/// What a part answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// How far it is.
    Progress(Progress),
    /// A handler's value, or why there is none.
    Value(Result<String, String>),
    /// It is done.
    Done,
}

/// How far a part is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Requests to stop that no driver script here decides about.
    pub asked: u32,
    /// Its router has stopped.
    pub stopped: bool,
    /// A driver script here decides about requests to stop.
    pub has_driver: bool,
    /// Some task is ready to run.
    pub ready: bool,
    /// A timer or a device may bring more to do.
    pub waits: bool,
    /// Rounds of the router in which something was done.
    pub worked: u64,
    /// Packets sent over each edge and signal that begins here.
    pub sent: PacketCounts,
    /// Packets taken from each edge and signal that ends here.
    pub taken: PacketCounts,
}

/// Where the parts of one run meet: a directory that only its user can read.
#[derive(Debug, Clone)]
pub struct MeetingPlace(pub PathBuf);

impl MeetingPlace {
    /// The socket at which the runner waits for its parts.
    pub fn runner(&self) -> PathBuf {
        self.0.join("runner")
    }

    /// The file with the key of the links.
    pub fn key(&self) -> PathBuf {
        self.0.join("key")
    }

    /// The socket at which the part with this number (in the map) takes links.
    pub fn links(&self, number: usize) -> PathBuf {
        self.0.join(number.to_string())
    }
}

/// Why a part does not run.
#[derive(Debug)]
pub enum BesideError {
    /// Its text is wrong.
    Text(Diagnostics),
    /// Something else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for BesideError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Diagnostics> for BesideError {
    fn from(found: Diagnostics) -> Self {
        Self::Text(found)
    }
}

/// Runs the part `name` of the cut in `dir` until the runner ends it, or is gone.
///
/// # Errors
/// The folder or the text cannot be used, or a socket cannot be made.
pub fn run(dir: &Path, name: &str, place: &MeetingPlace) -> Result<(), BesideError> {
    let map = LinkMap::read(dir).map_err(anyhow::Error::from)?;
    let manifest = manifest(&map, dir, name)?;
    let router = router(&map, &manifest)?;
    let key = std::fs::read(place.key()).context("cannot read the key of the links")?;
    let directory: HashMap<String, String> = map
        .parts
        .iter()
        .enumerate()
        .map(|(number, part)| (part.name.clone(), Address::Unix(place.links(number)).to_string()))
        .collect();
    let address = directory.get(name).cloned().unwrap_or_default();
    let listen: Address = address.parse().map_err(anyhow::Error::from)?;
    let doors =
        Doors::open(&listen, None, name, true).with_context(|| format!("cannot take links at {listen}"))?;
    let me = OwnerEntry { owner: name.to_owned(), address, node: String::new() };
    let node = Node::new(&manifest, me, StartMode::Claim { expected: 0 });
    let (inbox, messages) = sync_channel(INBOX);
    let waker = Waker::new().context("cannot make an event")?;
    let store = {
        let (inbox, waker) = (inbox.clone(), waker.clone());
        crate::store::local(directory, move |event| {
            // The inbox is closed when the process ends.
            let _ = inbox.send(Message::Store(event));
            waker.wake();
        })
        .context("cannot start a thread")?
    };
    let runner = UnixStream::connect(place.runner()).context("the process that runs all parts is gone")?;
    let identity = Identity {
        function: manifest.function.uid.clone(),
        graph: manifest.graph_hash.clone(),
        name: name.to_owned(),
        owner: name.to_owned(),
        key,
        // All parts are on one machine.
        terms: Terms::default(),
    };
    let engine = RouterEngine::new(router, &manifest);
    let wakes = waker.clone();
    let mut packets =
        EventLoop::new(node, engine, identity, doors, store, messages, waker).context("cannot poll")?;
    let greeting = name.to_owned();
    thread::Builder::new()
        .name("anf-runner".into())
        .spawn(move || {
            // Whatever ends the conversation ends the part: nobody else would.
            let _ = converse(runner, &greeting, &inbox, &wakes);
            let _ = inbox.send(Message::Request(Request::End));
            wakes.wake();
        })
        .context("cannot start a thread")?;
    packets.run().context("cannot poll")?;
    Ok(())
}

fn manifest(map: &LinkMap, dir: &Path, name: &str) -> anyhow::Result<Manifest> {
    let text = map.text(dir, name)?;
    Ok(Manifest {
        function: FunctionRef {
            namespace: String::new(),
            name: dir.display().to_string(),
            uid: map.graph_hash.clone(),
        },
        sub_function: name.to_owned(),
        graph_hash: map.graph_hash.clone(),
        click: text,
        ports: Vec::new(),
        in_links: map.in_links(name),
        out_links: map.out_links(name),
        links: LinkPolicy::default(),
        store: StoreSpec { url: String::new(), on_unavailable: OnUnavailable::FailOpen },
    })
}

fn router(map: &LinkMap, manifest: &Manifest) -> Result<Router, BesideError> {
    let registry = Registry::standard();
    let part = map.parts.iter().find(|part| part.name == manifest.sub_function);
    let file = part.map_or_else(String::new, |part| part.file.display().to_string());
    let flat = anf_click::flatten(&anf_click::parse(&file, &manifest.click)?, &[])?;
    let settled = anf_click::settle(flat, &registry)?;
    let now = Time::system();
    let mut env = Env {
        opener: Some(Box::new(crate::device::open)),
        part: true,
        now,
        text: manifest.click.clone(),
        seed: now.0 ^ u64::from(std::process::id()),
        ..Env::default()
    };
    Ok(Router::build(&settled, &registry, &mut env)?)
}

/// Answers the runner until it says that it is the end. Begins with the part's name.
fn converse(
    runner: UnixStream,
    name: &str,
    inbox: &SyncSender<Message>,
    waker: &Waker,
) -> anyhow::Result<()> {
    let mut out = runner.try_clone()?;
    writeln!(out, "{name}")?;
    for line in BufReader::new(runner).lines() {
        let ask: Ask = serde_json::from_str(&line?)?;
        if ask == Ask::End {
            return Ok(());
        }
        let (back, answer) = oneshot::channel();
        inbox.send(Message::Request(Request::Beside(ask, back)))?;
        waker.wake();
        let answer = serde_json::to_string(&answer.blocking_recv()?)?;
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

impl EventLoop {
    pub(super) fn answer_runner(&mut self, ask: &Ask, now: u64) -> Answer {
        match ask {
            Ask::Progress => {
                let (sent, taken) = self.node.packets_by_edge();
                let ready = self.engine.next_timer() <= now;
                let worked = self.engine.worked();
                let router = self.engine.router();
                let (_, timer) = router.pending();
                let waits = timer.is_some() || router.devices().next().is_some();
                return Answer::Progress(Progress {
                    asked: router.stop_requests(),
                    stopped: router.has_stopped(),
                    has_driver: router.has_driver(),
                    ready,
                    waits,
                    worked,
                    sent,
                    taken,
                });
            }
            Ask::Stop(count) => (0..*count).for_each(|_| self.engine.router().request_stop()),
            Ask::GoOn => drop(self.engine.router().take_stop_requests()),
            Ask::Read(path) => {
                let (element, handler) = path.rsplit_once('.').unwrap_or(("", path));
                let value = self.engine.router().read_handler(element, handler);
                return Answer::Value(value.map_err(|error| error.to_string()));
            }
            Ask::End => {}
        }
        self.engine.device_woke();
        Answer::Done
    }
}
