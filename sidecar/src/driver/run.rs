//! `run` and `flatten`.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anf_click::{Diagnostics, FlatGraph, SettledGraph};
use clap::Args;

use super::control::ControlServer;
use super::drive::{run_real, run_simulated, watch_signals};
use super::example::START;
use super::load::{Source, Text, complain};
use super::run_parts::{self, PartsArgs};
use crate::engine::{ControlEndpoint, ControlPlace, Env, Router, Time};
use crate::registry::Registry;

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    parts: PartsArgs,
    /// Print the value of a read handler at the end.
    #[arg(short = 'h', long = "handler", value_name = "ELEMENT.HANDLER")]
    handlers: Vec<String>,
    /// Write the flat configuration to a file; `-` for standard output.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<String>,
    /// Do not run the router.
    #[arg(short = 'q', long = "quit")]
    quit: bool,
    /// Let the handler `hotconfig` replace the configuration while it runs.
    #[arg(short = 'R', long = "allow-reconfigure")]
    hot_swap: bool,
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

pub(super) fn fail(message: &str) -> u8 {
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
    if let Some(dir) = &args.parts.dir {
        return run_parts::main(dir, &args.parts, &args.handlers);
    }
    let text = match args.source.read() {
        Ok(text) => text,
        Err(message) => return fail(&message),
    };
    let now = if args.simtime { START } else { Time::system() };
    let (graph, router) = match build(args, &text, now) {
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
    let mut run = Run { args, now, router, control: ControlServer::default() };
    if !args.quit
        && let Err(message) = run.finish()
    {
        return fail(&message);
    }
    if args.time {
        eprintln!("{:.3} seconds", begin.elapsed().as_secs_f64());
    }
    for handler in &args.handlers {
        let (element, name) = handler.rsplit_once('.').unwrap_or(("", handler));
        let value = run.router.read_handler(element, name).map_err(|error| error.to_string());
        status |= print_value(handler, value, args.handlers.len() > 1);
    }
    status
}

fn build(args: &RunArgs, text: &Text, now: Time) -> Result<(SettledGraph, Router), Diagnostics> {
    let registry = Registry::standard();
    let mut env = Env {
        opener: Some(Box::new(crate::device::open)),
        simulated: args.simtime,
        control_sockets: true,
        now,
        text: text.as_str().to_owned(),
        hot_swap: args.hot_swap,
        seed: if args.simtime { 0 } else { now.0 },
        ..Env::default()
    };
    let graph = text.settle(&registry)?;
    let router = Router::build(&graph, &registry, &mut env)?;
    Ok((graph, router))
}

/// A router under way.
struct Run<'a> {
    args: &'a RunArgs,
    /// Virtual time.
    now: Time,
    router: Router,
    control: ControlServer,
}

impl Run<'_> {
    fn finish(&mut self) -> Result<(), String> {
        self.listen()?;
        loop {
            if self.args.simtime {
                run_simulated(&mut self.router, &mut self.now);
            } else {
                let mut signals = watch_signals(&self.router)?;
                run_real(&mut self.router, &mut self.control, &mut signals);
            }
            let Some(text) = self.router.take_next_text() else { return Ok(()) };
            if let Err(message) = self.replace(text) {
                eprintln!("hotconfig: {message}; the old configuration goes on");
            }
        }
    }

    /// Goes on with another text.
    fn replace(&mut self, text: String) -> Result<(), String> {
        let now = if self.args.simtime { self.now } else { Time::system() };
        let (_, router) =
            build(self.args, &Text::new("hotconfig", text), now).map_err(|found| found.to_string())?;
        let mut old = std::mem::replace(&mut self.router, router);
        if let Err(message) = self.listen() {
            self.router = old;
            return Err(message);
        }
        self.router.take_state(&mut old);
        Ok(())
    }

    /// Serves the control sockets that options and elements ask for, and no others.
    fn listen(&mut self) -> Result<(), String> {
        let tcp = |port: &u16| ControlPlace::Tcp { port: *port, next_free: false, localhost: false };
        let unix = self.args.sockets.iter().cloned().map(ControlPlace::Unix);
        let asked = self.args.ports.iter().map(tcp).chain(unix);
        let asked = asked.map(|place| ControlEndpoint { place, read_only: false });
        let endpoints: Vec<ControlEndpoint> = asked.chain(self.router.take_control_endpoints()).collect();
        if self.args.simtime && !endpoints.is_empty() {
            return Err("control sockets need real time; leave out --simtime".to_owned());
        }
        self.control.listen_to(&endpoints)
    }
}

/// Prints a read handler's value: its name first if there are several, as click(1) does.
pub(super) fn print_value(path: &str, value: Result<String, String>, with_name: bool) -> u8 {
    match value {
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
