//! The cluster: connecting, finding objects by name, and errors that say what to do. The only module with a client.

use std::time::Duration;

use anf_crds::{AtomicFunction, FunctionMigration};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};

use crate::args::ClusterArgs;
use crate::error::CliError;
use crate::suggest;

/// A server that takes longer to accept a connection is as good as absent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connected client and the namespace that commands mean.
pub(crate) struct Cluster {
    client: Client,
    url: String,
    pub(crate) namespace: String,
}

impl Cluster {
    pub(crate) async fn connect(args: &ClusterArgs) -> Result<Self, CliError> {
        let mut config = configuration(args).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let url = config.cluster_url.to_string();
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|e| CliError::NoCluster(causes(&e)))?;
        Ok(Self { client, url, namespace })
    }

    pub(crate) fn functions(&self) -> Api<AtomicFunction> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn migrations(&self) -> Api<FunctionMigration> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn all_functions(&self) -> Result<Vec<AtomicFunction>, CliError> {
        let list = Api::<AtomicFunction>::all(self.client.clone()).list(&ListParams::default()).await;
        Ok(list.map_err(|e| self.explain(e, FUNCTIONS))?.items)
    }

    pub(crate) async fn list_functions(&self) -> Result<Vec<AtomicFunction>, CliError> {
        let list = self.functions().list(&ListParams::default()).await;
        Ok(list.map_err(|e| self.explain(e, FUNCTIONS))?.items)
    }

    /// The function of this name, or an error with the name that was probably meant.
    pub(crate) async fn function(&self, name: &str) -> Result<AtomicFunction, CliError> {
        let found = self.functions().get_opt(name).await.map_err(|e| self.explain(e, FUNCTIONS))?;
        match found {
            Some(function) => Ok(function),
            None => Err(self.not_found("function", name, self.other_function(name).await)),
        }
    }

    async fn other_function(&self, name: &str) -> String {
        // Reading other namespaces may be forbidden: then only the own one is searched.
        let all = match self.all_functions().await {
            Ok(all) => all,
            Err(_) => self.list_functions().await.unwrap_or_default(),
        };
        let mine = |f: &&AtomicFunction| f.namespace().as_deref() == Some(self.namespace.as_str());
        if let Some(elsewhere) = all.iter().filter(|f| !mine(f)).find(|f| f.name_any() == name) {
            let namespace = elsewhere.namespace().unwrap_or_default();
            return format!("; there is one in namespace {namespace}: add -n {namespace}");
        }
        let names: Vec<String> = all.iter().filter(mine).map(ResourceExt::name_any).collect();
        suggest::hint(name, &names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The migration that a name means: its own, or the one under way of the function of that name.
    pub(crate) async fn migration(&self, name: &str) -> Result<FunctionMigration, CliError> {
        let found = self.migrations().get_opt(name).await.map_err(|e| self.explain(e, MIGRATIONS))?;
        if let Some(migration) = found {
            return Ok(migration);
        }
        let all =
            self.migrations().list(&ListParams::default()).await.map_err(|e| self.explain(e, MIGRATIONS))?;
        let function = self.functions().get_opt(name).await.map_err(|e| self.explain(e, FUNCTIONS))?;
        if function.is_some() {
            return under_way(name, all.items);
        }
        let functions = self.list_functions().await?;
        let names: Vec<String> = all
            .iter()
            .map(ResourceExt::name_any)
            .chain(functions.iter().map(ResourceExt::name_any))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint =
            suggest::nearest(name, names).map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        Err(self.not_found("migration or function", name, hint))
    }

    /// Complains of a node that does not exist. Who may not read nodes learns it from the migration instead.
    pub(crate) async fn check_node(&self, name: &str) -> Result<(), CliError> {
        let Ok(nodes) = Api::<Node>::all(self.client.clone()).list_metadata(&ListParams::default()).await
        else {
            return Ok(());
        };
        let names: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
        if names.iter().any(|known| known == name) {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Err(CliError::NoNode { name: name.into(), hint: suggest::hint(name, &names) })
    }

    /// The operator's version, from the label that the chart gives its pod.
    pub(crate) async fn operator_version(&self) -> Result<Option<String>, CliError> {
        let selector = "app.kubernetes.io/component=operator,app.kubernetes.io/name=atomicnf";
        let pods = Api::<Pod>::all(self.client.clone()).list(&ListParams::default().labels(selector)).await;
        let pods = pods.map_err(|e| self.explain(e, "Pod"))?;
        Ok(pods.iter().find_map(|pod| pod.labels().get("app.kubernetes.io/version").cloned()))
    }

    fn not_found(&self, kind: &'static str, name: &str, hint: String) -> CliError {
        CliError::NotFound { namespace: self.namespace.clone(), kind, name: name.into(), hint }
    }

    /// What a failed request means for the user.
    pub(crate) fn explain(&self, error: kube::Error, kind: &'static str) -> CliError {
        match error {
            // A server that does not know the resource answers 404 without naming an object.
            kube::Error::Api(status)
                if status.code == 404 && status.details.as_ref().is_none_or(|d| d.name.is_empty()) =>
            {
                CliError::NotInstalled(kind)
            }
            kube::Error::Api(status) if status.code == 403 => CliError::Forbidden(status.message),
            kube::Error::Api(status) if matches!(status.code, 400 | 409 | 422) => {
                CliError::Refused(status.message)
            }
            kube::Error::Api(status) => CliError::Api(status.message),
            error @ (kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)) => {
                // The outer text names a Rust type; what happened is below it.
                let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), causes);
                CliError::Unreachable { url: self.url.clone(), cause }
            }
            other => CliError::Api(causes(&other)),
        }
    }
}

