//! `elements`: the reference of classes.

use std::path::{Path, PathBuf};

use clap::Args;

use super::reference;
use crate::registry::Registry;

/// Options of `elements`.
#[derive(Debug, Clone, Args)]
pub struct ElementsArgs {
    /// The class to describe; left out: a line for each class.
    class: Option<String>,
    /// Write the whole reference into this folder: a page a class, in Markdown.
    #[arg(long, value_name = "FOLDER", conflicts_with = "class")]
    write: Option<PathBuf>,
}

pub(super) fn main(args: &ElementsArgs) -> u8 {
    let registry = Registry::standard();
    if let Some(folder) = &args.write {
        return write(folder);
    }
    let Some(name) = &args.class else {
        for class in registry.descriptors() {
            println!("{:24} {}", class.class, class.summary);
        }
        return 0;
    };
    match registry.descriptor(name) {
        Some(class) => {
            print!("{}", reference::describe(class));
            0
        }
        None => {
            eprintln!("no element class '{name}'; `anf-sidecar elements` lists them");
            1
        }
    }
}

fn write(folder: &Path) -> u8 {
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        reference::pages().iter().try_for_each(|page| std::fs::write(folder.join(&page.file), &page.text))
    });
    match written {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            1
        }
    }
}
