//! The commands about moves: migrate, plan, watch, abort.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anf_crds::{AtomicFunction, FunctionMigration, FunctionMigrationSpec, MigrationResult, Plan};
use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use crate::args::{MigrateArgs, OutputFormat};
use crate::cluster::{Cluster, MIGRATIONS};
use crate::error::CliError;
use crate::output;
use crate::progress::{self, Teller};
use crate::suggest;
use crate::text;

/// A plan needs no handover; an operator that has not answered by then does not run.
const PLAN_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn migrate(cluster: &Cluster, args: MigrateArgs) -> Result<(), CliError> {
    let function = cluster.function(&args.function).await?;
    if let Some(sub) = &args.sub_function {
        check_sub_function(&function, sub)?;
    }
    if let Some(node) = &args.node {
        cluster.check_node(node).await?;
    }
    let created = create(cluster, &request(&args)).await?;
    let name = created.name_any();
    if !args.wait {
        match args.output {
            Some(format) => println!("{}", output::render(format, &created)?),
            None => println!("{name} asked for; follow it with: kubectl anf watch {name}"),
        }
        return Ok(());
    }
    // With an object as the answer, the story goes to where it does not disturb.
    let tell = |line: String| if args.output.is_some() { eprintln!("{line}") } else { println!("{line}") };
    let ended = follow(cluster, &name, args.timeout.map(Into::into), tell).await?;
    match args.output {
        Some(format) => println!("{}", output::render(format, &ended)?),
        None => println!("{}", progress::closing(&ended)),
    }
    verdict(&ended)
}

pub(crate) async fn plan(
    cluster: &Cluster,
    function: &str,
    sub_function: &str,
    node: Option<String>,
    format: Option<OutputFormat>,
) -> Result<(), CliError> {
    check_sub_function(&cluster.function(function).await?, sub_function)?;
    if let Some(node) = &node {
        cluster.check_node(node).await?;
    }
    let spec = FunctionMigrationSpec {
        function_name: function.into(),
        sub_function: Some(sub_function.into()),
        target_node: node,
        plan: true,
        ..FunctionMigrationSpec::default()
    };
    let created = create(cluster, &named(spec)).await?;
    let name = created.name_any();
    let answer = follow(cluster, &name, Some(PLAN_TIMEOUT), |_| ()).await;
    // The question is of no interest once it is answered; it would stand among the real moves.
    let _ = cluster.migrations().delete(&name, &DeleteParams::default()).await;
    let answer = answer?;
    let plan = answer.status.as_ref().and_then(|status| status.plan.clone());
    match (format, plan) {
        (Some(format), plan) => println!("{}", output::render(format, &plan.unwrap_or_default())?),
        (None, Some(plan)) => println!("{}", plan_text(&answer, &plan)),
        (None, None) => println!("{}", progress::closing(&answer)),
    }
    verdict(&answer)
}

pub(crate) async fn watch(
    cluster: &Cluster,
    name: Option<&str>,
    timeout: Option<Duration>,
) -> Result<(), CliError> {
    let Some(name) = name else { return watch_all(cluster).await };
    let migration = cluster.migration(name).await?;
    let ended = follow(cluster, &migration.name_any(), timeout, |line| println!("{line}")).await?;
    println!("{}", progress::closing(&ended));
    verdict(&ended)
}

pub(crate) async fn abort(cluster: &Cluster, name: &str) -> Result<(), CliError> {
    let migration = cluster.migration(name).await?;
    let name = migration.name_any();
    if progress::result(&migration).is_some() {
        println!("{name} has ended already: {}", progress::closing(&migration));
        return Ok(());
    }
    let patch = Patch::Merge(json!({"spec": {"abort": true}}));
    let patched = cluster.migrations().patch(&name, &PatchParams::default(), &patch).await;
    patched.map_err(|e| cluster.explain(e, MIGRATIONS))?;
    println!("{name} is called off; kubectl anf watch {name} tells how it ends");
    Ok(())
}

fn check_sub_function(function: &AtomicFunction, name: &str) -> Result<(), CliError> {
    let seen =
        function.status.iter().flat_map(|status| status.sub_functions.iter().map(|sub| sub.name.as_str()));
    let wanted = function.spec.sub_functions.iter().map(|sub| sub.name.as_str());
    let mut names: Vec<&str> = seen.chain(wanted).collect();
    names.sort_unstable();
    names.dedup();
    if names.contains(&name) || (names.is_empty() && name == "main") {
        return Ok(());
    }
    let hint = suggest::hint(name, &names);
    Err(CliError::NoSubFunction { function: function.name_any(), name: name.into(), hint })
}

