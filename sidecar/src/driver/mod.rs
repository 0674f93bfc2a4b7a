//! The click(1) command line: `run`, `flatten`, `elements`.
