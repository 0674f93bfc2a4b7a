//! Names of what the operator makes, and the numbers of host ports.
//!
//! Pure and deterministic: the same input gives the same name, so that a step that is repeated after a crash finds
//! what it made before.

use std::hash::Hasher;

/// Name of a function's Secret. It follows the UID: a kubelet keeps an immutable Secret in its cache, so a function
/// that is deleted and made again under its name must not find the key of the one before.
pub fn secret(function: &str, uid: &str) -> String {
    format!("anf-{function}-{:05x}", digest(&[uid]) & 0xf_ffff)
}

/// Name of a sub-function's ConfigMap.
pub fn config_map(function: &str, sub_function: &str) -> String {
    format!("anf-{function}-{sub_function}")
}

/// Name of a pod; `seed` tells apart the pods that one sub-function has over time.
pub fn pod(function: &str, sub_function: &str, seed: &[&str]) -> String {
    format!("anf-{function}-{sub_function}-{:05x}", digest(seed) & 0xf_ffff)
}

/// Name of a sub-function's PodDisruptionBudget.
pub fn budget(function: &str, sub_function: &str) -> String {
    format!("anf-{function}-{sub_function}")
}

/// Name of a migration that a drain asks for; `seed` tells apart those that one sub-function has over time.
pub fn drain(function: &str, sub_function: &str, seed: &[&str]) -> String {
    format!("{function}-{sub_function}-drain-{:05x}", digest(seed) & 0xf_ffff)
}

/// Hash of what a pod is told, by which a pod that runs something older is recognised.
pub fn manifest_hash(manifest: &anf_sidecar::manifest::Manifest) -> String {
    // A manifest is made of strings and numbers: it can always be written.
    let text = serde_json::to_string(manifest).unwrap_or_default();
    format!("{:016x}", digest(&[&text]))
}

/// Ports of a pod without host network: links, then control.
pub const POD_PORTS: (u16, u16) = (7000, 7001);

/// Ports of a pod in the host network: links, then control, from 20000 to 29999.
///
/// The scheduler keeps two pods with one port apart, so a collision costs a node, never correctness.
pub fn host_ports(namespace: &str, function: &str, sub_function: &str) -> (u16, u16) {
    let pair = (digest(&[namespace, function, sub_function]) % 5000) as u16;
    (20_000 + 2 * pair, 20_001 + 2 * pair)
}

/// FNV-1a over the parts and their boundaries: stable over releases, which the standard hasher does not promise.
fn digest(parts: &[&str]) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    for part in parts {
        hasher.write(part.as_bytes());
        hasher.write(&[0]);
    }
    // Fold, because the low bits of FNV-1a alone spread short inputs badly.
    hasher.finish() ^ (hasher.finish() >> 32)
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_still_fit_into_a_host_name() {
        let pod = pod(&"f".repeat(32), &"s".repeat(20), &["x"]);
        assert_eq!(pod.len(), 63);
    }

    #[test]
    fn a_function_made_again_under_its_name_gets_a_secret_of_its_own() {
        assert_eq!(secret("f", "uid-1"), secret("f", "uid-1"));
        assert_ne!(secret("f", "uid-1"), secret("f", "uid-2"));
    }

    #[test]
    fn names_are_stable_and_differ_by_seed() {
        assert_eq!(pod("f", "s", &["u", "1"]), pod("f", "s", &["u", "1"]));
        assert_ne!(pod("f", "s", &["u", "1"]), pod("f", "s", &["u", "2"]));
        assert_ne!(pod("f", "s", &["ab", "c"]), pod("f", "s", &["a", "bc"]));
    }

    #[test]
    fn host_ports_stay_in_their_range_and_come_in_pairs() {
        for sub in ["classify", "nat", "egress", "main"] {
            let (link, control) = host_ports("default", "edge-nat", sub);
            assert!((20_000..30_000).contains(&link));
            assert_eq!(control, link + 1);
        }
    }
}
