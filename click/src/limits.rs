//! Bounds on what a text may cost. A function of ten thousand elements fits; a text that doubles itself
//! thirty times, nests for ever or names port four billion does not, and says so instead of eating the memory.

/// Bytes of one Click text. An object in Kubernetes holds 1.5 MiB; a file with 100,000 routes has 3.
pub const TEXT_BYTES: usize = 16 << 20;
/// Texts taken in by `require(library ...)`.
pub const LIBRARIES: usize = 64;
/// Letters of one word in a text.
pub const WORD_BYTES: usize = 255;
/// Letters of an element's full name, compounds included.
pub const NAME_BYTES: usize = 1024;
/// How deep compounds and groups may nest in a text, and instances in a flat graph.
pub const DEPTH: usize = 48;
/// Elements of a flat graph (and of any one scope).
pub const ELEMENTS: usize = 1 << 14;
/// Connections of a flat graph (and of any one scope).
pub const CONNECTIONS: usize = 1 << 16;
/// Highest port number.
pub const PORT: u32 = 4095;
/// Ports named by all lists and ranges of a text, and ports of a settled graph.
pub const PORTS: usize = 1 << 20;
/// Bytes of all configuration strings of a flat graph together.
pub const CONFIG_BYTES: usize = 16 << 20;
/// Steps in following connections through compounds.
pub const CONNECTION_STEPS: usize = 1 << 22;
/// Compound element classes of a text.
pub const CLASSES: usize = 1 << 14;
