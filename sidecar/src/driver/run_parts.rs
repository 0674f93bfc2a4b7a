//! `run --parts`: all parts of a cut, each its own process, or all in this one in virtual time.

use std::path::{Path, PathBuf};

use clap::Args;

use super::example::START;
use super::load::complain;
use super::parts::Parts;
use super::processes::Processes;
use super::run::{fail, print_value};
use crate::engine::Env;
use crate::link_map::LinkMap;
use crate::registry::Registry;
use crate::serve::beside::{self, BesideError, MeetingPlace};

/// Options about a cut.
#[derive(Debug, Clone, Args)]
pub(super) struct PartsArgs {
    /// Run the parts of a cut, as `kubectl anf cut --click-dir` wrote them into this folder: each its own process,
    /// joined by real links.
    #[arg(long = "parts", value_name = "DIR", conflicts_with_all = [
        "words", "expression", "file", "output", "quit", "hot_swap", "time", "ports", "sockets",
    ])]
    pub(super) dir: Option<PathBuf>,
    /// Run all parts in one process and in virtual time, in step, as the whole graph runs with --simtime.
    #[arg(long, requires = "dir")]
    in_process: bool,
    /// The part that this process is.
    #[arg(long, hide = true, requires_all = ["dir", "meeting_place"])]
    part: Option<String>,
    /// Where the parts meet.
    #[arg(long, hide = true)]
    meeting_place: Option<PathBuf>,
}

pub(super) fn main(dir: &Path, args: &PartsArgs, handlers: &[String]) -> u8 {
    match (&args.part, &args.meeting_place) {
        (Some(part), Some(place)) => one(dir, part, &MeetingPlace(place.clone())),
        _ if args.in_process => in_process(dir, handlers),
        _ => processes(dir, handlers).unwrap_or_else(|message| fail(&message)),
    }
}

fn one(dir: &Path, part: &str, place: &MeetingPlace) -> u8 {
    match beside::run(dir, part, place) {
        Ok(()) => 0,
        Err(BesideError::Text(found)) => {
            complain(&found);
            1
        }
        Err(BesideError::Other(error)) => fail(&format!("part \"{part}\": {error:#}")),
    }
}

fn processes(dir: &Path, handlers: &[String]) -> Result<u8, String> {
    let mut processes = Processes::start(dir)?;
    processes.run()?;
    let mut status = 0;
    for handler in handlers {
        let value = processes.read(handler);
        status |= print_value(handler, value, handlers.len() > 1);
    }
    processes.end()?;
    Ok(status)
}

fn in_process(dir: &Path, handlers: &[String]) -> u8 {
    let read = LinkMap::read(dir).and_then(|map| {
        let texts = map.parts.iter().map(|part| map.text(dir, &part.name)).collect::<Result<Vec<_>, _>>()?;
        Ok((map, texts))
    });
    let (map, texts) = match read {
        Ok(read) => read,
        Err(error) => return fail(&error.to_string()),
    };
    let env = |_: &str| Env {
        opener: Some(Box::new(crate::device::open)),
        simulated: true,
        now: START,
        ..Env::default()
    };
    let mut parts = match Parts::build(&map, &texts, &Registry::standard(), env) {
        Ok(parts) => parts,
        Err(found) => {
            complain(&found);
            return 1;
        }
    };
    while parts.step() {}
    let mut status = 0;
    for handler in handlers {
        status |= print_value(handler, parts.read_handler(handler), handlers.len() > 1);
    }
    status
}
