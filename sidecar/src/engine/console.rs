//! Where elements print: what click(1) writes to standard error and to standard output.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The two streams that elements print to.
#[derive(Debug, Clone, Default)]
pub enum Console {
    /// Those of the process.
    #[default]
    Process,
    /// Both kept together, in order.
    Kept(Arc<Mutex<Vec<u8>>>),
}

impl Console {
    /// A console that keeps what is printed, for [`Console::take`].
    pub fn kept() -> Self {
        Self::Kept(Arc::default())
    }

    /// Prints a message and the end of its line to standard error.
    pub fn message(&self, message: impl fmt::Display) {
        match self {
            Self::Process => eprintln!("{message}"),
            Self::Kept(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writeln!(kept, "{message}"); // writing into memory does not fail
            }
        }
    }

    /// Standard output, to write to.
    pub fn output(&self) -> Box<dyn Write + Send> {
        match self {
            Self::Process => Box::new(io::stdout()),
            Self::Kept(kept) => Box::new(Kept(Arc::clone(kept))),
        }
    }

    /// What was kept since the last call.
    pub fn take(&self) -> Vec<u8> {
        match self {
            Self::Process => Vec::new(),
            Self::Kept(kept) => std::mem::take(&mut kept.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
