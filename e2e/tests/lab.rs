//! Handovers with faults in the middle, by real processes in network namespaces: each ends with one owner, and the
//! client counts nothing lost, doubled or out of order.
//!
//! They need root, redis-server and the release binaries (`make test-lab`), and so are ignored by a plain `cargo test`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anf_e2e::Error;
use anf_e2e::lab::{Example, Handover, Lab, Places, Start, Traffic, Transport};
use anf_e2e::process::wait_until;
use anf_sidecar::control::{HandoverPhase, Role};
use nix::sys::signal::Signal;

const MOVING: &str = "nat";
const FLOWS: u32 = 500;
const PACKETS_PER_SECOND: u32 = 2000;

fn places(name: &str) -> Places {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let release = std::env::var_os("ANF_RELEASE").map_or_else(|| root.join("target/release"), PathBuf::from);
    Places { programs: release, work: root.join("target/lab-tests").join(name) }
}

fn start(name: &str) -> (Lab, Traffic) {
    start_with(name, Transport::Tcp)
}

fn start_with(name: &str, transport: Transport) -> (Lab, Traffic) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/nat.yaml");
    let example = Example::read(&example).expect("the example");
    let lab = Lab::start_with(example, places(name), transport).expect("the lab");
    let traffic = lab.start_traffic(FLOWS, PACKETS_PER_SECOND, 10.0).expect("traffic");
    thread::sleep(Duration::from_secs(1));
    (lab, traffic)
}

/// Nothing lost, doubled, out of order or altered, and the download stands.
fn finish_perfectly(mut lab: Lab, traffic: Traffic) {
    thread::sleep(Duration::from_millis(500));
    lab.check_owners().expect("the owners run");
    let total = traffic.stop().expect("the counts").total;
    assert!(total.is_perfect(), "{total:#?}");
    assert!(total.received > 0);
}

fn move_once(lab: &mut Lab) {
    let node = lab.other_node(MOVING).unwrap();
    match lab.move_to(MOVING, node).expect("a move") {
        Handover::Finished(done) => assert_eq!(done.lost + done.duplicated + done.reordered, 0, "{done:?}"),
        Handover::Aborted { reason, message } => panic!("aborted: {reason}: {message}"),
    }
}

/// Waits until the links of the sub-function that moves are rings to peers on its node and TCP to others.
fn wait_for_rings(lab: &Lab) {
    let here = lab.owner(MOVING).unwrap();
    let right = |peer: &str| if lab.owner(peer).unwrap().node == here.node { "ring" } else { "tcp" };
    wait_until("rings on one node", Duration::from_secs(5), Duration::from_millis(20), |last| {
        let links = lab.status(here)?.links;
        *last = format!("{links:?}");
        let settled = links.iter().all(|link| link.transport == right(&link.peer));
        Ok((settled && links.iter().any(|link| link.transport == "ring")).then_some(()))
    })
    .unwrap();
}

/// Kills the owner and starts another process that takes over.
fn crash_once(lab: &mut Lab) {
    let owner = lab.owner(MOVING).unwrap();
    let (node, epoch) = (owner.node, lab.status(owner).unwrap().epoch);
    owner.process.signal(Signal::SIGKILL).unwrap();
    let successor = lab.start_sidecar(MOVING, node, Start::ClaimEpoch(epoch)).unwrap();
    lab.wait_ready(&successor).expect("the take-over ends");
    lab.replace_owner(MOVING, successor).unwrap().process.kill();
}

/// The end of a handover that must have been given up, with a reason and a sentence.
fn expect_abort(lab: &Lab, id: &str) {
    let status = lab.wait_phase(MOVING, id, HandoverPhase::Finished).expect("an end");
    assert_eq!(status.phase, HandoverPhase::Aborted);
    assert!(status.reason.is_some_and(|reason| !reason.is_empty()));
    assert!(status.message.is_some_and(|message| !message.is_empty()));
    assert_eq!(lab.status(lab.owner(MOVING).unwrap()).unwrap().role, Role::Owner);
}

