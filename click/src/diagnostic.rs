//! What every stage reports: a message with file, line and column, and where possible the way out.
//! A stage goes on after an error and returns all it found; the list is bounded, so that a hostile text
//! cannot make the report larger than the text.

use std::fmt;
use std::sync::Arc;

/// Messages kept of one stage; the rest is counted only.
const MOST_MESSAGES: usize = 100;

/// A place in a file: both numbers count from 1, the column counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pos {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

/// A place with its file; `#line` may change the file in the middle of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// File name as given to [`crate::parse`] or by `#line`.
    pub file: Arc<str>,
    /// Where in that file.
    pub pos: Pos,
}

/// How bad a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The text cannot be used.
    Error,
    /// The text can be used; the reader should know.
    Warning,
}

/// One message about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// File name.
    pub file: Arc<str>,
    /// Place in the file; line 0 where a message is about no place in particular.
    pub pos: Pos,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong; where Click has a text for it, Click's.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(place: &Place, message: impl Into<String>) -> Self {
        Self {
            file: place.file.clone(),
            pos: place.pos,
            severity: Severity::Error,
            message: message.into(),
            help: None,
        }
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pos.line > 0 {
            write!(f, "{}:{}:{}: ", self.file, self.pos.line, self.pos.column)?;
        } else if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// All that a stage found wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

/// Collects what one stage finds.
#[derive(Debug, Default)]
pub(crate) struct Report {
    found: Vec<Diagnostic>,
    left_out: usize,
    closed: bool,
}

impl Report {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.closed {
            return;
        }
        if self.found.len() < MOST_MESSAGES {
            self.found.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.push(Diagnostic::error(place, message));
    }

    /// Adds what was found in another text.
    pub(crate) fn append(&mut self, other: Report) {
        self.left_out += other.left_out;
        other.found.into_iter().for_each(|diagnostic| self.push(diagnostic));
        self.closed |= other.closed;
    }

    /// Takes no more: what follows would only be a consequence of what is reported.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The stage's value if nothing is wrong, else everything that is.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, Diagnostics> {
        if self.found.is_empty() {
            return Ok(value);
        }
        if self.left_out > 0 {
            let mut last = self.found[self.found.len() - 1].clone();
            last.message = format!("{} more errors left out", self.left_out);
            last.help = None;
            self.found.push(last);
        }
        Err(Diagnostics(self.found))
    }
}
