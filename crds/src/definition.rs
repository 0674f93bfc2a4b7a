//! The CustomResourceDefinitions as files, exactly as `kubectl apply` and the Helm chart take them.
//!
//! Pure: what it returns depends on the types alone, so a file that differs from it is out of date.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{AtomicFunction, FunctionMigration};

const HEADER: &str =
    "# Generated from the types in crds/src by `cargo run -p anf-crds --bin gen-crds`. Do not edit.\n";

/// One generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// File name below `crds/`.
    pub name: &'static str,
    /// The whole content.
    pub content: String,
}

/// All definitions, in the order in which they are to be applied.
///
/// # Errors
/// If a schema cannot be written as YAML.
pub fn files() -> Result<Vec<File>, serde_yaml::Error> {
    Ok(vec![
        File { name: "atomicnf.dev_atomicfunctions.yaml", content: yaml(&AtomicFunction::crd())? },
        File { name: "atomicnf.dev_functionmigrations.yaml", content: yaml(&FunctionMigration::crd())? },
    ])
}

fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    Ok(format!("{HEADER}{}", serde_yaml::to_string(definition)?))
}
