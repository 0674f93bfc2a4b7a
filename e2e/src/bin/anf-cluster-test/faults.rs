//! Faults in the middle: each gets a clear message, and the function keeps forwarding every packet.

use std::process::Command;
use std::time::Duration;

use anf_e2e::Error;
use anf_e2e::cluster::Migration;
use anf_e2e::cluster::kubectl::{feed_ok, get_json, kubectl, text, wait_condition};
use anf_e2e::process::run;
use serde_json::{Value, json};

use crate::Test;
use crate::world::{MOVING, World, expect_failure, expect_words, wait_pod};

pub(crate) const SYSTEM: &str = "atomicnf-system";
const END_PATIENCE: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);

pub(crate) const TESTS: &[Test] = &[
    ("a_move_to_a_node_that_does_not_exist_fails_with_its_name", unknown_node),
    ("a_move_to_a_node_without_room_fails_with_the_schedulers_text", node_without_room),
    ("two_moves_of_one_sub_function_at_once_leave_one_owner", two_moves),
    ("a_target_killed_before_the_seal_changes_nothing", target_killed),
    ("an_operator_killed_in_the_middle_does_not_stop_a_move", operator_killed),
    ("without_redis_the_function_forwards_and_a_move_is_refused_with_the_reason", redis_down),
];

fn unknown_node(world: &mut World) -> Result<(), Error> {
    let by_command = world.function.migrate(MOVING, "nowhere");
    match by_command {
        Ok(migration) if migration.has_succeeded() => {
            return Err(Error::invalid("nowhere", "a move succeeded"));
        }
        Ok(migration) => expect_words(&migration.reason(), &["nowhere"])?,
        Err(error) => expect_words(&error.to_string(), &["nowhere"])?,
    }
    // At once, or in the record while the webhook is away.
    let told = match world.ask_move("to-nowhere", "nowhere", "20s") {
        Ok(()) => expect_failure("to-nowhere", SOON)?,
        Err(error) => error.to_string(),
    };
    expect_words(&told, &["no node \"nowhere\"", "the nodes are"])
}

fn node_without_room(world: &mut World) -> Result<(), Error> {
    let node = world.function.other_worker(MOVING)?;
    let filled = fill(&world.environment.host_image, &node, world)?;
    let told = world.ask_move("no-room", &node, "15s").and_then(|()| expect_failure("no-room", SOON));
    empty(filled, &node)?;
    expect_words(&told?, &[if filled { "Insufficient" } else { "unschedulable" }])
}

/// Takes what the node has left, or closes it if the sub-function asks for nothing; answers whether it was filled.
fn fill(image: &str, node: &str, world: &World) -> Result<bool, Error> {
    let pod = text(&world.function.sub_function(MOVING)?, "/pod");
    let wanted = requested_millicpu(&get_json(&["get", "pod", &pod])?);
    if wanted == 0 {
        kubectl(&["cordon", node])?;
        return Ok(false);
    }
    let allocatable = millicpu(&text(&get_json(&["get", "node", node])?, "/status/allocatable/cpu"));
    let selector = format!("spec.nodeName={node}");
    let pods = get_json(&["get", "pods", "--all-namespaces", "--field-selector", &selector])?;
    let used: u64 = pods["items"].as_array().into_iter().flatten().map(requested_millicpu).sum();
    let request = allocatable.saturating_sub(used).saturating_sub(wanted / 2);
    let filler = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "filler"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "sleep", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "infinity"],
                "resources": {"requests": {"cpu": format!("{request}m")}},
            }],
        },
    });
    feed_ok("create", &filler.to_string())?;
    kubectl(&["wait", "--for=condition=PodScheduled", "pod/filler", "--timeout=20s"])?;
    Ok(true)
}

fn empty(filled: bool, node: &str) -> Result<(), Error> {
    if filled { kubectl(&["delete", "pod", "filler", "--now"]) } else { kubectl(&["uncordon", node]) }
        .map(drop)
}

fn requested_millicpu(pod: &Value) -> u64 {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    containers.into_iter().flatten().map(|each| millicpu(&text(each, "/resources/requests/cpu"))).sum()
}

/// A quantity of processors, such as `100m`, `2` or `0.5`, in thousandths.
fn millicpu(quantity: &str) -> u64 {
    match quantity.strip_suffix('m') {
        Some(millis) => millis.parse().unwrap_or(0),
        None => (quantity.parse::<f64>().unwrap_or(0.0) * 1000.0) as u64,
    }
}

