//! A store that was lost, and an operator of another build: pods are replaced once, and packets flow again.
//!
//! These cost packets, since a sub-function with ports has one pod at a time; the client begins anew after each.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anf_e2e::Error;
use anf_e2e::cluster::kubectl::{count, get_json, kubectl, text};
use anf_e2e::process::wait_until;

use crate::Test;
use crate::faults::{SYSTEM, deployment, kill_sidecar};
use crate::world::World;

const SOON: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);
/// Pods that are replaced again and again were so every three seconds.
const WATCH: Duration = Duration::from_secs(15);
/// Sub-functions that own a port.
const PINNED: [&str; 2] = ["classify", "egress"];

pub(crate) const TESTS: &[Test] = &[
    ("a_pod_that_restarts_while_the_store_is_empty_goes_on_above_its_last_epoch", restarted_with_empty_store),
    ("an_upgrade_after_the_store_was_lost_replaces_each_pod_once_and_packets_flow", upgraded_after_loss),
];

fn restarted_with_empty_store(world: &mut World) -> Result<(), Error> {
    // Once with the store, so that the pod is past the epoch that it was made for.
    let first = epoch(world, PINNED[0])?;
    let status = world.function.sub_function(PINNED[0])?;
    kill_sidecar(&text(&status, "/node"), &text(&status, "/pod"))?;
    let second = wait_epoch_above(world, first)?;
    lose_store(world, &PINNED[..1])?;
    wait_epoch_above(world, second)?;
    world.begin_anew("after the store was lost")
}

fn wait_epoch_above(world: &World, before: u64) -> Result<u64, Error> {
    wait_until(&format!("{} at an epoch above {before}", PINNED[0]), SOON, POLL, |last| {
        let now = epoch(world, PINNED[0])?;
        *last = format!("epoch {now}");
        Ok((now > before).then_some(now))
    })
}

/// The operator is away while the store is lost, so that its successor finds epochs that have gone back, and writes
/// manifests that differ from those that run: here in the store's URL.
fn upgraded_after_loss(world: &mut World) -> Result<(), Error> {
    let operator = deployment("operator")?;
    scale(&operator, 0)?;
    kubectl(&["wait", "-n", SYSTEM, "pod", "-l", "app.kubernetes.io/component=operator", "--for=delete"])?;
    lose_store(world, &PINNED)?;
    let url = store_url(&operator)?;
    let outcome = upgrade(world, &operator, &format!("{url}/0")).and_then(|()| world.begin_anew("upgraded"));
    // Back to what the chart says, whatever came of it.
    upgrade(world, &operator, &url)?;
    outcome?;
    world.begin_anew("rolled back")
}

fn upgrade(world: &World, operator: &str, url: &str) -> Result<(), Error> {
    let before = pods(world)?;
    kubectl(&["set", "env", "-n", SYSTEM, operator, &format!("ANF_REDIS_URL={url}")])?;
    scale(operator, 1)?;
    kubectl(&["rollout", "status", "-n", SYSTEM, operator, "--timeout=90s"])?;
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut look = || -> Result<bool, Error> {
        for (sub_function, names) in pods(world)? {
            let old = before.get(&sub_function).cloned().unwrap_or_default();
            seen.entry(sub_function).or_default().extend(names.difference(&old).cloned());
        }
        Ok(seen.len() == before.len() && seen.values().all(|new| !new.is_empty()))
    };
    wait_until("a new pod for each sub-function", SOON, POLL, |_| look().map(|all| all.then_some(())))?;
    world.function.wait_ready(SOON)?;
    let end = Instant::now() + WATCH;
    while Instant::now() < end {
        look()?;
        thread::sleep(POLL);
    }
    match seen.iter().find(|(_, new)| new.len() != 1) {
        None => Ok(()),
        Some((sub_function, new)) => Err(Error::invalid(sub_function, format!("it had the pods {new:?}"))),
    }
}

/// Takes the store away, restarts the containers of these sub-functions, and brings the store back empty.
fn lose_store(world: &World, restarted: &[&str]) -> Result<(), Error> {
    let redis = deployment("redis")?;
    scale(&redis, 0)?;
    kubectl(&["wait", "-n", SYSTEM, "pod", "-l", "app.kubernetes.io/component=redis", "--for=delete"])?;
    let ready = "--for=condition=Ready";
    for sub_function in restarted {
        let status = world.function.sub_function(sub_function)?;
        let pod = text(&status, "/pod");
        kill_sidecar(&text(&status, "/node"), &pod)?;
        kubectl(&["wait", "--for=condition=Ready=false", "pod", &pod, "--timeout=60s"])?;
    }
    scale(&redis, 1)?;
    kubectl(&["rollout", "status", "-n", SYSTEM, &redis, "--timeout=60s"])?;
    for sub_function in restarted {
        let pod = text(&world.function.sub_function(sub_function)?, "/pod");
        // The operator may have replaced it already, which is as well.
        let _ = kubectl(&["wait", ready, "pod", &pod, "--timeout=30s"]);
    }
    Ok(())
}

fn scale(deployment: &str, replicas: u32) -> Result<(), Error> {
    kubectl(&["scale", "-n", SYSTEM, deployment, &format!("--replicas={replicas}")]).map(drop)
}

fn epoch(world: &World, sub_function: &str) -> Result<u64, Error> {
    Ok(count(&world.function.sub_function(sub_function)?, "/epoch"))
}

fn store_url(operator: &str) -> Result<String, Error> {
    let object = get_json(&["get", "-n", SYSTEM, operator])?;
    let env = object.pointer("/spec/template/spec/containers/0/env").and_then(|env| env.as_array());
    env.and_then(|env| env.iter().find(|each| each["name"] == "ANF_REDIS_URL"))
        .map(|found| text(found, "/value"))
        .ok_or_else(|| Error::invalid(operator, "it has no ANF_REDIS_URL"))
}

/// Names of the function's pods by sub-function.
fn pods(world: &World) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let labels = format!("atomicnf.dev/function={},atomicnf.dev/subfunction", world.function.name);
    let list = get_json(&["get", "pods", "-l", &labels])?;
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in list["items"].as_array().into_iter().flatten() {
        let sub_function = pod["metadata"]["labels"]["atomicnf.dev/subfunction"].as_str().unwrap_or_default();
        names.entry(sub_function.to_owned()).or_default().insert(text(pod, "/metadata/name"));
    }
    Ok(names)
}
