//! `anf-sidecar serve`: what a pod runs. Three kinds of threads: the packet thread (`event_loop`), the store's two, and
//! the control API (`http`). They meet in the packet thread's bounded inbox.

pub mod beside;
mod doors;
mod event_loop;
mod http;
mod metrics;
pub mod packets;
mod ports;
mod requests;
mod router_engine;
mod spin;
mod waiting;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context, anyhow};
use clap::Args;

use crate::engine::{Env, Router, Time};
use crate::handover::node::{Node, StartMode};
use crate::link::address::Address;
use crate::link::handshake::Terms;
use crate::manifest::{LinkEncryption, Manifest};
use crate::registry::Registry;
use crate::store::{OwnerEntry, StoreSettings};

pub use router_engine::RouterEngine;

use doors::Doors;
use event_loop::{EventLoop, Identity, Message, Waker};
use http::Asker;
use requests::Request;

/// The command by which a pod lets its sidecar into the directory that links share.
pub const SHARE_COMMAND: &str = "share-directory";
/// Messages that may wait for the packet thread.
const INBOX: usize = 1024;

/// Options of `anf-sidecar serve`; each can be given by its environment variable.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// The manifest of the sub-function (JSON).
    #[arg(long, env = "ANF_MANIFEST", value_name = "FILE")]
    pub manifest: PathBuf,
    /// This sidecar's id, the pod's name.
    #[arg(long, env = "ANF_OWNER_ID")]
    pub owner_id: String,
    /// The node that it runs on.
    #[arg(long, env = "ANF_NODE", default_value = "")]
    pub node: String,
    /// The address at which peers reach it.
    #[arg(long, env = "ANF_ADVERTISE", value_name = "IP")]
    pub advertise: IpAddr,
    /// The port that takes links.
    #[arg(long, env = "ANF_LINK_PORT", default_value_t = 7000)]
    pub link_port: u16,
    /// Take links at this UNIX socket instead.
    #[arg(long, env = "ANF_LINK_SOCKET", value_name = "PATH")]
    pub link_socket: Option<PathBuf>,
    /// Take links of peers on the same node in this directory as well, which the function's sidecars share.
    #[arg(long, env = "ANF_LINK_DIRECTORY", value_name = "PATH")]
    pub link_directory: Option<PathBuf>,
    /// Whether links on one node may use rings in shared memory.
    #[arg(long, env = "ANF_LINK_RINGS", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub link_rings: bool,
    /// The port of the control API.
    #[arg(long, env = "ANF_CONTROL_PORT", default_value_t = 7001)]
    pub control_port: u16,
    /// The file with the function's key.
    #[arg(long, env = "ANF_KEY_FILE", value_name = "FILE")]
    pub key_file: PathBuf,
    /// Claim the epoch after this one, unless the directory is past it (0: nobody owned yet).
    #[arg(long, env = "ANF_CLAIM_EPOCH", value_name = "EPOCH", conflicts_with = "standby")]
    pub claim_epoch: Option<u64>,
    /// Wait for a handover.
    #[arg(long, env = "ANF_STANDBY")]
    pub standby: bool,
}

impl ServeArgs {
    fn start_mode(&self) -> anyhow::Result<StartMode> {
        match (self.claim_epoch, self.standby) {
            (Some(expected), false) => Ok(StartMode::Claim { expected }),
            (None, true) => Ok(StartMode::Standby),
            _ => Err(anyhow!("say either --claim-epoch EPOCH or --standby")),
        }
    }

    fn link_address(&self) -> (Address, Address) {
        match &self.link_socket {
            Some(path) => (Address::Unix(path.clone()), Address::Unix(path.clone())),
            None => {
                let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.link_port);
                (Address::Tcp(listen), Address::Tcp(SocketAddr::new(self.advertise, self.link_port)))
            }
        }
    }
}

/// Builds the router of a part, with its devices.
pub fn build_router(manifest: &Manifest) -> anyhow::Result<Router> {
    let registry = Registry::standard();
    let file = format!("{}/{}", manifest.function.name, manifest.sub_function);
    let ast = anf_click::parse(&file, &manifest.click)?;
    let settled = anf_click::settle(anf_click::flatten(&ast, &[])?, &registry)?;
    let mut env = Env {
        opener: Some(ports::opener(manifest.ports.clone())),
        now: Time::system(),
        seed: Time::system().0 ^ u64::from(std::process::id()),
        ..Env::default()
    };
    Ok(Router::build(&settled, &registry, &mut env)?)
}

/// Serves until the process is told to end.
pub fn main(args: &ServeArgs) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.manifest)?;
    let start = args.start_mode()?;
    let key = std::fs::read(&args.key_file)
        .with_context(|| format!("cannot read the function's key {}", args.key_file.display()))?;
    let engine = RouterEngine::new(build_router(&manifest)?, &manifest);
    let (listen, advertised) = args.link_address();
    let doors = Doors::open(&listen, args.link_directory.clone(), &args.owner_id, args.link_rings)
        .with_context(|| format!("cannot take links at {listen}"))?;
    let me =
        OwnerEntry { owner: args.owner_id.clone(), address: advertised.to_string(), node: args.node.clone() };
    let node = Node::new(&manifest, me, start);
    let (inbox, messages) = sync_channel(INBOX);
    let waker = Waker::new()?;
    let store = {
        let (inbox, waker) = (inbox.clone(), waker.clone());
        let settings = StoreSettings {
            url: manifest.store.url.clone(),
            function: manifest.function.uid.clone(),
            sub_function: manifest.sub_function.clone(),
        };
        crate::store::connect(&settings, move |event| {
            // The inbox is closed when the process ends.
            let _ = inbox.send(Message::Store(event));
            waker.wake();
        })
        .with_context(|| format!("the state store's URL {} is not valid", manifest.store.url))?
    };
    let identity = Identity {
        function: manifest.function.uid.clone(),
        graph: manifest.graph_hash.clone(),
        name: manifest.sub_function.clone(),
        owner: args.owner_id.clone(),
        key: key.clone(),
        terms: Terms { seal_packets: manifest.links.encryption == LinkEncryption::Required },
    };
    let asker = Asker::new(inbox, waker.clone(), &key, &manifest.function.name);
    spawn_control(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), args.control_port), asker)?;
    tracing::info!(sub_function = identity.name, owner = identity.owner, links = %advertised, "serving");
    EventLoop::new(node, engine, identity, doors, store, messages, waker)?.run()?;
    Ok(())
}

/// The thread of the control API, which also waits for signals.
fn spawn_control(address: SocketAddr, asker: Asker) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (started, start) = std::sync::mpsc::channel();
    thread::Builder::new().name("anf-control".into()).spawn(move || {
        runtime.block_on(async {
            tokio::spawn(end_on_signal(asker.clone()));
            let result = http::serve(address, asker).await;
            let _ = started.send(result);
        });
    })?;
    // An address that is taken shows at once.
    match start.recv_timeout(std::time::Duration::from_millis(50)) {
        Ok(Err(error)) => Err(error).with_context(|| format!("cannot serve the control API at {address}")),
        _ => Ok(()),
    }
}

async fn end_on_signal(asker: Asker) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    asker.tell(Request::Terminate);
}
