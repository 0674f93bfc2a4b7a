//! The `anf-sidecar` program.

use std::io::IsTerminal;
use std::process::ExitCode;

use anf_sidecar::driver::{self, ElementsArgs, FlattenArgs, RunArgs};
use anf_sidecar::link::transport::Directory;
use anf_sidecar::serve::{self, ServeArgs};
use clap::{CommandFactory, Parser, Subcommand};

/// The packet sidecar of AtomicNF.
#[derive(Debug, Parser)]
#[command(name = "anf-sidecar", version, disable_version_flag = true)]
struct Cli {
    /// Print the version.
    #[arg(short = 'V', short_alias = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a Click configuration alone, as click(1) does.
    #[command(disable_help_flag = true)]
    Run(RunArgs),
    /// Print a Click configuration with its compound elements taken apart.
    Flatten(FlattenArgs),
    /// Run one sub-function of an AtomicFunction: what a pod does.
    Serve(ServeArgs),
    /// Let the group of this process into a directory that it owns: what a pod does before links share it.
    #[command(name = serve::SHARE_COMMAND)]
    ShareDirectory {
        /// The directory.
        path: std::path::PathBuf,
    },
    /// Document the element classes.
    Elements(ElementsArgs),
}

fn main() -> ExitCode {
    let status = match Cli::parse().command {
        Some(Command::Run(args)) => driver::run(&args),
        Some(Command::Flatten(args)) => driver::flatten(&args),
        Some(Command::Serve(args)) => serve(&args),
        Some(Command::ShareDirectory { path }) => share_directory(&path),
        Some(Command::Elements(args)) => driver::elements(&args),
        None => {
            // Writing help to a closed terminal is nobody's problem.
            let _ = Cli::command().print_help();
            2
        }
    };
    ExitCode::from(status)
}

fn share_directory(path: &std::path::Path) -> u8 {
    match Directory::new(path.to_owned()).share_with_group() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("cannot share {} with this process's group: {error}", path.display());
            1
        }
    }
}

fn serve(args: &ServeArgs) -> u8 {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ANF_LOG").unwrap_or_else(|_| "info".into());
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match serve::main(args) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error:#}");
            1
        }
    }
}