#[test]
#[ignore = "needs root and release binaries"]
fn moves_to_and_fro_lose_nothing() {
    let (mut lab, traffic) = start("moves");
    for _ in 0..4 {
        move_once(&mut lab);
    }
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn links_are_rings_on_one_node_and_change_without_loss_when_a_pod_moves() {
    let (mut lab, traffic) = start_with("rings", Transport::Near);
    wait_for_rings(&lab);
    for _ in 0..4 {
        move_once(&mut lab);
        wait_for_rings(&lab);
    }
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn a_peer_that_is_frozen_for_a_while_loses_nothing_on_a_ring() {
    let (lab, traffic) = start_with("ring-frozen", Transport::Near);
    wait_for_rings(&lab);
    for _ in 0..3 {
        let process = &lab.owner(MOVING).unwrap().process;
        process.signal(Signal::SIGSTOP).unwrap();
        thread::sleep(Duration::from_millis(300));
        process.signal(Signal::SIGCONT).unwrap();
        thread::sleep(Duration::from_millis(300));
    }
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn a_peer_that_is_killed_and_started_again_comes_back_on_a_ring() {
    let (mut lab, traffic) = start_with("ring-killed", Transport::Near);
    wait_for_rings(&lab);
    let (node, epoch) = {
        let owner = lab.owner(MOVING).unwrap();
        let epoch = lab.status(owner).unwrap().epoch;
        owner.process.signal(Signal::SIGKILL).unwrap();
        (owner.node, epoch)
    };
    let again = lab.start_sidecar(MOVING, node, Start::ClaimEpoch(epoch)).unwrap();
    lab.wait_ready(&again).unwrap();
    lab.replace_owner(MOVING, again).unwrap().process.kill();
    wait_for_rings(&lab);
    thread::sleep(Duration::from_millis(500));
    lab.check_owners().expect("the others did not mind");
    assert!(traffic.stop().expect("the counts").total.received > 0);
}

#[test]
#[ignore = "needs root and release binaries"]
fn a_target_killed_before_the_handover_is_asked_for_changes_nothing() {
    let (mut lab, traffic) = start("target-killed-early");
    let node = lab.other_node(MOVING).unwrap();
    let target = lab.start_standby(MOVING, node).unwrap();
    let owner_id = target.owner_id.clone();
    let dead = lab.start_standby(MOVING, node).unwrap();
    dead.process.signal(Signal::SIGKILL).unwrap();
    let id = lab.ask_handover(MOVING, &dead).expect("it is accepted and fails later");
    expect_abort(&lab, &id);
    // The next target is as good as any.
    assert_eq!(lab.status(&target).unwrap().owner_id, owner_id);
    target.process.stop();
    move_once(&mut lab);
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn a_target_frozen_in_the_middle_is_given_up() {
    let (mut lab, traffic) = start("target-frozen");
    let node = lab.other_node(MOVING).unwrap();
    let target = lab.start_standby(MOVING, node).unwrap();
    target.process.signal(Signal::SIGSTOP).unwrap();
    let id = lab.ask_handover(MOVING, &target).unwrap();
    thread::sleep(Duration::from_millis(500));
    lab.abort(MOVING, &id).expect("nothing is sealed yet");
    expect_abort(&lab, &id);
    target.process.kill();
    move_once(&mut lab);
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn without_redis_a_move_is_refused_with_the_reason_and_every_packet_passes() {
    let (mut lab, traffic) = start("redis-down");
    let node = lab.other_node(MOVING).unwrap();
    let target = lab.start_standby(MOVING, node).unwrap();
    lab.stop_redis();
    thread::sleep(Duration::from_secs(2));
    match lab.ask_handover(MOVING, &target) {
        Ok(id) => expect_abort(&lab, &id),
        Err(Error::Http { status, body, .. }) => {
            assert!(status == 409 || status == 422, "{status}");
            assert!(body.to_lowercase().contains("store") || body.to_lowercase().contains("redis"), "{body}");
        }
        Err(other) => panic!("{other}"),
    }
    target.process.stop();
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn an_empty_redis_is_filled_again_and_a_move_succeeds() {
    let (mut lab, traffic) = start("redis-empty");
    lab.stop_redis();
    thread::sleep(Duration::from_secs(1));
    lab.start_redis().unwrap();
    thread::sleep(Duration::from_secs(4));
    move_once(&mut lab);
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn a_second_handover_of_the_same_sub_function_is_refused() {
    let (mut lab, traffic) = start("two-at-once");
    let node = lab.other_node(MOVING).unwrap();
    let first = lab.start_standby(MOVING, node).unwrap();
    let second = lab.start_standby(MOVING, node).unwrap();
    // A frozen target keeps the first handover under way.
    first.process.signal(Signal::SIGSTOP).unwrap();
    let id = lab.ask_handover(MOVING, &first).unwrap();
    let refused = lab.ask_handover(MOVING, &second).expect_err("one is under way");
    assert!(matches!(refused, Error::Http { status: 409, .. }), "{refused}");
    lab.abort(MOVING, &id).unwrap();
    expect_abort(&lab, &id);
    first.process.kill();
    second.process.stop();
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn a_handover_with_a_stale_epoch_is_refused() {
    let (mut lab, traffic) = start("stale-epoch");
    let node = lab.other_node(MOVING).unwrap();
    let target = lab.start_standby(MOVING, node).unwrap();
    let refused = lab.ask_handover_at(MOVING, &target, 99).expect_err("nobody owns at epoch 99");
    assert!(matches!(refused, Error::Http { status: 409 | 422, .. }), "{refused}");
    target.process.stop();
    finish_perfectly(lab, traffic);
}

#[test]
#[ignore = "needs root and release binaries"]
fn an_owner_killed_twenty_times_under_load_loses_and_doubles_nothing() {
    let (mut lab, traffic) = start("crashes");
    for _ in 0..20 {
        crash_once(&mut lab);
        thread::sleep(Duration::from_millis(300));
    }
    finish_perfectly(lab, traffic);
}
