//! The version of this program and of the operator it talks to.

use serde::Serialize;

use crate::args::OutputFormat;
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::output;

/// Both versions, if both are known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
}

pub(crate) async fn version(cluster: Option<&Cluster>, format: Option<OutputFormat>) -> Result<(), CliError> {
    let operator = match cluster {
        Some(cluster) => cluster.operator_version().await?,
        None => None,
    };
    let versions = Versions { client: env!("CARGO_PKG_VERSION"), operator };
    match format {
        Some(format) => println!("{}", output::render(format, &versions)?),
        None => println!("{}", describe(&versions, cluster.is_some())),
    }
    Ok(())
}

fn describe(versions: &Versions, asked: bool) -> String {
    let mut lines = vec![format!("client    {}", versions.client)];
    match &versions.operator {
        Some(operator) => {
            lines.push(format!("operator  {operator}"));
            if release(operator) != release(versions.client) {
                lines.push("warning: client and operator are of different releases; use the same".into());
            }
        }
        None if asked => lines.push("operator  none found".into()),
        None => {}
    }
    lines.join("\n")
}

/// Major and minor number: what may change resources.
fn release(version: &str) -> Vec<&str> {
    version.trim_start_matches('v').split('.').take(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(operator: Option<&str>) -> String {
        describe(&Versions { client: "0.1.0", operator: operator.map(Into::into) }, true)
    }

    #[test]
    fn a_different_release_of_the_operator_is_warned_of() {
        assert!(!said(Some("0.1.7")).contains("warning"));
        assert!(said(Some("0.2.0")).contains("warning: client and operator"));
        assert!(said(None).ends_with("operator  none found"));
    }
}