pub(crate) const FUNCTIONS: &str = "AtomicFunction";
pub(crate) const MIGRATIONS: &str = "FunctionMigration";

async fn configuration(args: &ClusterArgs) -> Result<Config, CliError> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let problem = |e: kube::config::KubeconfigError| CliError::NoCluster(causes(&e));
    match &args.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(problem)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(problem)
        }
        None if args.context.is_some() => Config::from_kubeconfig(&options).await.map_err(problem),
        // In a pod there is no file but a service account.
        None => match Config::from_kubeconfig(&options).await {
            Ok(config) => Ok(config),
            Err(error) => Config::incluster().map_err(|_| problem(error)),
        },
    }
}

/// The one migration of the function that has not ended.
fn under_way(function: &str, migrations: Vec<FunctionMigration>) -> Result<FunctionMigration, CliError> {
    let (live, over): (Vec<_>, Vec<_>) = migrations
        .into_iter()
        .filter(|m| m.spec.function_name == function)
        .partition(|m| m.status.as_ref().and_then(|s| s.phase).is_none_or(|phase| !phase.is_over()));
    let mut live = live.into_iter();
    match (live.next(), live.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => Err(CliError::Ambiguous {
            function: function.into(),
            migrations: [first, second].into_iter().chain(live).map(|m| m.name_any()).collect(),
        }),
        (None, _) => {
            let latest = over.iter().max_by_key(|m| m.metadata.creation_timestamp.as_ref().map(|t| t.0));
            let hint = latest.map_or(String::new(), |m| format!("; the last one was {}", m.name_any()));
            Err(CliError::NothingUnderWay { function: function.into(), hint })
        }
    }
}

/// An error with its causes in one line, without repeating what the outer text holds already.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use anf_crds::{FunctionMigrationSpec, FunctionMigrationStatus, MigrationPhase};

    use super::*;

    fn migration(name: &str, function: &str, phase: MigrationPhase) -> FunctionMigration {
        let spec = FunctionMigrationSpec { function_name: function.into(), ..Default::default() };
        let status = FunctionMigrationStatus { phase: Some(phase), ..Default::default() };
        FunctionMigration { status: Some(status), ..FunctionMigration::new(name, spec) }
    }

    #[test]
    fn a_functions_name_means_its_only_migration_under_way() {
        let all = vec![
            migration("a", "edge-nat", MigrationPhase::Succeeded),
            migration("b", "edge-nat", MigrationPhase::Syncing),
            migration("c", "monitor", MigrationPhase::Syncing),
        ];
        assert_eq!(
            under_way("edge-nat", all).map(|m| m.name_any()).map_err(|e| e.to_string()),
            Ok("b".into())
        );
    }

    #[test]
    fn two_migrations_under_way_have_to_be_told_apart() {
        let all = ["a", "b"].map(|name| migration(name, "edge-nat", MigrationPhase::Pending)).to_vec();
        let error = under_way("edge-nat", all).expect_err("ambiguous").to_string();
        assert_eq!(error, "function edge-nat has 2 migrations under way: name one of a, b");
    }

    #[test]
    fn without_a_migration_under_way_the_last_one_is_named() {
        let all = vec![migration("a", "edge-nat", MigrationPhase::Failed)];
        let error = under_way("edge-nat", all).expect_err("none").to_string();
        assert_eq!(error, "function edge-nat has no migration under way; the last one was a");
    }
}
