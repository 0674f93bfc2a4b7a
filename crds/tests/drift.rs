//! The definitions in the tree are those of the types.

use std::path::Path;

#[test]
fn the_definitions_in_the_tree_are_those_of_the_types() {
    for file in anf_crds::definition::files().expect("schemas can be written as YAML") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file.name);
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == file.content,
            "{} is out of date: run `cargo run -p anf-crds --bin gen-crds`",
            path.display()
        );
    }
}
