//! `kubectl anf`: see, move and check network functions.
//!
//! Commands about files (lint, cut, graph FILE) never touch a cluster. Rendering is a pure function of objects; only
//! `cluster` and `migration` talk to the API server, and every answer they get becomes a message that names the object.

mod args;
mod cluster;
mod cutting;
mod error;
mod lint;
mod migration;
mod output;
mod progress;
mod proposing;
mod source;
mod status;
mod suggest;
mod text;
mod version;

use std::path::Path;
use std::process::ExitCode;

use anf_click::Cut;
use clap::Parser;
use kube::ResourceExt;

use crate::args::{Cli, Command, GraphFormat, OutputFormat};
use crate::cluster::Cluster;
use crate::error::CliError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_told() {
                eprintln!("error: {error}");
            }
            ExitCode::from(error.exit_status())
        }
    }
}

async fn run(cli: Cli) -> Result<(), CliError> {
    let cluster = || Cluster::connect(&cli.cluster);
    match cli.command {
        Command::Status { functions, all_namespaces, output } => {
            show_status(&cluster().await?, &functions, all_namespaces, output).await
        }
        Command::Migrate(args) => migration::migrate(&cluster().await?, args).await,
        Command::Plan { function, sub_function, node, output } => {
            migration::plan(&cluster().await?, &function, &sub_function, node, output).await
        }
        Command::Watch { name, timeout } => {
            migration::watch(&cluster().await?, name.as_deref(), timeout.map(Into::into)).await
        }
        Command::Abort { name } => migration::abort(&cluster().await?, &name).await,
        Command::Version { client: true, output } => version::version(None, output).await,
        Command::Version { client: false, output } => version::version(Some(&cluster().await?), output).await,
        Command::Graph { function, output: format, parts } => {
            let path = Path::new(&function);
            // A function's name has neither dot nor slash.
            if path.exists() || function == "-" || function.contains(['.', '/']) {
                let (_, cut) = cutting::load(path, &parts)?;
                print!("{}", draw(&cut, format));
                return Ok(());
            }
            show_graph(&cluster().await?, &function, format).await
        }
        Command::Cut { file, parts, name, click_dir, output } => {
            cutting::cut(&file, &parts, name, click_dir, output)
        }
        Command::Lint { files, output } => lint::lint(&files, output),
    }
}

async fn show_graph(cluster: &Cluster, name: &str, format: GraphFormat) -> Result<(), CliError> {
    let function = cluster.function(name).await?;
    let cut = anf_operator::graph::compile(&function.spec).map_err(|rejection| {
        CliError::Refused(format!("the graph of {name} is not valid:\n{}", rejection.text()))
    })?;
    print!("{}", draw(&cut, format));
    Ok(())
}

fn draw(cut: &Cut, format: GraphFormat) -> String {
    match format {
        GraphFormat::Text => anf_click::draw::text(cut),
        GraphFormat::Svg => anf_click::draw::svg(cut),
        GraphFormat::Dot => anf_click::draw::dot(cut),
        GraphFormat::Mermaid => anf_click::draw::mermaid(cut),
    }
}

async fn show_status(
    cluster: &Cluster,
    names: &[String],
    everywhere: bool,
    format: Option<OutputFormat>,
) -> Result<(), CliError> {
    let mut functions = Vec::new();
    match (everywhere, names) {
        (true, _) => functions = cluster.all_functions().await?,
        (false, []) => functions = cluster.list_functions().await?,
        (false, names) => {
            for name in names {
                functions.push(cluster.function(name).await?);
            }
        }
    }
    functions.sort_by_key(|function| (function.namespace(), function.name_any()));
    match (format, functions.as_slice()) {
        // As kubectl does it: one that was asked for by name is not wrapped.
        (Some(format), [only]) if names.len() == 1 => println!("{}", output::render(format, only)?),
        (Some(format), all) => println!("{}", output::render(format, &output::List::of(all))?),
        (None, []) if everywhere => {
            println!("no functions; start one with kubectl apply -f examples/nat.yaml")
        }
        (None, []) => println!("no functions in namespace {}; -A shows all namespaces", cluster.namespace),
        (None, all) => println!("{}", all.iter().map(status::tree).collect::<Vec<_>>().join("\n\n")),
    }
    Ok(())
}
