//! Where printers write: standard error, or a file.

use std::fs::File;
use std::io::Write as _;

use crate::config::{Args, ConfigError};
use crate::element::Arg;
use crate::engine::Cx;

/// Where an element prints its lines.
#[derive(Debug, Default)]
pub(crate) struct Outfile {
    name: String,
    file: Option<File>,
}

impl Outfile {
    /// The argument that names the file.
    pub(crate) const ARG: Arg =
        Arg::keyword("OUTFILE", "string", "", "file to print into; standard error if none");

    /// From the argument.
    pub(crate) fn new(args: &Args<'_>) -> Result<Self, ConfigError> {
        Ok(Self { name: args.or("OUTFILE", String::new())?, file: None })
    }

    /// Makes the file.
    pub(crate) fn open(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        if !self.name.is_empty() && !cx.dry() {
            let file = File::create(&self.name).map_err(|error| format!("{}: {error}", self.name))?;
            self.file = Some(file);
        }
        Ok(())
    }

    /// Prints one line.
    pub(crate) fn print(&mut self, cx: &Cx<'_>, line: &str) {
        match &mut self.file {
            Some(file) => {
                let _ = writeln!(file, "{line}"); // as in Click, a full disk stops nothing
            }
            None => cx.message(line),
        }
    }
}
