//! The command line: what a user may type, and the words that explain it.

use std::path::PathBuf;

use anf_crds::Duration;
use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_STATUS: &str = "\
Exit status: 0 it is done; 1 the question could not be put or was refused; 2 wrong arguments;
3 the migration failed; 4 it was aborted; 5 it is still under way after --timeout.";

/// See, move and check network functions.
#[derive(Debug, Parser)]
#[command(name = "kubectl-anf", bin_name = "kubectl anf", version, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which cluster and namespace; as in kubectl.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClusterArgs {
    /// Namespace; default: the one of the context.
    #[arg(short, long, global = true)]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig; default: the current one.
    #[arg(long, global = true)]
    pub(crate) context: Option<String>,
    /// The kubeconfig file; default: $KUBECONFIG, or ~/.kube/config.
    #[arg(long, global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// For programs that read the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Lines for a terminal.
    Text,
    /// A picture for pages and slides.
    Svg,
    /// For Graphviz.
    Dot,
    /// For Markdown pages.
    Mermaid,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show functions as trees: sub-functions, their nodes and flows, the links between them.
    Status {
        /// Names of functions; all of the namespace without any.
        functions: Vec<String>,
        /// Of all namespaces.
        #[arg(short = 'A', long, conflicts_with = "functions")]
        all_namespaces: bool,
        #[arg(short, long)]
        output: Option<OutputFormat>,
    },
    /// Move a sub-function to another node, live, and follow it to the end.
    Migrate(MigrateArgs),
    /// Say where a sub-function would go, why not elsewhere, and the expected gap. Moves nothing.
    Plan {
        function: String,
        /// The sub-function.
        sub_function: String,
        /// Ask about this node only.
        #[arg(long = "to", value_name = "NODE")]
        node: Option<String>,
        #[arg(short, long)]
        output: Option<OutputFormat>,
    },
    /// Follow a migration to its end, or all of the namespace until interrupted.
    Watch {
        /// A migration, or a function that has one under way.
        name: Option<String>,
        /// Give up after this time; the migration goes on.
        #[arg(long)]
        timeout: Option<Duration>,
    },
    /// Call a migration off. Legal in every phase; once the target owns the sub-function it changes nothing.
    Abort {
        /// A migration, or a function that has one under way.
        name: String,
    },
    /// Draw a function with its cut.
    Graph {
        /// A function of the cluster, or a file: a manifest or Click text.
        function: String,
        /// How to draw.
        #[arg(short, long, value_enum, default_value_t = GraphFormat::Text, alias = "format", short_alias = 'f')]
        output: GraphFormat,
        #[command(flatten)]
        parts: CutArgs,
    },
    /// Cut a Click text into sub-functions and print the manifest. Needs no cluster.
    Cut {
        /// Click text, or a manifest to cut anew; `-` for standard input.
        file: PathBuf,
        #[command(flatten)]
        parts: CutArgs,
        /// Name of the function; default: the file's.
        #[arg(long)]
        name: Option<String>,
        /// Write one runnable Click file for each part and a map of the links into this directory instead.
        #[arg(long, value_name = "DIR")]
        click_dir: Option<PathBuf>,
        #[arg(short, long)]
        output: Option<OutputFormat>,
    },
    /// Parse, settle, cut and configure files with the code that will run them. Needs no cluster.
    Lint {
        /// Manifests or Click texts; `-` for standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[arg(short, long)]
        output: Option<OutputFormat>,
    },
    /// Print the version of this program and of the operator.
    Version {
        /// Do not ask the cluster.
        #[arg(long)]
        client: bool,
        #[arg(short, long)]
        output: Option<OutputFormat>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct MigrateArgs {
    pub(crate) function: String,
    /// The sub-function; without it all that can be moved, one after the other.
    pub(crate) sub_function: Option<String>,
    /// The node to move to; without it the scheduler chooses one.
    #[arg(long = "to", value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Follow it to the end; --wait=false returns at once.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true",
          action = clap::ArgAction::Set)]
    pub(crate) wait: bool,
    /// The gap that neighbours may see; default: the function's policy.
    #[arg(long, value_name = "TIME")]
    pub(crate) max_downtime: Option<Duration>,
    /// Time for the whole migration; default: the function's policy.
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<Duration>,
    /// Stop following after this time; the migration goes on.
    #[arg(long, value_name = "TIME", conflicts_with = "output")]
    pub(crate) timeout: Option<Duration>,
    /// Print the migration as it is at the end; progress goes to standard error.
    #[arg(short, long)]
    pub(crate) output: Option<OutputFormat>,
}

/// A cut on the command line.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CutArgs {
    /// NAME=ELEMENTS: a sub-function of these elements, separated by commas: names, globs, compounds, classes.
    /// Repeatable.
    #[arg(long = "sub", value_name = "NAME=ELEMENTS", value_parser = parse_part)]
    pub(crate) parts: Vec<(String, Vec<String>)>,
    /// Propose a cut into N sub-functions of balanced cost that few and cheap packets cross between, and say why (on
    /// standard error).
    #[arg(long, value_name = "N", conflicts_with = "parts")]
    pub(crate) auto: Option<usize>,
    /// With --auto: what elements counted, as `anf-sidecar run -h A.count -h B.count` prints it; without, the ways
    /// behind a switch are taken to be equally likely.
    #[arg(long, value_name = "FILE", requires = "auto")]
    pub(crate) counts: Option<PathBuf>,
}

fn parse_part(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, elements) = text
        .split_once('=')
        .ok_or_else(|| format!("\"{text}\" has no =; write for example nat=rw,ping or nat='nat_*'"))?;
    let elements: Vec<String> =
        elements.split(',').map(str::trim).filter(|e| !e.is_empty()).map(Into::into).collect();
    if name.is_empty() || elements.is_empty() {
        return Err(format!("\"{text}\" needs a name and at least one element"));
    }
    Ok((name.into(), elements))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn migrate_waits_unless_told_not_to() {
        for (options, waits) in [(vec![], true), (vec!["--wait"], true), (vec!["--wait=false"], false)] {
            let words =
                ["kubectl-anf", "migrate", "edge-nat", "nat", "--to", "worker2"].into_iter().chain(options);
            let Command::Migrate(args) = Cli::parse_from(words).command else { panic!("not migrate") };
            assert_eq!((args.wait, args.node.as_deref()), (waits, Some("worker2")));
        }
    }

    #[test]
    fn a_cut_names_a_part_and_its_elements() {
        assert_eq!(parse_part("nat=rw, nat_*"), Ok(("nat".into(), vec!["rw".into(), "nat_*".into()])));
        assert!(parse_part("nat").unwrap_err().contains("nat=rw,ping"));
        assert!(parse_part("nat=,").is_err());
        assert!(parse_part("=rw").is_err());
    }
}