fn request(args: &MigrateArgs) -> FunctionMigration {
    named(FunctionMigrationSpec {
        function_name: args.function.clone(),
        sub_function: args.sub_function.clone(),
        target_node: args.node.clone(),
        max_downtime: args.max_downtime,
        deadline: args.deadline,
        ..FunctionMigrationSpec::default()
    })
}

/// The object to create; the server completes its name.
fn named(spec: FunctionMigrationSpec) -> FunctionMigration {
    let sub = spec.sub_function.as_ref().map_or(String::new(), |sub| format!("{sub}-"));
    let prefix = format!("{}-{sub}", spec.function_name);
    let mut migration = FunctionMigration::new("", spec);
    migration.metadata.name = None;
    migration.metadata.generate_name = Some(prefix);
    migration
}

async fn create(cluster: &Cluster, migration: &FunctionMigration) -> Result<FunctionMigration, CliError> {
    let created = cluster.migrations().create(&PostParams::default(), migration).await;
    created.map_err(|e| cluster.explain(e, MIGRATIONS))
}

/// Tells a migration to its end and returns it as it is then.
async fn follow(
    cluster: &Cluster,
    name: &str,
    timeout: Option<Duration>,
    tell: impl Fn(String),
) -> Result<FunctionMigration, CliError> {
    let states = watcher::watch_object(cluster.migrations(), name).default_backoff();
    let give_up = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = to_the_end(name, states, tell) => ended,
        () = give_up => {
            Err(CliError::TimedOut { name: name.into(), seconds: timeout.unwrap_or_default().as_secs_f64() })
        }
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted { name: name.into() }),
    }
}

async fn to_the_end(
    name: &str,
    states: impl Stream<Item = Result<Option<FunctionMigration>, watcher::Error>>,
    tell: impl Fn(String),
) -> Result<FunctionMigration, CliError> {
    let mut states = pin!(states);
    let mut teller = Teller::default();
    let mut disturbed = false;
    while let Some(state) = states.next().await {
        match state {
            Ok(Some(migration)) => {
                disturbed = false;
                teller.tell(&migration).into_iter().for_each(&tell);
                if progress::result(&migration).is_some() {
                    return Ok(migration);
                }
            }
            Ok(None) => break,
            Err(error) if !disturbed => {
                disturbed = true;
                eprintln!("the watch broke off, trying again: {error}");
            }
            Err(_) => {}
        }
    }
    Err(CliError::Deleted(name.into()))
}

