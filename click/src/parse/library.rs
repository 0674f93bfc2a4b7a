//! `require(library NAME)`: the statements of another text, taken in where it is named. Where the texts lie is said by
//! whoever runs the parser: a driver looks into files, a pod has none. Each text is taken in once, as in Click, so
//! that libraries which name each other come to an end.

use crate::ast::Statement;
use crate::diagnostic::{Diagnostic, Place};
use crate::lex::Lexer;
use crate::limits;

use super::{Parser, Within};

/// A text found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Name that messages carry; the same for the same text, however it was named.
    pub file: String,
    /// Its Click text.
    pub text: String,
}

/// Where `require(library NAME)` looks.
pub trait Libraries {
    /// The text of that name, asked for by the text `from`.
    ///
    /// # Errors
    /// The message, and what to do about it.
    fn find(&self, name: &str, from: &str) -> Result<Library, (String, Option<String>)>;
}

/// Refuses all.
pub(super) struct NoLibraries;

impl Libraries for NoLibraries {
    fn find(&self, _name: &str, _from: &str) -> Result<Library, (String, Option<String>)> {
        let help = "put the library's definitions into the text";
        Err(("‘require library’ may not be used in this driver".into(), Some(help.into())))
    }
}

/// The libraries, and what was taken from them.
pub(super) struct Shelf<'s> {
    libraries: &'s dyn Libraries,
    taken: Vec<String>,
    bytes: usize,
}

impl<'s> Shelf<'s> {
    pub(super) fn new(libraries: &'s dyn Libraries, bytes: usize) -> Self {
        Self { libraries, taken: Vec::new(), bytes }
    }

    /// A text that was not taken in before.
    fn take(&mut self, name: &str, from: &str) -> Result<Option<Library>, (String, Option<String>)> {
        let library = self.libraries.find(name, from)?;
        if self.taken.contains(&library.file) {
            return Ok(None);
        }
        self.bytes = self.bytes.saturating_add(library.text.len());
        if self.taken.len() == limits::LIBRARIES || self.bytes > limits::TEXT_BYTES {
            let (files, bytes) = (limits::LIBRARIES, limits::TEXT_BYTES);
            return Err((format!("more than {files} libraries, or than {bytes} bytes of text"), None));
        }
        self.taken.push(library.file.clone());
        Ok(Some(library))
    }
}

impl Parser<'_, '_> {
    /// The statements of a library; none if it was taken in before.
    pub(super) fn library(&mut self, name: &str, place: &Place, within: Within) -> Vec<Statement> {
        if within != Within::File {
            self.lexer.report.error(place, "‘require library’ must be used at file scope");
            return Vec::new();
        }
        let library = match self.shelf.take(name, &place.file) {
            Ok(Some(library)) => library,
            Ok(None) => return Vec::new(),
            Err((message, help)) => {
                let mut error = Diagnostic::error(place, message);
                error.help = help;
                self.lexer.report.push(error);
                return Vec::new();
            }
        };
        let mut inner = Parser {
            lexer: Lexer::new(&library.file, &library.text),
            shelf: &mut *self.shelf,
            depth: self.depth,
            ports: self.ports,
        };
        let statements = inner.whole(Within::File);
        self.ports = inner.ports;
        let report = inner.lexer.report;
        self.lexer.report.append(report);
        statements
    }
}
