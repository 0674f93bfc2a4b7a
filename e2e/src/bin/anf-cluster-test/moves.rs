//! The promise itself.

use anf_e2e::Error;

use crate::Test;
use crate::world::World;

const MOVES: u32 = 4;

pub(crate) const TESTS: &[Test] = &[
    ("moves_to_and_fro_lose_double_and_reorder_nothing", moves_keep_the_promise),
    ("the_flows_of_the_client_move_with_the_function", flows_move),
];

/// The gap is a matter of the demo and the benchmarks; here it is only looked at.
fn moves_keep_the_promise(world: &mut World) -> Result<(), Error> {
    for number in 1..=MOVES {
        let done = world.move_once()?.as_move();
        println!("    move {number}: gap {:.2} ms, baseline {:.2} ms", done.gap_ms, done.baseline_ms);
        if done.from == done.to || done.lost + done.duplicated + done.reordered > 0 {
            return Err(Error::invalid(format!("move {number}"), format!("{done:?}")));
        }
        world.judge(&format!("move {number}"))?;
    }
    Ok(())
}

fn flows_move(world: &mut World) -> Result<(), Error> {
    let flows = world.move_once()?.as_move().flows;
    // The download is one more.
    if flows < 1000 {
        return Err(Error::invalid("migration", format!("it reports {flows} flows, the client has 1000")));
    }
    Ok(())
}
