//! A seeded simulator of the handover: the real [`Node`]s, with simulated connections, store, clocks and faults.
//!
//! Two peers `a` and `b` send numbered packets through `nat`, in both directions, while `nat` is handed over again and
//! again, or dies and is taken over; so may `mid` behind it. Faults: connections break, messages are slow, the store goes
//! away, a target dies, the operator calls off.
//! Any failing seed replays exactly: `ANF_SIM_SEED=<seed> cargo test -p anf-sidecar sim -- --nocapture`.

mod engine;
mod store;
mod world;

use world::{Faults, World};

/// Simulated handovers of one seed.
const MOVES: u32 = 4;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("ANF_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ANF_SIM_SEEDS").unwrap_or(60),
    }
}

fn run(faults: Faults) -> (u32, u32) {
    let (mut moved, mut aborted) = (0, 0);
    for seed in seeds() {
        let mut world = World::new(seed, faults);
        for _ in 0..MOVES {
            match world.hand_over() {
                true => moved += 1,
                false => aborted += 1,
            }
        }
        world.settle();
        world.check();
    }
    (moved, aborted)
}

#[test]
fn every_planned_move_without_faults_succeeds_and_loses_doubles_and_reorders_nothing() {
    let (moved, aborted) = run(Faults::default());
    assert!(moved > 0 && aborted == 0, "{moved} moved, {aborted} called off");
}

#[test]
fn moves_called_off_at_any_time_leave_the_source_serving_as_if_nothing_had_been_tried() {
    let (moved, aborted) = run(Faults { call_off: true, ..Faults::default() });
    assert!(moved > 0 && aborted > 0, "{moved} moved, {aborted} called off");
}

#[test]
fn a_target_killed_before_it_owns_costs_no_packet_and_starts_again_if_the_seal_names_it() {
    let (moved, aborted) = run(Faults { kill_target: true, ..Faults::default() });
    assert!(moved > 0 && aborted > 0, "{moved} moved, {aborted} called off");
}

#[test]
fn broken_connections_and_slow_messages_cost_time_and_no_packet() {
    let (moved, _) = run(Faults { break_connections: true, slow: true, ..Faults::default() });
    assert!(moved > 0);
}

#[test]
fn a_store_that_goes_and_comes_back_costs_no_packet() {
    let (moved, aborted) = run(Faults { store_outages: true, ..Faults::default() });
    assert!(moved > 0 && aborted > 0, "{moved} moved, {aborted} called off");
}

#[test]
fn a_store_that_comes_back_empty_is_filled_again_and_nothing_waits_for_what_it_lost() {
    for seed in seeds() {
        let mut world = World::new(seed, Faults::default());
        world.lose_store();
        assert!(world.hand_over(), "seed {seed}: no move after the store was filled again");
        world.settle();
        world.check();
    }
}

#[test]
fn a_store_that_is_emptied_under_a_new_flow_holds_no_packet_back() {
    for seed in seeds() {
        let mut world = World::new(seed, Faults::default());
        world.empty_store();
        world.settle();
        world.check();
    }
}

#[test]
fn a_store_that_stands_below_the_last_known_epoch_is_claimed_above_it() {
    for seed in seeds().take(10) {
        let mut world = World::new(seed, Faults::default());
        for _ in 0..MOVES {
            assert!(world.hand_over(), "seed {seed}");
        }
        // One epoch for the first owner, and one for each move.
        let last = u64::from(MOVES) + 1;
        assert_eq!(world.succeed_after_amnesia(), last + 1, "seed {seed}");
        assert!(world.hand_over(), "seed {seed}: the neighbours do not take to the successor");
    }
}

#[test]
fn all_faults_together_cost_no_packet() {
    run(Faults {
        call_off: true,
        kill_target: true,
        break_connections: true,
        slow: true,
        store_outages: true,
        frozen: true,
        chain: false,
    });
}

#[test]
fn an_owner_killed_at_any_time_costs_and_doubles_no_packet_and_no_count() {
    for seed in seeds() {
        let mut world = World::new(seed, Faults::default());
        (0..MOVES).for_each(|_| world.crash(false));
        world.settle();
        world.check();
    }
}

#[test]
fn neighbours_that_die_one_after_the_other_cost_and_double_no_packet() {
    for seed in seeds() {
        let mut world = World::new(seed, Faults { chain: true, ..Faults::default() });
        for at in 0..MOVES {
            world.crash(at % 2 == 1);
            world.quieten();
        }
        world.settle();
        world.check();
    }
}

#[test]
fn crashes_between_planned_moves_with_slow_messages_and_broken_connections_cost_no_packet() {
    let faults = Faults { break_connections: true, slow: true, call_off: true, ..Faults::default() };
    for seed in seeds() {
        let mut world = World::new(seed, faults);
        for _ in 0..MOVES {
            world.hand_over();
            world.crash(false);
        }
        world.settle();
        world.check();
    }
}

#[test]
fn idle_sidecars_wake_for_heartbeats_only_whatever_happened_before() {
    let all = Faults { call_off: true, break_connections: true, store_outages: true, ..Faults::default() };
    for seed in seeds().take(10) {
        let mut world = World::new(seed, all);
        world.hand_over();
        world.settle();
        world.idle_steps();
        let steps = world.idle_steps();
        assert!(
            steps < 400,
            "seed {seed}: {steps} wakes and messages in an idle second: a deadline lies in the past"
        );
    }
}
