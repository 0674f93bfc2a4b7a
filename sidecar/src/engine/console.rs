//! Where elements print: what click(1) writes to standard error and to standard output.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The two streams that elements print to.
#[derive(Debug, Clone, Default)]
pub enum Console {
    /// Those of the process.
    #[default]
    Process,
    /// Both kept together, in order.
    Kept(Arc<Mutex<Vec<u8>>>),
    /// Both kept together, those of each element for itself.
    KeptApart(Arc<Mutex<BTreeMap<String, Vec<u8>>>>),
}

impl Console {
    /// A console that keeps what is printed, for [`Console::take`].
    pub fn kept() -> Self {
        Self::Kept(Arc::default())
    }

    /// A console that keeps what each element prints, for [`Console::take_apart`].
    pub fn kept_apart() -> Self {
        Self::KeptApart(Arc::default())
    }

    /// Prints a message of `element` and the end of its line to standard error.
    pub fn message(&self, element: &str, message: impl fmt::Display) {
        match self {
            Self::Process => eprintln!("{message}"),
            Self::Kept(kept) => {
                let _ = writeln!(lock(kept), "{message}"); // writing into memory does not fail
            }
            Self::KeptApart(kept) => {
                let _ = writeln!(lock(kept).entry(element.to_owned()).or_default(), "{message}");
            }
        }
    }

    /// Standard output, for `element` to write to.
    pub fn output(&self, element: &str) -> Box<dyn Write + Send> {
        match self {
            Self::Process => Box::new(io::stdout()),
            kept => Box::new(Keeper { console: kept.clone(), element: element.to_owned() }),
        }
    }

    /// What was kept since the last call.
    pub fn take(&self) -> Vec<u8> {
        match self {
            Self::Process => Vec::new(),
            Self::Kept(kept) => std::mem::take(&mut lock(kept)),
            Self::KeptApart(_) => self.take_apart().into_values().flatten().collect(),
        }
    }

    /// What was kept of each element since the last call.
    pub fn take_apart(&self) -> BTreeMap<String, Vec<u8>> {
        match self {
            Self::KeptApart(kept) => std::mem::take(&mut lock(kept)),
            _ => BTreeMap::new(),
        }
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard output of an element that is kept.
struct Keeper {
    console: Console,
    element: String,
}

impl Write for Keeper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.console {
            Console::Process => {}
            Console::Kept(kept) => lock(kept).extend_from_slice(bytes),
            Console::KeptApart(kept) => {
                lock(kept).entry(self.element.clone()).or_default().extend_from_slice(bytes);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
