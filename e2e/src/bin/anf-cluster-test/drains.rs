//! Drains: what can move does, under traffic and without a lost packet; what cannot says why and what to do.
//!
//! Each test makes its nodes schedulable again, whatever came of it.

use std::process::Command;
use std::time::Duration;

use anf_e2e::Error;
use anf_e2e::cluster::function::workers;
use anf_e2e::cluster::kubectl::{count, get_json, kubectl, wait_condition};
use anf_e2e::process::wait_until;

use crate::Test;
use crate::faults::{SYSTEM, deployment};
use crate::world::{MOVING, World, expect_words};

const SOON: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);
/// The pods of the sub-function that moves, of all that are on a node.
const MOVING_PODS: &str = "--pod-selector=atomicnf.dev/subfunction=nat";

pub(crate) const TESTS: &[Test] = &[
    ("a_drain_moves_the_sub_function_shows_how_far_it_is_and_ends_by_itself", drain_moves),
    ("a_drain_of_a_whole_node_moves_what_can_move_and_says_what_to_do_about_the_rest", whole_node),
    ("a_drain_with_no_other_node_is_held_and_explained_and_goes_on_once_there_is_one", no_other_node),
    ("a_drain_without_operator_is_held_by_the_budget_and_goes_on_when_it_is_back", operator_away),
    ("a_dry_run_of_a_drain_says_what_would_happen_and_moves_nothing", dry_run),
];

fn drain_moves(world: &mut World) -> Result<(), Error> {
    let node = world.function.node_of(MOVING)?;
    let drained = drain(&node, &[MOVING_PODS, "--timeout=120s"]);
    let moved = world.function.node_of(MOVING);
    kubectl(&["uncordon", &node])?;
    let (ended, told) = drained?;
    if !ended || moved? == node {
        return Err(Error::invalid("kubectl drain", told));
    }
    expect_words(&told, &["will retry after 5s", "nat: starts to move from", "drained"])
}

/// The store and the operator may live on that node as well, and are moved by Kubernetes meanwhile.
fn whole_node(world: &mut World) -> Result<(), Error> {
    let node = world.function.node_of("classify")?;
    if world.function.node_of(MOVING)? != node {
        world.move_once()?;
    }
    let drained = drain(&node, &["--ignore-daemonsets", "--timeout=90s"]);
    let moved = world.function.node_of(MOVING);
    let judged = world.judge("the whole node");
    kubectl(&["uncordon", &node])?;
    kubectl(&["rollout", "status", "-n", SYSTEM, &deployment("operator")?, "--timeout=90s"])?;
    let (_, told) = drained?;
    if moved? == node {
        return Err(Error::invalid("kubectl drain", told));
    }
    expect_words(&told, &["classify: owns a port and cannot move live", "kubectl delete pod"])?;
    judged
}

fn no_other_node(world: &mut World) -> Result<(), Error> {
    let node = world.function.node_of(MOVING)?;
    let other = world.function.other_worker(MOVING)?;
    kubectl(&["cordon", &other])?;
    let outcome = held_for_want_of_a_node(world, &node, &other);
    for worker in workers()? {
        kubectl(&["uncordon", &worker])?;
    }
    outcome
}

fn held_for_want_of_a_node(world: &mut World, node: &str, other: &str) -> Result<(), Error> {
    let (ended, told) = drain(node, &[MOVING_PODS, "--timeout=12s"])?;
    if ended {
        return Err(Error::invalid("kubectl drain", told));
    }
    expect_words(&told, &["no node can take it", other, "is cordoned"])?;
    let function = world.function.name.clone();
    let (reason, message) = wait_condition("atomicfunction", &function, "EvacuationRequested", "True", SOON)?;
    expect_words(&format!("{reason}: {message}"), &["Blocked", MOVING, node])?;
    wait_event(&format!("atomicfunction/{function}"), "EvacuationBlocked")?;
    kubectl(&["uncordon", other])?;
    let (ended, told) = drain(node, &[MOVING_PODS, "--timeout=120s"])?;
    if ended { Ok(()) } else { Err(Error::invalid("kubectl drain", told)) }
}

fn operator_away(world: &mut World) -> Result<(), Error> {
    let node = world.function.node_of(MOVING)?;
    let operator = deployment("operator")?;
    kubectl(&["scale", "-n", SYSTEM, &operator, "--replicas=0"])?;
    kubectl(&["wait", "-n", SYSTEM, "pod", "-l", "app.kubernetes.io/component=operator", "--for=delete"])?;
    // Right after a move Kubernetes may still count two owners.
    let held = wait_budget(world).and_then(|()| drain(&node, &[MOVING_PODS, "--timeout=12s"]));
    let judged = world.judge("without operator");
    kubectl(&["scale", "-n", SYSTEM, &operator, "--replicas=1"])?;
    kubectl(&["rollout", "status", "-n", SYSTEM, &operator, "--timeout=90s"])?;
    let resumed = drain(&node, &[MOVING_PODS, "--timeout=120s"]);
    kubectl(&["uncordon", &node])?;
    let (ended, told) = held?;
    if ended {
        return Err(Error::invalid("kubectl drain without operator", told));
    }
    expect_words(&told, &["disruption budget"])?;
    judged?;
    let (ended, told) = resumed?;
    if ended { Ok(()) } else { Err(Error::invalid("kubectl drain with the operator back", told)) }
}

/// Waits until the budget counts the one pod that it holds.
fn wait_budget(world: &World) -> Result<(), Error> {
    let name = format!("anf-{}-{MOVING}", world.function.name);
    wait_until(&format!("budget {name} to hold its pod"), SOON, POLL, |last| {
        let status = get_json(&["get", "poddisruptionbudget", &name])?["status"].clone();
        *last = status.to_string();
        Ok((count(&status, "/currentHealthy") == 1 && status["disruptionsAllowed"] == 0).then_some(()))
    })
}

fn dry_run(world: &mut World) -> Result<(), Error> {
    let node = world.function.node_of(MOVING)?;
    let before = migrations()?;
    let (_, told) = drain(&node, &[MOVING_PODS, "--dry-run=server", "--timeout=30s"])?;
    expect_words(&told, &["nat: starts to move from", &node])?;
    if world.function.node_of(MOVING)? != node || migrations()? != before {
        return Err(Error::invalid("a dry run", "something moves"));
    }
    Ok(())
}

fn migrations() -> Result<String, Error> {
    kubectl(&["get", "functionmigrations", "-o", "name"])
}

fn wait_event(about: &str, reason: &str) -> Result<(), Error> {
    wait_until(&format!("an event {reason} of {about}"), SOON, POLL, |last| {
        let events = get_json(&["events", "--for", about])?;
        let all = events["items"].as_array().cloned().unwrap_or_default();
        *last = format!("{} events", all.len());
        Ok(all.iter().any(|event| event["reason"] == reason).then_some(()))
    })
}

/// Drains as a user does; whether it ended by itself, and all that it printed.
fn drain(node: &str, arguments: &[&str]) -> Result<(bool, String), Error> {
    let output = Command::new("kubectl")
        .args(["drain", node])
        .args(arguments)
        .output()
        .map_err(Error::io("start kubectl drain"))?;
    let told = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
}
