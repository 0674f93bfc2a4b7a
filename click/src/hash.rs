//! A stable 128-bit name for a value (FNV-1a). It tells versions of a graph apart in a handshake between
//! peers that trust each other already; it is no defence against forgery.

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

pub(crate) struct Hasher(u128);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(OFFSET)
    }

    /// Adds a text together with its length, so that fields cannot run into each other.
    pub(crate) fn field(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }

    pub(crate) fn finish(self) -> String {
        format!("{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_fnv_1a_and_fields_do_not_run_together() {
        let mut plain = Hasher::new();
        plain.bytes(b"foobar");
        assert_eq!(plain.finish(), "343e1662793c64bf6f0d3597ba446f18");
        let of = |fields: &[&str]| {
            let mut hasher = Hasher::new();
            fields.iter().for_each(|field| hasher.field(field));
            hasher.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }
}