fn two_moves(world: &mut World) -> Result<(), Error> {
    let node = world.function.other_worker(MOVING)?;
    let names = ["two-first", "two-second"];
    for name in names {
        world.ask_move(name, &node, "60s")?;
    }
    let mut succeeded = 0;
    for name in names {
        let migration = Migration::wait_end(name, END_PATIENCE)?;
        if migration.has_succeeded() {
            succeeded += 1;
        } else if text(&migration.0, "/status/failure/message").is_empty() {
            return Err(Error::invalid(name, format!("it is {} without a message", migration.phase())));
        }
    }
    if succeeded == 0 {
        return Err(Error::invalid("two moves at once", "neither succeeded"));
    }
    let function = &world.function.name;
    let owners =
        format!("atomicnf.dev/function={function},atomicnf.dev/subfunction={MOVING},atomicnf.dev/role=owner");
    let pods = kubectl(&["get", "pods", "-l", &owners, "-o", "name"])?;
    if pods.lines().count() == 1 { Ok(()) } else { Err(Error::invalid("owners", pods)) }
}

/// Kills the sidecar of a pod with SIGKILL as soon as it runs: a handover takes longer than that to get to its seal.
pub(crate) fn kill_sidecar(node: &str, pod: &str) -> Result<(), Error> {
    let script = format!(
        "for try in $(seq 600); do \
           for environment in $(grep -lsx -z ANF_OWNER_ID={pod} /proc/[0-9]*/environ); do \
             kill -9 \"$(basename \"$(dirname \"$environment\")\")\" && exit 0; \
           done; sleep 0.05; \
         done; exit 1"
    );
    run(Command::new("docker").args(["exec", node, "bash", "-c", &script])).map(drop)
}

fn target_killed(world: &mut World) -> Result<(), Error> {
    let node = world.function.other_worker(MOVING)?;
    let before = world.function.node_of(MOVING)?;
    world.ask_move("target-killed", &node, "60s")?;
    let function = &world.function.name;
    let labels = format!(
        "atomicnf.dev/function={function},atomicnf.dev/subfunction={MOVING},atomicnf.dev/role=target"
    );
    let target = wait_pod(&labels, SOON)?;
    kill_sidecar(&node, &target)?;
    // The operator may try again with another target: then it has to succeed.
    let migration = Migration::wait_end("target-killed", END_PATIENCE)?;
    if !migration.has_succeeded() {
        expect_failure("target-killed", SOON)?;
        let after = world.function.node_of(MOVING)?;
        if after != before {
            return Err(Error::invalid(
                MOVING,
                format!("the move failed, but it is on {after} and was on {before}"),
            ));
        }
    }
    world.judge("after the target's death")?;
    world.move_once().map(drop)
}

fn operator_killed(world: &mut World) -> Result<(), Error> {
    let node = world.function.other_worker(MOVING)?;
    world.ask_move("operator-killed", &node, "90s")?;
    Migration::wait_phase("operator-killed", "Preparing", SOON)?;
    let operator = ["delete", "pod", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator"];
    kubectl(&[operator.as_slice(), &["--grace-period=0", "--force", "--wait=false"]].concat())?;
    let migration = Migration::wait_end("operator-killed", END_PATIENCE)?;
    if !migration.has_succeeded() {
        return Err(Error::invalid("operator-killed", migration.as_move().failure));
    }
    Ok(())
}

/// The chart's Deployment of a component, as kubectl takes it.
pub(crate) fn deployment(component: &str) -> Result<String, Error> {
    let labels = format!("app.kubernetes.io/component={component}");
    let name = kubectl(&["get", "deployment", "-n", SYSTEM, "-l", &labels, "-o", "name"])?;
    Ok(name.trim().to_owned())
}

fn redis_down(world: &mut World) -> Result<(), Error> {
    let redis = &deployment("redis")?;
    kubectl(&["scale", "-n", SYSTEM, redis, "--replicas=0"])?;
    let refused = refused_without_redis(world);
    kubectl(&["scale", "-n", SYSTEM, redis, "--replicas=1"])?;
    kubectl(&["rollout", "status", "-n", SYSTEM, redis, "--timeout=60s"])?;
    refused?;
    let function = world.function.name.clone();
    wait_condition("atomicfunction", &function, "StateStoreReachable", "True", SOON)?;
    world.judge("redis is back")?;
    world.move_once().map(drop)
}

fn refused_without_redis(world: &mut World) -> Result<(), Error> {
    let function = world.function.name.clone();
    wait_condition("atomicfunction", &function, "StateStoreReachable", "False", SOON)?;
    world.judge("redis is down")?;
    let node = world.function.other_worker(MOVING)?;
    world.ask_move("without-redis", &node, "15s")?;
    let told = expect_failure("without-redis", SOON)?.to_lowercase();
    if told.contains("redis") || told.contains("store") {
        return Ok(());
    }
    Err(Error::invalid("message", format!("it does not name the state store: {told}")))
}
