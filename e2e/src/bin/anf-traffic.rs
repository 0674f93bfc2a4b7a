//! anf-traffic: sends traffic between ordinary hosts and counts what the network between them did to it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anf_e2e::traffic::{DEFAULT_PORT, client, server};
use anyhow::Context;
use clap::{Args, Parser};

/// Traffic between ordinary hosts that can tell what a network did to it.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Echo UDP and serve downloads.
    Server {
        /// Address to listen on.
        #[arg(long, default_value = "0.0.0.0")]
        bind: IpAddr,
        /// Port, for UDP and TCP.
        #[arg(long, default_value_t = DEFAULT_PORT)]
        port: u16,
    },
    /// Send UDP flows at a constant rate and receive a download.
    Client(ClientArguments),
}

#[derive(Args)]
struct ClientArguments {
    /// Address of the server.
    #[arg(long)]
    server: IpAddr,
    /// Port of the server.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// UDP flows, each with a source port of its own.
    #[arg(long, default_value_t = 1000)]
    flows: u32,
    /// Packets a second over all flows.
    #[arg(long, value_name = "PPS", default_value_t = 5000)]
    rate: u32,
    /// Bytes of UDP payload.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    size: usize,
    /// Rate of the download in Mbit/s; 0 for none.
    #[arg(long, value_name = "MBIT", default_value_t = 20.0)]
    tcp_rate: f64,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS", required_unless_present = "stdin")]
    duration: Option<f64>,
    /// Take "mark NAME" and "stop" from standard input.
    #[arg(long)]
    stdin: bool,
    /// A packet that is not back after so many seconds is lost.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    drain: f64,
    /// Wait so many seconds for a first answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    wait: f64,
    /// Also write the last event to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Server { bind, port } => Ok(server::serve(bind, port)?),
        Command::Client(arguments) => run_client(&arguments),
    }
}

fn run_client(arguments: &ClientArguments) -> anyhow::Result<()> {
    let plan = client::Plan {
        server: SocketAddr::new(arguments.server, arguments.port),
        flows: arguments.flows,
        packets_per_second: arguments.rate,
        payload_bytes: arguments.size,
        tcp_bytes_per_second: (arguments.tcp_rate * 1e6 / 8.0) as u64,
        duration: arguments.duration.map(Duration::try_from_secs_f64).transpose().context("--duration")?,
        drain: Duration::try_from_secs_f64(arguments.drain).context("--drain")?,
        patience: Duration::try_from_secs_f64(arguments.wait).context("--wait")?,
    };
    let last = client::run(&plan, arguments.stdin)?;
    if let Some(path) = &arguments.report {
        fs::write(path, serde_json::to_string_pretty(&last)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