/// All migrations of the namespace, each line with the name it is about.
async fn watch_all(cluster: &Cluster) -> Result<(), CliError> {
    let states =
        watcher(cluster.migrations(), watcher::Config::default()).default_backoff().applied_objects();
    let mut states = pin!(states);
    let mut tellers: BTreeMap<String, Option<Teller>> = BTreeMap::new();
    loop {
        let state = tokio::select! {
            state = states.next() => state,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match state {
            Some(Ok(migration)) => {
                tell_one_of_many(&mut tellers, &migration).iter().for_each(|line| println!("{line}"))
            }
            Some(Err(error)) => eprintln!("the watch broke off, trying again: {error}"),
            None => return Ok(()),
        }
    }
}

/// A migration that has been told to its end keeps an empty place, so that it is not told again.
fn tell_one_of_many(
    tellers: &mut BTreeMap<String, Option<Teller>>,
    migration: &FunctionMigration,
) -> Vec<String> {
    let name = migration.name_any();
    let place = tellers.entry(name.clone()).or_insert_with(|| Some(Teller::default()));
    let Some(teller) = place else { return Vec::new() };
    let mut lines = teller.tell(migration);
    if progress::result(migration).is_some() {
        lines.push(progress::closing(migration));
        *place = None;
    }
    lines
        .into_iter()
        .map(|line| if line.starts_with(&name) { line } else { format!("{name}  {line}") })
        .collect()
}

fn plan_text(migration: &FunctionMigration, plan: &Plan) -> String {
    let spec = &migration.spec;
    let what = format!("{}/{}", spec.function_name, spec.sub_function.as_deref().unwrap_or_default());
    let mut lines = vec![match &plan.node {
        Some(node) => format!("{what} would go to {node}"),
        None => format!("{what} can go nowhere"),
    }];
    lines.extend(plan.expected_downtime.map(|gap| format!("expected gap: {}", text::gap(gap))));
    let rejected = plan.rejected.iter().map(|r| vec![format!("not {}", r.node), r.reason.clone()]);
    lines.extend(text::columns(&rejected.collect::<Vec<_>>()));
    lines.join("\n")
}

fn verdict(ended: &FunctionMigration) -> Result<(), CliError> {
    match progress::result(ended) {
        Some(MigrationResult::Succeeded) => Ok(()),
        Some(other) => Err(CliError::Ended(other)),
        None => Err(CliError::Deleted(ended.name_any())),
    }
}

#[cfg(test)]
mod tests {
    use anf_crds::RejectedNode;
    use futures::stream;

    use super::*;

    fn function() -> AtomicFunction {
        serde_yaml::from_str(
            "{apiVersion: atomicnf.dev/v1alpha1, kind: AtomicFunction, metadata: {name: edge-nat},
              spec: {click: Idle -> Discard, subFunctions: [{name: nat, elements: [rw]}, {name: egress, elements: [q]}]}}",
        )
        .expect("a manifest")
    }

    fn state(phase: &str) -> FunctionMigration {
        serde_yaml::from_str(&format!(
            "{{apiVersion: atomicnf.dev/v1alpha1, kind: FunctionMigration, metadata: {{name: m1}},
               spec: {{functionName: edge-nat, subFunction: nat}},
               status: {{phase: {phase}, phaseTransitions: [{{phase: {phase}, at: '2026-01-01T00:00:00.000000Z'}}]}}}}"
        ))
        .expect("a manifest")
    }

    #[test]
    fn a_request_gets_its_name_from_the_server_and_asks_for_nothing_else() {
        let spec = FunctionMigrationSpec {
            function_name: "edge-nat".into(),
            sub_function: Some("nat".into()),
            target_node: Some("worker2".into()),
            ..FunctionMigrationSpec::default()
        };
        let object = serde_json::to_value(named(spec)).expect("an object");
        assert_eq!(object["metadata"], json!({"generateName": "edge-nat-nat-"}));
        assert_eq!(object["spec"]["targetNode"], "worker2");
        assert!(object["spec"].get("maxDowntime").is_none());
    }

    #[test]
    fn a_sub_function_that_does_not_exist_is_refused_before_anything_is_made() {
        assert!(check_sub_function(&function(), "nat").is_ok());
        let error = check_sub_function(&function(), "natt").expect_err("no such part").to_string();
        assert_eq!(error, "function edge-nat has no sub-function \"natt\"; did you mean \"nat\"?");
    }

    #[tokio::test]
    async fn following_ends_with_the_migration_and_survives_a_broken_watch() {
        let states = stream::iter([
            Ok(Some(state("Pending"))),
            Err(watcher::Error::NoResourceVersion),
            Ok(Some(state("Succeeded"))),
            Ok(Some(state("Failed"))),
        ]);
        let ended = to_the_end("m1", states, |_| ()).await.expect("an end");
        assert_eq!(progress::result(&ended), Some(MigrationResult::Succeeded));
    }

    #[tokio::test]
    async fn following_a_deleted_migration_says_so() {
        let states = stream::iter([Ok(Some(state("Pending"))), Ok(None)]);
        let error = to_the_end("m1", states, |_| ()).await.expect_err("deleted");
        assert_eq!(error.to_string(), "migration m1 was deleted while it was followed");
    }

    #[test]
    fn of_many_each_line_says_whose_it_is_and_the_end_is_told_once() {
        let mut tellers = BTreeMap::new();
        assert_eq!(
            tell_one_of_many(&mut tellers, &state("Pending")),
            ["m1: edge-nat/nat", "m1      0.0 s  Pending"]
        );
        assert_eq!(tell_one_of_many(&mut tellers, &state("Succeeded")), ["m1  moved edge-nat/nat"]);
        assert_eq!(tell_one_of_many(&mut tellers, &state("Succeeded")), [""; 0]);
    }

    #[test]
    fn a_plan_says_where_and_why_not_elsewhere() {
        let plan = Plan {
            node: Some("worker2".into()),
            expected_downtime: Some(anf_crds::Duration::from_millis(1)),
            rejected: vec![RejectedNode { node: "worker".into(), reason: "runs there now".into() }],
        };
        assert_eq!(
            plan_text(&state("Succeeded"), &plan),
            "edge-nat/nat would go to worker2\nexpected gap: 1.00 ms\nnot worker  runs there now"
        );
    }
}
