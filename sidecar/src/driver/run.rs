//! `run` and `flatten`.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anf_click::FlatGraph;
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control::ControlServer;
use super::example::START;
use super::load::{Source, complain};
use crate::engine::{ControlEndpoint, ControlPlace, DeviceId, Env, Router, Time};
use crate::registry::Registry;

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    source: Source,
    /// Print the value of a read handler at the end.
    #[arg(short = 'h', long = "handler", value_name = "ELEMENT.HANDLER")]
    handlers: Vec<String>,
    /// Write the flat configuration to a file; `-` for standard output.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<String>,
    /// Do not run the router.
    #[arg(short = 'q', long = "quit")]
    quit: bool,
    /// Print the time it took.
    #[arg(short = 't', long = "time")]
    time: bool,
    /// Accepted as in click(1): no warnings are printed.
    #[arg(short = 'w', long = "no-warnings")]
    no_warnings: bool,
    /// Serve handlers at this TCP port, by the ControlSocket protocol. Any host may connect.
    #[arg(short = 'p', long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,
    /// Serve handlers at this UNIX socket.
    #[arg(short = 'u', long = "unix-socket", value_name = "FILE")]
    sockets: Vec<PathBuf>,
    /// Run in virtual time: whenever nothing is to do, time goes on to the next timer.
    #[arg(long)]
    simtime: bool,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Options of `flatten`.
#[derive(Debug, Clone, Args)]
pub struct FlattenArgs {
    #[command(flatten)]
    source: Source,
    /// Write to a file; `-` for standard output.
    #[arg(short = 'o', long = "output", value_name = "FILE", default_value = "-")]
    output: String,
}

/// Passes between two looks at clock and devices while there is work: a clock reading costs as much as a packet.
const PASSES: u32 = 16;

pub(super) fn flatten(args: &FlattenArgs) -> u8 {
    let text = match args.source.read() {
        Ok(text) => text,
        Err(message) => return fail(&message),
    };
    match text.flatten() {
        Ok(graph) => write_flat(&args.output, &graph),
        Err(found) => {
            complain(&found);
            1
        }
    }
}

fn fail(message: &str) -> u8 {
    eprintln!("anf-sidecar: {message}");
    1
}

fn write_flat(file: &str, graph: &FlatGraph) -> u8 {
    let text = graph.to_string();
    let written = match file {
        "-" => std::io::stdout().write_all(text.as_bytes()),
        file => std::fs::write(file, text),
    };
    written.map_or_else(|error| fail(&format!("{file}: {error}")), |()| 0)
}

pub(super) fn main(args: &RunArgs) -> u8 {
    let text = match args.source.read() {
        Ok(text) => text,
        Err(message) => return fail(&message),
    };
    let registry = Registry::standard();
    let start = if args.simtime { START } else { Time::system() };
    let mut env = Env {
        opener: Some(Box::new(crate::device::open)),
        simulated: args.simtime,
        control_sockets: true,
        now: start,
        seed: if args.simtime { 0 } else { start.0 },
        ..Env::default()
    };
    let built = text.settle(&registry).and_then(|graph| {
        let router = Router::build(&graph, &registry, &mut env)?;
        Ok((graph, router))
    });
    let (graph, mut router) = match built {
        Ok(built) => built,
        Err(found) => {
            complain(&found);
            return 1;
        }
    };
    let mut status = 0;
    if let Some(file) = &args.output {
        status |= write_flat(file, &graph.flat);
    }
    drop(graph);
    let begin = Instant::now();
    if !args.quit {
        let served = listen(args, &mut router).map(|mut control| match args.simtime {
            true => run_simulated(&mut router),
            false => run_real(&mut router, &mut control),
        });
        if let Err(message) = served {
            return fail(&message);
        }
    }
    if args.time {
        eprintln!("{:.3} seconds", begin.elapsed().as_secs_f64());
    }
    for handler in &args.handlers {
        status |= print_handler(&mut router, handler, args.handlers.len() > 1);
    }
    status
}

/// The control sockets that options and elements ask for.
fn listen(args: &RunArgs, router: &mut Router) -> Result<ControlServer, String> {
    let tcp = |port: &u16| ControlPlace::Tcp { port: *port, next_free: false, localhost: false };
    let places = args.ports.iter().map(tcp).chain(args.sockets.iter().cloned().map(ControlPlace::Unix));
    let asked = places.map(|place| ControlEndpoint { place, read_only: false });
    let endpoints: Vec<ControlEndpoint> = asked.chain(router.take_control_endpoints()).collect();
    if args.simtime && !endpoints.is_empty() {
        return Err("control sockets need real time; leave out --simtime".to_owned());
    }
    let mut control = ControlServer::default();
    endpoints.iter().try_for_each(|endpoint| control.listen(endpoint))?;
    Ok(control)
}

/// Prints a read handler's value: its name first if there are several, as click(1) does.
fn print_handler(router: &mut Router, path: &str, with_name: bool) -> u8 {
    let (element, handler) = path.rsplit_once('.').unwrap_or(("", path));
    match router.read_handler(element, handler) {
        Ok(value) => {
            let end = if value.ends_with('\n') || value.is_empty() { "" } else { "\n" };
            if with_name {
                println!("{path}:\n{value}{end}");
            } else {
                print!("{value}{end}");
            }
            0
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Virtual time: never waits.
fn run_simulated(router: &mut Router) {
    let mut now = START;
    while let Some(next) = router.run(now).next_time(now) {
        now = next;
    }
}

fn run_real(router: &mut Router, control: &mut ControlServer) {
    loop {
        let now = Time::system();
        let mut pass = router.run(now);
        let mut passes = 1;
        while !pass.stop && pass.ready && pass.worked && passes < PASSES {
            pass = router.run(now);
            passes += 1;
        }
        if pass.stop {
            return;
        }
        let wait = if pass.ready {
            Some(Duration::ZERO)
        } else {
            pass.next_timer.map(|at| at.since(Time::system()))
        };
        wait_for_sockets(router, control, wait);
    }
}

/// Waits until a device or a control socket is ready or `wait` is over; for ever if that is `None`.
fn wait_for_sockets(router: &mut Router, control: &mut ControlServer, wait: Option<Duration>) {
    let mut ids: Vec<DeviceId> = Vec::new();
    let mut always = false;
    let mut ready = Vec::new();
    let mut asked = false;
    {
        let mut fds = Vec::new();
        for device in router.devices() {
            let Some(fd) = device.device.fd() else {
                always |= device.wants_read;
                continue;
            };
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, device.wants_read);
            flags.set(PollFlags::OUT, device.wants_write);
            ids.push(device.id);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
        fds.extend(control.wanted().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        if fds.is_empty() && wait == Some(Duration::ZERO) {
            return;
        }
        let wait = if always { Some(Duration::from_micros(100)) } else { wait };
        let timeout = wait.and_then(|wait| Timespec::try_from(wait).ok());
        // An interrupted wait is a short wait.
        if poll(&mut fds, timeout.as_ref()).is_ok() {
            let (devices, sockets) = fds.split_at(ids.len());
            asked = sockets.iter().any(|fd| !fd.revents().is_empty());
            for (id, fd) in ids.iter().zip(devices) {
                let got = fd.revents();
                let broken = got.intersects(PollFlags::ERR | PollFlags::HUP);
                ready.push((
                    *id,
                    got.contains(PollFlags::IN) || broken,
                    got.contains(PollFlags::OUT) || broken,
                ));
            }
        }
    }
    for (id, readable, writable) in ready {
        if readable || writable {
            router.device_ready(id, readable, writable);
        }
    }
    if asked {
        control.serve(router);
    }
}
