//! A function as a tree: what runs where, how busy it is, how the parts are linked. Pure: object in, text out.

use anf_crds::{
    AtomicFunction, AtomicFunctionStatus, LastMigration, LinkState, MigratableReason, SubFunctionStatus,
};
use kube::ResourceExt;

use crate::text;

/// The tree of one function, without a newline at the end.
pub(crate) fn tree(function: &AtomicFunction) -> String {
    let status = function.status.clone().unwrap_or_default();
    let mut lines = vec![head(function, &status)];
    let rows: Vec<Vec<String>> = status.sub_functions.iter().map(|sub| sub_function(sub, &status)).collect();
    lines.extend(branches(text::columns(&rows)));
    if !status.links.is_empty() {
        lines.push("links".into());
        lines.extend(branches(text::columns(&status.links.iter().map(link).collect::<Vec<_>>())));
    }
    lines.extend(status.active_migration.iter().map(|active| {
        let way = way(active.from.as_deref(), active.to.as_deref());
        format!("moving  {}: {way}, {} ({})", active.sub_function, active.phase.as_str(), active.name)
    }));
    lines.extend(status.last_migration.iter().map(last_move));
    lines.extend(status.migrations.filter(|m| m.succeeded + m.failed > 0).map(|counts| {
        format!("moves   {} succeeded, {} failed", text::count(counts.succeeded), text::count(counts.failed))
    }));
    lines.extend(complaints(&status));
    lines.join("\n")
}

fn head(function: &AtomicFunction, status: &AtomicFunctionStatus) -> String {
    let name = function.name_any();
    let name = function.namespace().map_or(name.clone(), |namespace| format!("{namespace}/{name}"));
    let phase = status
        .phase
        .map_or("not looked at yet: is the operator running?".into(), |phase| format!("{phase:?}"));
    let ready = status.ready.as_deref().map_or(String::new(), |ready| format!("  {ready}"));
    let flows = status.flows.map_or(String::new(), |flows| format!("  {}", text::counted(flows, "flow")));
    format!("{name}  {phase}{ready}{flows}")
}

fn sub_function(sub: &SubFunctionStatus, status: &AtomicFunctionStatus) -> Vec<String> {
    let moving = status.active_migration.as_ref().is_some_and(|active| active.sub_function == sub.name);
    let state = match (moving, sub.ready) {
        (true, _) => "moving",
        (false, true) => "ready",
        (false, false) => "NOT READY",
    };
    let fixed = match sub.reason {
        Some(reason) if reason != MigratableReason::Eligible && reason != MigratableReason::NotReady => {
            format!("stays: {}", reason.as_str())
        }
        _ => String::new(),
    };
    vec![
        sub.name.clone(),
        sub.node.clone().unwrap_or_else(|| "-".into()),
        state.into(),
        sub.epoch.map_or(String::new(), |epoch| format!("epoch {epoch}")),
        sub.elements.map_or(String::new(), |n| text::counted(n, "element")),
        sub.flows.map_or(String::new(), |n| text::counted(n, "flow")),
        sub.packet_rate.map_or(String::new(), text::rate),
        sub.pod.clone().unwrap_or_default(),
        fixed,
        if sub.ready { String::new() } else { sub.message.clone().unwrap_or_default() },
    ]
}

fn link(link: &LinkState) -> Vec<String> {
    vec![
        format!("{} -> {}", link.from, link.to),
        link.transport.clone().unwrap_or_default(),
        text::counted(link.edges, "edge"),
        if link.connected { String::new() } else { "NOT CONNECTED".into() },
    ]
}

fn last_move(last: &LastMigration) -> String {
    let mut facts = vec![format!("{}: {}", last.sub_function, way(last.from.as_deref(), last.to.as_deref()))];
    facts.push(format!("{:?}", last.result));
    facts.extend(last.downtime.map(|downtime| format!("gap {}", text::gap(downtime))));
    facts.extend(last.lost.map(|lost| format!("lost {}", text::count(lost))));
    facts.extend(last.flows.map(|flows| text::counted(flows, "flow")));
    format!("last    {} ({})", facts.join(", "), last.name)
}

/// `worker -> worker2`, with `?` for a node that is not known.
pub(crate) fn way(from: Option<&str>, to: Option<&str>) -> String {
    format!("{} -> {}", from.unwrap_or("?"), to.unwrap_or("?"))
}

