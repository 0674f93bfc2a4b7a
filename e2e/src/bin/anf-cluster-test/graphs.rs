//! Functions that cannot be: each is refused with the place and the way out, and what runs keeps running.

use std::time::Duration;

use anf_e2e::Error;
use anf_e2e::cluster::kubectl::{feed, feed_ok, get_json, kubectl, wait_condition};
use anf_e2e::process::wait_until;

use crate::Test;
use crate::faults::{SYSTEM, deployment};
use crate::world::{World, expect_words, refusal};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TESTS: &[Test] = &[
    ("a_text_that_does_not_parse_is_refused_with_its_line", text_that_does_not_parse),
    ("an_unknown_element_is_refused_with_a_suggestion", unknown_element),
    ("a_cut_that_gives_an_element_to_two_sub_functions_is_refused", impossible_cut),
    ("a_device_without_a_port_is_refused_by_its_name", device_without_port),
    ("a_port_on_an_interface_that_the_node_lacks_is_reported_by_its_name", missing_interface),
    ("a_bad_function_is_refused_at_apply_and_without_webhook_in_its_condition", with_and_without_webhook),
    ("a_broken_edit_of_a_running_function_is_refused_and_the_function_keeps_forwarding", broken_edit),
];

fn function(name: &str, click: &str, rest: &str) -> String {
    let click = click.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: atomicnf.dev/v1alpha1\nkind: AtomicFunction\nmetadata: {{name: {name}}}\nspec:\n  click: |\n{click}{rest}"
    )
}

fn text_that_does_not_parse(_: &mut World) -> Result<(), Error> {
    let told = refusal("bad-text", &function("bad-text", "src :: InfiniteSource;\nsrc -> -> Discard;", ""))?;
    if told.contains(":2:") || told.contains("line 2") {
        return Ok(());
    }
    Err(Error::invalid("message", format!("it does not name line 2: {told}")))
}

fn unknown_element(_: &mut World) -> Result<(), Error> {
    let told = refusal("bad-class", &function("bad-class", "InfiniteSource -> Countr -> Discard;", ""))?;
    expect_words(&told, &["Countr", "did you mean", "Counter"])
}

fn impossible_cut(_: &mut World) -> Result<(), Error> {
    let cut = "  subFunctions:\n  - {name: first, elements: [c]}\n  - {name: second, elements: [c, d]}\n";
    let told =
        refusal("bad-cut", &function("bad-cut", "InfiniteSource -> c :: Counter -> d :: Discard;", cut))?;
    expect_words(&told, &["\"c\"", "first", "second"])
}

fn device_without_port(_: &mut World) -> Result<(), Error> {
    let told = refusal("bad-port", &function("bad-port", "FromDevice(nowhere) -> Discard;", ""))?;
    expect_words(&told, &["nowhere"])
}

fn missing_interface(_: &mut World) -> Result<(), Error> {
    let port = "  ports:\n  - {name: lan, node: {interface: eth9}}\n";
    feed_ok("apply", &function("no-interface", "FromDevice(lan) -> Discard;", port))?;
    let told = wait_until("a status that names eth9", PATIENCE, Duration::from_secs(1), |last| {
        let status = get_json(&["get", "atomicfunction", "no-interface"])?["status"].to_string();
        last.clone_from(&status);
        Ok(status.contains("eth9").then_some(status))
    });
    kubectl(&["delete", "atomicfunction", "no-interface", "--wait=false"])?;
    told.map(drop)
}

fn broken_edit(world: &mut World) -> Result<(), Error> {
    let good = world.function.manifest.clone();
    let broken = good.replacen("IPRewriter(", "IPRewrite(", 1);
    if broken == good {
        return Err(Error::invalid("examples/nat.yaml", "it has no IPRewriter to misspell"));
    }
    let name = world.function.name.clone();
    let refused = feed("apply", &broken)?;
    let told = if refused.status.success() {
        wait_condition("atomicfunction", &name, "Accepted", "False", PATIENCE).map(|(_, message)| message)
    } else {
        Ok(String::from_utf8_lossy(&refused.stderr).into_owned())
    };
    let judged = world.judge("with the broken edit");
    feed_ok("apply", &good)?;
    wait_condition("atomicfunction", &name, "Accepted", "True", PATIENCE)?;
    expect_words(&told?, &["IPRewrite", "did you mean"])?;
    judged
}

fn with_and_without_webhook(_: &mut World) -> Result<(), Error> {
    const BAD: &str = "apiVersion: atomicnf.dev/v1alpha1\nkind: AtomicFunction\nmetadata: {name: bad-class}\n\
                       spec: {click: 'InfiniteSource -> Countr -> Discard;'}\n";
    let words = ["line 1, column", "Countr", "did you mean", "Counter"];
    for verb in ["apply", "apply --dry-run=server"] {
        expect_words(&refused_at_once(verb, BAD)?, &[&["denied the request"][..], &words[..]].concat())?;
    }
    let operator = deployment("operator")?;
    kubectl(&["scale", "-n", SYSTEM, &operator, "--replicas=0"])?;
    kubectl(&["wait", "-n", SYSTEM, "pod", "-l", "app.kubernetes.io/component=operator", "--for=delete"])?;
    let applied = feed("apply", BAD)?;
    kubectl(&["scale", "-n", SYSTEM, &operator, "--replicas=1"])?;
    kubectl(&["rollout", "status", "-n", SYSTEM, &operator, "--timeout=90s"])?;
    if !applied.status.success() {
        let told = String::from_utf8_lossy(&applied.stderr).into_owned();
        return Err(Error::invalid("kubectl apply without webhook", told));
    }
    let told = wait_condition("atomicfunction", "bad-class", "Accepted", "False", PATIENCE);
    kubectl(&["delete", "atomicfunction", "bad-class", "--wait=false"])?;
    expect_words(&told?.1, &words)?;
    refusal("bad-class", BAD).and_then(|told| expect_words(&told, &words))
}

/// Feeds a manifest that is to be refused, and answers what its author is told. The operator may have been away for a
/// moment: then it is let through, which is not what is asked here.
fn refused_at_once(verb: &str, manifest: &str) -> Result<String, Error> {
    wait_until(&format!("the webhook to refuse at {verb}"), PATIENCE, Duration::from_secs(1), |_| {
        let output = feed(verb, manifest)?;
        if output.status.success() {
            kubectl(&["delete", "atomicfunction", "bad-class", "--ignore-not-found"])?;
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&output.stderr).into_owned()))
    })
}
