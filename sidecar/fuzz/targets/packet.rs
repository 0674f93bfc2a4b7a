//! No packet makes an element panic or hang: the first byte chooses a class, whose example takes the rest as packets.

#![no_main]

use anf_sidecar::driver::example::Example;
use anf_sidecar::element::{Batch, Packet};
use anf_sidecar::registry::Registry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let classes: Vec<_> = Registry::standard().descriptors().collect();
    let class = classes[usize::from(*first) % classes.len()];
    // Examples with devices or sockets do not run alone.
    let Ok(mut example) = Example::new(&class.example_text()) else { return };
    let inputs = example.router.push_inputs();
    for packet in rest.chunks(60) {
        for &(element, port) in &inputs {
            let mut batch: Batch = [Packet::from_slice(packet)].into_iter().collect();
            example.router.push_into(element, port, &mut batch, example.now);
        }
        example.step();
    }
});