/// Conditions that want attention, with their texts.
fn complaints(status: &AtomicFunctionStatus) -> Vec<String> {
    let wanted = |kind: &str| !matches!(kind, "Progressing" | "Degraded" | "EvacuationRequested");
    status
        .conditions
        .iter()
        .filter(|c| {
            if wanted(&c.type_) {
                c.status == "False"
            } else {
                c.type_ != "Progressing" && c.status == "True"
            }
        })
        // The tree says already which sub-functions are not ready or stay where they are.
        .filter(|c| !matches!(c.type_.as_str(), "Migratable"))
        .map(|c| format!("! {}={} {}: {}", c.type_, c.status, c.reason, c.message.replace('\n', "\n    ")))
        .collect()
}

fn branches(rows: Vec<String>) -> Vec<String> {
    let last = rows.len().saturating_sub(1);
    rows.into_iter()
        .enumerate()
        .map(|(i, row)| format!("{} {row}", if i == last { "└─" } else { "├─" }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(status: &str) -> AtomicFunction {
        let manifest = "apiVersion: atomicnf.dev/v1alpha1\nkind: AtomicFunction\n\
                        metadata: {name: edge-nat, namespace: default}\nspec: {click: Idle -> Discard}\n";
        serde_yaml::from_str(&format!("{manifest}{status}")).expect("a manifest")
    }

    #[test]
    fn a_running_function_is_shown_with_its_links_and_its_last_move() {
        let shown = tree(&function(
            "status:
  phase: Ready
  ready: 3/3
  flows: 1204
  subFunctions:
  - {name: classify, node: worker, pod: anf-edge-nat-classify-1a2b3, epoch: 1, ready: true, elements: 15, flows: 0,
     packetRate: 50120, migratable: false, reason: PinnedByPort}
  - {name: nat, node: worker2, pod: anf-edge-nat-nat-4c5d6, epoch: 21, ready: true, elements: 2, flows: 1204,
     packetRate: 50118, migratable: true, reason: Eligible}
  links:
  - {from: classify, to: nat, transport: tcp, edges: 2, connected: true}
  - {from: nat, to: classify, edges: 1, connected: false}
  lastMigration: {name: edge-nat-nat-x7k2p, subFunction: nat, from: worker, to: worker2, result: Succeeded,
                  downtime: 0.84ms, lost: 0, flows: 1204}
  migrations: {succeeded: 20, failed: 0}
",
        ));
        assert_eq!(
            shown,
            "\
default/edge-nat  Ready  3/3  1,204 flows
├─ classify  worker   ready  epoch 1   15 elements  0 flows      50.1 kpps  anf-edge-nat-classify-1a2b3  stays: PinnedByPort
└─ nat       worker2  ready  epoch 21  2 elements   1,204 flows  50.1 kpps  anf-edge-nat-nat-4c5d6
links
├─ classify -> nat  tcp  2 edges
└─ nat -> classify       1 edge   NOT CONNECTED
last    nat: worker -> worker2, Succeeded, gap 0.84 ms, lost 0, 1,204 flows (edge-nat-nat-x7k2p)
moves   20 succeeded, 0 failed"
        );
    }

    #[test]
    fn a_move_under_way_is_marked() {
        let shown = tree(&function(
            "status:
  phase: Migrating
  ready: 1/1
  subFunctions: [{name: nat, node: worker, ready: true, migratable: true}]
  activeMigration: {name: m1, subFunction: nat, from: worker, to: worker2, phase: Syncing}
",
        ));
        assert_eq!(
            shown,
            "default/edge-nat  Migrating  1/1\n└─ nat  worker  moving\nmoving  nat: worker -> worker2, Syncing (m1)"
        );
    }

    #[test]
    fn a_refused_graph_shows_the_messages() {
        let shown = tree(&function(
            "status:
  phase: Invalid
  conditions:
  - {type: Accepted, status: 'False', reason: InvalidGraph, lastTransitionTime: 2026-01-01T00:00:00Z,
     message: 'edge-nat:7:12: no element class \"IPRewrite\"'}
  - {type: Ready, status: 'True', reason: Old, message: '', lastTransitionTime: 2026-01-01T00:00:00Z}
  - {type: Degraded, status: 'False', reason: No, message: '', lastTransitionTime: 2026-01-01T00:00:00Z}
",
        ));
        assert_eq!(
            shown,
            "default/edge-nat  Invalid\n! Accepted=False InvalidGraph: edge-nat:7:12: no element class \"IPRewrite\""
        );
    }

    #[test]
    fn a_function_that_no_operator_has_seen_says_so() {
        assert_eq!(tree(&function("")), "default/edge-nat  not looked at yet: is the operator running?");
    }
}
